"""The table that severity answers to: what share of slots each operator takes out of ``clear`` at each of its rungs.

Severity k has to mean the same under every operator. Each one is drawn alone on the same fields of fresh documents
and the shares of slots no longer ``clear`` (and of those ``hidden``) are printed, severities 1 to 6 across. When
an operator's row departs from the others, its ``low``, ``high`` and ``rungs`` are what to change.

Run: ``python -m studies.ladders.table --scale tiny`` (about a minute on one core; ``--operators jpeg noise`` for some,
``--fields 100`` for narrower shares, ``--json FILE`` to keep the numbers).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from degradations.asked.plan import find_copies
from degradations.capture import Capture
from degradations.capture.draw import draw_capture
from degradations.chance import generator
from degradations.config import SimulateConfig
from degradations.legibility import LegibilityModel, Print, ledger
from degradations.operators import OPERATORS, Context, Image, Operator, operator_class
from degradations.recipe import Draw, Recipe, draw_in_order
from degradations.simulate import clean_document
from kie_hvqa.console import Progress
from kie_hvqa.data.files import write_json
from kie_hvqa.data.ledger import MAX_SEVERITY, Box, Slot


@dataclass(frozen=True, slots=True)
class Field:
    """A printed field of a clean page in its capture, with all that judging it needs."""

    name: str
    page: Image
    value: str
    boxes: tuple[Box, ...]
    copies: tuple[tuple[Box, ...], ...]
    how: Print
    capture: Capture
    material: str
    density: float

    def recipe(self, cls: type[Operator], draw: Draw, rng: np.random.Generator) -> Recipe:
        """What ``draw`` makes of the operator on this field."""
        context = Context.of(self.page, self.boxes, self.copies, self.density, self.capture.scene.desk)
        return draw_in_order([(cls, draw)], rng, context, self.capture)

    def judged(self, model: LegibilityModel, recipe: Recipe) -> list[Slot]:
        """The scored slots after ``recipe``."""
        damaged = recipe.apply(self.page)
        found = ledger(model, self.value, self.page, damaged, self.boxes, self.copies, recipe=recipe, how=self.how)
        return [slot for slot in found if slot.scored]


def suiting(cls: type[Operator], sample: Sequence[Field]) -> list[Field]:
    """The fields of documents to which the operator can happen; all, where that is none."""
    return [field for field in sample if field.material in cls.applies_to] or list(sample)


@dataclass(frozen=True, slots=True)
class Rung:
    """One operator at one severity: ``slots`` scored, and the shares of them ``out`` of clear and ``hidden``."""

    slots: int
    out: float
    hidden: float
    evidence: float


def fields(scale: str, count: int, seed: int) -> list[Field]:
    """``count`` fields, one a document."""
    config = SimulateConfig.model_validate(
        {"seed": seed, "count": count, "scale": scale, "values": {"natural": 0.5, "random": 0.5}}
    )
    found = []
    for index in range(count):
        document = clean_document(config, index)
        rng = generator(seed, str(index), "ladders")
        # One character says too little about a share.
        names = sorted(name for name, printed in document.fields.items() if len(printed.value) > 2)
        printed = document.fields[names[int(rng.integers(len(names)))]]
        how = Print(document.ground, printed.style)
        copies = find_copies(printed)
        capture = draw_capture(document, generator(seed, str(index), "capture"))
        found.append(
            Field(
                f"{index}/{printed.name}",
                document.image,
                printed.value,
                printed.boxes,
                copies,
                how,
                capture,
                document.material,
                document.density,
            )
        )
    return found


def rung(model: LegibilityModel, operator: str, severity: int, sample: Iterable[Field], seed: int) -> Rung:
    cls = operator_class(operator)
    slots: list[Slot] = []
    for field in suiting(cls, list(sample)):
        rng = generator(seed, field.name, operator, str(severity))
        slots += field.judged(model, field.recipe(cls, partial(cls.draw, severity), rng))
    labels = [slot.legibility for slot in slots]
    return Rung(
        len(slots),
        round(1 - labels.count("clear") / len(slots), 3),
        round(labels.count("hidden") / len(slots), 3),
        round(float(np.mean([slot.evidence for slot in slots])), 3),
    )


def table(rungs: dict[str, list[Rung]]) -> str:
    lines = [f"{'operator':24}{'out of clear at 1 … 6':36}{'hidden at 1 … 6':36}mean evidence at 1 … 6"]
    for name, row in sorted(rungs.items()):
        cells = [" ".join(f"{getattr(r, what):.2f}" for r in row) for what in ("out", "hidden", "evidence")]
        lines.append(f"{name:24}{cells[0]:36}{cells[1]:36}{cells[2]}")
    middle = [" ".join(f"{np.median([r[k].out for r in rungs.values()]):.2f}" for k in range(MAX_SEVERITY))]
    return "\n".join([*lines, f"{'median':24}{middle[0]}"])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies.ladders.table", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--scale", choices=("tiny", "full"), default="tiny")
    parser.add_argument("--operators", nargs="+", default=sorted(OPERATORS), metavar="NAME")
    parser.add_argument("--fields", type=int, default=24, help="fields, one a document")
    parser.add_argument("--seed", type=int, default=60)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(arguments)
    names = [operator_class(name, field="--operators").name for name in args.operators]
    model, sample = LegibilityModel(), fields(args.scale, args.fields, args.seed)
    rungs: dict[str, list[Rung]] = {}
    for name in Progress("measure", len(names), "operators").over(names):
        rungs[name] = [rung(model, name, severity, sample, args.seed) for severity in range(1, MAX_SEVERITY + 1)]
    print(table(rungs))
    if args.json:
        rows = {
            n: [{"slots": r.slots, "out": r.out, "hidden": r.hidden, "evidence": r.evidence} for r in v]
            for n, v in rungs.items()
        }
        write_json(args.json, {"scale": args.scale, "fields": args.fields, "seed": args.seed, "operators": rows})


if __name__ == "__main__":
    main()
