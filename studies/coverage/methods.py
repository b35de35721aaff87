"""The method in use, and those that it was chosen over, as (low, high) for every trial at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import ndtr, ndtri

from kie_hvqa.scoring.intervals import difference_limits, of_sums
from studies.coverage.worlds import Matrix

TAIL = 0.025
RESAMPLES = 400
Ends = tuple[Matrix, Matrix]


def ours(tops: Matrix, sizes: Matrix) -> Ends:
    found = of_sums(tops, sizes)
    return found.low, found.high


def ours_paired(gained: Matrix, lost: Matrix, sizes: Matrix) -> Ends:
    size = sizes.sum(axis=0)
    value = (gained - lost).sum(axis=0) / size
    moved = (gained - lost - value * sizes) / (size - sizes)
    found = difference_limits(value, moved, 2 * sizes / size, (gained + lost).sum(axis=0) / size, units=size)
    return found.low, found.high


def percentile(tops: Matrix, sizes: Matrix) -> Ends:
    drawn = _drawn(tops, sizes)[0]
    low, high = np.nanquantile(drawn, (TAIL, 1 - TAIL), axis=0)
    return low, high


def studentised(tops: Matrix, sizes: Matrix) -> Ends:
    """Bootstrap-t; a resample without spread has no t and is left out."""
    drawn, errors = _drawn(tops, sizes)
    value, error = _with_error(tops, sizes, np.ones((1, len(tops))))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(errors > 0, (drawn - value) / errors, np.nan)
    t[:, np.isnan(t).all(axis=0)] = 0
    low, high = np.nanquantile(t, (TAIL, 1 - TAIL), axis=0)
    return (value - high * error)[0], (value - low * error)[0]


def bca(tops: Matrix, sizes: Matrix) -> Ends:
    """Bias-corrected and accelerated (Efron 1987)."""
    drawn = _drawn(tops, sizes)[0]
    total = sizes.sum(axis=0)
    value = tops.sum(axis=0) / total
    moved = (tops - value * sizes) / (total - sizes)
    with np.errstate(divide="ignore", invalid="ignore"):
        faster = np.nan_to_num((moved**3).sum(axis=0) / (6 * (moved**2).sum(axis=0) ** 1.5))
    below = (drawn < value).mean(axis=0) + 0.5 * (drawn == value).mean(axis=0)
    bias = ndtri(np.clip(below, 0.5 / RESAMPLES, 1 - 0.5 / RESAMPLES))
    ordered = np.sort(drawn, axis=0)
    ends = []
    for z in (ndtri(TAIL), ndtri(1 - TAIL)):
        share = ndtr(bias + (bias + z) / np.maximum(1 - faster * (bias + z), 1e-9))
        place = np.clip(np.rint(share * (RESAMPLES - 1)), 0, RESAMPLES - 1).astype(int)
        ends.append(ordered[place, np.arange(ordered.shape[1])])
    return ends[0], ends[1]


ONE: dict[str, Callable[[Matrix, Matrix], Ends]] = {
    "in use": ours,
    "percentile": percentile,
    "bootstrap-t": studentised,
    "BCa": bca,
}


def _drawn(tops: Matrix, sizes: Matrix) -> tuple[Matrix, Matrix]:
    documents = len(tops)
    times = np.random.default_rng(0).multinomial(documents, np.full(documents, 1 / documents), RESAMPLES).astype(float)
    return _with_error(tops, sizes, times)


def _with_error(tops: Matrix, sizes: Matrix, times: Matrix) -> tuple[Matrix, Matrix]:
    top, size = times @ tops, times @ sizes
    with np.errstate(divide="ignore", invalid="ignore"):
        value = top / size
        squares = times @ tops**2 - 2 * value * (times @ (tops * sizes)) + value**2 * (times @ sizes**2)
        return value, np.sqrt(np.maximum(squares, 0)) / size
