"""Risk against coverage: what a reader's confidence is worth.

Order the answers from the surest to the least sure and keep only the first k of n: coverage is k / n, risk R(k) the mean
loss of those kept. A reader that knows when it is wrong has a curve that starts low.

* ``aurc`` = (1/n) Σ R(k), k = 1 … n (Geifman and El-Yaniv, "Selective classification for deep neural networks", 2017; the area of
  the same authors' "Bias-reduced uncertainty estimation", 2019), the mean risk over all coverages. The few surest answers weigh
  in it most: the first is in every term.
* ``augrc``, the area under the *generalised* risk, the share of all answers that are kept **and** wrong, over coverage (Traub et
  al., "Overcoming common flaws in the evaluation of selective classification systems", NeurIPS 2024, equations 5 and 6): the mean
  risk of a silent failure, every answer weighing alike. For losses of 0 and 1 it is (1 − AUROC) a (1 − a) + ½ (1 − a)², a the accuracy.
* ``failure_auroc``: the probability that a right answer is surer than a wrong one, equal ones for one half (ibid.); for losses of 0
  and 1 only. It says nothing of how many are wrong.
* the risk at a given coverage, and the largest coverage at a given risk.

Answers of equal confidence are kept in random order, and every area is the expectation over that order: within a group of
m answers that starts after a of them, with loss A so far and mean loss μ in the group,

    Σ R(k) = μ m + (A − a μ) (H(a + m) − H(a)),  H(k) = 1 + 1/2 + … + 1/k.

A confidence is a reader's own scale (mean log-probability of tokens, mean probability of characters, agreement of
samples): only its order counts. **An answer without a confidence is the least sure**: an engine that finds nothing has none, and
whoever keeps the surest answers keeps that one last. The loss of an answer is 1 unless it is hallucination-free, or, where the data
have no ledger, 1 − the similarity of Final OCR.

Each measure comes with what each answer moves it by, the derivative by its weight (the infinitesimal jackknife: Jaeckel 1972;
Efron and Tibshirani 1993, section 21.3): one pass, however many documents there are. Intervals: ``kie_hvqa.scoring.intervals``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import digamma, polygamma

from kie_hvqa.scoring.statistics import Matrix

POINTS = 200  # of a curve that is drawn


@dataclass(frozen=True, slots=True)
class Ranked:
    """Answers from the surest to the least sure.

    ``loss`` [n] in [0, 1]; ``starts`` the first index of each group of equal confidence; ``order`` [n] the indices of the
    answers among the samples given.
    """

    loss: Matrix
    starts: np.ndarray
    order: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """Answers in each group."""
        return np.diff(np.append(self.starts, len(self.loss)))

    @property
    def lost(self) -> Matrix:
        """Loss in each group."""
        return np.add.reduceat(self.loss, self.starts)

    @property
    def binary(self) -> bool:
        return bool(np.isin(self.loss, (0.0, 1.0)).all())


def rank(loss: Sequence[float], confidence: Sequence[float | None]) -> Ranked:
    """Order answers by confidence, the surest first; what has none, or none that is a finite number, comes last."""
    known = [-math.inf if value is None or not math.isfinite(value) else value for value in confidence]
    sure = np.asarray(known, dtype=np.float64)
    order = np.argsort(-sure, kind="stable")
    ranked = sure[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]])) if len(sure) else np.array([], int)
    return Ranked(np.asarray(loss, dtype=np.float64)[order], starts, order)


def area(ranked: Ranked) -> float:
    """AURC in [0, 1]; NaN without answers."""
    return aurc(ranked)[0]


def best_area(loss: Sequence[float]) -> float:
    """The AURC of the order that keeps the smallest losses longest."""
    return area(rank(loss, [-value for value in loss]))


def aurc(ranked: Ranked) -> tuple[float, Matrix]:
    """AURC in [0, 1], and what each answer (in rank order) moves it by."""
    count = len(ranked.loss)
    if not count:
        return math.nan, np.zeros(0)
    sizes, lost = ranked.sizes.astype(np.float64), ranked.lost
    before, ahead = sizes.cumsum() - sizes, lost.cumsum() - lost
    mean = lost / sizes
    steps = digamma(before + sizes + 1) - digamma(before + 1)
    slope = ahead - before * mean
    value = float((lost + slope * steps).sum() / count)
    # The derivatives of Σ R(k): through the answer's own group, and through what it puts before the later ones.
    end, start = polygamma(1, before + sizes + 1), polygamma(1, before + 1)
    later_steps = _after(steps)
    later = _after(slope * (end - start) - mean * steps)
    group = np.repeat(np.arange(len(sizes)), ranked.sizes)
    own = 1 - before * steps / sizes
    fixed = before * lost / sizes**2 * steps + slope * end + later
    moved = ranked.loss * (own + later_steps)[group] + fixed[group] - value
    return value, moved / count


def augrc(ranked: Ranked) -> tuple[float, Matrix]:
    """AUGRC in [0, 1/2], and what each answer moves it by."""
    count = len(ranked.loss)
    if not count:
        return math.nan, np.zeros(0)
    sizes, lost = ranked.sizes.astype(np.float64), ranked.lost
    so_far = lost.cumsum() - lost / 2
    value = float((sizes * so_far).sum() / count**2)
    group = np.repeat(np.arange(len(sizes)), ranked.sizes)
    moved = so_far[group] + ranked.loss * (sizes / 2 + _after(sizes))[group] - 2 * count * value
    return value, moved / count**2


def failure_auroc(ranked: Ranked) -> tuple[float, Matrix]:
    """The AUROC of failures in [0, 1], and what each answer moves it by; NaN unless some losses are 0, some 1 and none between."""
    failures = float(ranked.loss.sum())
    successes = len(ranked.loss) - failures
    if not ranked.binary or not failures or not successes:
        return math.nan, np.zeros(len(ranked.loss))
    lost = ranked.lost
    right = ranked.sizes - lost
    group = np.repeat(np.arange(len(lost)), ranked.sizes)
    failed = ranked.loss == 1
    share = np.where(
        failed, (right.cumsum() - right / 2)[group] / successes, (_after(lost) + lost / 2)[group] / failures
    )
    value = float(share[failed].mean())
    return value, (share - value) / np.where(failed, failures, successes)


def auroc(positive: np.ndarray, score: np.ndarray, weight: np.ndarray | None = None) -> float:
    """The chance that a positive scores above a negative, ties as half, in [0, 1]; NaN without both kinds.

    ``positive`` bool [n], ``score`` float [n], ``weight`` float [n], each ≥ 0, all 1 if None.
    """
    weight = np.ones(len(score)) if weight is None else weight
    values, place = np.unique(score, return_inverse=True)
    up = np.bincount(place, weight * positive, len(values))
    down = np.bincount(place, weight * ~positive, len(values))
    if not up.sum() or not down.sum():
        return math.nan
    return float((up * (down.cumsum() - down / 2)).sum() / up.sum() / down.sum())


def risk_at(ranked: Ranked, coverage: float) -> tuple[float, Matrix, Matrix]:
    """The mean loss of the surest share ``coverage`` in (0, 1], what each answer moves it by, and how much of each is kept [n].

    A group at the edge is kept in part. An answer that comes in pushes another over the edge: one with the mean loss of the √n
    answers around it.
    """
    count = len(ranked.loss)
    sizes = ranked.sizes
    before = sizes.cumsum() - sizes
    share = np.clip((coverage * count - before) / sizes, 0, 1)
    kept = np.repeat(share, sizes)
    group = np.repeat(ranked.lost / sizes, sizes)  # a group is one mixture: no answer of it stands before another
    value = float((kept * ranked.loss).sum() / (coverage * count))
    edge, reach = coverage * count, max(2.0, math.sqrt(count) / 2)
    around = group[max(0, int(edge - reach)) : min(count, int(edge + reach) + 1)]
    local = float(around.mean()) if coverage < 1 else 0.0
    moved = (kept * (ranked.loss - local) + coverage * (local - value)) / (coverage * count)
    return value, moved, kept


def coverage_at(ranked: Ranked, risk: float) -> float:
    """The largest coverage k / n whose risk is at most ``risk``; 0 where not even the surest answer's is."""
    found = np.flatnonzero(_risks(ranked) <= risk + 1e-12)
    return float(found[-1] + 1) / len(ranked.loss) if len(found) else 0.0


def curve(ranked: Ranked, points: int = POINTS) -> list[tuple[float, float]]:
    """(coverage, risk) from the surest answers to all of them, at most ``points`` of them, groups in expectation."""
    count = len(ranked.loss)
    if not count:
        return []
    risk = _risks(ranked)
    chosen = np.unique(np.linspace(0, count - 1, min(points, count)).round().astype(int))
    return [((int(k) + 1) / count, float(risk[k])) for k in chosen]


def _risks(ranked: Ranked) -> Matrix:
    """R(k), k = 1 … n."""
    sizes = ranked.sizes
    return np.cumsum(np.repeat(ranked.lost / sizes, sizes)) / np.arange(1, len(ranked.loss) + 1)


def _after(values: Matrix) -> Matrix:
    """The sum of all that come after each."""
    return values.sum() - values.cumsum()
