"""Documents as what varies, the smallest difference that a set can show, and McNemar's test.

The questions about one document share its image, its damage and its reader's luck, so the document is the unit of everything that
is said about chance (intervals: ``kie_hvqa.scoring.intervals``). Documents and their samples are taken in a fixed order, so the order of
rows changes nothing. There is no randomness here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import gammaln

CONFIDENCE = 0.95
POWER = 0.8
PLACES = 6  # sums in another order differ after the 12th place; what is written must not

Matrix = NDArray[np.float64]
Index = NDArray[np.intp]
Number = TypeVar("Number", float, NDArray[np.float64])


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
        if not len(first):
            return self.index, samples
        ends = np.append(first, len(order))
        sums = csr_array((np.ones(len(order)), order, ends), shape=(len(first), len(order))) @ samples
        used = np.flatnonzero(sums.any(axis=1))
        return self.index[order][first][used], sums[used]


def ratio(top: Matrix, bottom: Matrix) -> Matrix:
    """``top / bottom``; NaN where there is nothing to divide by."""
    return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom != 0)


def plain(number: float) -> float | None:
    """``number`` as it is written: rounded, null for NaN, and never −0."""
    return None if np.isnan(number) else round(float(number), PLACES) + 0.0


def detectable(error: Number, *, power: float = POWER, confidence: float = CONFIDENCE) -> Number:
    """The smallest true difference that a two-sided test at 1 − ``confidence`` finds with probability ``power``.

    ``error`` is the standard error of the difference. Normal approximation: (z₁ + z₂) × error, 2.80 ×
    error at the defaults (Cohen 1988, section 2.2).
    """
    normal = NormalDist()
    return (normal.inv_cdf(1 - (1 - confidence) / 2) + normal.inv_cdf(power)) * error


def mcnemar(only_first: Matrix, only_second: Matrix) -> float:
    """Two-sided p of McNemar's test of pairs that come in clusters, from how many pairs [clusters] only the first and only the second
    got right.

    Under the null a whole cluster is as likely to lean one way as the other: each cluster's lead, first less second, keeps its
    size and its sign is a coin (Durkalski et al., "Analysis of clustered matched-pair data", Statistics in Medicine 22, 2003, has the
    normal approximation of it). p is the probability of a sum at least as far from 0, exact by convolution; with one pair a cluster
    it is McNemar's exact test (Agresti 2013, section 11.1.2).
    """
    leads = np.abs(np.rint(np.asarray(only_first) - np.asarray(only_second)).astype(int))
    seen = abs(int(np.rint(np.sum(only_first) - np.sum(only_second))))
    chance = np.ones(1)  # of each sum, from −total to total
    for lead, count in zip(*np.unique(leads[leads > 0], return_counts=True), strict=True):
        heads = np.arange(count + 1)
        coins = gammaln(count + 1) - gammaln(heads + 1) - gammaln(count - heads + 1) - count * np.log(2)
        apart = np.zeros(2 * lead * count + 1)
        apart[:: 2 * lead] = np.exp(coins)
        chance = np.convolve(chance, apart)
    sums = np.abs(np.arange(len(chance)) - len(chance) // 2)
    return float(min(1.0, chance[sums >= seen].sum()))
