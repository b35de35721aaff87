"""One trial is one printed line, damaged once and read once: what was measured in every slot, and who read it right.

Lines come from fresh documents. A psychometric curve needs both its ends, so each operator is drawn at strengths spread
evenly over its whole ladder and beyond both ends (``PLACES``; not over its rungs, which are set by what is fitted here);
or at the severities of a dataset. A sixth of the trials has two operators at once. As in a dataset every page is seen by a
capture, and only what can happen to its material happens to it. A slot counts for a reader only if he reads it when the capture
is all that happened: damage is not to blame for the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from degradations.capture import Capture
from degradations.chance import generator
from degradations.documents.model import Material
from degradations.legibility import LegibilityModel
from degradations.legibility.frame import Frame, Region, region_around, undamaged
from degradations.legibility.observer import Trace, trace
from degradations.legibility.structure import structure_kept
from degradations.operators import FAMILIES, OPERATORS, Context, Image
from degradations.operators.base import Rng, draw_at
from degradations.recipe import Recipe, beside, draw_in_order, draw_recipe
from kie_hvqa.data.ledger import MAX_SEVERITY, Box
from studies.calibration.lines import Line
from studies.calibration.readers import Read

PLACES = (-0.4, 1.3)  # of a ladder: 0 is its foot, 1 its head
_MIXED = 6  # every sixth trial has two operators


@dataclass(frozen=True, slots=True)
class Trial:
    """``traces``: None where the slot is untouched or nothing was observed. ``structure`` and ``contrast``: float64 [n].

    ``asked`` and ``right`` by reader: bool [n], the slots that count, and those read right.
    """

    document: str
    name: str
    value: str
    operators: tuple[str, ...]
    traces: tuple[Trace | None, ...]
    structure: NDArray[np.float64]
    contrast: NDArray[np.float64]
    asked: dict[str, NDArray[np.bool_]]
    right: dict[str, NDArray[np.bool_]]

    @property
    def operator(self) -> str:
        return self.operators[0] if len(self.operators) == 1 else "mixture"


def trials(
    line: Line, readers: Mapping[str, Read], model: LegibilityModel, seed: int, repeats: int, *, wide: bool = True
) -> Iterator[Trial]:
    """``repeats`` damaged versions of ``line``; which operators and strengths they get follows from ``seed``."""
    rng = generator(seed, line.document, line.name, "calibration")
    asked = {name: read_clean(line, read) for name, read in readers.items()}
    if not any(slots.any() for slots in asked.values()):
        return
    desk = None if line.capture is None else line.capture.scene.desk
    context = Context.of(line.page, line.boxes, (), line.density, desk)
    draw = drawn_wide if wide else drawn_as_data
    for _ in range(repeats):
        yield trial(line, draw(rng, context, suiting(line.material), line.capture), readers, asked, model)


def suiting(material: Material) -> list[str]:
    """The operators that can happen to a thing of ``material``."""
    return sorted(name for name, cls in OPERATORS.items() if material in cls.applies_to)


def drawn_wide(rng: Rng, context: Context, names: Sequence[str], capture: Capture | None = None) -> Recipe:
    """One of the operators ``names`` anywhere on its ladder, or two: the second in the lower half of its own, as in a dataset."""
    low, high = PLACES
    chosen: list[tuple[str, float]] = []
    for top in (high, (low + high) / 2)[: _how_many(rng)]:
        chosen.append((names[int(rng.integers(len(names)))], float(rng.uniform(low, top))))
        names = beside(chosen[-1][0], names)
    classes = [(OPERATORS[name], place) for name, place in chosen]
    return draw_in_order([(cls, partial(draw_at, cls, place)) for cls, place in classes], rng, context, capture)


def drawn_as_data(rng: Rng, context: Context, names: Sequence[str], capture: Capture | None = None) -> Recipe:
    """One or two of the operators ``names`` at severities 1 to 6."""
    counts = {_how_many(rng): 1.0}
    severity = int(rng.integers(1, MAX_SEVERITY + 1))
    return draw_recipe(severity, rng, context, dict.fromkeys(names, 1.0), counts, capture)


def _how_many(rng: Rng) -> int:
    return 1 if rng.integers(_MIXED) else 2


def trial(
    line: Line,
    recipe: Recipe,
    readers: Mapping[str, Read],
    asked: Mapping[str, NDArray[np.bool_]],
    model: LegibilityModel,
) -> Trial:
    damaged = recipe.apply(line.page)
    region, boxes = around_line(line)
    still, upright = undamaged(line.page, region, recipe), Frame(recipe, region).take(damaged)
    traces: Sequence[Trace | None] = [None] * len(line.value)
    if line.how is not None:
        traces = trace(model, line.value, line.boxes, line.how, line.page, damaged, recipe)
    return Trial(
        line.document,
        line.name,
        line.value,
        recipe.names,
        tuple(traces),
        np.nan_to_num(structure_kept(model, still, upright, boxes)),
        ink_contrast(still, upright, boxes),
        dict(asked),
        {name: read_right(read, upright, line.value, boxes) for name, read in readers.items()},
    )


def read_clean(line: Line, read: Read) -> NDArray[np.bool_]:
    """Which characters of ``line`` the reader gets right where the capture is all that happened: those he can be asked about."""
    printed = np.array([not char.isspace() for char in line.value])
    return read_shown(line, Recipe((), line.capture), read) & printed


def read_shown(line: Line, recipe: Recipe, read: Read) -> NDArray[np.bool_]:
    """Which characters of ``line`` the reader gets right after ``recipe``.

    He gets a line that was turned or bent upright again, in the page's pixels, as the pipelines around readers do it.
    """
    region, boxes = around_line(line)
    return read_right(read, Frame(recipe, region).take(recipe.apply(line.page)), line.value, boxes)


def around_line(line: Line) -> tuple[Region, list[Box]]:
    """The part of the clean page around ``line``, and where its boxes lie in it."""
    margin = 3 * max(box[3] - box[1] for box in line.boxes)
    x0, y0, _, _ = region = region_around(line.boxes, margin, margin, line.page.shape)
    return region, [(box[0] - x0, box[1] - y0, box[2] - x0, box[3] - y0) for box in line.boxes]


def read_right(read: Read, image: Image, value: str, boxes: Sequence[Box]) -> NDArray[np.bool_]:
    """Which characters of a one-line ``value`` the reader gets right; letter case is not held against him."""
    x0, y0, x1, y1 = around(image, boxes)
    text = read(image[y0:y1, x0:x1]).upper() if x0 < x1 and y0 < y1 else ""
    right = np.zeros(len(value), bool)
    for step in Levenshtein.opcodes(value.upper(), text):
        if step.tag == "equal":
            right[step.src_start : step.src_end] = True
    return right


def around(image: Image, boxes: Sequence[Box]) -> tuple[int, int, int, int]:
    """The crop a reader gets: 0.3 text heights beside the line and 0.12 above and below, inside the image."""
    array = np.asarray(boxes, np.float64)
    margin = np.array([0.3, 0.12]) * float(np.percentile(array[:, 3] - array[:, 1], 80))
    x0, y0 = np.maximum(0, array[:, :2].min(0) - margin).astype(int)
    x1, y1 = np.minimum(image.shape[1::-1], np.ceil(array[:, 2:].max(0) + margin)).astype(int)
    return int(x0), int(y0), int(x1), int(y1)


def ink_contrast(clean: Image, damaged: Image, boxes: Sequence[Box]) -> NDArray[np.float64]:
    """The baseline: the spread of grey levels in the damaged slot as a share of the clean slot's, at most 1."""
    shares = []
    for box in boxes:
        x0, y0, x1, y1 = (round(v) for v in box)
        part = (slice(max(0, y0), max(y1, y0 + 1, 1)), slice(max(0, x0), max(x1, x0 + 1, 1)))
        before, after = (_spread(image[part]) for image in (clean, damaged))
        shares.append(min(1.0, after / max(1.0, before)))
    return np.array(shares)


def _spread(image: Image) -> float:
    return float(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).std()) if image.size else 0.0


def family(operator: str) -> str:
    """The family of an operator by name; two at once are a ``mixture``."""
    for name, members in FAMILIES.items():
        if any(member.name == operator for member in members):
            return name
    return "mixture"
