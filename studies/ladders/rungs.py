"""Finds the rungs at which severity k takes the same share of slots out of ``clear`` under every operator.

An operator's parameters run along its ladder, from one end (0) to the other (1) and beyond. Its draws are made with the
same random numbers at and around the rungs that it has, the ledger says what share of slots is no longer clear at each
place, and the places where that share meets ``OUT_OF_CLEAR`` are its new rungs (run it again if they moved far). The last
one goes on to where ``HIDDEN_AT_TOP`` of the slots are hidden. Rungs are printed, and copied into the operator's class by
hand: a ladder is part of what a dataset means, so nothing changes it silently. ``studies.ladders.table`` then measures
the table on other fields.

Run: ``python -m studies.ladders.rungs --scale tiny full`` (some minutes on one core; ``--operators NAME …`` for some).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from degradations.chance import generator
from degradations.legibility import LegibilityModel
from degradations.operators import OPERATORS, Operator, operator_class
from degradations.operators.base import HIDDEN_AT_TOP, OUT_OF_CLEAR, draw_at
from kie_hvqa.console import Progress, tell
from kie_hvqa.data.ledger import MAX_SEVERITY
from studies.ladders.table import Field, fields, suiting

_FARTHER = 5  # further places, where nothing is hidden yet


def places_of(cls: type[Operator]) -> tuple[float, ...]:
    """Where to look: at the rungs that the operator has, and beyond both ends of them."""
    first, last = min(cls.rungs), max(cls.rungs)
    step = max(0.05, (last - first) / (MAX_SEVERITY - 1))
    return (first - step, *sorted(set(cls.rungs)), last + step, last + 2.5 * step)


@dataclass(frozen=True, slots=True)
class Lost:
    """Shares of the scored slots that are no longer clear (``out``), and hidden."""

    out: float
    hidden: float


def lost(model: LegibilityModel, cls: type[Operator], place: float, sample: Sequence[Field], seed: int) -> Lost:
    """What the operator does to ``sample`` with its whole ladder at ``place``."""
    labels: list[str] = []
    for field in suiting(cls, sample):
        rng = generator(seed, field.name, cls.name)  # the same numbers at every place
        recipe = field.recipe(cls, partial(draw_at, cls, place), rng)
        labels += [slot.legibility for slot in field.judged(model, recipe)]
    count = max(1, len(labels))
    return Lost(1 - labels.count("clear") / count, labels.count("hidden") / count)


def find_rungs(places: Sequence[float], shares: Sequence[Lost]) -> list[tuple[float, Lost]]:
    """(rung, shares there) of each severity, by linear interpolation between ``places``."""
    out, hidden = [share.out for share in shares], [share.hidden for share in shares]
    rungs = [crossing(places, out, aim) for aim in OUT_OF_CLEAR]
    rungs[-1] = max(rungs[-1], crossing(places, hidden, HIDDEN_AT_TOP))
    there = [(rung, [float(np.interp(rung, places, _rising(each))) for each in (out, hidden)]) for rung in rungs]
    return [(round(rung, 3), Lost(*shares)) for rung, shares in there]


def crossing(places: Sequence[float], shares: Sequence[float], aim: float) -> float:
    """Where ``shares``, made to rise (the largest so far), meet ``aim``.

    Where the aim is above them all, the first place of the largest is taken, where it is below them all the first place.
    """
    rising = _rising(shares)
    for (a, b), (low, high) in zip(pairwise(places), pairwise(rising), strict=True):
        if low < aim <= high:
            return a + (b - a) * float((aim - low) / (high - low))
    return float(places[0] if rising[0] >= aim else places[int(np.argmax(rising))])


def _rising(shares: Sequence[float]) -> NDArray[np.float64]:
    return np.maximum.accumulate(np.asarray(shares, float))


def measured(
    model: LegibilityModel, cls: type[Operator], samples: Sequence[Sequence[Field]], seed: int
) -> tuple[list[float], list[Lost]]:
    """Places along the operator's ladder and the shares there, on average over ``samples``."""

    def at(place: float) -> Lost:
        found = [lost(model, cls, place, sample, seed) for sample in samples]
        return Lost(*(float(np.mean([getattr(each, what) for each in found])) for what in ("out", "hidden")))

    places = list(places_of(cls))
    shares = [at(place) for place in places]
    step = places[-1] - places[-2]
    for _ in range(_FARTHER):
        if max(share.hidden for share in shares) >= HIDDEN_AT_TOP:
            break
        places.append(places[-1] + step)
        shares.append(at(places[-1]))
    return places, shares


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies.ladders.rungs", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--scale", nargs="+", choices=("tiny", "full"), default=["tiny", "full"])
    parser.add_argument("--operators", nargs="+", default=sorted(OPERATORS), metavar="NAME")
    parser.add_argument("--fields", type=int, default=24, help="fields a scale, one a document")
    parser.add_argument("--seed", type=int, default=61)
    args = parser.parse_args(arguments)
    classes = [operator_class(name, field="--operators") for name in args.operators]
    model = LegibilityModel()
    samples = [fields(scale, args.fields, args.seed) for scale in args.scale]
    for cls in Progress("measure", len(classes), "operators").over(classes):
        found = find_rungs(*measured(model, cls, samples, args.seed))
        out, hidden = ([round(getattr(share, what), 2) for _, share in found] for what in ("out", "hidden"))
        tell(f"{cls.name}: rungs = {tuple(rung for rung, _ in found)}  # out of clear {out}, hidden {hidden}")


if __name__ == "__main__":
    main()
