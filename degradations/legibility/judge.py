"""From evidence to slots: one field's ledger, whichever measure its evidence comes from.

A printed field carries its font (``Print``) and is judged by the ideal observer; a field of a real document, and the
further prints of a value, by what is kept of the ink's structure.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from degradations.legibility.constants import LegibilityModel
from degradations.legibility.frame import Frame, region_around, undamaged
from degradations.legibility.observer import Judgement, observe
from degradations.legibility.rivals import Print
from degradations.legibility.structure import structure_evidence
from degradations.operators.base import Image, split_lines
from degradations.recipe import Recipe
from kie_hvqa.data.ledger import Box, Slot


def ledger(
    model: LegibilityModel,
    value: str,
    page: Image,
    damaged: Image,
    boxes: Sequence[Box],
    copies: Sequence[Sequence[Box]] = (),
    *,
    recipe: Recipe,
    how: Print | None = None,
    within: Box | None = None,
) -> tuple[Slot, ...]:
    """The slots of one field: ``value`` with its ``boxes`` on the clean ``page``, after ``recipe`` made it ``damaged``.

    ``how`` it was printed makes it a matter for the ideal observer. Where the value is printed more than once (``copies``),
    a slot keeps the evidence of its best print, of those whose middle lies ``within`` a part of the damaged picture if there is
    one. A word space has no ink: it takes the lower evidence of its neighbours. A character of a real document without ink in
    the clean page supports nothing: its evidence is 0. The slots' boxes are where the recipe moved them.
    """
    if len(value) != len(boxes):
        raise ValueError(f"{len(value)} characters need as many boxes, not {len(boxes)}")
    if recipe.capture is None and page.shape != damaged.shape:
        raise ValueError(f"the clean page {list(page.shape)} and the damaged one {list(damaged.shape)} differ in shape")
    if how is not None and len(split_lines(boxes)) == 1:
        found = observe(model, value, boxes, how, page, damaged, recipe)
    else:
        found = [Judgement(evidence) for evidence in compared(model, page, damaged, boxes, recipe)]
    for copy in copies:
        shown = [within is None or lies_in(box, within) for box in recipe.map_boxes(copy)]
        for index, evidence in enumerate(compared(model, page, damaged, copy, recipe) if any(shown) else ()):
            if shown[index] and evidence > found[index].evidence:
                found[index] = Judgement(evidence)
    inked = [i for i, char in enumerate(value) if not char.isspace()]
    slots = []
    for index, (char, box) in enumerate(zip(value, recipe.map_boxes(boxes), strict=True)):
        judgement = found[index]
        if char.isspace():
            near = [
                max((i for i in inked if i < index), default=None),
                min((i for i in inked if i > index), default=None),
            ]
            judgement = Judgement(min((found[i].evidence for i in near if i is not None), default=1.0))
        evidence = round(judgement.evidence, 4)
        place = tuple(round(float(v), 2) for v in box)
        slots.append(Slot(char, model.label(evidence), evidence, place, judgement.rivals))  # type: ignore[arg-type]
    return tuple(slots)


def compared(
    model: LegibilityModel,
    page: Image,
    damaged: Image,
    boxes: Sequence[Box],
    recipe: Recipe,
    *,
    least: float = 0.0,
) -> list[float]:
    """Evidence of each box of the clean ``page`` from the two pictures alone; 0 where nothing printed there gets through.

    Where a box has less than ``least`` nobody asks what gets through in the others: what comes back are upper bounds then.
    """
    if not recipe.operators:
        return [1.0] * len(boxes)
    margin = 2 * max(box[3] - box[1] for box in boxes)
    region = region_around(boxes, margin, margin, page.shape)
    x0, y0, x1, y1 = region
    if x0 >= x1 or y0 >= y1:  # the whole field lies off the page
        return [0.0] * len(boxes)
    local = [(box[0] - x0, box[1] - y0, box[2] - x0, box[3] - y0) for box in boxes]
    before, after = undamaged(page, region, recipe), Frame(recipe, region).take(damaged)
    found = np.nan_to_num(structure_evidence(model, before, after, local))
    if found.min(initial=1.0) < least:
        return [float(v) for v in found]
    return [float(v) for v in np.where(_gets_through(page, boxes, recipe), found, 0.0)]


def _gets_through(page: Image, boxes: Sequence[Box], recipe: Recipe) -> list[bool]:
    """Whether the damaged page would look different in each box, had something else been printed there.

    Structure alone cannot know: the texture of a patch may happen to look like the letter below it.
    """
    margin = 2 * max(box[3] - box[1] for box in boxes)
    grid = max(operator.grid for operator in recipe.operators)
    x0, y0, x1, y1 = region_around(boxes, margin, margin, page.shape)
    x0, y0 = x0 - x0 % grid, y0 - y0 % grid
    window = page[y0:y1, x0:x1]
    other = window.copy()
    for box in boxes:
        part = other[_inside(box, (x0, y0))]
        if part.size:
            part[...] = 255 - part
    (before, origin, _), (after, _, _) = (recipe.apply_window(w, (x0, y0)) for w in (window, other))
    changed = cv2.absdiff(before, after).max(axis=2)
    parts = (changed[_inside(box, origin)] for box in recipe.map_boxes(boxes))
    return [bool(part.size) and int(part.max()) > 1 for part in parts]


def lies_in(box: Box, part: Box) -> bool:
    """Whether the middle of ``box`` does."""
    return part[0] <= (box[0] + box[2]) / 2 < part[2] and part[1] <= (box[1] + box[3]) / 2 < part[3]


def _inside(box: Box, origin: tuple[int, int]) -> tuple[slice, slice]:
    x0, y0, x1, y1 = (max(0, round(v) - o) for v, o in zip(box, (*origin, *origin), strict=True))
    return slice(y0, y1), slice(x0, x1)
