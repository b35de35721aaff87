"""Slots for rows that have no ledger: an official answer says almost all that one would.

The benchmark's own rows come without slots. Their answer lists the clear and the not clear enough characters and shows both in
Final OCR, in order, with a space for each that is hidden: so every legible character has its place and its class, and only
what is printed under the spaces is unknown. Nothing that pays by outcome needs it: over a hidden slot any character is
invented, a mark is right, silence is dropped.

A word space is a space in Final OCR as well, and cannot be told from a hidden character. It need not be: here too a space is
right, a character is an insertion, and silence glues two words. Both are taken as hidden slots, of the character ``UNKNOWN``.
An answer that is empty is that of an absent field, or of one of which nothing can be read: refused whole, in either case.

None where the answer contradicts itself: its lists are not the characters of Final OCR, or no order of them makes it up.
What then remains is a reward for the official answer as it stands, ``kie_hvqa_paper``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from kie_hvqa.answers.answer import MARK, parse
from kie_hvqa.data.ledger import Legibility, Slot
from rewards.contract import ledger

UNKNOWN = "\ufffc"
"""Stands for what is printed in a hidden slot; an object replacement character, which no reader writes."""

_BOX = (0.0, 0.0, 0.0, 0.0)
_LONGEST = 512  # of a Final OCR: the search below is quadratic


def ledger_of(column: Sequence[Mapping[str, Any] | Slot] | None, answer: str | None) -> tuple[Slot, ...] | None:
    """A sample's slots: its ``slots`` column where it has one, else what follows from its official ``answer``."""
    if column is not None:
        return ledger(column)
    return derived(answer) if isinstance(answer, str) else None


@lru_cache(maxsize=4096)
def derived(answer: str) -> tuple[Slot, ...] | None:
    """The slots that an official answer implies; empty for an empty one, None for one that cannot be read or contradicts
    itself."""
    reading = parse(answer if "<" in answer else f"<answer>{answer}</answer>").reading
    if reading is None or len(reading.final) > _LONGEST:
        return None
    legible = reading.final.replace(MARK, "")
    classes = _classes(legible, reading.clear, reading.not_clear)
    if classes is None:
        return None
    known = iter(classes)
    return tuple(
        Slot(UNKNOWN, "hidden", 0.0, _BOX) if char == MARK else Slot(char, next(known), 0.5, _BOX)
        for char in reading.final
    )


def _classes(legible: str, clear: str, not_clear: str) -> list[Legibility] | None:
    """The class of each character, so that the two lists are those characters, each in its order; else, where no character is
    in both lists, in any order."""
    if sorted(legible) != sorted(clear + not_clear):
        return None
    reached: list[set[int]] = [{0}]  # how many of the clear list may be used up before each character
    for count, char in enumerate(legible):
        taken = {used + 1 for used in reached[-1] if clear[used : used + 1] == char}
        taken |= {used for used in reached[-1] if not_clear[count - used : count - used + 1] == char}
        reached.append(taken)
    if not reached[-1]:
        shared = set(clear) & set(not_clear)
        return None if shared else ["clear" if char in clear else "partial" for char in legible]
    classes: list[Legibility] = []
    used = len(clear)
    for count in range(len(legible) - 1, -1, -1):
        if used and used - 1 in reached[count] and clear[used - 1] == legible[count]:
            used -= 1
            classes.append("clear")
        else:
            classes.append("partial")
    return classes[::-1]
