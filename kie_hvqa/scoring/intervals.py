"""Intervals that hold: over documents, from a dozen of them, and where something never happened.

The questions about one document share its image, its damage and its reader's luck, so the document is what varies. A percentile
bootstrap over documents says [0, 0] where nothing was seen, [50, 50] where two documents agree, and covers 71 % of the time
where 95 % is promised (13 documents of 4 questions, p = 0.03). What is done instead, for every score that is a ratio of two
sums, counted or graded (``studies/coverage`` measures it, ``docs/intervals.md`` has the table):

1. **Spread.** The jackknife over documents: what leaving one out moves the score by, exactly (``moved``), so documents may have
   different numbers of slots; v = (m − 1)/m Σ moved² over the m documents that have a say (Efron and Tibshirani 1993, chapter 11).
2. **What few documents cannot show.** Where k documents carry the spread (k = (Σ moved²)² / Σ moved⁴), its estimate is worth
   little, so it is drawn to the largest that is possible, whole documents right or wrong, p(1 − p)/d: v' = (k v + ½ p(1 − p)/d) /
   (k + ½) (1 for ½ in a difference), with d = (Σ size)² / Σ size² documents. At zero counts v' is that bound, and d documents are what was seen.
3. **Exact limits on the effective number.** n = p(1 − p)/v', for counts at most what was counted, times (z / t)² for d − 1
   degrees of freedom: Clopper and Pearson's limits for np of n (Korn and Graubard, "Confidence intervals for proportions with
   small expected number of positive counts estimated from survey data", Survey Methodology 24, 1998, equations 5 and 6). A score
   without an upper end (characters inserted a question) has the limits of a Poisson mean, to which those tend.

A difference of two runs on the same documents has a jackknife of its own, in which what both share is gone, and its largest
spread from what differs at all: |difference| summed over samples. Two imagined questions, one gained and one lost, stand for
what was not seen (Agresti and Min, "Effects and non-effects of paired identical observations", Statistics in Medicine 23, 2004;
Bonett and Price 2012), so two runs that never differ are not proved equal. A sum of scores (balanced accuracy,
informedness) puts their own limits together, correlated as their jackknives are (MOVER: Zou and Donner, Statistics in
Medicine 27, 2008). Fewer than ``FEWEST`` documents with a say have no interval at all: "too few".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import betaincinv, gammaincinv, ndtri, stdtrit

from kie_hvqa.scoring.statistics import CONFIDENCE, Documents, Index, Matrix, detectable, plain, ratio

FEWEST = 5
"""Documents with a say in a score, from which on it has an interval."""
_DOUBT = 0.5  # documents' worth of the largest possible spread
_DOUBT_OF_PAIRS = 1.0  # a difference is skewed to both sides: with 0.5 it held in 92 % of the worst world
_NOTHING = 1e-18  # a variance below it is rounding


@dataclass(frozen=True, slots=True)
class Intervals:
    """One entry a score; NaN where there is nothing to divide by, and in ``low``, ``high``, ``error`` where documents are too few.

    ``error`` is the standard error, unseen events allowed for; ``moved`` [documents, scores] what each document moves the score by.
    """

    value: Matrix
    low: Matrix
    high: Matrix
    error: Matrix
    moved: Matrix

    def entry(self, index: int, size: float, middle: str = "value") -> dict[str, Any]:
        """One score as it is written: ``{middle, "low", "high", "n"}``, null for NaN."""
        numbers = (self.value[index], self.low[index], self.high[index])
        return {**dict(zip((middle, "low", "high"), map(plain, numbers), strict=True)), "n": int(size)}

    def difference(self, index: int, size: float) -> dict[str, Any]:
        """A paired difference as it is written: ``{"mean", "low", "high", "n", "detectable"}``."""
        return {**self.entry(index, size, "mean"), "detectable": plain(detectable(self.error[index]))}


def ratio_intervals(
    tops: Matrix,
    bottoms: Matrix,
    documents: Sequence[str],
    *,
    span: tuple[float | Matrix, float | Matrix] = (0.0, 1.0),
    confidence: float = CONFIDENCE,
) -> Intervals:
    """Σ tops / Σ bottoms, each [samples, scores], over the ``documents`` of the samples; see ``of_sums``."""
    owner, width = Documents.of(documents), tops.shape[1]
    _, sums = owner.sums(np.hstack([tops, bottoms]))
    return of_sums(sums[:, :width], sums[:, width:], span=span, confidence=confidence)


def of_sums(
    tops: Matrix,
    bottoms: Matrix,
    *,
    span: tuple[float | Matrix, float | Matrix] = (0.0, 1.0),
    confidence: float = CONFIDENCE,
) -> Intervals:
    """Ratios of sums over documents, ``tops`` and ``bottoms`` ≥ 0 [documents, scores].

    ``span``: the least and the largest value that a sample can have, each a number or [scores]; the largest may be infinite.
    """
    size = bottoms.sum(axis=0)
    value = ratio(tops.sum(axis=0), size)
    moved = ratio(tops - np.nan_to_num(value) * bottoms, size - bottoms)
    low, high = (np.broadcast_to(np.asarray(end, dtype=np.float64), value.shape) for end in span)
    units = np.where((tops == np.rint(tops)).all(axis=0) & ((high == 1) | np.isinf(high)), size, np.inf)
    return limits(value, moved, bottoms, span=(low, high), units=units, confidence=confidence)


def limits(
    value: Matrix,
    moved: Matrix,
    weights: Matrix,
    *,
    span: tuple[float | Matrix, float | Matrix] = (0.0, 1.0),
    units: Matrix | float = np.inf,
    confidence: float = CONFIDENCE,
) -> Intervals:
    """Intervals of any scores with a jackknife: ``value`` [scores], ``moved`` and ``weights`` [documents, scores].

    ``moved`` is the score less the score without that document, ``weights`` how much of the score is the document's, ``units``
    the most that the effective number can be.
    """
    low, high = (np.broadcast_to(np.asarray(end, dtype=np.float64), value.shape) for end in span)
    wide = np.where(np.isinf(high), 1.0, high - low)
    share = (value - low) / wide
    share = np.where(np.isfinite(high) & (np.abs(share - 0.5) > 0.5 - 1e-12), np.rint(share), share)  # an end is an end
    moved = np.nan_to_num(moved)
    most = np.where(np.isinf(high), share, share * (1 - share))
    spread, documents, alone = _spread(moved / wide, weights, most, _DOUBT)
    with np.errstate(divide="ignore", invalid="ignore"):
        number = np.minimum(np.where(spread > 0, most / spread, documents), units)
    tail = (1 - confidence) / 2
    number *= (ndtri(1 - tail) / stdtrit(np.maximum(documents - 1, 1), 1 - tail)) ** 2
    error = wide * np.sqrt(np.maximum(spread, 0) + 1 / (number + 2) ** 2)
    return _blank(value, *_exact(share, number, np.isinf(high), tail, low, wide), error, moved, alone | np.isnan(value))


def difference_intervals(
    first: tuple[Matrix, Matrix],
    second: tuple[Matrix, Matrix],
    documents: Sequence[str],
    *,
    span: tuple[float | Matrix, float | Matrix] = (0.0, 1.0),
    confidence: float = CONFIDENCE,
) -> Intervals:
    """First − second of two runs' ratios on the same samples, each (tops, bottoms) [samples, scores]."""
    (top, bottom), (other_top, other_bottom) = first, second
    sizes = bottom.sum(axis=0), other_bottom.sum(axis=0)
    values = ratio(top.sum(axis=0), sizes[0]), ratio(other_top.sum(axis=0), sizes[1])
    value = values[0] - values[1]
    low, high = (np.broadcast_to(np.asarray(end, dtype=np.float64), value.shape) for end in span)
    wide = np.where(np.isinf(high), 1.0, high - low)
    apart = np.abs(ratio(top, sizes[0] + 0 * top) - ratio(other_top, sizes[1] + 0 * top)).sum(axis=0) / wide
    _, sums = Documents.of(documents).sums(np.hstack([top, bottom, other_top, other_bottom]))
    tops, bottoms, other_tops, other_bottoms = np.split(sums, 4, axis=1)
    moved = ratio(tops - np.nan_to_num(values[0]) * bottoms, sizes[0] - bottoms)
    moved = moved - ratio(other_tops - np.nan_to_num(values[1]) * other_bottoms, sizes[1] - other_bottoms)
    weights = np.nan_to_num(ratio(bottoms, sizes[0] + 0 * tops) + ratio(other_bottoms, sizes[1] + 0 * tops))
    both = np.vstack([tops, other_tops])
    counted = (both == np.rint(both)).all(axis=0) & ((high == 1) | np.isinf(high))
    return difference_limits(
        value,
        moved,
        np.where((bottoms != 0) & (other_bottoms != 0), weights, 0.0),
        apart,
        wide=wide,
        furthest=np.where(np.isinf(high), np.inf, wide),
        units=np.where(counted, np.minimum(*sizes), np.inf),
        confidence=confidence,
    )


def difference_limits(
    value: Matrix,
    moved: Matrix,
    weights: Matrix,
    apart: Matrix,
    *,
    wide: Matrix | float = 1.0,
    furthest: Matrix | float = 1.0,
    units: Matrix | float = np.inf,
    confidence: float = CONFIDENCE,
) -> Intervals:
    """Intervals of paired differences: as ``limits``, with ``apart`` [scores] the sum of |difference| over samples in units of ``wide``."""
    moved = np.nan_to_num(moved)
    most = np.maximum(apart - (value / wide) ** 2, 0.0)
    spread, documents, alone = _spread(moved / wide, weights, most, _DOUBT_OF_PAIRS)
    with np.errstate(divide="ignore", invalid="ignore"):
        number = np.minimum(np.where(spread > _NOTHING, most / spread, documents), units)
    kept = number / (number + 2)
    error = wide * np.sqrt(np.maximum(spread, 0) * kept**2 + 2 / (number + 2) ** 2)
    half = stdtrit(np.maximum(documents - 1, 1), 1 - (1 - confidence) / 2) * error
    low = np.minimum(np.maximum(value * kept - half, -np.asarray(furthest)), value)
    high = np.maximum(np.minimum(value * kept + half, furthest), value)
    return _blank(value, low, high, error, moved, alone | np.isnan(value))


def combine(found: Intervals, weights: Matrix, constant: Matrix | float = 0.0) -> Intervals:
    """Sums of scores, ``weights`` [scores, sums] of each, plus ``constant``: balanced accuracy, informedness and their differences."""
    names = range(weights.shape[1])
    rows = [_combined(found, weights[:, name]) for name in names]
    values, lows, highs, errors = (np.array(part) for part in zip(*rows, strict=True))
    return Intervals(values + constant, lows + constant, highs + constant, errors, found.moved @ weights)


def _combined(found: Intervals, weights: Matrix) -> tuple[float, float, float, float]:
    used = np.flatnonzero(weights)
    weight, value = weights[used], found.value[used]
    moved = found.moved[:, used]
    size = np.sqrt((moved**2).sum(axis=0))
    together = np.nan_to_num(ratio(moved.T @ moved, np.outer(size, size)))
    np.fill_diagonal(together, 1.0)
    down, up = value - found.low[used], found.high[used] - value
    below, above = np.where(weight > 0, down, up) * weight, np.where(weight > 0, up, down) * weight
    middle = float(value @ weight)
    parts = (below, above, found.error[used] * weight)
    low, high, error = (float(np.sqrt(np.maximum(part @ together @ part, 0.0))) for part in parts)
    return middle, middle - low, middle + high, error


def _spread(moved: Matrix, weights: Matrix, most: Matrix, doubt: float) -> tuple[Matrix, Matrix, Index]:
    """Per score: the variance, drawn to the largest; the effective number of documents; whether they are too few."""
    say = (weights != 0).sum(axis=0)
    documents = np.nan_to_num(ratio(weights.sum(axis=0) ** 2, (weights**2).sum(axis=0)))
    squares = moved**2
    total = squares.sum(axis=0)
    seen = np.maximum(say - 1, 0) / np.maximum(say, 1) * total
    carried = np.where(total > _NOTHING, ratio(total**2, (squares**2).sum(axis=0)), 0.0)
    carried = np.nan_to_num(carried)
    largest = most / np.maximum(documents, 1)
    drawn = (carried * seen + doubt * largest) / (carried + doubt)
    return np.maximum(drawn, seen), np.maximum(documents, 1), say < FEWEST


def _exact(
    share: Matrix, number: Matrix, open_ended: Index, tail: float, low: Matrix, wide: Matrix
) -> tuple[Matrix, Matrix]:
    """Clopper and Pearson's limits for ``share`` of ``number``, Poisson's where the end is open, on the scale of the score."""
    tiny = 1e-300
    hits = np.nan_to_num(share * number)
    misses = np.maximum(number - hits, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        down = np.where(share > 0, betaincinv(np.maximum(hits, tiny), misses + 1, tail), 0.0)
        up = np.where(share < 1, betaincinv(hits + 1, np.maximum(misses, tiny), 1 - tail), 1.0)
        if open_ended.any():
            poisson_down = np.where(hits > 0, gammaincinv(np.maximum(hits, tiny), tail), 0.0) / number
            down = np.where(open_ended, poisson_down, down)
            up = np.where(open_ended, gammaincinv(hits + 1, 1 - tail) / number, up)
    return low + wide * np.minimum(down, share), low + wide * np.maximum(up, share)


def _blank(value: Matrix, low: Matrix, high: Matrix, error: Matrix, moved: Matrix, alone: Index) -> Intervals:
    low, high, error = (np.where(alone, np.nan, part) for part in (low, high, error))
    return Intervals(value, low, high, error, moved)
