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
box_overlap                  boxes over their field (IoU >= 0.5)          answered fields that are on the page
===========================  ===========================================  ==========================================

Unparsable answers assert nothing and mark nothing, so they lower ``coverage`` and raise ``dropped_rate``; read the slot
rates beside ``parse_failure_rate``. Boxes are due from readers that give any. Absent fields have no slots and enter only the scores that count questions. ``n`` is
the denominator. Where it is 0 (no ledger, or no such slot) the score is null, never 0; an interval is null ("too few") where
fewer than five documents have a say in it (``kie_hvqa.scoring.intervals``). What becomes of slots: ``kie_hvqa.answers.verdicts``.

``overall`` has three scores more, ``aurc``, ``augrc`` and ``failure_auroc``, risk against coverage (``kie_hvqa.scoring.risk``), null
for a reader without confidences; ``risk`` has what stands beside them (``kie_hvqa.scoring.selective``).
``detectable`` is, per score, the smallest difference between two runs over these documents that a test finds with power 0.8 *if the runs were independent*: an upper bound, which a paired comparison
undercuts (its own ``detectable`` says by how much). ``by.operator`` counts a sample under each operator of its recipe.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from kie_hvqa.data.ledger import QUESTION_KINDS, Box, Row
from kie_hvqa.errors import InputError
from kie_hvqa.scoring import selective
from kie_hvqa.scoring.intervals import Intervals, combine, difference_intervals, of_sums
from kie_hvqa.scoring.scores import SampleScore, score
from kie_hvqa.scoring.statistics import CONFIDENCE, PLACES, POWER, Documents, Index, Matrix, detectable, plain
from kie_hvqa.scoring.strata import STRATA
from kie_hvqa.scoring.sums import (
    BOTTOM,
    CONSTANTS,
    PLAIN_RATIOS,
    RATIOS,
    SCORES,
    SPAN,
    TOP,
    WEIGHTS,
    reference_sums,
    sample_sums,
    sizes_of,
    strata_of,
    values_of,
)

SCHEMA = "kie-hvqa-metrics-2"

OVERALL_SCORES: tuple[str, ...] = (*SCORES, *selective.AREAS)
"""What ``overall`` and a comparison hold."""
_NO_SCORE = {"value": None, "low": None, "high": None, "n": 0}
_NO_DIFFERENCE = {"mean": None, "low": None, "high": None, "n": 0, "detectable": None}


def score_rows(
    rows: Iterable[Row],
    responses: Mapping[str, str | None],
    confidences: Mapping[str, float | None] | None = None,
    boxes: Mapping[str, Box | None] | None = None,
) -> list[SampleScore]:
    """One score a row, in order; a row without a response is scored as missing. Boxes are due where any row has one."""
    sure, where = confidences or {}, boxes or {}
    due = any(box is not None for box in where.values())
    return [score(row, responses.get(row.id), sure.get(row.id), where.get(row.id), boxes=due) for row in rows]


def parts(sample: SampleScore) -> dict[str, tuple[float, float]]:
    """(numerator, denominator) of one sample for every name in ``PLAIN_RATIOS``, for whoever adds them up elsewhere."""
    sums = sample_sums([sample])[0]
    return {name: (float(top), float(size)) for name, top, size in zip(RATIOS, sums @ TOP, sums @ BOTTOM, strict=True)
            if name in PLAIN_RATIOS}  # fmt: skip


def summarise(scores: Sequence[SampleScore]) -> dict[str, Any]:
    """The content of ``metrics.json``. Raises InputError without samples.

    ``overall`` and each ``by.<column>.<value>`` hold ``{"value", "low", "high", "n"}`` for every name in ``SCORES``,
    ``overall`` for ``selective.AREAS`` too.
    """
    if not scores:
        raise InputError("there is nothing to score", remedy="Check --limit and the dataset.")
    scores = sorted(scores, key=attrgetter("document_id"))  # the order of samples within a document never counts
    sums = sample_sums(scores)
    groups = _groups(scores, strata_of(sums))
    owner = Documents.of([sample.document_id for sample in scores])
    whole, overall = _scored(sums, owner, np.arange(len(scores)))
    areas = selective.areas(scores)
    bounds = [*_bounds(overall), *([None] * len(selective.AREAS) if areas is None else _bounds(areas[0]))]
    return {
        "schema": SCHEMA,
        "samples": len(scores),
        "documents": owner.count,
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
            **whole,
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
        "by": {
            column: {value: _scored(sums, owner, keep)[0] for value, keep in values.items()}
            for column, values in groups.items()
        },
        **_beside(sums, groups),
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
    a, b = sample_sums(ours), sample_sums(theirs)
    documents = [one.document_id for one in ours]
    found = difference_intervals((a @ TOP, a @ BOTTOM), (b @ TOP, b @ BOTTOM), documents, span=SPAN)
    sizes = [sizes_of(sums.sum(axis=0) @ BOTTOM) for sums in (a, b)]
    shared = np.where((sizes[0] != 0) & (sizes[1] != 0), len(pairs), 0)
    found = _with_composed(found, 0.0)
    named = {name: found.difference(index, shared[index]) for index, name in enumerate(SCORES)}
    areas = selective.difference(ours, theirs)
    for index, name in enumerate(selective.AREAS):
        known = areas is not None and not np.isnan(areas[0].value[index])
        named[name] = areas[0].difference(index, areas[1]) if areas and known else dict(_NO_DIFFERENCE)
    return named


def _scored(sums: Matrix, owner: Documents, keep: Index) -> tuple[dict[str, dict[str, Any]], Intervals]:
    """The named scores of the samples ``keep``, and their intervals in the order of ``SCORES``."""
    _, own = Documents(owner.index[keep], owner.count).sums(sums[keep])
    bottoms = own @ BOTTOM
    found = _with_composed(of_sums(own @ TOP, bottoms, span=SPAN), CONSTANTS)
    sizes = sizes_of(bottoms.sum(axis=0))
    return {name: found.entry(index, sizes[index]) for index, name in enumerate(SCORES)}, found


def _with_composed(found: Intervals, constants: Matrix | float) -> Intervals:
    """Intervals of ``RATIOS`` as those of ``SCORES``."""
    composed, kept = combine(found, WEIGHTS, constants), len(PLAIN_RATIOS)
    both = [(getattr(composed, part.name), getattr(found, part.name)) for part in fields(Intervals)]
    return Intervals(*(np.concatenate([one, other[..., :kept]], axis=-1) for one, other in both))


def _beside(sums: Matrix, groups: Mapping[str, Mapping[str, Index]]) -> dict[str, Any]:
    """``references`` and ``ceiling``: plain values, no interval, in the parts in which the scores are."""

    parts = [np.arange(len(sums)), *(keep for kept in groups.values() for keep in kept.values())]
    ends = np.cumsum([0, *map(len, parts)])
    members = csr_array((np.ones(ends[-1]), np.concatenate(parts), ends), shape=(len(parts), len(sums)))
    found: dict[str, Any] = {}
    for name, made in reference_sums(sums).items():
        values = [dict(zip(SCORES, map(plain, values_of(total)), strict=True)) for total in members @ made()]
        rest = iter(values[1:])
        by = {column: {value: next(rest) for value in kept} for column, kept in groups.items()}
        found[name] = {"overall": values[0], "by": by}
    best = found.pop("ceiling")
    return {"references": found, "ceiling": best}


def _groups(scores: Sequence[SampleScore], strata: np.ndarray) -> dict[str, dict[str, Index]]:
    """Column → value → its samples."""
    by_stratum = {name: np.flatnonzero(strata == place) for place, name in enumerate(STRATA)}
    found = {"stratum": {name: keep for name, keep in by_stratum.items() if len(keep)}}
    for column, kept in _columns(scores).items():
        found[column] = {str(value): np.array(keep) for value, keep in kept.items()}
    return found


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


def _ordered(values: Iterable[Any]) -> list[Any]:
    """Question kinds in their own order, others sorted."""
    distinct = set(values)
    if distinct <= set(QUESTION_KINDS):
        return [kind for kind in QUESTION_KINDS if kind in distinct]
    return sorted(distinct)
