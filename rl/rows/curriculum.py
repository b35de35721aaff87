"""Easy damage first: which severities may be drawn at which step, and rows drawn so.

Competence-based curriculum learning (Platanios et al., NAACL 2019) with severity as the difficulty: everything up to a
ceiling is drawn alike, and the ceiling rises.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from pydantic import Field

from kie_hvqa.config import Config
from kie_hvqa.data.ledger import MAX_SEVERITY
from kie_hvqa.errors import InputError

_TRIES = 100  # draws for a row that is not among the last ones: a pool smaller than a batch has none


class Curriculum(Config):
    """At first severities up to ``start``, then one more at a time, all of them from step ``steps`` on."""

    start: int = Field(default=2, ge=1, le=MAX_SEVERITY)
    steps: int = Field(ge=1)

    def ceiling(self, step: float) -> int:
        """The highest severity that may be drawn at ``step`` (of the optimiser, from 0)."""
        rungs = MAX_SEVERITY - self.start + 1
        return min(MAX_SEVERITY, self.start + int(rungs * step / self.steps))

    def ceilings(self, first: int, count: int, per_step: float) -> list[int]:
        """The ceilings of the questions number ``first`` … ``first + count - 1``, of which a step takes ``per_step``."""
        return [self.ceiling(number / per_step) for number in range(first, first + count)]


def check_enough(curriculum: Curriculum, severities: Sequence[int], needed: int) -> None:
    """Raises InputError where the rows up to the first ceiling are fewer than the ``needed`` questions of a step."""
    light = sum(severity <= curriculum.start for severity in severities)
    if light < needed:
        raise InputError(
            f"a step asks {needed} questions, and only {light} rows have a severity of {curriculum.start} or less: the first "
            "steps would ask the same ones over and over",
            field="data.curriculum.start",
            remedy="Start higher, ask fewer questions a step, or use more rows (data.simulate draws them).",
        )


def under_ceilings(
    order: Sequence[int], severities: Sequence[int], ceilings: Sequence[int], *, seed: Sequence[int], apart: int
) -> list[int]:
    """``order`` (row numbers) with each row above its place's ceiling replaced by one drawn from all that are not.

    Drawn with replacement: a row that has to wait is not drawn twice later, so that no stretch of the epoch is made of what
    was put off. ``seed`` decides the draws; ``apart`` places that follow one another hold different rows where there are
    so many. Raises InputError where no row is light enough.
    """
    random = np.random.default_rng(seed)
    pools = {ceiling: [row for row in order if severities[row] <= ceiling] for ceiling in set(ceilings)}
    lightest = min(ceilings, default=MAX_SEVERITY)
    if order and not pools[lightest]:
        raise InputError(
            f"no row has a severity of {lightest} or less",
            field="data.curriculum.start",
            remedy=f"Start at {min(severities)}, or leave the curriculum out.",
        )
    recent: deque[int] = deque(maxlen=max(0, apart - 1))
    found = []
    for row, ceiling in zip(order, ceilings, strict=True):
        if severities[row] > ceiling or row in recent:
            pool = pools[ceiling]
            row = next(
                (one for _ in range(_TRIES) if (one := pool[random.integers(len(pool))]) not in recent),
                pool[random.integers(len(pool))],
            )
        found.append(row)
        recent.append(row)
    return found
