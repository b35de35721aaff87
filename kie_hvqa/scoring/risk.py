"""Risk against coverage: what a reader's confidence is worth.

Order the answers from the surest to the least sure and keep only the first k of n: coverage is k / n, risk R(k) the mean
loss of those kept. A reader that knows when it is wrong has a curve that starts low. Its area

    AURC = (1/n) Σ R(k),  k = 1 … n

(Geifman and El-Yaniv, "Selective classification for deep neural networks", 2017; the area of the same authors' "Bias-reduced
uncertainty estimation", 2019) is the mean risk over all coverages. It mixes how good the readings are with how well they are
ordered, so two numbers stand beside it: ``random``, the area of a confidence that says nothing, which is the mean loss,
and ``best``, the area of one that puts every loss last.

Answers of equal confidence are kept in random order, and the area is the expectation over that order: within a group of
m answers that starts after a of them, with loss A so far and mean loss μ in the group,

    Σ R(k) = μ m + (A − a μ) (H(a + m) − H(a)),  H(k) = 1 + 1/2 + … + 1/k.

The same formula gives the area of a resample, in which an answer that was drawn w times is a group of w. A confidence is
a reader's own scale (mean log-probability of tokens, mean probability of characters, agreement of samples): only its order
counts. The loss of an answer is 1 unless it is hallucination-free, or, where the data have no ledger, 1 − the
similarity of Final OCR.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kie_hvqa.scoring.scores import SampleScore
from kie_hvqa.scoring.statistics import (
    CONFIDENCE,
    Documents,
    Intervals,
    Matrix,
    draws,
    percentile_intervals,
    resamples_for,
)

RESAMPLES = 1000  # of an area, which costs a pass over all answers each
POINTS = 200  # of a curve that is drawn
_CHUNK = 1 << 22  # answers × resamples held at once: 32 MB an array
_GROUPS = 2000  # of neighbours in confidence, within which a resample need not keep the order


@dataclass(frozen=True, slots=True)
class Ranked:
    """Answers from the surest to the least sure.

    ``loss`` [n] in [0, 1]; ``starts`` the first index of each group of equal confidence; ``order`` [n] the indices of the
    answers among the samples given.
    """

    loss: Matrix
    starts: np.ndarray
    order: np.ndarray


def loss_of(sample: SampleScore) -> float | None:
    """The loss of an answer in [0, 1]; None where neither ledger nor truth says."""
    if sample.counts is not None:
        return float(1 - sample.counts["free"])
    return None if sample.official is None else 1 - sample.official.final


def confident(sample: SampleScore) -> bool:
    """Whether the sample has a place on the curve: a finite confidence and a loss."""
    known = sample.confidence is not None and math.isfinite(sample.confidence)
    return known and loss_of(sample) is not None


def rank(loss: Sequence[float], confidence: Sequence[float]) -> Ranked:
    """Order answers by confidence, the surest first."""
    sure = np.asarray(confidence, dtype=np.float64)
    order = np.argsort(-sure, kind="stable")
    starts = np.flatnonzero(np.diff(sure[order], prepend=np.nan) != 0)
    return Ranked(np.asarray(loss, dtype=np.float64)[order], starts, order)


def area(ranked: Ranked) -> float:
    """AURC in [0, 1]; NaN without answers."""
    if not len(ranked.loss):
        return math.nan
    ones = np.ones((len(ranked.loss), 1))
    return float(_areas(ranked, ones)[0])


def best_area(loss: Sequence[float]) -> float:
    """The area of the order that keeps the smallest losses longest."""
    return area(rank(loss, [-value for value in loss]))


def curve(ranked: Ranked, points: int = POINTS) -> list[tuple[float, float]]:
    """(coverage, risk) from the surest answers to all of them, at most ``points`` of them, groups in expectation."""
    count = len(ranked.loss)
    if not count:
        return []
    ends = np.append(ranked.starts[1:], count)
    sizes = ends - ranked.starts
    means = np.add.reduceat(ranked.loss, ranked.starts) / sizes
    risk = np.cumsum(np.repeat(means, sizes)) / np.arange(1, count + 1)
    chosen = np.unique(np.linspace(0, count - 1, min(points, count)).round().astype(int))
    return [((int(k) + 1) / count, float(risk[k])) for k in chosen]


def area_interval(
    scores: Sequence[SampleScore], rng: np.random.Generator, *, resamples: int | None = None
) -> Intervals | None:
    """AURC of a run with its interval over documents (one entry); None where no sample has a confidence."""
    kept = [sample for sample in scores if confident(sample)]
    if not kept:
        return None
    owner, ranked = Documents.of([sample.document_id for sample in kept]), _rank(kept)
    drawn = [
        _resampled(ranked, owner, times)
        for times in draws(owner.count, rng, resamples or resamples_for(owner.count, RESAMPLES))
    ]
    return _interval(area(ranked), np.concatenate(drawn), owner.count)


def area_difference(
    first: Sequence[SampleScore],
    second: Sequence[SampleScore],
    rng: np.random.Generator,
    *,
    resamples: int | None = None,
) -> tuple[Intervals, int] | None:
    """AURC of ``first`` − AURC of ``second`` over the same rows (in the same order), paired, and how many rows have a confidence
    in both; None where none has."""
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if confident(a) and confident(b)]
    if not pairs:
        return None
    owner = Documents.of([sample.document_id for sample, _ in pairs])
    one, other = _rank([a for a, _ in pairs]), _rank([b for _, b in pairs])
    drawn = [
        _resampled(one, owner, times) - _resampled(other, owner, times)
        for times in draws(owner.count, rng, resamples or resamples_for(owner.count, RESAMPLES))
    ]
    return _interval(area(one) - area(other), np.concatenate(drawn), owner.count), len(pairs)


def beside(scores: Sequence[SampleScore], *, places: int) -> dict[str, Any] | None:
    """What stands beside the area in ``metrics.json``: the loss, the areas of no order and of the best, and the curve.

    None where no sample has a confidence.
    """
    kept = [sample for sample in scores if confident(sample)]
    if not kept:
        return None
    ranked = _rank(kept)
    return {
        "loss": "not hallucination-free" if kept[0].counts is not None else "1 - final",
        "answers": len(kept),
        "without_confidence": len(scores) - len(kept),
        "random": round(float(ranked.loss.mean()), places),
        "best": round(best_area(list(ranked.loss)), places),
        "curve": [[round(coverage, places), round(lost, places)] for coverage, lost in curve(ranked)],
    }


def _rank(kept: Sequence[SampleScore]) -> Ranked:
    return rank([loss_of(sample) or 0.0 for sample in kept], [sample.confidence or 0.0 for sample in kept])


def _resampled(ranked: Ranked, owner: Documents, times: Matrix) -> Matrix:
    """The area of each resample in ``times`` [documents, resamples], a slice of them at a time."""
    coarse = _coarse(ranked)
    rows = owner.index[ranked.order]
    step = max(1, _CHUNK // len(rows))
    slices = [times[:, start : start + step] for start in range(0, times.shape[1], step)]
    found = np.concatenate([_areas(coarse, part[rows]) for part in slices])
    return found if coarse is ranked else found + (area(ranked) - area(coarse))


def _coarse(ranked: Ranked) -> Ranked:
    """At most ``_GROUPS`` groups of neighbours: a resample moves the area much more than the order inside of them."""
    if len(ranked.starts) <= _GROUPS:
        return ranked
    wanted = np.linspace(0, len(ranked.loss), _GROUPS, endpoint=False)
    starts = ranked.starts[np.searchsorted(ranked.starts, wanted, side="right") - 1]
    return Ranked(ranked.loss, np.unique(starts), ranked.order)


def _areas(ranked: Ranked, times: Matrix) -> Matrix:
    """The area of each column of ``times`` [n, columns]: how often the answer of that rank is there."""
    weight = np.add.reduceat(times, ranked.starts, axis=0)
    lost = np.add.reduceat(times * ranked.loss[:, None], ranked.starts, axis=0)
    after = weight.cumsum(axis=0)
    total = after[-1]
    before = after - weight
    mean = np.divide(lost, weight, out=np.zeros_like(lost), where=weight > 0)
    lost_before = lost.cumsum(axis=0) - lost
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, int(total.max(initial=0)) + 1))])
    steps = harmonic[after.astype(np.intp)] - harmonic[before.astype(np.intp)]
    sums = (mean * weight + (lost_before - before * mean) * steps).sum(axis=0)
    return np.divide(sums, total, out=np.full_like(sums, np.nan), where=total > 0)


def _interval(value: float, drawn: Matrix, documents: int) -> Intervals:
    return percentile_intervals(np.array([value]), drawn[:, None], np.array([documents]), CONFIDENCE)
