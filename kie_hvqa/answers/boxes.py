"""Where a value stands: boxes as a model writes them, in the coordinates that its family was taught, and how far two overlap.

A trained reader may say where it read (``answer: with_box`` in a recipe of the warm start): one more key behind the others, under the name
that Qwen's models use for boxes, with whole numbers (x0, y0, x1, y1). Families differ in what the numbers mean:

``pixels``       of the image as the model sees it, resized under its budget: Qwen2.5-VL (QwenLM/Qwen3-VL#866)
``thousandths``  of its width and height, whatever its size: Qwen2-VL (the same thread), Qwen3-VL and later (#1427, #1486)

On the page a box is in pixels of the upright image in its file, as the ledger has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from kie_hvqa.data.ledger import Box, Slot

BOX_KEY = "bbox_2d"
Coordinates = Literal["pixels", "thousandths"]
FAMILIES: dict[str, Coordinates] = {
    "qwen2_5_vl": "pixels",
    "qwen2_vl": "thousandths",
    "qwen3_vl": "thousandths",
    "qwen3_vl_moe": "thousandths",
    "qwen3_5": "thousandths",
    "qwen3_5_moe": "thousandths",
}
"""``model_type`` of a configuration → its coordinates. What another family means by four numbers nobody here knows."""
Size = tuple[int, int]
"""(width, height), pixels."""


def written(box: Box, page: Size, shown: Size, coordinates: Coordinates) -> Box:
    """``box`` on a ``page`` as a model that is ``shown`` the page in that size writes it: whole numbers, within the page."""
    across, down = _scale(page, shown, coordinates)
    sides = (box[0] * across, box[1] * down, box[2] * across, box[3] * down)
    ends = (page[0] * across, page[1] * down) * 2
    x0, y0, x1, y1 = (float(round(min(max(side, 0.0), end))) for side, end in zip(sides, ends, strict=True))
    return (x0, y0, max(x1, x0 + 1), max(y1, y0 + 1))


def on_page(box: Box, page: Size, shown: Size, coordinates: Coordinates) -> Box:
    """The reverse of ``written``, up to rounding."""
    across, down = _scale(page, shown, coordinates)
    return (box[0] / across, box[1] / down, box[2] / across, box[3] / down)


def _scale(page: Size, shown: Size, coordinates: Coordinates) -> tuple[float, float]:
    whole = (1000, 1000) if coordinates == "thousandths" else shown
    return whole[0] / page[0], whole[1] / page[1]


def of_field(slots: Sequence[Slot] | None) -> Box | None:
    """The box around a field's printed characters, those that are hidden too; None for one that is not on the page."""
    boxes = [slot.box for slot in slots or () if slot.scored]
    if not boxes:
        return None
    return (min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes))


def overlap(one: Box, other: Box) -> float:
    """Intersection over union, in [0, 1]."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (_area(one) + _area(other) - shared)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
