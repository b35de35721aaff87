"""Scores of one sample: the official ones, and what the ledger says. Every definition lives here.

**Official** (``official``), per part (clear list, not-clear list, Final OCR), all spaces stripped, case-sensitive:

* similarity = 1 − Levenshtein / length of the longer; 1 if both are empty;
* character accuracy = positions that agree / length of the truth; 0 if the truth is empty.

How the published evaluator scores an answer that it cannot parse was not seen; here every part of it is 0.

**Ledger** (``count``): the reading is aligned with the slots (``kie_hvqa.answers.alignment``) and each scored slot, that is each
that is not a word space, is one of

=========  ==========================  =================  ================  ==========
slot       right character             wrong character    mark              left out
=========  ==========================  =================  ================  ==========
clear      right_clear                 misread_clear      marked_clear      omitted_clear
partial    right_partial               misread_partial    marked_partial    omitted_partial
hidden     invented, and also lucky    invented           marked_hidden     omitted_hidden
=========  ==========================  =================  ================  ==========

A character over a word space or over no slot is ``inserted``; a mark over no slot is a ``surplus_mark``. Refusing a
whole field marks every slot of it. An answer that cannot be parsed, or is missing, leaves every slot out: it
asserts nothing and refuses nothing.

``hallucination_free`` is 1 if every clear slot is right, no hidden slot is asserted, no partial slot is asserted wrongly
and nothing is inserted; marks and omissions over partial and hidden slots and surplus marks do no harm. An absent
or unreadable field must be refused whole (nothing asserted, in the lists neither). An answer that cannot be parsed
never is hallucination-free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from typing import NamedTuple

from rapidfuzz.distance import Levenshtein

from kie_hvqa.answers.alignment import Alignment, align
from kie_hvqa.answers.answer import MARK, Parsed, Reading, parse
from kie_hvqa.data.ledger import QuestionKind, Row, Slot


class Official(NamedTuple):
    """The official scores of one sample, fractions in [0, 1]."""

    clear: float
    not_clear: float
    final: float
    char_accuracy_clear: float
    char_accuracy_not_clear: float
    char_accuracy_final: float

    @property
    def average(self) -> float:
        return (self.clear + self.not_clear + self.final) / 3


@dataclass(frozen=True, slots=True)
class Counts:
    """What happened to the slots of one question, or, added up, of many. See the module's table."""

    questions: int = 0
    absent: int = 0
    clear: int = 0
    partial: int = 0
    hidden: int = 0
    right_clear: int = 0
    right_partial: int = 0
    misread_clear: int = 0
    misread_partial: int = 0
    marked_clear: int = 0
    marked_partial: int = 0
    marked_hidden: int = 0
    omitted_clear: int = 0
    omitted_partial: int = 0
    omitted_hidden: int = 0
    invented: int = 0
    lucky: int = 0
    inserted: int = 0
    surplus_marks: int = 0
    hallucination_free: int = 0
    false_answers: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*map(int.__add__, astuple(self), astuple(other)))

    @property
    def scored(self) -> int:
        """Slots that are not word spaces."""
        return self.clear + self.partial + self.hidden

    @property
    def misread(self) -> int:
        return self.misread_clear + self.misread_partial

    @property
    def legible_asserted(self) -> int:
        """Clear and partial slots with a character over them, right or wrong."""
        return self.right_clear + self.right_partial + self.misread_clear + self.misread_partial

    @property
    def asserted(self) -> int:
        """Scored slots with a character over them, right or wrong."""
        return self.legible_asserted + self.invented

    @property
    def over_refused(self) -> int:
        return self.marked_clear


COUNT_NAMES: tuple[str, ...] = tuple(field.name for field in fields(Counts))


@dataclass(frozen=True, slots=True)
class SampleScore:
    """One row, scored. ``official`` is None where the truth cannot be read, ``counts`` where there is no ledger.

    ``repairs`` are those of the response; ``missing`` says that there was no response, which also counts as
    ``unparsable``. ``confidence`` is the reader's own (higher is surer), None where it gives none. ``operators`` names
    the damage of the row's recipe, each operator once.
    """

    id: str
    document_id: str
    document_type: str
    severity: int | None
    question_kind: QuestionKind
    official: Official | None
    counts: Counts | None
    unparsable: bool
    missing: bool = False
    repairs: tuple[str, ...] = ()
    confidence: float | None = None
    operators: tuple[str, ...] = ()


def similarity(truth: str, read: str) -> float:
    """1 − Levenshtein / length of the longer, all spaces stripped; 1 if both are empty."""
    return _similarity(truth.replace(" ", ""), read.replace(" ", ""))


def char_accuracy(truth: str, read: str) -> float:
    """Positions that agree / length of the truth, all spaces stripped; 0 if the truth is empty."""
    return _char_accuracy(truth.replace(" ", ""), read.replace(" ", ""))


def _similarity(truth: str, read: str) -> float:
    if truth == read:
        return 1.0
    return 1.0 - Levenshtein.distance(truth, read) / max(len(truth), len(read))


def _char_accuracy(truth: str, read: str) -> float:
    if not truth:
        return 0.0
    if truth == read:
        return 1.0
    return sum(map(str.__eq__, truth, read)) / len(truth)


def official(truth: Reading, reading: Reading | None) -> Official:
    """The official scores of ``reading`` against the official answer; all 0 without a reading."""
    if reading is None:
        return Official(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    # The lists of a Reading have no spaces.
    final, read = truth.final.replace(" ", ""), reading.final.replace(" ", "")
    return Official(
        _similarity(truth.clear, reading.clear),
        _similarity(truth.not_clear, reading.not_clear),
        _similarity(final, read),
        _char_accuracy(truth.clear, reading.clear),
        _char_accuracy(truth.not_clear, reading.not_clear),
        _char_accuracy(final, read),
    )


def aligned(slots: Sequence[Slot], reading: Reading | None) -> Alignment:
    """``reading`` over ``slots``: a refusal is a mark over each, and where there is no reading every slot is left out."""
    if reading is None:
        return Alignment([None] * len(slots), "", 0, 0)
    if reading.refused:
        return Alignment(MARK * len(slots), "", 0, 0)
    return align(slots, reading.final)


def count(slots: Sequence[Slot], reading: Reading | None, kind: QuestionKind = "answerable") -> Counts:
    """The counts of one question. ``reading`` None means that the answer could not be parsed, or is missing."""
    return count_aligned(slots, aligned(slots, reading), reading, kind)


def count_aligned(
    slots: Sequence[Slot], found: Alignment, reading: Reading | None, kind: QuestionKind = "answerable"
) -> Counts:
    """``count`` for what ``aligned`` gave."""
    tally = {
        "clear": [0, 0, 0, 0],
        "partial": [0, 0, 0, 0],
        "hidden": [0, 0, 0, 0],
    }  # right, wrong, marked, omitted
    inserted = len(found.added)
    for slot, symbol in zip(slots, found.symbols, strict=True):
        char = slot.char
        if char.isspace():
            if symbol is not None and symbol != MARK:
                inserted += 1
            continue
        kept = tally[slot.legibility]
        if symbol == char:
            kept[0] += 1
        elif symbol == MARK:
            kept[2] += 1
        elif symbol is None:
            kept[3] += 1
        else:
            kept[1] += 1
    (right_clear, misread_clear, marked_clear, omitted_clear) = tally["clear"]
    (right_partial, misread_partial, marked_partial, omitted_partial) = tally["partial"]
    (lucky, unlucky, marked_hidden, omitted_hidden) = tally["hidden"]
    answered = reading is not None and not reading.refused
    if reading is None:
        free = False
    elif kind == "answerable":
        free = not (
            misread_clear or marked_clear or omitted_clear or misread_partial or lucky or unlucky or inserted
        )  # fmt: skip
    else:
        free = not answered
    return Counts(
        1,
        int(kind == "absent"),
        right_clear + misread_clear + marked_clear + omitted_clear,
        right_partial + misread_partial + marked_partial + omitted_partial,
        lucky + unlucky + marked_hidden + omitted_hidden,
        right_clear,
        right_partial,
        misread_clear,
        misread_partial,
        marked_clear,
        marked_partial,
        marked_hidden,
        omitted_clear,
        omitted_partial,
        omitted_hidden,
        lucky + unlucky,
        lucky,
        inserted,
        found.added_marks,
        int(free),
        int(kind == "absent" and answered),
    )


def operators(row: Row) -> tuple[str, ...]:
    """The names of the operators that damaged the row's document, each once; none where no recipe is known."""
    steps = row.recipe.get("operators") if isinstance(row.recipe, dict) else row.recipe
    names = (step.get("operator") for step in steps if isinstance(step, dict)) if isinstance(steps, list) else ()
    return tuple(sorted({name for name in names if isinstance(name, str)}))


def _truth(answer: str) -> Reading | None:
    # Our own truths have no tags around them, and a text without any reads the same with them, only faster.
    return parse(answer if "<" in answer else f"<answer>{answer}</answer>").reading


def score(row: Row, response: str | None, confidence: float | None = None) -> SampleScore:
    """Score one response (None: there is none), given with ``confidence``, against its row."""
    parsed = Parsed(None) if response is None else parse(response)
    truth = _truth(row.answer)
    return SampleScore(
        row.id,
        row.document_id,
        row.document_type,
        row.severity,
        row.question_kind,
        None if truth is None else official(truth, parsed.reading),
        None if row.slots is None else count(row.slots, parsed.reading, row.question_kind),
        parsed.reading is None,
        response is None,
        parsed.repairs,
        confidence,
        operators(row),
    )
