"""What evidence could reach at most: how well the reader himself, asked other texts, predicts what he reads here.

No label can know a reader's whims. This is the most that a label could know of the rest: the same reader is given
``TEXTS`` other texts of the same classes of characters, set in the same face at the same place, under the same
damage, and the share of them that he reads is his own forecast for this line. Its AUROC stands beside that of evidence,
which has never seen him.

Run: ``python -m studies.calibration.ceiling --documents 60`` (four and a half minutes on one core; the blurs, or other
``--operators`` that leave a line where it is).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from degradations.chance import generator
from degradations.legibility import LegibilityModel
from degradations.legibility.rivals import Setting, rivals
from degradations.operators import Context, operator_class
from degradations.operators.base import Rng, draw_at
from degradations.recipe import Recipe, draw_in_order
from studies.calibration.fit import Slots
from studies.calibration.lines import Line, printed_lines
from studies.calibration.readers import Read, rapidocr
from studies.calibration.summary import BLUR, auroc
from studies.calibration.trials import PLACES, Trial, read_clean, read_shown, trial

TEXTS = 6
_REPEATS = 3  # damaged versions of each line
_CLASS = 26  # other characters that a letter may become


@dataclass(frozen=True, slots=True)
class Other:
    """Another text on the page of a line, and which of its characters the reader gets right without damage."""

    line: Line
    right: NDArray[np.bool_]


def others(line: Line, read: Read, rng: Rng, count: int = TEXTS) -> list[Other]:
    """``count`` texts of random letters and digits where ``line`` (a printed one) has its own; marks stay."""
    assert line.how is not None
    style = line.how.style
    setting = Setting(line.value, line.page, (0, 0), line.how)
    found = []
    for _ in range(count):
        value = "".join(
            str(rng.choice([char, *rivals(style.family, style.weight, char, _CLASS)])) if char.isalnum() else char
            for char in line.value
        )
        page = setting.printed({i: char for i, char in enumerate(value) if char != line.value[i]})
        other = replace(line, value=value, page=page)
        found.append(Other(other, read_shown(other, Recipe((), line.capture), read)))
    return found


def forecast(texts: list[Other], recipe: Recipe, read: Read) -> float:
    """The share of the other texts' characters that survive ``recipe``, of those that are read without it."""
    asked = sum(int(text.right.sum()) for text in texts)
    kept = sum(int((read_shown(text.line, recipe, read) & text.right).sum()) for text in texts)
    return kept / max(1, asked)


def measured(lines: Iterator[Line], operators: list[str], read: Read, seed: int) -> Iterator[tuple[Trial, float]]:
    """A trial and the reader's own forecast for it, for every line and repeat. Operators leave lines where they are."""
    model = LegibilityModel()
    for line in lines:
        rng = generator(seed, line.document, line.name, "ceiling")
        asked = read_clean(line, read)
        if not asked.any():
            continue
        texts = others(line, read, rng)
        for _ in range(_REPEATS):
            cls = operator_class(operators[int(rng.integers(len(operators)))], field="--operators")
            place = float(rng.uniform(*PLACES))
            context = Context.of(line.page, line.boxes, (), line.density)
            recipe = draw_in_order([(cls, partial(draw_at, cls, place))], rng, context, line.capture)
            found = trial(line, recipe, {"rapidocr": read}, {"rapidocr": asked}, model)
            yield found, forecast(texts, recipe, read)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m studies.calibration.ceiling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--documents", type=int, default=40)
    parser.add_argument("--fields", type=int, default=3, help="lines of each document")
    parser.add_argument("--operators", nargs="+", default=list(BLUR), metavar="NAME")
    parser.add_argument("--seed", type=int, default=20260711)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    lines = printed_lines("full", args.documents, args.fields, args.seed)
    pairs = list(measured(lines, args.operators, rapidocr(), args.seed))
    model = LegibilityModel()
    slots = Slots.of([found for found, _ in pairs], "rapidocr", model.rivals)
    evidence = slots.evidence(model)
    counts = [int(found.asked["rapidocr"].sum()) for found, _ in pairs]
    own = np.repeat([share for _, share in pairs], counts)
    names = np.repeat([found.operator for found, _ in pairs], counts)
    print(f"{'operator':20}{'slots':>7}{'read':>7}{'evidence':>10}{'the reader':>12}")
    for name in [*args.operators, "all"]:
        of = np.ones(len(names), bool) if name == "all" else names == name
        right = slots.right[of]
        row = f"{name:20}{of.sum():7d}{right.mean() if of.any() else float('nan'):7.2f}"
        print(f"{row}{auroc(evidence[of], right)!s:>10}{auroc(own[of], right)!s:>12}")


if __name__ == "__main__":
    main()
