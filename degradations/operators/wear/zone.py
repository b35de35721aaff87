"""Where wear lies: wear is never even, so it has a place around the asked field, with a soft rim; and lines drawn there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from degradations.operators.aim import around
from degradations.operators.base import (
    Context,
    Finite,
    Image,
    Origin,
    Positive,
    Rng,
    number,
)
from degradations.operators.pixels.blend import smooth_step
from degradations.operators.pixels.parts import Part

Floats = NDArray[np.float32]
_SHIFT = 4  # fractional bits of the coordinates given to OpenCV


@dataclass(frozen=True, slots=True)
class Zone:
    """An ellipse of half axes ``width`` and ``height`` around (``x``, ``y``) (pixels): full inside, gone at 1.6 times."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    x: Finite
    y: Finite
    width: Positive
    height: Positive

    @classmethod
    def over(cls, rng: Rng, context: Context, room: float) -> Self:
        """The field and every copy of it, and ``room`` text heights around them, more or less."""
        x0, y0, x1, y1 = around([box for boxes in context.prints for box in boxes])
        extra = room * context.text_height * float(rng.uniform(0.8, 1.6))
        # An ellipse around a box has sqrt(2) times its half sides.
        return cls(
            number((x0 + x1) / 2 + rng.uniform(-0.3, 0.3) * extra),
            number((y0 + y1) / 2 + rng.uniform(-0.3, 0.3) * extra),
            number(0.71 * (x1 - x0) + extra),
            number(0.71 * (y1 - y0) + extra),
        )

    def part(self, image: Image, origin: Origin) -> Part | None:
        """Rows and columns of ``image`` that the zone touches, if any."""
        left = int(np.clip(math.floor(self.x - 1.6 * self.width) - origin[0], 0, image.shape[1]))
        right = int(np.clip(math.ceil(self.x + 1.6 * self.width) - origin[0], 0, image.shape[1]))
        top = int(np.clip(math.floor(self.y - 1.6 * self.height) - origin[1], 0, image.shape[0]))
        bottom = int(np.clip(math.ceil(self.y + 1.6 * self.height) - origin[1], 0, image.shape[0]))
        return (slice(top, bottom), slice(left, right)) if left < right and top < bottom else None

    def mask(self, shape: tuple[int, int], corner: Origin) -> Floats:
        x = (np.arange(shape[1], dtype=np.float32) + np.float32(corner[0] + 0.5 - self.x)) / np.float32(self.width)
        y = (np.arange(shape[0], dtype=np.float32) + np.float32(corner[1] + 0.5 - self.y)) / np.float32(self.height)
        return smooth_step((np.float32(1.3) - np.sqrt(x * x + (y * y)[:, None])) / np.float32(0.3))


def strokes(
    shape: tuple[int, int], corner: Origin, points: NDArray[np.float64], levels: NDArray, thickness: NDArray
) -> NDArray[np.uint8]:
    """Polylines of ``points`` [n, k, 2] (page pixels) drawn at ``levels`` [n] (0..255), ``thickness`` [n] pixels.

    Where lines cross, the later one shows.
    """
    canvas = np.zeros(shape, np.uint8)
    fixed = np.rint((points - np.asarray(corner, np.float64)) * (1 << _SHIFT)).astype(np.int32)
    for line, level, thick in zip(fixed, levels.tolist(), thickness.tolist(), strict=True):
        cv2.polylines(canvas, [line], False, int(level), int(thick), cv2.LINE_AA, _SHIFT)
    return canvas
