"""What of an answer is asserted, and what of that is wrong: the losses that a promise is about.

A character of Final OCR is *wrong* when it is misread, invented (a lucky one, too), inserted over no slot, or asserted about an
absent field; a derivable character that is right is right. It is the table of outcomes (``answers.verdicts``), read back from slots to
the symbols that were written. A *field* is wrong when anything that it asserts is, in its lists too.

``outcomes_of`` says it of one answer as it stands. What a threshold makes of an answer is judged anew (``at_thresholds``): a mark in
place of a character may move what the alignment lays where.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kie_hvqa.answers.alignment import align
from kie_hvqa.answers.answer import MARK, Reading
from kie_hvqa.answers.masks import resolve
from kie_hvqa.answers.verdicts import OUTCOME, Ledger, verdicts
from kie_hvqa.confidence.marks import keep
from kie_hvqa.confidence.signals import combination
from kie_hvqa.confidence.symbols import Signals

Symbols = tuple[float | None, ...]

_WRONG = frozenset({"misread", "invented", "lucky", "inserted"})


def right_symbols(about: Ledger, reading: Reading) -> tuple[bool | None, ...]:
    """Of each symbol of Final OCR whether it is right; None for marks and word spaces, which assert nothing."""
    found = verdicts(about, reading)
    judged = resolve(reading, about.value)
    right: list[bool | None] = [None if char == MARK else False for char in judged.final]
    if judged.refused:
        return tuple(right)
    places = align(about.slots, judged.final, about.value).places
    for slot, place in enumerate(places):
        if place >= 0 and right[place] is not None:
            right[place] = OUTCOME[found.outcomes[slot]].word not in _WRONG
    return tuple(right)


def counts_of(about: Ledger, reading: Reading) -> tuple[int, int]:
    """(asserted, wrong): characters of the answer, those that stand in its lists alone counted as asserted and wrong."""
    right = right_symbols(about, reading)
    asserted = sum(value is not None for value in right)
    wrong = sum(value is False for value in right)
    listed = verdicts(about, reading).listed
    return asserted + listed, wrong + listed


@dataclass(frozen=True, slots=True)
class Judged:
    """One answer with its signals and its ledger; ``reading`` None: it could not be parsed."""

    document: str
    about: Ledger
    reading: Reading | None
    signals: Signals


def asserted_of(
    answers: Sequence[Judged], names: Sequence[str]
) -> Iterator[tuple[Judged, dict[int, bool], dict[str, Symbols]]]:
    """Of every answer that asserts anything: the place of each character in Final OCR → whether it is right, and what each signal of
    ``names`` says of each symbol; None where it does not say."""
    for answer in answers:
        if answer.reading is None or answer.reading.refused:
            continue
        good = right_symbols(answer.about, answer.reading)
        said = {name: answer.signals[name].symbols if name in answer.signals else () for name in names}
        whole = {name: own if len(own) == len(good) else (None,) * len(good) for name, own in said.items()}
        yield answer, {place: value for place, value in enumerate(good) if value is not None}, whole


def columns_of(answers: Sequence[Judged], names: Sequence[str]) -> tuple[dict[str, list[float | None]], list[bool]]:
    """(feature of ``names`` → its number, right) of every asserted symbol of ``answers``; None where the signal does not say."""
    columns: dict[str, list[float | None]] = {}
    right: list[bool] = []
    for _, places, said in asserted_of(answers, names):
        for name, own in combination.features(said).items():
            columns.setdefault(name, []).extend(own[place] for place in places)
        right += places.values()
    return columns, right


@dataclass(frozen=True, slots=True)
class Scored:
    """An answer with the score in [0, 1] of each symbol of its Final OCR; ``reading`` None: it could not be parsed, and asserts
    nothing."""

    about: Ledger
    reading: Reading | None
    scores: tuple[float, ...]
    document: str


def at_thresholds(
    answers: Sequence[Scored], thresholds: Sequence[float], unit: str
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """(asserted, wrong, documents): both float64 [documents, thresholds], what is left of each document at each threshold.

    With the unit ``field`` fields are counted, thresholds being on the product of a field's scores.
    """
    names = sorted({answer.document for answer in answers})
    place = {name: index for index, name in enumerate(names)}
    asserted = np.zeros((len(names), len(thresholds)))
    wrong = np.zeros_like(asserted)
    levels = np.asarray(thresholds)
    for answer in answers:
        if answer.reading is None or answer.reading.refused:
            continue
        row = place[answer.document]
        if unit == "field":
            said = [score for char, score in zip(answer.reading.final, answer.scores, strict=True) if char != MARK]
            kept = levels <= float(np.prod(said)) if said else levels <= 1
            _, errors = counts_of(answer.about, answer.reading)
            asserted[row] += kept
            wrong[row] += kept * (errors > 0)
            continue
        kept_at: dict[tuple[bool, ...], tuple[int, int]] = {}
        for column, level in enumerate(thresholds):
            key = tuple(score >= level for score in answer.scores)
            if key not in kept_at:
                kept_at[key] = counts_of(answer.about, keep(answer.reading, key))
            asserted[row, column] += kept_at[key][0]
            wrong[row, column] += kept_at[key][1]
    return asserted, wrong, names
