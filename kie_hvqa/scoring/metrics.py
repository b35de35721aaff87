"""``metrics.json``: every score of a run with its interval, overall and by kind, and the comparison of two runs.

Each score is a ratio of two sums over samples. Official scores are means over samples × 100; ledger scores are
fractions, over slots where they speak of slots:

===========================  ===========================================  ==========================================
score                        numerator                                    denominator
===========================  ===========================================  ==========================================
clear, not_clear, final      similarity × 100                             samples with a readable truth
average                      plain mean of the three × 100                the same
char_accuracy_*              character accuracy × 100                     the same
hallucination_free_accuracy  hallucination-free answers                    questions with a ledger
reading_recall               clear slots right                            clear slots
refusal_recall               hidden slots marked                          hidden slots
refusal_precision            hidden slots marked                          hidden and clear slots marked
invented_rate                hidden slots asserted                        hidden slots
lucky_rate                   hidden slots asserted, equal to the truth    hidden slots
misread_rate                 clear and partial slots asserted wrongly     clear and partial slots asserted
over_refusal_rate            clear slots marked                           clear slots
dropped_rate                 slots left out without a mark                scored slots (clear, partial, hidden)
coverage                     scored slots asserted, rightly or wrongly    scored slots
flag_rate                    right partial slots in the not-clear list    right partial slots
inserted                     characters over no slot, or in a list alone  questions with a ledger
surplus_marks                marks where nothing is missing               questions with a ledger
missing_recall               fields said to miss something                fields that do (hidden slots, or absent)
missing_precision            the same                                     fields said to miss something
missing_f1                   harmonic mean of the two
false_answer_rate            absent fields about which it asserts         questions about absent fields
parse_failure_rate           answers unparsable or missing                samples
===========================  ===========================================  ==========================================

Unparsable answers assert nothing and mark nothing, so they lower ``coverage`` and raise ``dropped_rate``; read the slot
rates beside ``parse_failure_rate``. Absent fields have no slots and enter only the scores that count questions. ``n`` is
the denominator. Where it is 0 (no ledger, or no such slot) the score is null, never 0; an interval is null ("too few") where
fewer than five documents have a say in it (``kie_hvqa.scoring.intervals``). What becomes of slots: ``kie_hvqa.answers.verdicts``.

``overall`` has three scores more, ``aurc``, ``augrc`` and ``failure_auroc``, risk against coverage (``kie_hvqa.scoring.risk``), null
for a reader without confidences; ``risk`` has what stands beside them (``kie_hvqa.scoring.selective``).
``detectable`` is, per score, the smallest difference between two runs over these documents that a test finds with power 0.8 *if the runs were independent*: an upper bound, which a paired comparison
undercuts (its own ``detectable`` says by how much). ``by.operator`` counts a sample under each operator of its recipe.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from kie_hvqa.answers.verdicts import COLUMNS, SUMS
from kie_hvqa.data.ledger import QUESTION_KINDS, Row
from kie_hvqa.errors import InputError
from kie_hvqa.scoring import selective
from kie_hvqa.scoring.intervals import Intervals, difference_intervals, of_sums
from kie_hvqa.scoring.rates import RATES
from kie_hvqa.scoring.scores import Official, SampleScore, score
from kie_hvqa.scoring.statistics import CONFIDENCE, PLACES, POWER, Documents, Index, Matrix, detectable, plain

SCHEMA = "kie-hvqa-metrics-1"

OFFICIAL_SCORES: tuple[str, ...] = (*Official._fields[:3], "average", *Official._fields[3:], "char_accuracy_average")

LEDGER_SCORES: tuple[str, ...] = tuple(RATES)
SCORES: tuple[str, ...] = (*OFFICIAL_SCORES, *LEDGER_SCORES, "parse_failure_rate")
"""Ratios of two sums: what every part of ``metrics.json`` holds."""
OVERALL_SCORES: tuple[str, ...] = (*SCORES, *selective.AREAS)
"""What ``overall`` and a comparison hold."""
_NO_SCORE = {"value": None, "low": None, "high": None, "n": 0}
_NO_DIFFERENCE = {"mean": None, "low": None, "high": None, "n": 0, "detectable": None}

# What is added up over samples before anything is divided, and how scores are made of the sums.
_SUMS: tuple[str, ...] = (*(f"official {name}" for name in Official._fields), "truths", *COLUMNS, "failed", "samples")


def _weights() -> tuple[Matrix, Matrix]:
    """[sums, scores] twice: numerators and denominators as linear combinations of ``_SUMS``."""
    top, bottom = np.zeros((2, len(_SUMS), len(SCORES)))
    row = {name: index for index, name in enumerate(_SUMS)}
    column = {name: index for index, name in enumerate(SCORES)}
    for name in Official._fields:
        average = "char_accuracy_average" if name.startswith("char_accuracy") else "average"
        top[row[f"official {name}"], column[name]] = 100
        top[row[f"official {name}"], column[average]] = 100 / 3
    for name in OFFICIAL_SCORES:
        bottom[row["truths"], column[name]] = 1
    for name, (tops, bottoms) in RATES.items():
        for parts, weights in ((tops, top), (bottoms, bottom)):
            for part in itertools.chain.from_iterable(SUMS.get(part, (part,)) for part in parts):
                weights[row[part], column[name]] += 1
    top[row["failed"], column["parse_failure_rate"]] = 1
    bottom[row["samples"], column["parse_failure_rate"]] = 1
    return top, bottom


_TOP, _BOTTOM = _weights()
_COUNTS = ("inserted", "surplus_marks")  # a question, without an upper end
_SPAN = (
    0.0,
    np.array([100.0 if name in OFFICIAL_SCORES else np.inf if name in _COUNTS else 1.0 for name in SCORES]),
)
"""The least and the largest value that one sample can have."""


def score_rows(
    rows: Iterable[Row],
    responses: Mapping[str, str | None],
    confidences: Mapping[str, float | None] | None = None,
) -> list[SampleScore]:
    """One score a row, in order; a row without a response is scored as missing."""
    sure = confidences or {}
    return [score(row, responses.get(row.id), sure.get(row.id)) for row in rows]


def parts(sample: SampleScore) -> dict[str, tuple[float, float]]:
    """(numerator, denominator) of one sample for every name in ``SCORES``, for whoever adds them up elsewhere."""
    sums = _sample_sums([sample])
    tops, bottoms = (sums @ _TOP)[0], (sums @ _BOTTOM)[0]
    return {name: (float(top), float(bottom)) for name, top, bottom in zip(SCORES, tops, bottoms, strict=True)}


def summarise(scores: Sequence[SampleScore]) -> dict[str, Any]:
    """The content of ``metrics.json``. Raises InputError without samples.

    ``overall`` and each ``by.<column>.<value>`` hold ``{"value", "low", "high", "n"}`` for every name in ``SCORES``,
    ``overall`` for ``selective.AREAS`` too.
    """
    if not scores:
        raise InputError("there is nothing to score", remedy="Check --limit and the dataset.")
    parts = [("overall", "", np.arange(len(scores)))]
    for column, values in _columns(scores).items():
        parts += [(column, str(value), np.array(keep)) for value, keep in values.items()]
    found = _intervals(_sample_sums(scores), [sample.document_id for sample in scores], parts)
    areas = selective.areas(scores)
    bounds = [*_bounds(found[0][1]), *([None] * len(selective.AREAS) if areas is None else _bounds(areas[0]))]
    by: dict[str, dict[str, Any]] = {column: {} for column in _columns(())}
    for (column, value, _), (named, _) in zip(parts[1:], found[1:], strict=True):
        by[column][value] = named
    return {
        "schema": SCHEMA,
        "samples": len(scores),
        "documents": len({sample.document_id for sample in scores}),
        "missing": sum(sample.missing for sample in scores),
        "unparsable": sum(sample.unparsable and not sample.missing for sample in scores),
        "unreadable_truths": sum(sample.official is None for sample in scores),
        "repairs": dict(sorted(Counter(name for sample in scores for name in sample.repairs).items())),
        "intervals": {
            "over": "documents",
            "method": "clopper-pearson on the effective number",
            "confidence": CONFIDENCE,
        },
        "overall": {
            **found[0][0],
            **{
                name: dict(_NO_SCORE) if areas is None else areas[0].entry(index, areas[1])
                for index, name in enumerate(selective.AREAS)
            },
        },
        "risk": selective.beside(scores, places=PLACES),
        "detectable": {
            "power": POWER,
            "confidence": CONFIDENCE,
            "paired": False,
            "scores": dict(zip(OVERALL_SCORES, bounds, strict=True)),
        },
        "by": by,
    }


def _bounds(found: Intervals) -> list[float | None]:
    return [plain(bound) for bound in detectable(np.sqrt(2) * found.error)]


def compare(first: Sequence[SampleScore], second: Sequence[SampleScore]) -> dict[str, dict[str, Any]]:
    """Paired differences first − second, per score ``{"mean", "low", "high", "n", "detectable"}``.

    ``n`` counts shared samples; only samples whose ids are in both runs enter. ``detectable`` is the smallest difference that
    these documents show with power 0.8, from the spread of this very difference. Where one of the two runs has no such
    number it is null and n is 0. Raises InputError if the runs share no sample, or if an id names different questions.
    """
    others = {sample.id: sample for sample in second}
    pairs = [(sample, others[sample.id]) for sample in first if sample.id in others]
    if not pairs:
        raise InputError("the two runs share no sample", remedy="Compare runs over the same dataset.")
    for one, other in pairs:
        if (one.document_id, one.question_kind) != (other.document_id, other.question_kind):
            raise InputError(
                f"the id {one.id!r} names different questions in the two runs",
                remedy="Compare runs over the same dataset.",
            )
    ours, theirs = [one for one, _ in pairs], [other for _, other in pairs]
    a, b = _sample_sums(ours), _sample_sums(theirs)
    documents = [one.document_id for one in ours]
    found = difference_intervals((a @ _TOP, a @ _BOTTOM), (b @ _TOP, b @ _BOTTOM), documents, span=_SPAN)
    shared = np.where(((a @ _BOTTOM).sum(axis=0) != 0) & ((b @ _BOTTOM).sum(axis=0) != 0), len(pairs), 0)
    named = {name: found.difference(index, shared[index]) for index, name in enumerate(SCORES)}
    areas = selective.difference(ours, theirs)
    for index, name in enumerate(selective.AREAS):
        known = areas is not None and not np.isnan(areas[0].value[index])
        named[name] = areas[0].difference(index, areas[1]) if areas and known else dict(_NO_DIFFERENCE)
    return named


def _intervals(
    sums: Matrix, documents: Sequence[str], parts: Sequence[tuple[str, str, Index]]
) -> list[tuple[dict[str, dict[str, Any]], Intervals]]:
    """Per part its named scores and their intervals."""
    owner = Documents.of(documents)
    found = []
    for _, _, keep in parts:
        _, own = Documents(owner.index[keep], owner.count).sums(sums[keep])
        sizes = own @ _BOTTOM
        intervals = of_sums(own @ _TOP, sizes, span=_SPAN)
        found.append((_named(intervals, sizes.sum(axis=0)), intervals))
    return found


def _sample_sums(scores: Sequence[SampleScore]) -> Matrix:
    """[samples, sums] in the order of ``_SUMS``."""
    nothing = (0.0,) * len(Official._fields)
    parts = [(*nothing, 0.0) if sample.official is None else (*sample.official, 1.0) for sample in scores]
    counts = [(0,) * len(COLUMNS) if sample.counts is None else sample.counts.numbers for sample in scores]
    failed = [(float(sample.unparsable), 1.0) for sample in scores]
    return np.hstack([np.array(parts), np.array(counts, dtype=np.float64), np.array(failed)])


def _columns(scores: Sequence[SampleScore]) -> dict[str, dict[Any, list[int]]]:
    """Column → value → the indices of its samples, values in the order in which they are written."""
    values: dict[str, list[Iterable[Any]]] = {
        "document_type": [(sample.document_type,) for sample in scores],
        "severity": [() if sample.severity is None else (sample.severity,) for sample in scores],
        "question_kind": [(sample.question_kind,) for sample in scores],
        "operator": [sample.operators for sample in scores],
    }
    found: dict[str, dict[Any, list[int]]] = {}
    for column, lists in values.items():
        kept: dict[Any, list[int]] = {}
        for index, names in enumerate(lists):
            for name in names:
                kept.setdefault(name, []).append(index)
        found[column] = {value: kept[value] for value in _ordered(kept)}
    return found


def _named(found: Intervals, sizes: Matrix) -> dict[str, dict[str, Any]]:
    return {name: found.entry(index, sizes[index]) for index, name in enumerate(SCORES)}


def _ordered(values: Iterable[Any]) -> list[Any]:
    """Question kinds in their own order, others sorted."""
    distinct = set(values)
    if distinct <= set(QUESTION_KINDS):
        return [kind for kind in QUESTION_KINDS if kind in distinct]
    return sorted(distinct)
