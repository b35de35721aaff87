"""The risk scores of a run, with intervals over documents, and their differences between two runs.

``AREAS`` stand among the overall scores and are compared; ``beside`` is ``metrics.json``'s ``risk``: the curve, the risk at half, 80
and 95 % coverage, the coverage at 1, 2 and 5 % risk, and what the areas would be without any order and with the best one.

The interval of a coverage turns the question round, from the 200 coverages at which the curve is drawn: its low end is the largest
at which the risk is, with its interval, below the given one; its high end the largest at which it may be. See
``kie_hvqa.scoring.risk`` for every definition.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kie_hvqa.scoring import risk
from kie_hvqa.scoring.intervals import Intervals, difference_limits, limits
from kie_hvqa.scoring.risk import Ranked
from kie_hvqa.scoring.scores import SampleScore
from kie_hvqa.scoring.statistics import Documents, Index, Matrix, plain

COVERAGES = (0.5, 0.8, 0.95)
RISKS = (0.01, 0.02, 0.05)
_MEASURES: dict[str, Callable[[Ranked], tuple[float, Matrix]]] = {
    "aurc": risk.aurc,
    "augrc": risk.augrc,
    "failure_auroc": risk.failure_auroc,
}
AREAS: tuple[str, ...] = tuple(_MEASURES)
_SPAN = np.array([1.0, 0.5, 1.0])


def loss_of(sample: SampleScore) -> float | None:
    """The loss of an answer in [0, 1]; None where neither ledger nor truth says."""
    if sample.counts is not None:
        return float(1 - sample.counts["free"])
    return None if sample.official is None else 1 - sample.official.final


@dataclass(frozen=True, slots=True)
class Asserted:
    """What can be kept or not, an answer or a character each: its loss in [0, 1], its confidence and its document."""

    loss: tuple[float, ...]
    confidence: tuple[float | None, ...]
    documents: tuple[str, ...]

    def ranked(self) -> Ranked | None:
        """None where nothing has a confidence."""
        if not any(value is not None and math.isfinite(value) for value in self.confidence):
            return None
        return risk.rank(self.loss, self.confidence)


def asserted(scores: Sequence[SampleScore]) -> Asserted:
    """The answers that have a loss, in the order of ``scores``."""
    kept = [(loss, sample) for sample in scores if (loss := loss_of(sample)) is not None]
    return Asserted(
        tuple(loss for loss, _ in kept),
        tuple(sample.confidence for _, sample in kept),
        tuple(sample.document_id for _, sample in kept),
    )


def areas(scores: Sequence[SampleScore]) -> tuple[Intervals, int] | None:
    """``AREAS`` with their intervals, and over how many answers; None where no answer has a confidence."""
    return areas_of(asserted(scores))


def areas_of(kept: Asserted) -> tuple[Intervals, int] | None:
    order = kept.ranked()
    if order is None:
        return None
    values, moved, weights = _measured(order, Documents.of(kept.documents))
    return limits(values, moved, weights, span=(0.0, _SPAN)), len(kept.loss)


def difference(first: Sequence[SampleScore], second: Sequence[SampleScore]) -> tuple[Intervals, int] | None:
    """``AREAS`` of ``first`` − those of ``second`` over the same rows in the same order, paired, and over how many answers.

    None where one of the two has no confidences.
    """
    both = [(a, b) for a, b in zip(first, second, strict=True) if loss_of(a) is not None and loss_of(b) is not None]
    return difference_of(asserted([a for a, _ in both]), asserted([b for _, b in both]))


def difference_of(first: Asserted, second: Asserted) -> tuple[Intervals, int] | None:
    """The same of two that keep the same things, in the same order."""
    one, other = first.ranked(), second.ranked()
    if one is None or other is None:
        return None
    owner = Documents.of(first.documents)
    parts = [_measured(order, owner) for order in (one, other)]
    moved = parts[0][1] - parts[1][1]
    weights = np.minimum(parts[0][2], parts[1][2])
    apart = np.abs(np.nan_to_num(moved)).sum(axis=0) / _SPAN
    value = parts[0][0] - parts[1][0]
    return difference_limits(value, moved, weights, apart, wide=_SPAN, furthest=_SPAN), len(first.loss)


def beside(scores: Sequence[SampleScore], *, places: int) -> dict[str, Any] | None:
    """What stands beside the areas; None where no answer has a confidence."""
    found = beside_of(asserted(scores), places=places)
    if found is None:
        return None
    ledger = next(sample for sample in scores if loss_of(sample) is not None).counts is not None
    return {"loss": "not hallucination-free" if ledger else "1 - final", **found}


def beside_of(kept: Asserted, *, places: int) -> dict[str, Any] | None:
    order = kept.ranked()
    if order is None:
        return None
    owner = Documents.of(kept.documents)
    count = len(kept.loss)
    ends = np.unique(np.linspace(1, count, min(risk.POINTS, count)).round().astype(int)) / count
    drawn = risks(order, owner, ends)
    named = risks(order, owner, np.array(COVERAGES))
    return {
        "answers": count,
        "without_confidence": sum(value is None or not math.isfinite(value) for value in kept.confidence),
        "random": round(float(order.loss.mean()), places),
        "best": round(risk.best_area(list(order.loss)), places),
        "risk_at": {f"{at:g}": named.entry(k, round(at * count)) for k, at in enumerate(COVERAGES)},
        "coverage_at": {f"{at:g}": coverage(order, at, ends, drawn) | {"n": count} for at in RISKS},
        "curve": [[round(covered, places), round(lost, places)] for covered, lost in risk.curve(order)],
    }


def risks(order: Ranked, owner: Documents, coverages: Matrix) -> Intervals:
    """The risk at each of ``coverages``, with intervals."""
    values, moved, weights = [], [], []
    index = owner.index[order.order]
    for at in coverages:
        value, own, kept = risk.risk_at(order, float(at))
        values.append(value)
        moved.append(_by(owner, index, own))
        weights.append(_by(owner, index, kept))
    weight = np.stack(weights, axis=1)
    units = weight.sum(axis=0) if order.binary else np.inf
    return limits(np.array(values), _out(np.stack(moved, axis=1), weight), weight, units=units)


def coverage(order: Ranked, at: float, coverages: Matrix, found: Intervals) -> dict[str, float | None]:
    """The largest coverage at risk ``at``, between those of ``coverages`` at which the risk surely is and may be that small."""
    value = risk.coverage_at(order, at)
    if np.isnan(found.high[-1]):
        return {"value": plain(value), "low": None, "high": None}
    sure = coverages[found.high <= at]  # comparisons with NaN are false
    possible = coverages[~(found.low > at)]
    low = min(value, float(sure.max(initial=0.0)))
    return {"value": plain(value), "low": plain(low), "high": plain(max(value, float(possible.max(initial=0.0))))}


def _measured(order: Ranked, owner: Documents) -> tuple[Matrix, Matrix, Matrix]:
    """Values [areas], what each document moves them by, and what it has a say in them by [documents, areas]."""
    index = owner.index[order.order]
    found = [measure(order) for measure in _MEASURES.values()]
    moved = np.stack([_by(owner, index, own) for _, own in found], axis=1)
    every = _by(owner, index, np.ones(len(index)))
    lost = _by(owner, index, order.loss)
    scarcer = min(lost, every - lost, key=np.sum)  # an order of two kinds is known as well as the scarcer one
    weights = np.stack([every, every, scarcer], axis=1)
    return np.array([value for value, _ in found]), _out(moved, np.stack([every] * 3, axis=1)), weights


def _by(owner: Documents, index: Index, values: Matrix) -> Matrix:
    """The sum of ``values`` [answers] in each document."""
    return np.bincount(index, values, owner.count).astype(np.float64)


def _out(moved: Matrix, weights: Matrix) -> Matrix:
    """From derivatives to what leaving a document out does: a large document takes its share of the whole with it."""
    whole = weights.sum(axis=0)
    return moved * whole / np.maximum(whole - weights, 1.0)
