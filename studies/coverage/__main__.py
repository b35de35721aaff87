"""How often do the 95 % intervals hold? A simulation of runs whose score is known.

    python -m studies.coverage [--trials 2000] [--rivals]

Worlds: 8 to 250 documents of 1 to 60 questions (or slots), rates 0.02 to 0.5, intra-document correlation 0 to 0.5, counted,
uneven, rare and graded; and pairs of runs that differ on given shares of questions. For each world the share of trials whose
interval holds the truth, among those that have an interval at all, and the share that has none. ``--rivals`` adds the
bootstraps (at 300 trials). Exit status 1 where the method in use covers less than 93 % in any world. The table is
in docs/intervals.md.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from studies.coverage.methods import ONE, Ends, ours_paired
from studies.coverage.worlds import World, one_run, two_runs

BAR = 0.93
DOCUMENTS = (8, 13, 25, 60, 250)
ALIKE = (0.0, 0.25, 0.5)


@dataclass(frozen=True, slots=True)
class Covered:
    world: World
    method: str
    holds: float
    width: float
    too_few: float


def measure(world: World, trials: int, rng: np.random.Generator, methods: Iterable[str] = ("in use",)) -> list[Covered]:
    if world.lost is not None:
        return [_covered(world, "in use", ours_paired(*two_runs(world, trials, rng)))]
    tops, sizes = one_run(world, trials, rng)
    asked = sizes.sum(axis=0) > 0
    return [_covered(world, name, ONE[name](tops[:, asked], sizes[:, asked])) for name in methods]


def _covered(world: World, method: str, ends: Ends) -> Covered:
    low, high = ends
    there = ~np.isnan(low)
    holds = (low[there] <= world.truth + 1e-12) & (world.truth - 1e-12 <= high[there])
    width = float((high - low)[there].mean()) if there.any() else float("nan")
    return Covered(world, method, float(holds.mean()) if there.any() else 1.0, width, float(1 - there.mean()))


def grid() -> list[World]:
    single = [
        World(kind, documents, questions, rate, alike)
        for kind, documents, questions, rate, alike in itertools.product(
            ("counted", "uneven", "rare", "graded"), DOCUMENTS, (1, 4, 20), (0.02, 0.05, 0.1, 0.3, 0.5), ALIKE
        )
    ]
    changes = ((0.02, 0), (0.05, 0), (0.1, 0), (0.3, 0), (0.02, 0.02), (0.1, 0.1), (0.1, 0.03), (0.3, 0.3), (0.5, 0.1))
    paired = [
        World(kind, documents, questions, gained, alike, lost)
        for kind, documents, questions, (gained, lost), alike in itertools.product(
            ("counted", "uneven"), DOCUMENTS, (1, 4, 20), changes, ALIKE
        )
    ]
    return single + paired


def table(found: list[Covered]) -> str:
    """Markdown: by method, kind and number of documents the least and the mean coverage and the mean width."""
    lines = [
        "| method | scores | documents | worlds | covers at least | on average | width | too few |",
        "|---" * 8 + "|",
    ]
    keys = dict.fromkeys((one.method, _kind(one.world), one.world.documents) for one in found)
    for method, kind, documents in keys:
        own = [c for c in found if (c.method, _kind(c.world), c.world.documents) == (method, kind, documents)]
        least, mean = min(c.holds for c in own), float(np.mean([c.holds for c in own]))
        width, few = float(np.nanmean([c.width for c in own])), float(np.mean([c.too_few for c in own]))
        cells = (method, kind, documents, len(own), f"{least:.1%}", f"{mean:.1%}", f"{width:.3f}", f"{few:.1%}")
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def _kind(world: World) -> str:
    return f"{world.kind}, paired" if world.lost is not None else world.kind


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--rivals", action="store_true", help="the bootstraps too, counted worlds only")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    found = []
    for number, world in enumerate(grid()):
        found += measure(world, arguments.trials, np.random.default_rng([arguments.seed, number]))
    if arguments.rivals:
        for number, world in enumerate(world for world in grid() if world.kind == "counted" and world.lost is None):
            found += measure(world, 300, np.random.default_rng([arguments.seed + 1, number]), list(ONE)[1:])
    print(table(found))
    mine = sorted((one for one in found if one.method == "in use"), key=lambda one: one.holds)
    print("\nThe hardest worlds:")
    for one in mine[:12]:
        print(f"  {one.holds:.3f}  width {one.width:.3f}  {one.world}")
    return int(mine[0].holds < BAR)


if __name__ == "__main__":
    sys.exit(main())
