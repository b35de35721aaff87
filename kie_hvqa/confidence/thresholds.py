"""The threshold that keeps a promise: learn then test, over documents.

Each threshold of a grid (fixed beforehand) has the null hypothesis "the risk is above r". The documents are parted once, by the
hashes of their names: one in five *learns*, the others *test*.

1. Learning. At which threshold is the risk furthest below r, for its spread? Testing starts there. The learning documents also say how
   many assertions a document counts at most (their upper quartile at that threshold: a longer document is scaled down to it, because
   one that may be wrong altogether is what takes so many documents), and where the bets go.
2. Testing, from there to the lower thresholds, one after the other, each at the full level δ = 1 − confidence, until the first that
   is not rejected (fixed-sequence testing). The last one rejected is the point; where the first already fails, the risk is infeasible.

With probability at least ``confidence`` over the documents, the risk at the point is at most r for further documents of the same
kind (Angelopoulos, Bates, Candès, Jordan and Lei, "Learn then test: calibrating predictive algorithms to achieve risk control", Annals of
Applied Statistics 2025, theorem 1 and section 3; the parting is Laufer-Goldenberg et al., "Efficiently controlling multiple risks with
Pareto testing", ICLR 2023). Nothing is asked of the signal: not that it is calibrated, nor that the risk falls with the threshold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kie_hvqa.confidence.bounds import BOUNDS, Vector, promise, scaled

Counts = np.ndarray[Any, np.dtype[np.float64]]
"""[documents, thresholds]"""
LEARNING = 0.2
LONGEST = 0.75  # the quantile of the learning documents' assertions that a document counts as at most
NOTHING = 2.0  # a threshold that no score reaches


def grid() -> tuple[float, ...]:
    """Thresholds from the strictest to 0: dense where trained readers' probabilities crowd, below 1."""
    near = [1 - 10 ** (-exponent / 8) for exponent in range(64, 8, -1)]
    far = [round(step / 20, 2) for step in range(17, -1, -1)]
    return (*near, *far)


@dataclass(frozen=True, slots=True)
class Chosen:
    """``index`` of the threshold, None where the risk is infeasible; ``start`` where testing began; ``p`` the p-values of those that were
    tested, in order; ``most`` what a document counts at most there."""

    index: int | None
    start: int
    p: tuple[float, ...]
    most: float


def learning(documents: Sequence[str], share: float = LEARNING) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which of ``documents`` learn: the same for the same names in any order, and at least one on either side if there are two."""
    order = sorted(
        range(len(documents)), key=lambda i: hashlib.sha256(documents[i].encode("utf-8", "replace")).digest()
    )
    chosen = np.zeros(len(documents), dtype=bool)
    chosen[order[: min(max(1, round(share * len(documents))), len(documents) - 1)]] = True
    return chosen


def choose(
    asserted: Counts,
    wrong: Counts,
    learns: np.ndarray[Any, np.dtype[np.bool_]],
    *,
    risk: float,
    confidence: float = 0.95,
    bound: str = "betting",
) -> Chosen:
    """The threshold of the columns (the strictest first) that keeps ``risk`` with ``confidence``; ``learns`` says which rows learn.

    ``wrong`` ≤ ``asserted``, both ≥ 0.
    """
    p_value = BOUNDS[bound]
    columns = asserted.shape[1]
    most = np.maximum(np.quantile(asserted[learns], LONGEST, axis=0), 1.0)

    def counts(rows: np.ndarray[Any, np.dtype[np.bool_]], column: int) -> tuple[Vector, Vector]:
        return scaled(asserted[rows, column], wrong[rows, column], float(most[column]))

    start = int(np.argmax([promise(*counts(learns, column), risk) for column in range(columns)]))
    tested: list[float] = []
    found = None
    for column in range(start, columns):
        tested.append(p_value(*counts(~learns, column), risk, counts(learns, column)))
        if tested[-1] > 1 - confidence:
            break
        found = column
    return Chosen(found, start, tuple(tested), float(most[start if found is None else found]))


def best_with_hindsight(asserted: Counts, wrong: Counts, risk: float) -> int | None:
    """The threshold of most assertions whose share of wrong ones, on these very documents, is at most ``risk``: what nobody can know
    beforehand, and no promise."""
    total, errors = asserted.sum(axis=0), wrong.sum(axis=0)
    kept = np.flatnonzero((errors <= risk * total) & (total > 0))
    return int(kept[np.argmax(total[kept])]) if len(kept) else None
