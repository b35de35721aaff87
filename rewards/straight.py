"""Counts without an edit table, where pairing symbol by symbol is certainly what the alignment would do.

Most completions about a field are as long as the field: the reader reads, misreads or marks each slot and leaves
none out. Then the straight pairing is nearly always the only cheapest alignment, and this proves it in a few
microseconds, before ``kie_hvqa.scoring.scores.count`` fills a table that would say the same. The counts are the
evaluator's or there are none: ``tests/rewards/test_straight.py`` holds the two together.

**The proof**, in the reduced costs of ``kie_hvqa.answers.alignment``: the straight pairing costs 10 for each of its k wrong
characters and nothing else. Any other alignment leaves out n >= 1 slots and adds n symbols, so that it never shifts
a symbol by more than n. Of the wrong characters it can mend only those that the value has within n places of where
they stand, say m of them. The others cost 10 each, added or wrongly paired, and of the n additions they can be at
most k - m. Hence it costs at least

    omit(n) + 10 (k - m) + add(max(0, n - (k - m))),

with omit(n) and add(n) the least that n omissions and n additions cost (word spaces and marks are the cheap ones). If
that is above 10 k for every n, the straight pairing is the only optimum. With n only m changes, so it is enough to
look at each n that brings another wrong character within reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from operator import ne

from kie_hvqa.answers.answer import MARK, Reading
from kie_hvqa.data.ledger import QuestionKind, Slot
from kie_hvqa.scoring.scores import Counts, count


@dataclass(frozen=True, slots=True)
class Ledger:
    """The slots of one field, and what is asked about them again and again. Word spaces of any kind are spaces."""

    slots: tuple[Slot, ...]
    value: str
    legibilities: tuple[str, ...]
    places: range
    clear: int
    partial: int
    hidden: int
    spaces: int

    @classmethod
    def of(cls, slots: Sequence[Slot]) -> Ledger:
        value = "".join([slot.char if slot.scored else MARK for slot in slots])
        scored = [slot.legibility for slot in slots if slot.scored]
        clear, partial, hidden = (scored.count(name) for name in ("clear", "partial", "hidden"))
        legibilities = tuple([slot.legibility for slot in slots])
        return cls(
            tuple(slots), value, legibilities, range(len(value)), clear, partial, hidden, len(value) - len(scored)
        )


def count_fast(truth: Ledger, reading: Reading | None, kind: QuestionKind) -> Counts:
    """``kie_hvqa.scoring.scores.count`` of ``truth``, by the short way where there is one."""
    if reading is None or len(reading.final) != len(truth.value) or reading.refused:
        return count(truth.slots, reading, kind)
    return straight_counts(truth, reading.final, kind) or count(truth.slots, reading, kind)


def straight_counts(truth: Ledger, final: str, kind: QuestionKind) -> Counts | None:
    """The counts of an answer whose ``final`` is as long as the value and which asserts something somewhere; None
    where the straight pairing is not certainly the only optimum."""
    value, legibilities = truth.value, truth.legibilities
    marked = {"clear": 0, "partial": 0, "hidden": 0}
    misread = {"clear": 0, "partial": 0, "hidden": 0}
    wrong: list[int] = []
    for i in compress(truth.places, map(ne, value, final)):
        if final[i] == MARK:
            marked[legibilities[i]] += 1
        elif value[i] == MARK:
            return None
        else:
            misread[legibilities[i]] += 1
            wrong.append(i)
    if wrong and not _only_optimum(value, final, wrong, truth.spaces):
        return None
    misread_clear, misread_partial, unlucky = misread.values()
    marked_clear, marked_partial, marked_hidden = marked.values()
    invented = truth.hidden - marked_hidden
    free = kind == "answerable" and not (misread_clear or marked_clear or misread_partial or invented)
    return Counts(  # by position: by name it takes half as long again
        1,
        int(kind == "absent"),
        truth.clear,
        truth.partial,
        truth.hidden,
        truth.clear - misread_clear - marked_clear,
        truth.partial - misread_partial - marked_partial,
        misread_clear,
        misread_partial,
        marked_clear,
        marked_partial,
        marked_hidden,
        0,  # nothing is left out
        0,
        0,
        invented,
        invented - unlucky,
        0,  # nor added
        0,
        int(free),
        int(kind == "absent"),
    )


def _only_optimum(value: str, final: str, wrong: Sequence[int], spaces: int) -> bool:
    """Whether every other alignment of ``final`` costs more than the straight one, which is ``wrong`` at those places."""
    reach = sorted(distance for i in wrong if (distance := _distance(value, final[i], i)))
    if not reach:
        return True
    marks = final.count(MARK)
    for mended, n in enumerate(reach, start=1):
        added = max(0, n - (len(wrong) - mended))
        cost = 10 * n - 3 * min(n, spaces) + 10 * added - 8 * min(added, marks)
        if cost <= 10 * mended:
            return False
    return True


def _distance(value: str, char: str, place: int) -> int:
    """How far from ``place`` the value has ``char`` next; 0 where it has it nowhere."""
    after, before = value.find(char, place + 1), value.rfind(char, 0, place)
    if after < 0 or before < 0:
        return after - place if after >= 0 else place - before if before >= 0 else 0
    return min(after - place, place - before)
