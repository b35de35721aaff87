"""Tests of "the risk is above r" from few documents: p-values that hold for every distribution, and what no number of them can show.

The risk is a ratio of means over documents, R = E[wrong] / E[asserted], so R > r says that the mean of wrong − r · asserted is above 0.
With a document's assertions scaled to at most 1 (``scaled``) the losses

    x = r + (1 − r) wrong − r (asserted − wrong) = wrong − r · asserted + r        in [0, 1]

have a mean above r exactly then, and a p-value of "the mean of x is above r" is one of "the risk is above r".

* ``hoeffding_bentkus``: min of Hoeffding's bound exp(−n kl(x̄ ‖ r)) and Bentkus' e · P(Bin(n, r) ≤ ⌈n x̄⌉) (Bates et al., "Distribution-free,
  risk-controlling prediction sets", JACM 2021, theorem 4, after Bentkus 2004). It knows x̄ only.
* ``betting``: one over the largest wealth of a bet against the null that pays 1 + λ (r − x) a document (Waudby-Smith and Ramdas,
  "Estimating means of bounded random variables by betting", JRSS B 2024). Wealth that starts at 1 is above 1 / p with probability at most p
  (Markov's inequality: its mean is at most 1 under the null) as long as λ was chosen before these documents were seen. Half of the stake
  goes on the λ that would have paid most on other documents (``guess``: those that the order of thresholds was learnt from), half is
  spread over 30 of them. So the p-value does not depend on the order of the documents, and nothing is tuned on them.

Neither can promise r from fewer than log(1/δ) / −log(1 − r) documents, all of them without a mistake: so many come from a world in which a share r of
the documents is wrong altogether with probability δ (``fewest``). At 1 % and 95 % that is 299.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import binom

Vector = np.ndarray[Any, np.dtype[np.float64]]
STAKES = 30


def scaled(asserted: Vector, wrong: Vector, most: float) -> tuple[Vector, Vector]:
    """Both divided by ``most``, documents that assert more than that scaled down to it: each in [0, 1], wrong ≤ asserted."""
    size = np.maximum(asserted, most)
    return asserted / size, wrong / size


def losses(asserted: Vector, wrong: Vector, risk: float) -> Vector:
    """x of every document, in [0, 1], from scaled counts."""
    return wrong - risk * asserted + risk


def hoeffding_bentkus(values: Vector, mean: float, guess: Vector | None = None) -> float:
    """p-value of "the mean is above ``mean``" (in (0, 1)) from ``values`` in [0, 1]; 1 without any. It has no use for a ``guess``."""
    count = len(values)
    if not count:
        return 1.0
    average = float(values.mean())
    hoeffding = math.exp(-count * _kl(average, mean)) if average < mean else 1.0
    bentkus = math.e * float(binom.cdf(math.ceil(count * average - 1e-9), count, mean))
    return min(1.0, hoeffding, bentkus)


def betting(values: Vector, mean: float, guess: Vector | None = None) -> float:
    """p-value of "the mean is above ``mean``" (in (0, 1)) from ``values`` in [0, 1]; 1 without any.

    ``guess`` are values of other documents.
    """
    if not len(values):
        return 1.0
    # The largest stake that no value can ruin is 1 / (1 − mean); of it all but nothing is bet at most.
    stakes = np.linspace(0, 1, STAKES + 1)[1:] * (1 - 1e-9) / (1 - mean)
    wealth = _wealth(stakes, values, mean)
    shares = np.full(STAKES, 1 / STAKES)
    if guess is not None and len(guess):
        # One document more than was seen, as bad as the worst of them is apart from the mean: few have not seen it all.
        shares /= 2
        shares[int(_wealth(stakes, np.append(guess, max(float(guess.max()), 2 * mean)), mean).argmax())] += 0.5
    highest = float(wealth.max())
    mixed = highest + math.log(float((shares * np.exp(wealth - highest)).sum()))
    return min(1.0, math.exp(-mixed))


def _wealth(stakes: Vector, values: Vector, mean: float) -> Vector:
    found: Vector = np.log1p(np.outer(stakes, mean - values)).sum(axis=1)
    return found


BOUNDS: dict[str, Callable[..., float]] = {"betting": betting, "hoeffding-bentkus": hoeffding_bentkus}


def fewest(risk: float, confidence: float) -> int:
    """How many documents, all without a mistake and of one size, it takes at least to promise ``risk``."""
    return math.ceil(math.log(1 - confidence) / math.log1p(-risk) - 1e-9)


def least_refused(error: float, risk: float) -> float:
    """The share that must be refused at least where ``error`` of what is asserted is wrong and only a perfect order could tell
    which: (μ − α) / (1 − α), 0 where the risk is had as it is."""
    return max(0.0, (error - risk) / (1 - risk))


def _kl(first: float, second: float) -> float:
    """Kullback–Leibler divergence of two coins."""
    found = 0.0
    if first > 0:
        found += first * math.log(first / second)
    if first < 1:
        found += (1 - first) * math.log((1 - first) / (1 - second))
    return found
