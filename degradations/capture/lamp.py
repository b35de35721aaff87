"""The light of one picture: a lamp to one side, a soft shadow, bends in the sheet, a lens that darkens its corners.

All of it changes slowly, so it is computed on a lattice of every 16th pixel of the picture and put on at once, as one product
and one sum; a window of the picture meets the same lattice.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from degradations.operators.base import Finite, Image, NotNegative, Origin, Positive, Share

Floats = NDArray[np.float32]
Size = tuple[int, int]
CELL = 16
_UNIT = 200  # a gain of 1 in fields that are kept as bytes


@dataclass(frozen=True, slots=True)
class Shade:
    """A soft shadow: the side towards ``angle`` degrees of the line through (``x``, ``y``) loses ``depth`` of its light.

    ``soft`` is the width of the penumbra, ``bulge`` how far the edge bends, both in shares of the picture's longer side, as
    ``x`` and ``y`` are of its width and height.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    x: Finite
    y: Finite
    angle: Finite
    soft: Positive
    bulge: Finite
    depth: Share


@dataclass(frozen=True, slots=True)
class Sheen:
    """The lamp's broad reflection in a smooth surface: a band at ``offset`` across ``angle`` degrees, ``width`` wide, in
    shares of the picture's longer side, that adds ``levels`` grey levels."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    offset: Finite
    angle: Finite
    width: Positive
    levels: NotNegative


@dataclass(frozen=True, slots=True)
class Lamp:
    """Light falls by ``fall`` from side to side towards ``angle`` degrees, and by ``vignette`` in the corners.

    ``bends`` are (place, reach, depth) along the page's height: where a sheet that does not lie flat turns from the lamp.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    angle: Finite
    fall: NotNegative
    curve: Finite
    vignette: NotNegative
    shades: tuple[Shade, ...]
    sheen: Sheen | None
    bends: tuple[tuple[Finite, Positive, Finite], ...]

    def lit(self, image: Image, origin: Origin, size: Size) -> Image:
        """A window of the picture at ``origin`` under this lamp; ``size`` is that of the whole picture."""
        gain, sheen = _fields(self, (image.shape[0], image.shape[1]), origin, size)
        image = np.asarray(cv2.multiply(image, gain, scale=1 / _UNIT), np.uint8)
        return image if sheen is None else np.asarray(cv2.add(image, sheen), np.uint8)

    def _gain(self, x: Floats, y: Floats, size: Size) -> Floats:
        width, height = size
        u, v = x * np.float32(2 / width) - 1, y * np.float32(2 / height) - 1
        angle = np.deg2rad(self.angle)
        along = u * np.float32(np.cos(angle)) + v * np.float32(np.sin(angle))
        gain = 1 - np.float32(self.fall) * (along + np.float32(self.curve) * along * along)
        gain -= np.float32(self.vignette) * np.square(0.5 * (u * u + v * v))
        longer = max(size)
        for shade in self.shades:
            a = np.deg2rad(shade.angle)
            dx = (x - np.float32(shade.x * width)) / np.float32(longer)
            dy = (y - np.float32(shade.y * height)) / np.float32(longer)
            ahead = dx * np.float32(np.cos(a)) + dy * np.float32(np.sin(a))
            beside = dy * np.float32(np.cos(a)) - dx * np.float32(np.sin(a))
            t = np.clip((ahead + np.float32(shade.bulge) * beside * beside) / np.float32(shade.soft) + 0.5, 0, 1)
            gain *= 1 - np.float32(shade.depth) * t * t * (3 - 2 * t)
        for place, reach, depth in self.bends:
            away = y * np.float32(1 / height) - np.float32(place) + np.float32(0.02) * u
            gain *= 1 + np.float32(depth) * np.exp(-np.square(away / np.float32(reach)))
        return np.asarray(gain, np.float32)

    @staticmethod
    def _sheen(sheen: Sheen, x: Floats, y: Floats, size: Size) -> Floats:
        angle, longer = np.deg2rad(sheen.angle), max(size)
        dx, dy = (x - np.float32(size[0] / 2)) / np.float32(longer), (y - np.float32(size[1] / 2)) / np.float32(longer)
        across = dx * np.float32(np.cos(angle)) + dy * np.float32(np.sin(angle)) - np.float32(sheen.offset)
        return np.asarray(np.float32(sheen.levels) * np.exp(-np.square(across / np.float32(sheen.width))), np.float32)


# An observer takes the same window again and again, with other characters in it: its light is kept.
@lru_cache(maxsize=2)
def _fields(
    lamp: Lamp, shape: tuple[int, int], origin: Origin, size: Size
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """The gain (in ``_UNIT``) and the added light of a window, uint8 [h, w, 3] each; not to be written to."""
    x, y, inside = _lattice(shape, origin)
    gain = _spread(lamp._gain(x, y, size) * _UNIT, inside)
    return gain, None if lamp.sheen is None else _spread(lamp._sheen(lamp.sheen, x, y, size), inside)


def _lattice(shape: tuple[int, ...], origin: Origin) -> tuple[Floats, Floats, tuple[slice, slice]]:
    """Lattice points around a window, x as [1, n] and y as [m, 1], and where the window lies in the field spread from it."""
    axes, inside = [], []
    for o, n in zip(origin, shape[1::-1], strict=True):
        first = o // CELL - 1
        axes.append((np.arange(first, (o + n - 1) // CELL + 2, dtype=np.float32) + np.float32(0.5)) * CELL)
        inside.append(slice(o - first * CELL, o - first * CELL + n))
    return axes[0][None, :], axes[1][:, None], (inside[1], inside[0])


def _spread(field: Floats, inside: tuple[slice, slice]) -> NDArray[np.uint8]:
    """``field`` on the lattice, as bytes at every pixel of the window in three planes."""
    small = np.clip(field + np.float32(0.5), 0, 255).astype(np.uint8)
    large = cv2.resize(small, None, fx=CELL, fy=CELL, interpolation=cv2.INTER_LINEAR)
    part = np.ascontiguousarray(large[inside])
    return np.asarray(cv2.merge((part,) * 3), np.uint8)
