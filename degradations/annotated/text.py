"""Annotated text as a reader is scored on it: composed, without what nobody can see, compared one character for one."""

from __future__ import annotations

import unicodedata

# Drawn as nothing, though Unicode files them under letters and marks.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
_SELECTORS = ((0x180B, 0x180F), (0xFE00, 0xFE0F), (0xE0100, 0xE01EF))
_LIGATURES = str.maketrans({chr(code): unicodedata.normalize("NFKC", chr(code)) for code in range(0xFB00, 0xFB07)})


def clean(text: str) -> str:
    """``text`` in NFC: no invisible characters, every white space a plain one, ``ﬁ`` as the two letters that it shows."""
    composed = unicodedata.normalize("NFC", text.translate(_LIGATURES))
    seen = (" " if char.isspace() else char for char in composed if char.isspace() or not _invisible(char))
    # What stood between a letter and its accent may be gone now.
    return unicodedata.normalize("NFC", "".join(seen))


def _invisible(char: str) -> bool:
    code = ord(char)
    if char in _BLANK or any(low <= code <= high for low, high in _SELECTORS):
        return True
    return unicodedata.category(char) in ("Cf", "Cc")


def fold(text: str) -> str:
    """``text`` in capitals, as long as before: where a capital is two letters (ß) the small one stays."""
    return "".join(upper if len(upper := char.upper()) == 1 else char for char in text)


def right_to_left(text: str) -> bool:
    return any(unicodedata.bidirectional(char) in ("R", "AL") for char in text)
