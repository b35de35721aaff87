"""Finds the rungs at which severity k takes the same share of slots out of ``clear`` under every operator.

An operator's parameters run along its ladder, from one end (0) to the other (1) and beyond. Its draws are made with the
same random numbers at and around the rungs that it has, the ledger says what share of slots is no longer clear at each
place, and the places where that share meets ``OUT_OF_CLEAR`` are its new rungs (run it again if they moved far). They are
printed, and copied into the operator's class by hand: a ladder is part of what a dataset means, so nothing changes it
silently. ``degradations.ladders`` then measures the table on other fields.

Run: ``python -m degradations.rungs --scale tiny full`` (some minutes on one core; ``--operators NAME …`` for some).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from tqdm import tqdm

from degradations.chance import generator
from degradations.ladders import Field, fields
from degradations.legibility import LegibilityModel, ledger
from degradations.operators import OPERATORS, Context, Operator, operator_class
from degradations.operators.base import OUT_OF_CLEAR, at_place
from degradations.recipe import Recipe
from kie_hvqa.ledger import MAX_SEVERITY


def places_of(cls: type[Operator]) -> tuple[float, ...]:
    """Where to look: at the rungs that the operator has, and beyond both ends of them."""
    first, last = min(cls.rungs), max(cls.rungs)
    step = max(0.05, (last - first) / (MAX_SEVERITY - 1))
    return (first - step, *sorted(set(cls.rungs)), last + step, last + 2.5 * step)


def draw_at(cls: type[Operator], place: float, field: Field, seed: int) -> Operator:
    """The operator as ``draw`` gives it with its whole ladder at ``place``."""
    rng = generator(seed, field.name, cls.name)  # the same numbers at every place
    return at_place(cls, place).draw(MAX_SEVERITY, rng, Context.of(field.page, field.boxes, field.copies))


def share_out(model: LegibilityModel, cls: type[Operator], place: float, sample: Sequence[Field], seed: int) -> float:
    """Share of the scored slots of ``sample`` that are no longer clear."""
    out = scored = 0
    for field in sample:
        recipe = Recipe((draw_at(cls, place, field, seed),))
        damaged = recipe.apply(field.page)
        slots = ledger(model, field.value, field.page, damaged, field.boxes, field.copies, recipe=recipe, how=field.how)
        scored += sum(slot.scored for slot in slots)
        out += sum(slot.scored and slot.legibility != "clear" for slot in slots)
    return out / max(1, scored)


def find_rungs(places: Sequence[float], shares: Sequence[float]) -> list[tuple[float, float]]:
    """(rung, share there) of each severity, by linear interpolation between ``places``.

    Shares are first made to rise (the largest so far). Where an aim is above them all, the first place of the largest is taken,
    where it is below them all the first place.
    """
    rising = np.maximum.accumulate(np.asarray(shares, float))
    found: list[tuple[float, float]] = []
    for aim in OUT_OF_CLEAR:
        place = float(places[0] if rising[0] >= aim else places[int(np.argmax(rising))])
        for (a, b), (low, high) in zip(pairwise(places), pairwise(rising), strict=True):
            if low < aim <= high:
                place = a + (b - a) * float((aim - low) / (high - low))
                break
        found.append((round(place, 3), round(float(np.interp(place, places, rising)), 3)))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m degradations.rungs", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--scale", nargs="+", choices=("tiny", "full"), default=["tiny", "full"])
    parser.add_argument("--operators", nargs="+", default=sorted(OPERATORS), metavar="NAME")
    parser.add_argument("--fields", type=int, default=24, help="fields a scale, one a document")
    parser.add_argument("--seed", type=int, default=61)
    args = parser.parse_args(arguments)
    classes = [operator_class(name, field="--operators") for name in args.operators]
    model = LegibilityModel()
    samples = [fields(scale, args.fields, args.seed) for scale in args.scale]
    for cls in tqdm(classes, unit="operator", leave=False):
        places = places_of(cls)
        shares = [[round(share_out(model, cls, at, sample, args.seed), 3) for at in places] for sample in samples]
        found = find_rungs(places, np.mean(shares, axis=0).tolist())
        tqdm.write(
            f"{cls.name}: rungs = {tuple(rung for rung, _ in found)}  # {[share for _, share in found]} of {shares}"
        )


if __name__ == "__main__":
    main()
