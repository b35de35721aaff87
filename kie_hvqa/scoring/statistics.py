"""Intervals from a bootstrap over documents, the smallest difference that a set can show, and McNemar's test.

The questions about one document share its image, its damage and its reader's luck, so the document is what is
drawn again, with all its questions (Efron and Tibshirani 1993, chapters 6 and 13; Davison and Hinkley 1997,
section 3.8). A score is a ratio of two sums, and both sums are drawn together: the interval of a
rate knows that documents have different numbers of slots. Two runs are compared by drawing the *same* documents for
both, and a part of the data (one severity, say) is what it is in each draw of the whole.

Everything is a matrix product of how often each document was drawn with the sums of each document, in chunks of
resamples. Products are in double precision, though single would be twice as fast: so another order of additions, on another
machine or with other threads, changes no digit that is written, and a score that never varies has an interval of no
width. No global random state: the generator is passed in, and documents and their samples are taken in a fixed order, so
the order of rows changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
MANY_DOCUMENTS = 10_000  # from here on half the resamples do: the intervals are narrow, and their ends' noise with them
CONFIDENCE = 0.95
POWER = 0.8
PLACES = 6  # sums in another order differ after the 12th place; what is written must not
_CHUNK = 1 << 22  # drawn documents held at once: 32 MB

Matrix = NDArray[np.float64]
Index = NDArray[np.intp]
Number = TypeVar("Number", float, NDArray[np.float64])


@dataclass(frozen=True, slots=True)
class Intervals:
    """One entry a score; NaN where there is nothing to divide by, and in ``low`` and ``high`` where no interval is.

    ``error`` is the standard error: the standard deviation over the resamples, NaN where there is no interval.
    """

    value: Matrix
    low: Matrix
    high: Matrix
    error: Matrix

    def entry(self, index: int, size: float, middle: str = "value") -> dict[str, Any]:
        """One score as it is written: ``{middle, "low", "high", "n"}``, null for NaN."""
        numbers = (self.value[index], self.low[index], self.high[index])
        return {**dict(zip((middle, "low", "high"), map(plain, numbers), strict=True)), "n": int(size)}

    def difference(self, index: int, size: float) -> dict[str, Any]:
        """A paired difference as it is written: ``{"mean", "low", "high", "n", "detectable"}``."""
        return {**self.entry(index, size, "mean"), "detectable": plain(detectable(self.error[index]))}


@dataclass(frozen=True, slots=True)
class Documents:
    """Which document each sample belongs to: ``index`` [samples] into the ``count`` documents, which are in the order of
    their names."""

    index: Index
    count: int

    @classmethod
    def of(cls, names: Sequence[str]) -> Documents:
        numbers = {name: number for number, name in enumerate(sorted(set(names)))}
        return cls(np.array([numbers[name] for name in names], dtype=np.intp), len(numbers))

    def sums(self, samples: Matrix) -> tuple[Index, Matrix]:
        """(documents that have a row other than 0 in ``samples`` [samples, columns], their sums [those, columns])."""
        order = np.argsort(self.index, kind="stable")
        first = np.flatnonzero(np.diff(self.index[order], prepend=-1))
        sums = np.add.reduceat(samples[order], first, axis=0) if len(first) else samples
        used = np.flatnonzero(sums.any(axis=1))
        return self.index[order][first][used], sums[used]


def resamples_for(documents: int, resamples: int = RESAMPLES) -> int:
    """How many resamples of ``documents`` are drawn where nobody says otherwise."""
    return resamples if documents < MANY_DOCUMENTS else resamples // 2


def bootstrap(
    numerators: Matrix,
    denominators: Matrix,
    documents: Sequence[str],
    rng: np.random.Generator,
    *,
    resamples: int | None = None,
    confidence: float = CONFIDENCE,
) -> Intervals:
    """Ratios of sums with percentile intervals over documents.

    ``numerators`` and ``denominators`` are [samples, scores], ``documents`` names the document of each sample. With fewer
    than two documents that have a say in a score there is no interval: NaN.
    """
    width = numerators.shape[1]
    owner = Documents.of(documents)
    used, sums = owner.sums(np.hstack([numerators, denominators]))
    (drawn,) = resample([(used, sums)], owner.count, rng, resamples or resamples_for(owner.count))
    total = sums.sum(axis=0)
    return percentile_intervals(
        ratio(total[:width], total[width:]),
        ratio(drawn[:, :width], drawn[:, width:]),
        (sums[:, width:] != 0).sum(axis=0),
        confidence,
    )


def paired_bootstrap(
    first: tuple[Matrix, Matrix],
    second: tuple[Matrix, Matrix],
    documents: Sequence[str],
    rng: np.random.Generator,
    *,
    resamples: int | None = None,
    confidence: float = CONFIDENCE,
) -> Intervals:
    """The difference first − second of two runs' ratios on the same samples, each (numerators, denominators)."""
    owner = Documents.of(documents)
    used, sums = owner.sums(np.hstack([*first, *second]))
    (drawn,) = resample([(used, sums)], owner.count, rng, resamples or resamples_for(owner.count))

    def difference(totals: Matrix) -> Matrix:
        top, bottom, other_top, other_bottom = np.split(totals, 4, axis=-1)
        return ratio(top, bottom) - ratio(other_top, other_bottom)

    _, bottom, _, other_bottom = np.split(sums, 4, axis=1)
    say = ((bottom != 0) & (other_bottom != 0)).sum(axis=0)
    return percentile_intervals(difference(sums.sum(axis=0)), difference(drawn), say, confidence)


def resample(
    parts: Sequence[tuple[Index, Matrix]], documents: int, rng: np.random.Generator, resamples: int
) -> list[Matrix]:
    """Per part (its documents [d], their sums [d, columns]) the sums [resamples, columns] over documents drawn with
    replacement from all ``documents``; every part sees the same draws."""
    transposed = [(used, np.ascontiguousarray(sums.T)) for used, sums in parts]
    chunks: list[list[Matrix]] = [[] for _ in parts]
    for times in draws(documents, rng, resamples):
        for chunk, (used, sums) in zip(chunks, transposed, strict=True):
            chunk.append((sums @ (times if len(used) == documents else times[used])).T)
    return [np.concatenate(chunk) for chunk in chunks]


def draws(documents: int, rng: np.random.Generator, resamples: int) -> Iterator[Matrix]:
    """How often each document was drawn: arrays [documents, resamples in this chunk], one after the other."""
    step = max(1, _CHUNK // max(1, documents))
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn = rng.integers(0, documents, (size, documents), dtype=np.int32)
        drawn += np.arange(size, dtype=np.int32)[:, None] * np.int32(documents)  # one bincount for the whole chunk
        times = np.bincount(drawn.ravel(), minlength=size * documents).reshape(size, documents)
        # Documents first: the documents of a part are then whole lines of memory.
        yield np.ascontiguousarray(times.T, dtype=np.float64)


def ratio(top: Matrix, bottom: Matrix) -> Matrix:
    """``top / bottom``; NaN where there is nothing to divide by."""
    return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom != 0)


def percentile_intervals(value: Matrix, drawn: Matrix, say: Index, confidence: float = CONFIDENCE) -> Intervals:
    """Percentiles of ``drawn`` [resamples, scores] around ``value`` [scores], over the resamples that have a value (a rare
    kind of slot may not be drawn); none where fewer than two documents have a ``say`` [scores]."""
    tail = (1 - confidence) / 2
    found = np.sort(drawn, axis=0)  # NaN last
    there = np.count_nonzero(~np.isnan(found), axis=0)
    alone = (np.asarray(say) < 2) | (there == 0)
    low, high = (_quantile(found, there, share) for share in (tail, 1 - tail))
    weights = ~np.isnan(drawn)
    filled = np.where(weights, drawn, 0.0)
    count = np.maximum(there, 1)
    mean = filled.sum(axis=0) / count
    error = np.sqrt((np.where(weights, filled - mean, 0.0) ** 2).sum(axis=0) / np.maximum(count - 1, 1))
    for array in (low, high, error):
        array[alone] = np.nan
    return Intervals(value, low, high, error)


def _quantile(ordered: Matrix, there: Index, share: float) -> Matrix:
    """NumPy's default (linear) quantile of the first ``there`` [columns] of each column of ``ordered``."""
    place = np.maximum(there - 1, 0) * share
    below = np.floor(place).astype(np.intp)
    above = np.minimum(below + 1, np.maximum(there - 1, 0))
    columns = np.arange(ordered.shape[1])
    start, end = ordered[below, columns], ordered[above, columns]
    return start + (end - start) * (place - below)


def plain(number: float) -> float | None:
    """``number`` as it is written: rounded, null for NaN, and never −0."""
    return None if np.isnan(number) else round(float(number), PLACES) + 0.0


def detectable(error: Number, *, power: float = POWER, confidence: float = CONFIDENCE) -> Number:
    """The smallest true difference that a two-sided test at 1 − ``confidence`` finds with probability ``power``.

    ``error`` is the standard error of the difference, from a paired bootstrap. Normal approximation: (z₁ + z₂) × error, 2.80 ×
    error at the defaults (Cohen 1988, section 2.2).
    """
    normal = NormalDist()
    return (normal.inv_cdf(1 - (1 - confidence) / 2) + normal.inv_cdf(power)) * error


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p of McNemar's test, from how many pairs only the first and only the second got right.

    Under the null a discordant pair goes either way with probability ½: twice the smaller binomial tail, at most 1
    (Agresti 2013, section 11.1.2).
    """
    count = only_first + only_second
    smaller = min(only_first, only_second)
    logs = [math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1) for k in range(smaller + 1)]
    return min(1.0, 2 * sum(math.exp(log - count * math.log(2)) for log in logs))
