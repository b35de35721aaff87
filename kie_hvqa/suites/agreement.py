"""How well several readings of the same slots agree: pairwise agreement, Fleiss' κ, and all of K.

Every item (a slot) has ratings (what each wording's reading says there), and perhaps not equally many. With n(i, v)
ratings of item i in category v and n(i) altogether:

* ``pairwise`` = pairs of ratings that agree / pairs of ratings, Σᵢᵥ C(n(i, v), 2) / Σᵢ C(n(i), 2);
* Fleiss' κ = (pairwise − chance) / (1 − chance), chance = Σᵥ p(v)², p(v) the share of category v in all ratings (Fleiss 1971;
  with equally many ratings an item this is his κ);
* ``all_agree`` of K = sets of K ratings that all agree / sets of K ratings, Σᵢᵥ C(n(i, v), K) / Σᵢ C(n(i), K): the mean over
  all choices of K wordings, not over one. It falls with K whatever the reader does, so its null stands beside it: Σᵥ p(v)^K,
  what K independent ratings with these shares would give. κ is the same comparison for K = 2.

All are functions of sums over items, so the jackknife takes one document's sums away and divides afterwards.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np

from kie_hvqa.scoring.intervals import limits
from kie_hvqa.scoring.statistics import Documents, Matrix, plain, ratio

Ratings = Sequence[Sequence[Hashable]]
"""Per item its ratings, those that are missing left out."""


@dataclass(frozen=True, slots=True)
class Sums:
    """What every number here is made of: per item (agreeing, all) sets of 1 … ``most`` ratings, then one column a category.

    ``table`` [items, 2 × most + categories].
    """

    table: Matrix
    most: int

    @classmethod
    def of(cls, items: Ratings, most: int) -> Sums:
        categories = {
            value: number for number, value in enumerate(sorted({v for item in items for v in item}, key=repr))
        }
        table = np.zeros((len(items), 2 * most + len(categories)))
        for row, item in zip(table, items, strict=True):
            for value in item:
                row[2 * most + categories[value]] += 1
            counts = [int(count) for count in row[2 * most :] if count]
            for size in range(1, most + 1):
                row[size - 1] = sum(comb(count, size) for count in counts)
                row[most + size - 1] = comb(len(item), size)
        return cls(table, most)

    def agree(self, totals: Matrix, size: int) -> Matrix:
        """The share of sets of ``size`` ratings that agree, from totals [draws, columns]."""
        return ratio(totals[:, size - 1], totals[:, self.most + size - 1])

    def chance(self, totals: Matrix, size: int) -> Matrix:
        """What independent ratings with the same shares would give."""
        counts = totals[:, 2 * self.most :]
        return (ratio(counts, counts.sum(axis=1, keepdims=True) + np.zeros_like(counts)) ** size).sum(axis=1)

    def kappa(self, totals: Matrix) -> Matrix:
        """Fleiss' κ; NaN where every rating is in one category, which agreement says nothing about."""
        chance = self.chance(totals, 2)
        return ratio(self.agree(totals, 2) - chance, np.where(chance < 1 - 1e-12, 1 - chance, 0.0))


def fleiss_kappa(items: Ratings) -> float:
    """κ of the items alone."""
    sums = Sums.of(items, 2)
    return float(sums.kappa(sums.table.sum(axis=0, keepdims=True))[0])


def agreement(items: Ratings, documents: Sequence[str], sizes: Sequence[int]) -> dict[str, Any]:
    """``pairwise``, ``kappa`` and ``all_agree`` per size in ``sizes``, each with an interval over ``documents`` (one an item), and
    for ``all_agree`` its ``null``."""
    sums = Sums.of(items, max(2, *sizes))
    owner = Documents.of(documents)
    _, table = owner.sums(sums.table)
    totals = table.sum(axis=0, keepdims=True)
    without = totals - table

    def entry(value: Matrix, again: Matrix, size: int, least: float = 0.0) -> dict[str, Any]:
        sets = sums.most + size - 1
        moved = (value - again)[:, None]
        found = limits(value, moved, table[:, [sets]], span=(least, 1.0))
        return found.entry(0, int(np.count_nonzero(sums.table[:, sets])))

    return {
        "items": int(np.count_nonzero(sums.table[:, sums.most + 1])),
        "pairwise": entry(sums.agree(totals, 2), sums.agree(without, 2), 2),
        "kappa": entry(sums.kappa(totals), sums.kappa(without), 2, -1.0),
        "all_agree": {
            str(size): {
                **entry(sums.agree(totals, size), sums.agree(without, size), size),
                "null": plain(sums.chance(totals, size)[0]),
            }
            for size in sizes
        },
    }
