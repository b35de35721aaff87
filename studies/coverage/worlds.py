"""Made-up runs with a known score: documents of questions, alike within a document as much as is asked for.

Each document draws its own rate from a beta distribution with mean ``rate`` and intra-document correlation ``alike`` (the
beta-binomial), or a Dirichlet one for pairs of runs. Arrays are [documents, trials]: a trial is a column, so that the very functions
that score runs are measured, on all trials at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class World:
    """``kind``: *counted* (``questions`` a document), *uneven* (1 to 2 × ``questions`` − 1), *rare* (slots that many documents lack),
    *graded* (similarities: 1, or anything below); ``lost`` is the rate of the other run where two are compared."""

    kind: str
    documents: int
    questions: int
    rate: float
    alike: float
    lost: float | None = None

    @property
    def truth(self) -> float:
        if self.lost is not None:
            return self.rate - self.lost
        return 1 - self.rate * (1 - _GRADE) if self.kind == "graded" else self.rate


_GRADE = 3 / 4.2  # the mean of Beta(3, 1.2): an answer that is not quite right


def sizes(world: World, trials: int, rng: np.random.Generator) -> Matrix:
    shape = world.documents, trials
    if world.kind == "uneven":
        return rng.integers(1, 2 * world.questions, shape).astype(float)
    if world.kind == "rare":
        return (rng.binomial(2 * world.questions, 0.5, shape) * (rng.random(shape) < 0.7)).astype(float)
    return np.full(shape, float(world.questions))


def one_run(world: World, trials: int, rng: np.random.Generator) -> tuple[Matrix, Matrix]:
    """(numerators, denominators)."""
    size = sizes(world, trials, rng)
    hits = rng.binomial(size.astype(int), _rates((world.rate,), world.alike, size.shape, rng)[0])
    if world.kind != "graded":
        return hits.astype(float), size
    tops = size - hits
    for number in range(world.questions):
        tops += (hits > number) * rng.beta(3, 1.2, size.shape)
    return tops, size


def two_runs(world: World, trials: int, rng: np.random.Generator) -> tuple[Matrix, Matrix, Matrix]:
    """(questions that only the first, only the second run got right, all questions)."""
    assert world.lost is not None
    size = sizes(world, trials, rng)
    gained, lost = _rates((world.rate, world.lost), world.alike, size.shape, rng)
    first = rng.binomial(size.astype(int), gained)
    left = np.divide(lost, 1 - gained, out=np.zeros(lost.shape), where=gained < 1)
    return first.astype(float), rng.binomial(size.astype(int) - first, np.clip(left, 0, 1)).astype(float), size


def _rates(rates: tuple[float, ...], alike: float, shape: tuple[int, int], rng: np.random.Generator) -> list[Matrix]:
    if alike == 0:
        return [np.full(shape, float(rate)) for rate in rates]
    own = [rng.gamma(max(rate, 1e-12) * (1 / alike - 1), 1, shape) for rate in (*rates, 1 - sum(rates))]
    total = sum(own) + 1e-300
    return [np.clip(part / total, 0, 1) for part in own[:-1]]
