"""From a reading and its scores to one that asserts less: the only thing that a threshold may do.

Characters below it become marks, in Final OCR and in both lists; a field that is not sure enough is refused whole. Nothing is
ever filled in, moved or added, so what is asserted afterwards is a part of what was asserted before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from kie_hvqa.answers.answer import MARK, REFUSAL, Reading


def keep(reading: Reading, kept: Sequence[bool]) -> Reading:
    """``reading`` with a mark for every asserted character of Final OCR whose ``kept`` (one a symbol) is false. Pure.

    The lists keep what Final OCR still asserts, the clear one first, and the counts are what is left of them: what a list holds
    beyond Final OCR goes with the first character that is not kept, because it has no position and so no score. The same reading
    where everything is kept; the refusal where nothing is. ValueError for another length.
    """
    final = reading.final
    if len(kept) != len(final):
        raise ValueError(f"{len(kept)} decisions for {len(final)} symbols")
    lost = Counter(char for char, stays in zip(final, kept, strict=True) if not stays and char != MARK)
    if not lost:
        return reading
    left = "".join(char if stays else MARK for char, stays in zip(final, kept, strict=True))
    if not left.strip(MARK):
        return REFUSAL
    rest = Counter(left.replace(MARK, ""))
    clear = _within(reading.clear, rest)
    not_clear = _within(reading.not_clear, rest)
    return Reading(left, not_clear, clear, len(clear), len(not_clear))


def _within(listed: str, rest: Counter[str]) -> str:
    """The characters of ``listed`` that ``rest`` still has, each taken out of it."""
    found = []
    for char in listed:
        if rest[char] > 0:
            rest[char] -= 1
            found.append(char)
    return "".join(found)
