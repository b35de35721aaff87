"""Easy damage first: which severities may be drawn at which step, and rows put into such an order.

Competence-based curriculum learning (Platanios et al., NAACL 2019) with severity as the difficulty: everything up to a
ceiling is drawn alike, and the ceiling rises.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heappop, heappush

from pydantic import Field

from kie_hvqa.config import Config
from kie_hvqa.data.ledger import MAX_SEVERITY


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


def easy_first(order: Sequence[int], severities: Sequence[int], ceilings: Sequence[int]) -> list[int]:
    """``order`` (row numbers) changed as little as its rows' ``severities`` need to stay at or below ``ceilings``.

    Each place takes the earliest row of ``order`` that its ceiling allows; where none of those is left, the
    earliest of the easiest that are. Every row comes once.
    """
    waiting: list[list[int]] = [[] for _ in range(MAX_SEVERITY + 1)]  # places in ``order`` by severity
    for place, row in enumerate(order):
        waiting[severities[row]].append(place)
    return list(_drawn(order, waiting, ceilings))


def _drawn(order: Sequence[int], waiting: Sequence[list[int]], ceilings: Sequence[int]) -> Iterator[int]:
    ready: list[int] = []
    let_in = 0  # severities below this one are in ``ready``
    for ceiling in ceilings:
        while let_in <= MAX_SEVERITY and (let_in <= ceiling or not ready):
            for place in waiting[let_in]:
                heappush(ready, place)
            let_in += 1
        yield order[heappop(ready)]
