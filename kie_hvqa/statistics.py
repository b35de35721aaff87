"""Intervals from a bootstrap over documents.

The questions about one document share its image, its damage and its reader's luck, so the document is what is
drawn again, with all its questions (Efron and Tibshirani 1993, chapters 6 and 13; Davison and Hinkley 1997,
section 3.8). A score is a ratio of two sums, and both sums are drawn together: the interval of a
rate knows that documents have different numbers of slots. Two runs are compared by drawing the *same* documents for
both.

Everything is a matrix product of how often each document was drawn with the sums of each document, so 2,000
resamples of 1,000 documents take a fraction of a second. No global random state: the generator is passed in, and
documents are taken in the order of their names, so the order of rows changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
CONFIDENCE = 0.95
_CHUNK = 1 << 22  # drawn documents held at once: 32 MB

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Intervals:
    """One entry a score; NaN where there is nothing to divide by, and in ``low`` and ``high`` where no interval is."""

    value: Matrix
    low: Matrix
    high: Matrix


def bootstrap(
    numerators: Matrix,
    denominators: Matrix,
    documents: Sequence[str],
    rng: np.random.Generator,
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Intervals:
    """Ratios of sums with percentile intervals over documents.

    ``numerators`` and ``denominators`` are [samples, scores], ``documents`` names the document of each sample. With fewer
    than two documents that have a say in a score there is no interval: NaN.
    """
    top, bottom = _sums(numerators, documents), _sums(denominators, documents)
    drawn = _ratio(*_resample([top, bottom], rng, resamples))
    low, high = _percentiles(drawn, confidence)
    alone = (bottom != 0).sum(axis=0) < 2
    low[alone] = high[alone] = np.nan
    return Intervals(_ratio(top.sum(axis=0), bottom.sum(axis=0)), low, high)


def paired_bootstrap(
    first: tuple[Matrix, Matrix],
    second: tuple[Matrix, Matrix],
    documents: Sequence[str],
    rng: np.random.Generator,
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Intervals:
    """The difference first − second of two runs' ratios on the same samples, each (numerators, denominators)."""
    sums = [_sums(part, documents) for part in (*first, *second)]
    drawn = _resample(sums, rng, resamples)
    low, high = _percentiles(_ratio(drawn[0], drawn[1]) - _ratio(drawn[2], drawn[3]), confidence)
    alone = ((sums[1] != 0) & (sums[3] != 0)).sum(axis=0) < 2
    low[alone] = high[alone] = np.nan
    total = [part.sum(axis=0) for part in sums]
    return Intervals(_ratio(total[0], total[1]) - _ratio(total[2], total[3]), low, high)


def _sums(samples: Matrix, documents: Sequence[str]) -> Matrix:
    """[documents, scores]: the sums of each document, documents by name."""
    names, index = np.unique(np.asarray(documents, dtype=object).astype(str), return_inverse=True)
    sums = np.zeros((len(names), samples.shape[1]))
    np.add.at(sums, index, samples)
    return sums


def _resample(sums: Sequence[Matrix], rng: np.random.Generator, resamples: int) -> list[Matrix]:
    """Per matrix [documents, scores] its sums [resamples, scores] over documents drawn with replacement."""
    count = len(sums[0])
    stacked = np.concatenate(sums, axis=1)
    step = max(1, _CHUNK // max(1, count))
    chunks = []
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn = rng.integers(0, count, (size, count))
        drawn += np.arange(size)[:, None] * count
        times = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        chunks.append(times.astype(np.float64) @ stacked)
    return np.split(np.concatenate(chunks), len(sums), axis=1)


def _ratio(top: Matrix, bottom: Matrix) -> Matrix:
    return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom != 0)


def _percentiles(drawn: Matrix, confidence: float) -> tuple[Matrix, Matrix]:
    """Percentiles of each column over the resamples that have a value (a rare kind of slot may not be drawn)."""
    low, high = np.full(drawn.shape[1], np.nan), np.full(drawn.shape[1], np.nan)
    tail = 50 * (1 - confidence)
    for column in range(drawn.shape[1]):
        values = drawn[:, column]
        values = values[~np.isnan(values)]
        if values.size:
            low[column], high[column] = np.percentile(values, (tail, 100 - tail))
    return low, high
