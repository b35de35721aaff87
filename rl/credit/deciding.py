"""Which characters of an answer in the official format decide which slot of its field.

- In Final OCR a slot is decided by the symbol that stands over it, a character or a mark. A slot over which nothing stands
  is decided by a mark of its gap where there is one, and else by the character that follows, or the closing quote.
- In a list a slot is decided by its character; where it is skipped, by the character that follows it, or the closing quote.
  The second list says nothing about a slot that the first one has.

A character over no slot decides none. Answers whose JSON had to be mended, or that hold escapes, are not taken apart.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from kie_hvqa.answers.alignment import align
from kie_hvqa.answers.answer import KEYS, MARK, Parsed
from kie_hvqa.answers.masks import resolve
from kie_hvqa.answers.verdicts import Ledger

_VALUE = {part: re.compile(rf'"{re.escape(KEYS[part])}"\s*:\s*"([^"\\]*)"') for part in ("clear", "not_clear", "final")}


def deciding(text: str, parsed: Parsed, about: Ledger) -> dict[int, list[int]] | None:
    """Place of a character in ``text`` → the slots that it decides; None where the answer cannot be taken apart.

    ``parsed`` is ``text`` as the parser read it.
    """
    if parsed.reading is None or set(parsed.repairs) - {"explicit marks"} or not about.value:
        return None
    found = {part: pattern.search(text) for part, pattern in _VALUE.items()}
    if any(match is None for match in found.values()):
        return None
    spans = {part: (match[1], match.start(1)) for part, match in found.items() if match is not None}
    final, at = spans["final"]
    resolved = resolve(parsed.reading, about.value).final
    if len(resolved) != len(final):
        return None
    scored = [slot for slot, kind in enumerate(about.kinds) if kind != "_"]
    decided: dict[int, list[int]] = defaultdict(list)
    places = list(align(about.slots, resolved, about.value).places)
    places += [-1] * (len(about.value) - len(places))
    for slot in scored:
        decided[at + _decider(slot, places, resolved)].append(slot)
    asserted = [slot for slot in scored if places[slot] >= 0 and resolved[places[slot]] != MARK]
    symbols = [resolved[places[slot]] for slot in asserted]
    listed: set[int] = set()
    for part in ("clear", "not_clear"):
        raw, start = spans[part]
        chars = [place for place, char in enumerate(raw) if char != MARK]
        pairs = dict(_common(symbols, [raw[place] for place in chars]))
        here = {asserted[one]: start + chars[other] for one, other in pairs.items()}
        follows = start + len(raw)
        for slot in reversed(scored):
            if slot in here:
                follows = here[slot]
            elif slot in listed:
                continue
            decided[follows].append(slot)
        listed |= here.keys()
    return {place: sorted(set(slots)) for place, slots in decided.items()}


def refusing(text: str, parsed: Parsed) -> int | None:
    """The place of the character with which Final OCR refuses the whole field: its first mark, or the closing quote. None where something is
    asserted, or the answer cannot be taken apart."""
    if parsed.reading is None or not parsed.reading.refused or set(parsed.repairs) - {"explicit marks"}:
        return None
    final = _VALUE["final"].search(text)
    return None if final is None else final.start(1)


def _decider(slot: int, places: Sequence[int], final: str) -> int:
    """The place in ``final`` of what decides ``slot``; its length is the closing quote."""
    if places[slot] >= 0:
        return places[slot]
    gap: list[int] = []  # places of the marks beside it, over slots of its own gap
    for step in (-1, 1):
        other = slot + step
        while 0 <= other < len(places) and (places[other] < 0 or final[places[other]] == MARK):
            if places[other] >= 0:
                gap.append(places[other])
                break
            other += step
    if gap:
        return gap[0]
    return next((place for place in places[slot + 1 :] if place >= 0), len(final))


def _common(one: Sequence[str], other: Sequence[str]) -> list[tuple[int, int]]:
    """The places of a longest common subsequence in both, in order."""
    longest = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i in reversed(range(len(one))):
        for j in reversed(range(len(other))):
            longest[i][j] = (
                1 + longest[i + 1][j + 1] if one[i] == other[j] else max(longest[i + 1][j], longest[i][j + 1])
            )
    found, i, j = [], 0, 0
    while i < len(one) and j < len(other):
        if one[i] == other[j]:
            found.append((i, j))
            i, j = i + 1, j + 1
        elif longest[i + 1][j] >= longest[i][j + 1]:
            i += 1
        else:
            j += 1
    return found
