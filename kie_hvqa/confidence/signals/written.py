"""Where a reading's symbols were written: from the text of an answer to the places of each symbol in it.

A model commits itself to a character where it first writes it. The official format has every legible character twice, in one of the
two lists and then in Final OCR, and the second time it only copies: on our trained readers the probability there is 1 to four
places whatever the page shows. So a symbol's places are those in Final OCR and those of its entry in a list.

Which entry is whose: the lists are in reading order, so each is laid over Final OCR by the longest common subsequence, the clear one
first. What was mended in parsing (escapes, full-width forms, explicit marks in words) is followed by the cheapest edits.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Indel, Levenshtein

from kie_hvqa.answers.answer import MARK, Reading

Span = tuple[int, int]
_KEYS = {
    "final": re.compile(r"final[\s_-]*ocr\s*[\"'\\]*\s*:", re.IGNORECASE),
    "not_clear": re.compile(r"not[\s_-]*clear(?:[\s_-]*enough)?[\s_-]*char[\w\s-]*ocr\s*[\"'\\]*\s*:", re.IGNORECASE),
    "clear": re.compile(r"(?<!not )(?<!not_)clear[\s_-]*char[\w\s-]*ocr\s*[\"'\\]*\s*:", re.IGNORECASE),
}
_STRING = re.compile(r'\s*"((?:[^"\\]|\\.)*)"?', re.DOTALL)
_LIST = re.compile(r"\s*(\[[^\]}]*)")
_BARE = re.compile(r"\s*([^,}\n]*)")


@dataclass(frozen=True, slots=True)
class Places:
    """Of each symbol of Final OCR, the indices of the characters of the answer's text that wrote it, there and in a list."""

    final: tuple[tuple[int, ...], ...]
    listed: tuple[tuple[int, ...], ...]


def places_of(response: str, reading: Reading) -> Places | None:
    """Where ``reading``, parsed from ``response``, stands in it; None where Final OCR cannot be found again."""
    found = _value(response, "final")
    if found is None:
        return None
    final = _followed(response, found, reading.final)
    listed: list[tuple[int, ...]] = [()] * len(reading.final)
    free = list(range(len(reading.final)))
    for part in ("clear", "not_clear"):
        characters = getattr(reading, part)
        span = _value(response, part) if characters else None
        if span is None:
            continue
        entries = _followed(response, span, characters)
        taken = [place for place in free if reading.final[place] != MARK]
        line = "".join(reading.final[place] for place in taken)
        for block in Indel.opcodes(characters, line):
            if block.tag == "equal":
                for entry, place in zip(
                    range(block.src_start, block.src_end), range(block.dest_start, block.dest_end), strict=True
                ):
                    listed[taken[place]] = entries[entry]
                    free.remove(taken[place])
    return Places(tuple(final), tuple(listed))


def _value(response: str, part: str) -> Span | None:
    """Where the value of the last key of this kind stands in ``response``."""
    keys = list(_KEYS[part].finditer(response))
    for key in reversed(keys):
        for pattern in (_STRING, _LIST, _BARE):
            found = pattern.match(response, key.end())
            if found is not None:
                return found.span(1)
    return None


def _followed(response: str, span: Span, symbols: str) -> list[tuple[int, ...]]:
    """Per symbol the indices in ``response`` that wrote it, by the cheapest edits from the text of ``span`` to ``symbols``."""
    start, end = span
    written = response[start:end]
    if written == symbols:
        return [(start + i,) for i in range(len(symbols))]
    if len(written) == 2 * len(symbols) - 1 and written[::2] == symbols:  # a list as it is agreed: "S m t"
        return [(start + 2 * i,) for i in range(len(symbols))]
    found: list[tuple[int, ...]] = [()] * len(symbols)
    for block in Levenshtein.opcodes(written, symbols):
        source: Sequence[int] = range(start + block.src_start, start + block.src_end)
        apart = len(source) == block.dest_end - block.dest_start  # one for one: a box for each space that it became
        for i, place in enumerate(range(block.dest_start, block.dest_end)):
            found[place] = (source[i],) if apart else tuple(source)
    return found
