"""From scores to probabilities: a monotone map fitted on other documents, and how good probabilities are.

The map is isotonic regression (pool adjacent violators), each of its steps drawn to one half by two imagined observations, so that
nothing that was never wrong so far is called certain. It keeps the order, so risk–coverage curves do not change by it (but for ties).

* ``brier``: mean (p − y)² (Brier 1950)
* ``ece``: expected calibration error over ``BINS`` groups of equal size, Σ n_b / n · |mean p − mean y| (Naeini et al., AAAI 2015;
  equal sizes as in Nixon et al. 2019, because trained readers' scores crowd below 1)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import isotonic_regression

from kie_hvqa.confidence.operating_point import Steps

BINS = 10
STEPS = 60  # of a map, at most


def fit(scores: Sequence[float], right: Sequence[bool]) -> Steps:
    """(score, probability) pairs, both rising; none without observations."""
    if not len(scores):
        return ()
    order = np.argsort(scores, kind="stable")
    x, y = np.asarray(scores, dtype=np.float64)[order], np.asarray(right, dtype=np.float64)[order]
    cells = np.array_split(np.arange(len(x)), min(STEPS, len(x)))
    # Equal scores are one place, however many have it.
    edges = sorted({int(np.searchsorted(x, x[cell[0]], side="left")) for cell in cells})
    sizes = np.diff([*edges, len(x)]).astype(np.float64)
    rights = np.add.reduceat(y, edges)
    level = isotonic_regression(rights / sizes, weights=sizes).x
    pooled = [np.flatnonzero(level == value) for value in np.unique(level)]
    drawn = [(rights[block].sum() + 1) / (sizes[block].sum() + 2) for block in pooled]
    weights = [sizes[block].sum() for block in pooled]
    smooth = isotonic_regression(drawn, weights=weights).x
    found: list[tuple[float, float]] = []
    ends = [*edges[1:], len(x)]
    for value, block in zip(smooth, pooled, strict=True):
        low, high = float(x[edges[block[0]]]), float(x[ends[block[-1]] - 1])
        found += [(low, float(value))] if low == high else [(low, float(value)), (high, float(value))]
    return tuple(found)


def brier(probabilities: Sequence[float], right: Sequence[bool]) -> float:
    """In [0, 1]; NaN without observations."""
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(right, dtype=np.float64)
    return float(((p - y) ** 2).mean()) if len(p) else float("nan")


def ece(probabilities: Sequence[float], right: Sequence[bool], bins: int = BINS) -> float:
    """In [0, 1]; NaN without observations."""
    return (
        float(sum(size * abs(p - y) for size, p, y in reliability(probabilities, right, bins)))
        if len(right)
        else float("nan")
    )


def reliability(
    probabilities: Sequence[float], right: Sequence[bool], bins: int = BINS
) -> list[tuple[float, float, float]]:
    """(share of the observations, mean probability, share right) of each group, the least sure first."""
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(right, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    groups = [group for group in np.array_split(order, bins) if len(group)]
    return [(len(group) / len(p), float(p[group].mean()), float(y[group].mean())) for group in groups]
