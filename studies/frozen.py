"""Numbers that no law pins: what the observer says of fixed recipes, what each operator does to pixels, what a reader read.

A fault that scales a constant breaks no law and moves a number. `tests/degradations/legibility/test_frozen.py` measures these again and
allows ± 0.01. Where a number is meant to move, write them anew (a minute, RapidOCR included) and look at what moved:

    python -m studies.frozen --write

The pages are plain lines of print on shaded paper, so that no change to a template moves anything here.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from degradations.chance import generator
from degradations.documents.model import TextStyle
from degradations.documents.typeset import ink, typeset
from degradations.legibility import LegibilityModel, Print, compared, ledger
from degradations.operators import OPERATORS, Context, Image
from degradations.operators.base import draw_at
from degradations.recipe import Recipe
from kie_hvqa.data.files import write_text
from kie_hvqa.data.ledger import Box

FILE = Path(__file__).parents[1] / "tests" / "degradations" / "legibility" / "frozen.json"
SEVERITIES = (2, 4)
READ = 90  # trials of the reader
_MODEL = LegibilityModel()
_TEXTS = (
    ("KB8 RE305 MWQ", "Arimo", 400, 22.0),
    ("Sørensen 17.04", "Source Sans 3", 600, 19.0),
    ("1,298.60 EUR", "Roboto Mono", 400, 17.0),
    ("Hofgasse 63 b", "PT Serif", 400, 24.0),
)


@dataclass(frozen=True, slots=True)
class Sheet:
    """One line of print: ``page`` uint8 [H, W, 3], its text, boxes, and how to set it again."""

    text: str
    page: Image
    boxes: tuple[Box, ...]
    how: Print


@cache
def sheets() -> tuple[Sheet, ...]:
    """The lines on paper whose shade falls off, with a coloured rule below: something to blur, tint and cover."""
    made = []
    for text, family, weight, size in _TEXTS:
        width, height = round(0.75 * size * len(text)) + 80, round(5 * size)
        shade = 236 - 14 * np.linspace(0, 1, width)[None, :, None] - 8 * np.linspace(0, 1, height)[:, None, None]
        ground = np.repeat(shade, 3, 2).astype(np.uint8)
        ground[-round(size) : -round(size) + 3, 20:-20] = (60, 90, 150)
        style = TextStyle(family, weight, size, (28, 30, 44), 36.0, round(2.8 * size))
        line, page = typeset(text, style), ground.copy()
        ink(page, line, style.colour)
        made.append(Sheet(text, page, line.boxes, Print(ground, style)))
    return tuple(made)


def evidence(sheet: Sheet, recipe: Recipe) -> list[float]:
    """What the observer says of every slot."""
    damaged = recipe.apply(sheet.page)
    slots = ledger(_MODEL, sheet.text, sheet.page, damaged, sheet.boxes, recipe=recipe, how=sheet.how)
    return [slot.evidence for slot in slots]


def structure(sheet: Sheet, recipe: Recipe) -> list[float]:
    """What a real document's measure says of every slot."""
    return [round(v, 4) for v in compared(_MODEL, sheet.page, recipe.apply(sheet.page), sheet.boxes, recipe)]


def pixels(sheet: Sheet, recipe: Recipe) -> list[float]:
    """The mean grey level after damage, the mean absolute change, and the mean step between neighbours: grey levels."""
    damaged = recipe.apply(sheet.page).astype(np.float64)
    steps = float(np.abs(np.diff(damaged, axis=1)).mean())
    return [round(v, 3) for v in (float(damaged.mean()), float(np.abs(damaged - sheet.page).mean()), steps)]


def cases() -> Iterator[tuple[int, Recipe]]:
    """(sheet, recipe) for every operator at two severities."""
    for number, name in enumerate(sorted(OPERATORS)):
        for severity in SEVERITIES:
            at = (number + severity) % len(_TEXTS)
            sheet = sheets()[at]
            rng = generator(0, name, str(severity), "frozen")
            yield at, Recipe((OPERATORS[name].draw(severity, rng, Context.of(sheet.page, sheet.boxes)),))


def measured(at: int, recipe: Recipe) -> dict[str, Any]:
    sheet = sheets()[at]
    return {"evidence": evidence(sheet, recipe), "structure": structure(sheet, recipe), "pixels": pixels(sheet, recipe)}


def readings(count: int) -> Iterator[dict[str, Any]]:
    """What RapidOCR reads of ``count`` damaged lines, strengths spread over the ladders: the slots that it gets right."""
    from degradations.legibility.frame import Frame
    from studies.calibration.readers import rapidocr
    from studies.calibration.trials import read_right

    read, names = rapidocr(), sorted(OPERATORS)
    clean = [read_right(read, sheet.page, sheet.text, sheet.boxes) for sheet in sheets()]
    for number in range(count):
        at, rng = number % len(_TEXTS), generator(number, "frozen reading")
        sheet = sheets()[at]
        operator = draw_at(
            OPERATORS[names[number % len(names)]],
            float(rng.uniform(-0.2, 1.2)),
            rng,
            Context.of(sheet.page, sheet.boxes),
        )
        recipe = Recipe((operator,))
        height, width = sheet.page.shape[:2]
        upright = Frame(recipe, (0, 0, width, height)).take(recipe.apply(sheet.page))
        right = read_right(read, upright, sheet.text, sheet.boxes)
        marks = "".join("_" if not asked else "1" if ok else "0" for asked, ok in zip(clean[at], right, strict=True))
        yield {"sheet": at, "recipe": recipe.to_json(), "right": marks}


def score(trials: Sequence[Mapping[str, Any]]) -> tuple[float | None, int, float]:
    """AUROC of today's evidence for stored readings, over how many slots, and which share of them was read."""
    from studies.calibration.summary import auroc

    found, right = [], []
    for trial in trials:
        told = evidence(sheets()[trial["sheet"]], Recipe.from_json(trial["recipe"]))
        pairs = [(value, mark == "1") for value, mark in zip(told, trial["right"], strict=True) if mark != "_"]
        found += [value for value, _ in pairs]
        right += [read for _, read in pairs]
    return auroc(np.array(found), np.array(right)), len(right), float(np.mean(right))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m studies.frozen", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {FILE.name} anew")
    args = parser.parse_args()
    made = [{"sheet": at, "recipe": recipe.to_json(), **measured(at, recipe)} for at, recipe in cases()]
    read = list(readings(READ))
    found = score(read)
    print(f"{len(made)} cases; AUROC for {found[1]} slots, {found[2]:.0%} of them read: {found[0]}")
    if args.write:
        write_frozen(made, read, found[0])


def write_frozen(made: list[dict[str, Any]], read: list[dict[str, Any]], area: float | None) -> None:
    """One case a line, so that a difference shows what moved."""
    cases, trials = (",\n".join(json.dumps(row, ensure_ascii=False) for row in part) for part in (made, read))
    write_text(FILE, f'{{"auroc": {json.dumps(area)},\n"cases": [\n{cases}\n],\n"readings": [\n{trials}\n]}}\n')


if __name__ == "__main__":
    main()
