"""Scores of one sample: the official ones, and what the ledger says. Every definition lives here.

**Official** (``official``), per part (clear list, not-clear list, Final OCR), all spaces stripped, case-sensitive:

* similarity = 1 − Levenshtein / length of the longer; 1 if both are empty;
* character accuracy = positions that agree / length of the truth; 0 if the truth is empty.

How the published evaluator scores an answer that it cannot parse was not seen; here every part of it is 0.

**Ledger**: what became of each slot (``kie_hvqa.answers.verdicts``), counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from rapidfuzz.distance import Levenshtein

from kie_hvqa.answers import masks
from kie_hvqa.answers.answer import Parsed, Reading, parse
from kie_hvqa.answers.boxes import of_field, overlap
from kie_hvqa.answers.verdicts import Counts, verdicts
from kie_hvqa.data.ledger import Box, QuestionKind, Row


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
class SampleScore:
    """One row, scored. ``official`` is None where the truth cannot be read, ``counts`` where there is no ledger.

    ``repairs`` are those of the response; ``missing`` says that there was no response, which also counts as
    ``unparsable``. ``filled`` says of the official answer's clear list, not-clear list and Final OCR whether anything
    stands in them. ``confidence`` is the reader's own (higher is surer), None where it gives none. ``operators`` names
    the damage of the row's recipe, each operator once. ``box``: whether the reader's box is over the field (``OVER``) that it
    answered; None where it did not answer, or is a reader that gives no boxes.
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
    filled: tuple[bool, bool, bool] = (False, False, False)
    box: bool | None = None


OVER = 0.5
"""Intersection over union from which a box is over a field."""


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


def operators(row: Row) -> tuple[str, ...]:
    """The names of the operators that damaged the row's document, each once; none where no recipe is known."""
    steps = row.recipe.get("operators") if isinstance(row.recipe, dict) else row.recipe
    names = (step.get("operator") for step in steps if isinstance(step, dict)) if isinstance(steps, list) else ()
    return tuple(sorted({name for name in names if isinstance(name, str)}))


def _truth(answer: str) -> Reading | None:
    # Our own truths have no tags around them, and a text without any reads the same with them, only faster.
    return parse(answer if "<" in answer else f"<answer>{answer}</answer>").reading


def score(
    row: Row,
    response: str | None,
    confidence: float | None = None,
    box: Box | None = None,
    *,
    boxes: bool = False,
) -> SampleScore:
    """Score one response (None: there is none), given with ``confidence`` and ``box`` (pixels of the image), against its row.
    ``boxes``: its reader gives some, so that one that is missing counts."""
    parsed = Parsed(None) if response is None else parse(response)
    truth = _truth(row.answer)
    found = None if row.slots is None else verdicts(row.slots, parsed.reading, row.question_kind)
    return SampleScore(
        row.id,
        row.document_id,
        row.document_type,
        row.severity,
        row.question_kind,
        None if truth is None else official(truth, parsed.reading),
        None if found is None else found.counts,
        parsed.reading is None,
        response is None,
        (*parsed.repairs, masks.REPAIR) if found is not None and found.masked else parsed.repairs,
        confidence,
        operators(row),
        (False, False, False)
        if truth is None
        else (bool(truth.clear), bool(truth.not_clear), bool(truth.final.strip())),
        _over(row, parsed.reading, box) if boxes else None,
    )


def _over(row: Row, reading: Reading | None, box: Box | None) -> bool | None:
    field = of_field(row.slots)
    if field is None or reading is None or reading.refused:
        return None
    return box is not None and overlap(box, field) >= OVER
