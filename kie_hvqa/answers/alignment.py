"""Alignment: which symbol of a reading stands over which slot of the ledger.

``Final OCR`` has no positions but its order, and a mark is a space like any word space, so slots and symbols
are put side by side by the cheapest edit operations, marks kept as symbols of their own (the official score
strips them, and so cannot see a gap in the wrong place). Costs in tenths of an edit:

=========================================  ====  =======
operation                                  cost  reduced
=========================================  ====  =======
the same character                            0        0
a space over a word space                     0        0
a mark over a character slot                  4        0
another character over a character slot      10       10
a character over a word space                10       14
a character slot left out                    10       10
a word space left out                         3        7
a character too many                         10       10
a mark too many                               6        2
=========================================  ====  =======

Legibility never changes a cost. It breaks ties only: among the cheapest alignments, marks and omissions fall on
hidden slots rather than on partial ones, and on partial ones rather than on clear ones. What is still tied
keeps symbol and slot together rather than leaving one out and adding the other.

Why it is fast (the rewards align every completion): charge 4 to every space of the reading and −4 to every word
space, whatever becomes of them. That adds the same constant to every alignment and leaves the reduced costs above,
in which only errors cost. So

* the straight pairing of equally long strings is the only optimum when the value has none of the wrong characters,
  since every alignment pays 10 for each of those, and omissions and additions besides. With a single wrong character
  it is enough that its neighbours in the value are others: all that costs less than 10 is a word space left
  out and a mark added (9), with nothing wrong between them. An honest reading never needs the table;
* ends are paired beforehand where no other partner can be better: a character over its own slot, if that is clear or the
  rest of the value does not have it again; a mark over a slot whose character the rest of the reading does not have;
  a space over a word space, if the next pair agrees in a character that the rest of the value does not have;
* the rest is a band of the edit table, and a path outside it leaves out and adds so many symbols that the cost
  found proves whether the band was wide enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kie_hvqa.answers.answer import MARK
from kie_hvqa.data.ledger import Slot

MAX_EXTRA = 64
"""Symbols of a reading beyond 2 × slots + ``MAX_EXTRA`` are counted as added without being aligned."""

# One int holds reduced cost and ties: cost × _UNIT + ties, so that ties decide only between equal costs.
_UNIT = 1 << 20
_WRONG, _WRONG_SPACE = 10 * _UNIT, 14 * _UNIT
_OMIT, _OMIT_SPACE = 10 * _UNIT, 7 * _UNIT
_ADD, _ADD_MARK = 10 * _UNIT, 2 * _UNIT
_TIE = {"hidden": 0, "partial": 1, "clear": 2}
_INFINITY = 1 << 60


@dataclass(frozen=True, slots=True)
class Alignment:
    """``symbols``: per slot the character read, ``MARK``, or None where it was left out; over a word space ``MARK`` is
    the space itself. ``added``: characters over no slot, in order. ``added_marks``: marks over no slot. ``cost`` in
    tenths of an edit."""

    symbols: Sequence[str | None]
    added: str
    added_marks: int
    cost: int


def align(slots: Sequence[Slot], final: str) -> Alignment:
    """Pair ``final`` (one symbol a slot; see ``Reading``) with ``slots``. Pure."""
    cut = 2 * len(slots) + MAX_EXTRA
    if len(final) > cut:
        aligned, rest = align(slots, final[:cut]), final[cut:]
        marks = rest.count(MARK)
        return Alignment(
            aligned.symbols,
            aligned.added + rest.replace(MARK, ""),
            aligned.added_marks + marks,
            aligned.cost + 6 * marks + 10 * (len(rest) - marks),
        )
    value = "".join([slot.char for slot in slots])
    if final == value:
        return Alignment(final, "", 0, 0)
    if not value.isprintable():  # word spaces of other kinds
        value = "".join([MARK if char.isspace() else char for char in value])
    spaces, marks = value.count(MARK), final.count(MARK)
    constant = 4 * (marks - spaces)
    if len(final) == len(value) and (wrong := _straight(value, final)) is not None:
        return Alignment(final, "", 0, 10 * wrong + constant)
    symbols, added, added_marks, reduced = _align_rest(slots, value, final)
    return Alignment(symbols, added, added_marks, reduced + constant)


def _straight(value: str, final: str) -> int | None:
    """How many characters are wrong if the straight pairing is certainly the only optimum, else None."""
    wrong: list[int] = []
    for i, (char, symbol) in enumerate(zip(value, final, strict=True)):
        if char != symbol != MARK:
            if char == MARK:
                return None
            wrong.append(i)
    if len(wrong) == 1:
        i = wrong[0]  # cheaper is only a word space left out and a mark added, which shifts i by one
        if final[i] != value[i - 1 : i] and final[i] != value[i + 1 : i + 2]:
            return 1
    for i in wrong:
        if final[i] in value:
            return None
    return len(wrong)


_Found = tuple[list[str | None], str, int, int]
"""Symbols per slot, added characters, number of added marks, reduced cost in tenths."""


def _align_rest(slots: Sequence[Slot], value: str, final: str) -> _Found:
    """Trim both ends, then fill the band."""
    head = _settled(slots, value, final)
    tail = _settled(slots[head:][::-1], value[head:][::-1], final[head:][::-1])
    start, end = len(value) - tail, len(final) - tail
    costs = [_costs(value[i], slots[i]) for i in range(head, start)]
    found, added, marks, cost = _banded(costs, final[head:end])
    return [*final[:head], *found, *final[end:]], added, marks, cost


def _settled(slots: Sequence[Slot], value: str, final: str) -> int:
    """How many pairs at the head no alignment can do better without (see the module's docstring)."""
    shorter = min(len(value), len(final))
    i = 0
    while i < shorter:
        char, symbol = value[i], final[i]
        if char != symbol:
            if symbol != MARK or final.find(char, i + 1) >= 0:
                break
        elif char == MARK:
            # Alone it is open: leaving the word space out to mark a later slot with its space may be cheaper.
            i += 1
            if i == shorter or value[i] != final[i] or value[i] == MARK or value.find(value[i], i + 1) >= 0:
                return i - 1
        elif slots[i].legibility != "clear" and value.find(char, i + 1) >= 0:
            break
        i += 1
    return i


_Costs = tuple[str, int, int, int]
"""A slot's character, and the costs of leaving it out, of a mark and of a wrong character over it, ties included."""


def _costs(char: str, slot: Slot) -> _Costs:
    if char == MARK:
        return MARK, _OMIT_SPACE, 0, _WRONG_SPACE
    tie = _TIE[slot.legibility]
    return char, _OMIT + tie, tie, _WRONG


def _banded(costs: Sequence[_Costs], final: str) -> _Found:
    rows, columns = len(costs), len(final)
    marks = final.count(MARK)
    spaces = 0
    for slot in costs:
        if slot[0] == MARK:
            spaces += 1
    if not rows:
        return [], final.replace(MARK, ""), marks, 10 * columns - 8 * marks
    if not columns:
        return [None] * rows, "", 0, 10 * rows - 3 * spaces
    present = {slot[0] for slot in costs}
    foreign = columns - marks - sum([symbol in present for symbol in final if symbol != MARK])
    difference = columns - rows
    width, bound = 0, _detour(0, difference, spaces, marks, foreign)
    while True:
        low = min(0, difference) - width
        table = _fill(costs, final, low, max(0, difference) + width)
        total = table[rows][difference - low + 1]
        if total < bound:
            return *_trace(costs, final, table, low), total // _UNIT
        while bound <= total:
            width += 1
            bound = _detour(width, difference, spaces, marks, foreign)


def _detour(width: int, difference: int, spaces: int, marks: int, foreign: int) -> int:
    """The least that a path costs which leaves a band ``width`` diagonals wider than the difference in length.

    ``foreign`` characters, which no slot has, cost 10 each wherever they end up, so they are best among the added.
    """
    omitted = width + 1 + max(0, -difference)
    added = max(0, width + 1 + max(0, difference) - foreign)
    omitting = _OMIT * omitted - (_OMIT - _OMIT_SPACE) * min(omitted, spaces)
    return omitting + _ADD * (added + foreign) - (_ADD - _ADD_MARK) * min(added, marks)


def _fill(costs: Sequence[_Costs], final: str, low: int, high: int) -> list[list[int]]:
    """The band of the edit table: ``table[i][j - i - low + 1]`` is the cost of the first i slots against final[:j].

    Every row has ``high - low + 1`` diagonals between two walls of infinity.
    """
    columns = len(final)
    adding = [_ADD_MARK if symbol == MARK else _ADD for symbol in final]
    blank = [_INFINITY] * (high - low + 3)
    row = blank.copy()
    cell = 0
    row[1 - low] = 0
    for j in range(min(columns, high)):
        cell += adding[j]
        row[j - low + 2] = cell
    table = [row]
    start, stop = low, high
    for char, omit, mark, wrong in costs:
        start, stop = start + 1, stop + 1
        above, row = row, blank.copy()
        at, first, left = 1, start - 1, _INFINITY
        if start <= 0:
            at = 1 - start
            row[at] = left = above[at + 1] + omit  # nothing read yet: every slot so far was left out
            at, first = at + 1, 0
        for j in range(first, stop if stop < columns else columns):
            symbol = final[j]
            best = above[at]
            if symbol != char:
                best += mark if symbol == MARK else wrong
            left += adding[j]
            if left < best:  # calls of min would cost more than the rest of the cell
                best = left
            left = above[at + 1] + omit
            if left > best:
                left = best
            row[at] = left
            at += 1
        table.append(row)
    return table


def _trace(costs: Sequence[_Costs], final: str, table: list[list[int]], low: int) -> tuple[list[str | None], str, int]:
    """Walk the table back from its end; pairs come before omissions, omissions before additions."""
    i, j = len(costs), len(final)
    symbols: list[str | None] = [None] * i
    added: list[str] = []
    marks = 0
    while i or j:
        at = j - i - low + 1
        here = table[i][at]
        if i:
            above = table[i - 1]
            char, omit, mark, wrong = costs[i - 1]
            if j:
                symbol = final[j - 1]
                if here == above[at] + (0 if symbol == char else mark if symbol == MARK else wrong):
                    i, j = i - 1, j - 1
                    symbols[i] = symbol
                    continue
            if here == above[at + 1] + omit:
                i -= 1
                continue
        j -= 1
        if final[j] == MARK:
            marks += 1
        else:
            added.append(final[j])
    return symbols, "".join(reversed(added)), marks
