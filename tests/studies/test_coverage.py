"""The coverage study, small: the method in use holds where the bootstrap does not, and the study can tell."""

from __future__ import annotations

import numpy as np
import pytest

from studies.coverage.__main__ import grid, measure, table
from studies.coverage.worlds import World, one_run

HARD = [
    World("counted", 13, 4, 0.03, 0.0),
    World("uneven", 60, 20, 0.02, 0.5),
    World("rare", 25, 4, 0.1, 0.25),
    World("graded", 13, 4, 0.05, 0.5),
    World("counted", 13, 4, 0.02, 0.0, 0.0),
    World("uneven", 60, 20, 0.1, 0.5, 0.0),
    World("counted", 60, 4, 0.3, 0.25, 0.3),
]


@pytest.mark.parametrize("world", HARD, ids=str)
def test_the_intervals_hold(world: World) -> None:
    (found,) = measure(world, 1500, np.random.default_rng(0))
    assert found.holds >= 0.925 and found.too_few == 0  # 93 % less one standard error of 1,500 trials


def test_the_percentile_bootstrap_is_what_it_was_said_to_be() -> None:
    world = World("counted", 13, 4, 0.03, 0.0)
    found = {one.method: one for one in measure(world, 400, np.random.default_rng(0), ("in use", "percentile"))}
    assert found["percentile"].holds < 0.85 < 0.93 < found["in use"].holds
    assert "| percentile | counted | 13 | 1 |" in table(list(found.values()))


@pytest.mark.parametrize("kind", ["counted", "uneven", "rare", "graded"])
def test_worlds_have_the_score_that_they_say(kind: str) -> None:
    world = World(kind, 100, 4, 0.2, 0.25)
    tops, sizes = one_run(world, 400, np.random.default_rng(1))
    assert tops.sum() / sizes.sum() == pytest.approx(world.truth, abs=0.01)


def test_the_grid_reaches_what_is_promised() -> None:
    worlds = grid()
    for name, ends in (("documents", (8, 250)), ("rate", (0.02, 0.5)), ("alike", (0.0, 0.5))):
        values = [getattr(world, name) for world in worlds]
        assert (min(values), max(values)) == ends
