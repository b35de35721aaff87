"""Draws a damaged document with its ledger over it, for people: slots framed by legibility, evidence as a bar below.

Run: python -m degradations.picture --template us_licence --severity 4 --seed 3 --out docs/ledger.jpg
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from degradations.asked.question import Question
from degradations.capture.draw import draw_capture
from degradations.config import SimulateConfig
from degradations.damage import damage
from degradations.documents import render
from degradations.legibility import LegibilityModel, Print
from degradations.operators import OPERATORS
from kie_hvqa.data.files import replacing
from kie_hvqa.data.ledger import Slot

COLOURS = {"clear": (34, 139, 60), "partial": (230, 130, 0), "hidden": (205, 30, 40)}  # RGB


def draw_ledger(image: np.ndarray, slots: Iterable[Slot]) -> np.ndarray:
    """``image`` uint8 [H, W, 3] RGB with each scored slot framed and its evidence drawn as a bar under it; a copy."""
    shown = image.copy()
    for slot in slots:
        if not slot.scored:
            continue
        x0, y0, x1, y1 = (round(value) for value in slot.box)
        colour = COLOURS[slot.legibility]
        thickness = max(1, (y1 - y0) // 20)
        cv2.rectangle(shown, (x0 + 1, y0), (x1 - 1, y1), colour, thickness, cv2.LINE_AA)
        height = max(2, (y1 - y0) // 7)
        top = y1 + thickness + 1
        cv2.rectangle(shown, (x0 + 1, top), (x1 - 1, top + height), (255, 255, 255), -1)
        cv2.rectangle(shown, (x0 + 1, top), (x0 + 1 + round((x1 - x0 - 2) * slot.evidence), top + height), colour, -1)
    return shown


def picture(template: str, severity: int, seed: int, operators: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """A full-scale card damaged for all of its fields at once: without and with the ledger, uint8 [H, W, 3] RGB."""
    rng = np.random.default_rng(seed)
    document = render(template, rng, split="test", scale="full")
    questions = [
        Question(
            "answerable",
            name,
            field.question_name,
            field.value,
            field.boxes,
            how=Print(document.ground, field.style),
        )
        for name, field in document.fields.items()
    ]
    counts = SimulateConfig(count=1).operators_per_image
    capture = draw_capture(document, rng)
    operators = {name: w for name, w in operators.items() if document.material in OPERATORS[name].applies_to}
    damaged = damage(
        document.image,
        questions,
        severity,
        rng,
        operators,
        counts,
        LegibilityModel(),
        capture=capture,
        density=document.density,
    )
    return damaged.image, draw_ledger(damaged.image, [slot for slots in damaged.slots for slot in slots])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--template", default="us_licence")
    parser.add_argument("--severity", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--operators", nargs="+", default=["glare", "finger", "motion_blur"])
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    plain, framed = picture(
        arguments.template, arguments.severity, arguments.seed, dict.fromkeys(arguments.operators, 1.0)
    )
    gap = np.full((plain.shape[0], 16, 3), 255, np.uint8)
    both = cv2.resize(np.hstack([plain, gap, framed]), None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    with replacing(arguments.out, "wb") as stream:
        stream.write(cv2.imencode(arguments.out.suffix, both[:, :, ::-1])[1].tobytes())


if __name__ == "__main__":
    main()
