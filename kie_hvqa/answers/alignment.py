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

* the straight pairing of equally long strings costs 10 for each of its k wrong characters and nothing else. Any other
  alignment leaves out n >= 1 slots and adds n symbols, so that it never shifts a symbol by more than n. Of the wrong
  characters it can mend only those that the value has within n places of where they stand, say m of them. The others
  cost 10 each, added or wrongly paired, and of the n additions they can be at most k - m. Hence it costs at least
  omit(n) + 10 (k - m) + add(max(0, n - (k - m))), with omit(n) and add(n) the least that n omissions and n additions
  cost. If that is above 10 k for every n, the straight pairing is the only optimum, and with n only m changes, so it
  is enough to look at each n that brings another wrong character within reach. An honest reading never needs the table;
* ends are paired beforehand where no other partner can be better: a character over its own slot, if that is clear or the
  rest of the value does not have it again; a mark over a slot whose character the rest of the reading does not have;
  a space over a word space, if the next pair agrees in a character that the rest of the value does not have;
* the rest is a band of the edit table, and a path outside it leaves out and adds so many symbols that the cost
  found proves whether the band was wide enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from operator import ne

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
    the space itself; the very string that was read where nothing was left out or added. ``added``: characters over no slot,
    in order. ``added_marks``: marks over no slot. ``cost`` in tenths of an edit. ``places``: per slot where its
    symbol stands in the string, −1 where it was left out."""

    symbols: Sequence[str | None]
    added: str
    added_marks: int
    cost: int
    places: Sequence[int]


def align(slots: Sequence[Slot], final: str, value: str | None = None) -> Alignment:
    """Pair ``final`` (one symbol a slot; see ``Reading``) with ``slots``. Pure.

    ``value`` is what the slots say, for whoever has it already: word spaces of all kinds as spaces.
    """
    cut = 2 * len(slots) + MAX_EXTRA
    if len(final) > cut:
        aligned, rest = align(slots, final[:cut], value), final[cut:]
        marks = rest.count(MARK)
        return Alignment(
            list(aligned.symbols),
            aligned.added + rest.replace(MARK, ""),
            aligned.added_marks + marks,
            aligned.cost + 6 * marks + 10 * (len(rest) - marks),
            aligned.places,
        )
    if value is None:
        value = "".join([slot.char for slot in slots])
        if not value.isprintable():  # word spaces of other kinds
            value = "".join([MARK if char.isspace() else char for char in value])
    places = range(len(value))
    if final == value:
        return Alignment(final, "", 0, 0, places)
    spaces, marks = value.count(MARK), final.count(MARK)
    constant = 4 * (marks - spaces)
    if len(final) == len(value) and (wrong := place_by_place_errors(value, final, spaces, marks)) is not None:
        return Alignment(final, "", 0, 10 * wrong + constant, places)
    return _align_rest(slots, value, final, constant)


def place_by_place_errors(value: str, final: str, spaces: int, marks: int) -> int | None:
    """How many characters are wrong if the straight pairing is certainly the only optimum, else None.

    ``spaces`` and ``marks`` are how many spaces the two equally long strings have.
    """
    wrong: list[int] = []
    for i in compress(range(len(value)), map(ne, value, final)):
        if final[i] != MARK:
            if value[i] == MARK:
                return None
            wrong.append(i)
    reach = sorted([distance for i in wrong if (distance := _distance(value, final[i], i))])
    for mended, n in enumerate(reach, start=1):
        added = max(0, n - (len(wrong) - mended))
        if 10 * n - 3 * min(n, spaces) + 10 * added - 8 * min(added, marks) <= 10 * mended:
            return None
    return len(wrong)


def _distance(value: str, char: str, place: int) -> int:
    """How far from ``place`` the value has ``char`` next; 0 where it has it nowhere."""
    after, before = value.find(char, place + 1), value.rfind(char, 0, place)
    if after < 0 or before < 0:
        return after - place if after >= 0 else place - before if before >= 0 else 0
    return min(after - place, place - before)


_Found = tuple[list[int], str, int, int]
"""Place of each slot's symbol (−1: none), added characters, number of added marks, reduced cost in tenths."""


def _align_rest(slots: Sequence[Slot], value: str, final: str, constant: int) -> Alignment:
    """Trim both ends, then fill the band."""
    head = _settled(slots, value, final)
    tail = _settled(slots[head:][::-1], value[head:][::-1], final[head:][::-1])
    start, end = len(value) - tail, len(final) - tail
    costs = [_costs(value[i], slots[i]) for i in range(head, start)]
    found, added, marks, cost = _banded(costs, final[head:end])
    places = [*range(head), *[place if place < 0 else place + head for place in found], *range(end, len(final))]
    symbols = [None if place < 0 else final[place] for place in places]
    return Alignment(symbols, added, marks, cost + constant, places)


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
        return [-1] * rows, "", 0, 10 * rows - 3 * spaces
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


def _trace(costs: Sequence[_Costs], final: str, table: list[list[int]], low: int) -> tuple[list[int], str, int]:
    """Walk the table back from its end; pairs come before omissions, omissions before additions."""
    i, j = len(costs), len(final)
    places = [-1] * i
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
                    places[i] = j
                    continue
            if here == above[at + 1] + omit:
                i -= 1
                continue
        j -= 1
        if final[j] == MARK:
            marks += 1
        else:
            added.append(final[j])
    return places, "".join(reversed(added)), marks
