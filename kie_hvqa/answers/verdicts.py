"""Verdicts: what became of every slot. The one table that scores, rewards, reports and the page's script count.

A reading is laid over its slots (``kie_hvqa.answers.alignment``), and every slot gets exactly one outcome:

===========  ==================  ==============  ===========================  ======================
slot         its own character   another one     in a gap that is signalled   in a gap that is not
===========  ==================  ==============  ===========================  ======================
clear        right               misread         over_refused                 dropped
partial      right               misread         marked                       dropped
hidden       lucky (invented)    invented        **marked**                   dropped
derivable    right               misread         marked                       dropped
word space   space               inserted        space                        space
===========  ==================  ==============  ===========================  ======================

A *gap* is a maximal run of slots over which nothing is asserted, word spaces in it and beside it included, at the ends
of the value as well. It is *signalled* when at least one mark lies in it, or when the field is refused whole. How
many marks is not asked: how many characters are hidden can rarely be seen, that some are can be said.

**A mark and a word space are the same symbol**, a space in Final OCR. They are told apart by the gap: where it lies
between two asserted characters and the value has a word space there (or several), one space is that word space and
every further one is a mark; in all other places every space is a mark. So "A CD" about "AB CD" with B hidden drops the B, and
"A  CD" marks it; nobody who leaves characters out in silence writes a space too many. A space where nothing is missing is a
``surplus_mark``, and so is each mark of one gap beyond as many as the whole value has slots; a word space that is left out between two characters is ``glued``; neither is a fault in the table.

A *derivable* slot is a hidden one whose character another print on the page gives: never invented, never due.

A character over no slot, or over a word space, is ``inserted``. A character that stands in a list oftener than Final OCR has it
is ``listed``: it is asserted all the same. A right partial character that stands in the not-clear list is ``flagged``, a right
clear one that stands in the clear list ``unflagged``; lists have no order here, each of their characters serves once.

``free`` (hallucination-free) asks all of it: every clear slot right, every hidden slot marked, no partial or derivable slot
misread or dropped, nothing inserted, nothing listed; an absent field refused whole. An answer that cannot be parsed, or is
missing, drops every slot and is never free.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import compress
from operator import ne
from typing import Literal

from kie_hvqa.answers.alignment import align
from kie_hvqa.answers.answer import MARK, Reading
from kie_hvqa.answers.masks import resolve
from kie_hvqa.data.ledger import QuestionKind, Slot, kind_of, value_of

Word = Literal["right", "misread", "over_refused", "marked", "dropped", "lucky", "invented", "space", "inserted"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One cell of the table. ``code`` is its letter in ``Verdicts.outcomes``, ``name`` its column in ``Counts``
    (``clear_right``), ``word`` what the vocabulary calls it, ``title`` what a person reads."""

    code: str
    legibility: str
    said: Literal["right", "wrong", "marked", "dropped"]
    word: Word
    title: str

    @property
    def name(self) -> str:
        return f"{self.legibility}_{self.said}"

    @property
    def fault(self) -> bool:
        """Whether no hallucination-free answer has it."""
        return self.word in ("misread", "over_refused", "dropped", "lucky", "invented", "inserted")


OUTCOMES: tuple[Outcome, ...] = (
    Outcome("r", "clear", "right", "right", "right"),
    Outcome("w", "clear", "wrong", "misread", "misread"),
    Outcome("x", "clear", "marked", "over_refused", "over-refused"),
    Outcome("d", "clear", "dropped", "dropped", "dropped without a mark"),
    Outcome("R", "partial", "right", "right", "right"),
    Outcome("W", "partial", "wrong", "misread", "misread"),
    Outcome("M", "partial", "marked", "marked", "marked"),
    Outcome("D", "partial", "dropped", "dropped", "dropped without a mark"),
    Outcome("l", "hidden", "right", "lucky", "lucky: invented, but right"),
    Outcome("i", "hidden", "wrong", "invented", "invented"),
    Outcome("m", "hidden", "marked", "marked", "marked"),
    Outcome("h", "hidden", "dropped", "dropped", "dropped without a mark"),
    Outcome("a", "derivable", "right", "right", "right, as another print says"),
    Outcome("b", "derivable", "wrong", "misread", "misread, though another print says it"),
    Outcome("k", "derivable", "marked", "marked", "marked"),
    Outcome("g", "derivable", "dropped", "dropped", "dropped without a mark"),
    Outcome("s", "space", "right", "space", "word space"),
    Outcome("n", "space", "wrong", "inserted", "inserted over a word space"),
)
OUTCOME: dict[str, Outcome] = {outcome.code: outcome for outcome in OUTCOMES}

# How a slot's kind is written (``Ledger.kinds``), and per answer what a kind becomes: one call of ``translate`` a field.
_KINDS = {"clear": "c", "partial": "p", "hidden": "h", "derivable": "d", "space": "_"}


def _becomes(said: str) -> dict[int, str]:
    table = {ord(_KINDS[o.legibility]): o.code for o in OUTCOMES if o.said == said}
    return {ord("_"): "s", **table}


_RIGHT, _WRONG, _MARKED, _DROPPED = map(_becomes, ("right", "wrong", "marked", "dropped"))
_CELLS = tuple(outcome for outcome in OUTCOMES if outcome.legibility != "space")
_CODES = "".join(outcome.code for outcome in _CELLS)
_FAULTS = frozenset(outcome.code for outcome in OUTCOMES if outcome.fault)

COLUMNS: tuple[str, ...] = (
    *(outcome.name for outcome in _CELLS),
    *("inserted", "surplus_marks", "listed", "glued", "flagged", "unflagged"),
    # Of questions: whether the field is absent, the answer could be parsed, something of it is missing, the answer said so, or said so of a field
    # of which nothing is; whether it was hallucination-free; whether it asserted something about an absent field.
    *("questions", "absent", "parsed", "missing", "missing_said", "missing_said_wrongly", "free", "false_answers"),
)
"""What ``Counts`` counts: slots by ``legibility_said``, then what lies over no slot, then questions."""

SUMS: dict[str, tuple[str, ...]] = {
    **{
        legibility: tuple(outcome.name for outcome in _CELLS if outcome.legibility == legibility)
        for legibility in ("clear", "partial", "hidden", "derivable")
    },
    "invented": ("hidden_right", "hidden_wrong"),
    "lucky": ("hidden_right",),
    "misread": ("clear_wrong", "partial_wrong"),
    "over_refused": ("clear_marked",),
    "dropped": ("clear_dropped", "partial_dropped", "hidden_dropped"),
    "legible_asserted": ("clear_right", "clear_wrong", "partial_right", "partial_wrong"),
    "asserted": ("clear_right", "clear_wrong", "partial_right", "partial_wrong", "hidden_right", "hidden_wrong"),
}
SUMS["scored"] = (*SUMS["clear"], *SUMS["partial"], *SUMS["hidden"])
"""Sums of columns that have a name; derivable slots are in none of them but their own."""

PLACES: dict[str, tuple[int, ...]] = {name: (place,) for place, name in enumerate(COLUMNS)}
PLACES |= {name: tuple(COLUMNS.index(column) for column in columns) for name, columns in SUMS.items()}
"""Column or sum → where its numbers stand in ``Counts.numbers``."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How often each of ``COLUMNS`` happened in one question, or, added up, in many: ``counts["invented"]``.

    ``numbers`` are in the order of ``COLUMNS``, for whoever multiplies them with prices or weights.
    """

    numbers: tuple[int, ...] = (0,) * len(COLUMNS)

    @classmethod
    def of(cls, **numbers: int) -> Counts:
        """Raises KeyError for a name that is none of ``COLUMNS``."""
        if unknown := numbers.keys() - set(COLUMNS):
            raise KeyError(", ".join(sorted(unknown)))
        return cls(tuple(numbers.get(name, 0) for name in COLUMNS))

    @classmethod
    def total(cls, counted: Iterable[Counts]) -> Counts:
        return cls(tuple(map(sum, zip(*[counts.numbers for counts in counted], strict=True))) or cls().numbers)

    def __getitem__(self, name: str) -> int:
        """A column or a sum of ``SUMS``; KeyError for any other name."""
        places = PLACES[name]
        return self.numbers[places[0]] if len(places) == 1 else sum([self.numbers[place] for place in places])

    def __add__(self, other: Counts) -> Counts:
        return Counts(tuple(map(int.__add__, self.numbers, other.numbers)))

    def named(self) -> dict[str, int]:
        """The columns that are not zero."""
        return {name: number for name, number in zip(COLUMNS, self.numbers, strict=True) if number}


@dataclass(frozen=True, slots=True)
class Ledger:
    """The slots of one field, and what every answer about it asks of them. Word spaces of any kind are spaces."""

    slots: tuple[Slot, ...]
    value: str
    kinds: str
    right: str
    marked: str
    kind: QuestionKind

    @classmethod
    def of(cls, slots: Sequence[Slot], kind: QuestionKind | None = None) -> Ledger:
        """``kind`` is worked out from the slots where nobody says it."""
        value = value_of(slots)
        spaced = not value.isprintable()
        if spaced:
            value = "".join([MARK if char.isspace() else char for char in value])
        kinds = "".join([
            "_" if slot.char == MARK or (spaced and slot.char.isspace())
            else slot.legibility[0] if not slot.derivable or slot.legibility != "hidden" else "d"
            for slot in slots
        ])  # fmt: skip
        known = kind or kind_of(slots)
        return cls(tuple(slots), value, kinds, kinds.translate(_RIGHT), kinds.translate(_MARKED), known)

    @property
    def nothing(self) -> bool:
        """Whether nothing can be had: the field is absent, or unreadable and derivable from nowhere."""
        return self.kind == "absent" or (self.kind == "unreadable" and "d" not in self.kinds)

    @property
    def missing(self) -> bool:
        """Whether something of the field is not to be had: it is absent, or a slot of it is hidden."""
        return self.kind == "absent" or "h" in self.kinds


@dataclass(frozen=True, slots=True)
class Verdicts:
    """One reading over one field.

    ``outcomes`` has the code of one ``Outcome`` a slot; ``symbols`` what the alignment put there (None: nothing; a space is a
    mark, or a word space); ``added`` the characters over no slot. ``masked`` says that marks of another kind were taken for
    ours (``kie_hvqa.answers.masks``), and ``reading`` is what was judged, with ours in their place. The numbers are those of the module's docstring.
    """

    about: Ledger
    outcomes: str
    symbols: Sequence[str | None]
    parsed: bool = True
    refused: bool = False
    added: str = ""
    surplus_marks: int = 0
    glued: int = 0
    listed: int = 0
    flagged: int = 0
    unflagged: int = 0
    masked: bool = False
    reading: Reading | None = field(default=None, compare=False)

    @property
    def inserted(self) -> int:
        return len(self.added) + self.outcomes.count("n")

    @property
    def free(self) -> bool:
        """Hallucination-free; see the module's docstring."""
        if not self.parsed or (self.about.nothing and not self.refused):
            return False
        return not (self.listed or self.added) and _FAULTS.isdisjoint(self.outcomes)

    @property
    def says_missing(self) -> bool:
        """Whether the answer says that something is missing: a mark anywhere, or a refusal."""
        return self.refused or self.surplus_marks > 0 or not _MARKS.isdisjoint(self.outcomes)

    @property
    def counts(self) -> Counts:
        outcomes, about = self.outcomes, self.about
        absent, missing, says = about.kind == "absent", about.missing, self.says_missing
        # A mark over a partial slot is neither due nor a fault, so it says nothing wrong about the field.
        wrongly = says and not missing and (self.surplus_marks > 0 or "x" in outcomes)
        return Counts((
            *map(outcomes.count, _CODES),
            len(self.added) + outcomes.count("n"), self.surplus_marks, self.listed, self.glued,
            self.flagged, self.unflagged,
            1, int(absent), int(self.parsed), int(missing), int(missing and says), int(wrongly), int(self.free),
            int(absent and self.parsed and not self.refused),
        ))  # fmt: skip


_MARKS = frozenset("xMmk")


def verdicts(slots: Sequence[Slot] | Ledger, reading: Reading | None, kind: QuestionKind | None = None) -> Verdicts:
    """What became of each slot under ``reading`` (None: it could not be parsed, or is missing). Pure.

    Whoever judges many answers about one field gives the ``Ledger``, whose own ``kind`` then counts.
    """
    about = slots if isinstance(slots, Ledger) else Ledger.of(slots, kind)
    if reading is None:
        return Verdicts(about, about.kinds.translate(_DROPPED), [None] * len(about.kinds), parsed=False)
    resolved = resolve(reading, about.value)
    masked, reading = resolved is not reading, resolved
    if reading.refused:
        return Verdicts(about, about.marked, MARK * len(about.kinds), refused=True, masked=masked, reading=reading)
    final, value = reading.final, about.value
    found = align(about.slots, final, value)
    added, surplus, glued = found.added, 0, 0
    if found.symbols is final:  # symbol by symbol, nothing left out and nothing added
        outcomes = about.right
        if final != value:
            codes, marked = list(outcomes), about.marked
            for i in compress(range(len(value)), map(ne, value, final)):
                codes[i] = marked[i] if final[i] == MARK else _WRONG[ord(about.kinds[i])]
            outcomes = "".join(codes)
    else:
        outcomes, surplus, glued = _over(about, final, found.symbols, found.places)
    listed = flagged = unflagged = 0
    if reading.clear or reading.not_clear:
        listed = _listed(reading)
        flagged = _shared(about, outcomes, "R", reading.not_clear)
        unflagged = _shared(about, outcomes, "r", reading.clear)
    return Verdicts(
        about, outcomes, found.symbols, True, False, added, surplus, glued, listed, flagged, unflagged, masked, reading
    )


def _over(about: Ledger, final: str, symbols: Sequence[str | None], places: Sequence[int]) -> tuple[str, int, int]:
    """(outcomes, surplus marks, word spaces glued over) of an alignment that leaves out or adds something."""
    value, kinds = about.value, about.kinds
    outcomes: list[str] = []
    surplus = glued = 0
    start = after = 0  # where the open gap begins, in the slots and in ``final``
    for i in range(len(value) + 1):
        end = i == len(value)
        if not end:
            symbol = symbols[i]
            if symbol is None or symbol == MARK:
                continue
        place = len(final) if end else places[i]
        spaces = final.count(MARK, after, place)
        if i > start:
            gap = value[start:i]
            inside = start > 0 and not end
            words = int(inside and MARK in gap)
            if gap.strip(MARK):
                outcomes.append(kinds[start:i].translate(_MARKED if spaces > words else _DROPPED))
                surplus += max(0, spaces - words - len(value))
            else:
                outcomes.append("s" * (i - start))
                surplus += max(0, spaces - len(gap))
                glued += int(inside and not spaces)
        else:
            surplus += spaces
        if not end:
            outcomes.append(about.right[i] if symbol == value[i] else _WRONG[ord(kinds[i])])
            start, after = i + 1, place + 1
    return "".join(outcomes), surplus, glued


def _listed(reading: Reading) -> int:
    """Characters of the two lists, counted with repetition, that Final OCR does not assert."""
    listed = reading.clear + reading.not_clear
    final = reading.final.replace(MARK, "")
    if listed == final or (len(listed) == len(final) and sorted(listed) == sorted(final)):
        return 0
    return (Counter(listed) - Counter(final)).total()


def _shared(about: Ledger, outcomes: str, code: str, listed: str) -> int:
    """How many of the slots with this outcome stand in the list, each of whose characters serves once."""
    if not listed or code not in outcomes:
        return 0
    chars = "".join(compress(about.value, map(code.__eq__, outcomes)))
    if chars == listed:
        return len(chars)
    missed = 0
    for char in set(chars):
        if (short := chars.count(char) - listed.count(char)) > 0:
            missed += short
    return len(chars) - missed
