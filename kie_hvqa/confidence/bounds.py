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

* ``effective`` is *approximate*: Clopper and Pearson's limit on the effective number of characters, the spread over documents by the jackknife
  and drawn to the worst where few documents carry it: the intervals of all scores here (``kie_hvqa.scoring.intervals``, where the sources
  are), one-sided. It holds in simulation (``tests``, docs/confidence.md) and takes a third of the documents; nothing proves it.

None can promise r from fewer than log(1/δ) / −log(1 − r) documents, all of them without a mistake: so many come from a world in which a share r of
the documents is wrong altogether with probability δ (``fewest``). At 1 % and 95 % that is 299.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import betainc, ndtri, stdtrit
from scipy.stats import binom

Vector = np.ndarray[Any, np.dtype[np.float64]]
Counts = tuple[Vector, Vector]
"""(asserted, wrong), one number a document."""
STAKES = 30
DOUBT = 0.5  # documents' worth of the largest possible spread


def scaled(asserted: Vector, wrong: Vector, most: float) -> tuple[Vector, Vector]:
    """Both divided by ``most``, documents that assert more than that scaled down to it: each in [0, 1], wrong ≤ asserted."""
    size = np.maximum(asserted, most)
    return asserted / size, wrong / size


def losses(asserted: Vector, wrong: Vector, risk: float) -> Vector:
    """x of every document, in [0, 1], from scaled counts."""
    return wrong - risk * asserted + risk


def hoeffding_bentkus(asserted: Vector, wrong: Vector, risk: float, guess: Counts | None = None) -> float:
    """p-value of "the risk is above ``risk``" from scaled counts; 1 without any. It has no use for a ``guess``."""
    values = losses(asserted, wrong, risk)
    count = len(values)
    if not count:
        return 1.0
    average = float(values.mean())
    hoeffding = math.exp(-count * _kl(average, risk)) if average < risk else 1.0
    bentkus = math.e * float(binom.cdf(math.ceil(count * average - 1e-9), count, risk))
    return min(1.0, hoeffding, bentkus)


def betting(asserted: Vector, wrong: Vector, risk: float, guess: Counts | None = None) -> float:
    """p-value of "the risk is above ``risk``" from scaled counts; 1 without any. ``guess`` are those of other documents."""
    values = losses(asserted, wrong, risk)
    if not len(values):
        return 1.0
    stakes = stakes_at(risk)
    won = _log_wealth(stakes, values, risk)
    shares = np.full(STAKES, 1 / STAKES)
    if guess is not None and len(guess[0]):
        shares /= 2
        shares[int(_log_wealth(stakes_at(risk), doubted(*guess, risk), risk).argmax())] += 0.5
    highest = float(won.max())
    mixed = highest + math.log(float((shares * np.exp(won - highest)).sum()))
    return min(1.0, math.exp(-mixed))


def stakes_at(risk: float) -> Vector:
    """λ: the largest that no loss can ruin is 1 / (1 − risk); of it all but nothing is bet at most."""
    found: Vector = np.linspace(0, 1, STAKES + 1)[1:] * (1 - 1e-9) / (1 - risk)
    return found


def doubted(asserted: Vector, wrong: Vector, risk: float) -> Vector:
    """The losses of these documents and of one more that is as bad as the worst of them, or as bad as ``risk`` twice: few documents have
    not seen it all."""
    values = losses(asserted, wrong, risk)
    found: Vector = np.append(values, max(float(values.max(initial=0.0)), 2 * risk))
    return found


def promise(asserted: Vector, wrong: Vector, risk: float) -> float:
    """How promising a test at this threshold is, from other documents: how far the mean loss is below ``risk``, over its spread."""
    below = risk - doubted(asserted, wrong, risk)
    return float(below.sum() / np.sqrt((below**2).sum()))


def _log_wealth(stakes: Vector, values: Vector, risk: float) -> Vector:
    found: Vector = np.log1p(np.outer(stakes, risk - values)).sum(axis=1)
    return found


def effective(asserted: Vector, wrong: Vector, risk: float, guess: Counts | None = None) -> float:
    """The approximate p-value of "the risk is above ``risk``"; 1 without any assertion. It has no use for a ``guess``."""
    total, errors = float(asserted.sum()), float(wrong.sum())
    if not total:
        return 1.0
    share = errors / total
    documents = total**2 / float((asserted**2).sum())
    most = share * (1 - share)
    number = documents
    if 0 < share < 1 and len(asserted) > 1:
        moved = (wrong - share * asserted) / np.maximum(total - asserted, 1e-6 * total)
        moved[np.abs(moved) < 1e-9] = 0.0  # rounding, where every document has the same share or one asserts alone
        seen = float((moved**2).sum())
        alone = seen**2 / float((moved**4).sum()) if seen else 0.0
        spread = (alone * seen * (1 - 1 / len(asserted)) + DOUBT * most / documents) / (alone + DOUBT)
        number = most / spread
    # Few documents: the spread is known the less (Korn and Graubard 1998).
    number *= float(ndtri(0.95) / stdtrit(max(documents - 1, 1.0), 0.95)) ** 2
    hit = share * number
    return float(betainc(max(number - hit, 1e-9), hit + 1, 1 - risk))


BOUNDS: dict[str, Callable[..., float]] = {
    "betting": betting,
    "hoeffding-bentkus": hoeffding_bentkus,
    "effective": effective,
}
"""Name → test. ``effective`` is the one that is not proved."""


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
