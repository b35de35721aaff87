"""What shows where the page ends: a table, a scanner's lid, the dark."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from degradations.operators.base import Colour, Image, Origin, Rng
from degradations.operators.blend import added
from degradations.operators.grain import clouds, grain

Material = Literal["wood", "cloth", "stone", "lid", "dark"]
MATERIALS: tuple[Material, ...] = ("wood", "cloth", "stone", "lid", "dark")
_COLOURS: dict[Material, tuple[Colour, ...]] = {
    "wood": ((158, 112, 70), (116, 78, 48), (196, 158, 112), (92, 64, 44)),
    "cloth": ((70, 82, 96), (132, 126, 116), (150, 60, 58), (58, 74, 62)),
    "stone": ((186, 184, 180), (120, 122, 126), (212, 208, 200)),
    "lid": ((238, 240, 240), (226, 226, 222)),
    "dark": ((18, 18, 20), (34, 32, 32)),
}


def draw_surface(rng: Rng, options: tuple[Material, ...] = MATERIALS) -> tuple[Material, Colour]:
    material = options[int(rng.integers(len(options)))]
    colours = _COLOURS[material]
    colour = np.clip(np.add(colours[int(rng.integers(len(colours)))], rng.integers(-10, 11, 3)), 0, 255)
    return material, tuple(int(v) for v in colour)  # type: ignore[return-value]


def surface(
    material: Material, colour: Colour, shape: tuple[int, int], origin: Origin, seed: int, unit: float
) -> Image:
    """The material over a window, uint8 [H, W, 3]; ``unit`` is the size of its detail in pixels.

    It is drawn on every ``step``-th pixel, as it lies below the page and a little out of focus.
    """
    step = max(1, int(unit / 6))
    first = (origin[0] // step, origin[1] // step)
    small = (-(-(origin[1] + shape[0]) // step) - first[1] + 1, -(-(origin[0] + shape[1]) // step) - first[0] + 1)
    tone = _tone(material, small, (first[0] * step, first[1] * step), seed, unit, step)
    picture = np.clip(np.asarray(colour, np.float32) * tone[:, :, None] + 0.5, 0, 255).astype(np.uint8)
    if step > 1:
        shift = [f * step - o + 0.5 * (step - 1) for f, o in zip(first, origin, strict=True)]
        matrix = np.array([[step, 0, shift[0]], [0, step, shift[1]]], np.float32)
        picture = cv2.warpAffine(picture, matrix, shape[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    noise = np.float32(2.5) * grain(shape, origin, seed ^ 21, 1, 1.4)[:, :, 0]
    return added(np.asarray(picture, np.uint8)[: shape[0], : shape[1]], noise)


def _tone(material: Material, shape: tuple[int, int], origin: Origin, seed: int, unit: float, step: int) -> NDArray:
    """How bright the material is at every ``step``-th pixel from ``origin``, float32 around 1."""
    tone: NDArray = np.ones(shape, np.float32)
    if material == "wood":
        # Growth rings cut lengthwise: streaks that wander, with fine pores along them.
        wander = clouds(shape, origin, seed, (30 * unit, 6 * unit), step=step)
        y = np.arange(shape[0], dtype=np.float32)[:, None] * np.float32(step) + np.float32(origin[1])
        rings = np.sin((y / np.float32(unit) + 2.6 * wander) * np.float32(1.4))
        pores = clouds(shape, origin, seed ^ 11, (9 * unit, 0.35 * unit), step=step)
        tone += 0.10 * rings * np.clip(0.6 + 0.4 * wander, 0.1, 1.2) + 0.06 * pores + 0.05 * wander
    elif material == "cloth":
        y, x = (
            np.arange(n, dtype=np.float32) * np.float32(step) + np.float32(o)
            for n, o in zip(shape, origin[::-1], strict=True)
        )
        period = np.float32(2 * np.pi / max(3.0 * step, 0.28 * unit))
        weave = np.cos(x * period)[None, :] * np.cos(y * period)[:, None]
        tone += 0.09 * weave + 0.05 * clouds(shape, origin, seed, 0.6 * unit, step=step)
        tone += 0.05 * clouds(shape, origin, seed ^ 3, 12 * unit, step=step)
    elif material == "stone":
        for cell, weight in ((14.0, 0.02), (2.0, 0.025), (0.35, 0.045)):
            tone += weight * clouds(shape, origin, seed ^ int(cell * 10), cell * unit, step=step)
    else:
        tone += 0.02 * clouds(shape, origin, seed, 20 * unit, step=step)
    return tone
