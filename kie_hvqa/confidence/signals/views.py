"""Other pictures of the same field: what a reader is shown again, to see whether it still says the same.

``jittered``  the page cut at its edges by up to 3 % and scaled by up to 6 %, never into the field where its place is known
``cropped``   the field alone with twice its height around it, at twice its size: what anybody would try first

Boxes go along, so an engine is told where the field lies on the new picture. Every draw comes from the row's id and the number of
the view, so a run that was interrupted goes on with the same pictures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kie_hvqa.data.ledger import Box, Row

if TYPE_CHECKING:
    from PIL.Image import Image

CUT, SCALE = 0.03, 0.06
AROUND, ENLARGED, LARGEST = 2.0, 2.0, 1600  # heights of the field; factor; pixels on the longer side

View = Callable[["Image", Row], tuple["Image", Row] | None]
"""A picture and its row → the same field on another picture; None where the view takes a place that nobody knows."""


def jittered(number: int) -> View:
    """The ``number``-th jitter."""

    def view(image: Image, row: Row) -> tuple[Image, Row]:
        rng = _generator("jitter", row.id, str(number))
        left, top, right, bottom = rng.uniform(0, CUT, 4)
        width, height = image.size
        window = [left * width, top * height, (1 - right) * width, (1 - bottom) * height]
        if row.slots:
            x0, y0, x1, y1 = _bounds(row)
            window = [min(window[0], x0), min(window[1], y0), max(window[2], x1), max(window[3], y1)]
        return _seen(image, row, _whole(window, image.size), float(rng.uniform(1 - SCALE, 1 + SCALE)))

    return view


def cropped(image: Image, row: Row) -> tuple[Image, Row] | None:
    if not row.slots:
        return None
    x0, y0, x1, y1 = _bounds(row)
    margin = AROUND * max(slot.box[3] - slot.box[1] for slot in row.slots)
    window = _whole([x0 - margin, y0 - margin, x1 + margin, y1 + margin], image.size)
    longest = max(window[2] - window[0], window[3] - window[1])
    return _seen(image, row, window, min(ENLARGED, max(1.0, LARGEST / longest)))


def _seen(image: Image, row: Row, window: tuple[int, int, int, int], scale: float) -> tuple[Image, Row]:
    from PIL import Image as Pillow

    cut = image.crop(window)
    size = (max(1, round(cut.width * scale)), max(1, round(cut.height * scale)))
    shown = cut.resize(size, Pillow.Resampling.BICUBIC)
    along, down = size[0] / cut.width, size[1] / cut.height

    def moved(box: Box) -> Box:
        x0, y0, x1, y1 = box
        return (
            (x0 - window[0]) * along,
            (y0 - window[1]) * down,
            (x1 - window[0]) * along,
            (y1 - window[1]) * down,
        )

    slots = None if row.slots is None else tuple(replace(slot, box=moved(slot.box)) for slot in row.slots)
    return shown, replace(row, slots=slots)


def _bounds(row: Row) -> Box:
    boxes = [slot.box for slot in row.slots or ()]
    return (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    )


def _whole(window: list[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Whole pixels within the image, at least one."""
    left, top = (int(min(max(0, np.floor(low)), side - 1)) for low, side in zip(window[:2], size, strict=True))
    right, bottom = (int(min(side, np.ceil(high))) for high, side in zip(window[2:], size, strict=True))
    return left, top, max(left + 1, right), max(top + 1, bottom)


def _generator(*parts: str) -> np.random.Generator:
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))
