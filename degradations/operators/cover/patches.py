"""Plain patches on the page: they hide what is below them, wholly or in part, and look like nothing in particular.

``stickers.py`` has the labels and tape that people leave on documents. Patches stay beside them because their edge and opacity
are exact, whatever the page: they are what "covered" means in every test of the ledger.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from degradations.operators.aim import around, by_line, targets, window
from degradations.operators.base import (
    COVER,
    Colour,
    Context,
    Finite,
    Image,
    NotNegative,
    Operator,
    Origin,
    Positive,
    Rng,
    Seed,
    Share,
    draw_seed,
    number,
    register,
    to_uint8,
)
from kie_hvqa.data.ledger import MAX_SEVERITY, Box

Span = tuple[int, int]  # from, to
Fill = Literal["solid", "stripes", "dots", "checks", "gradient", "speckle"]
FILLS: tuple[Fill, ...] = ("solid", "stripes", "dots", "checks", "gradient", "speckle")


@dataclass(frozen=True, slots=True)
class Patch:
    """A rounded rectangle centred at (``x``, ``y``), ``width`` x ``height`` pixels, turned by ``angle`` degrees.

    ``corner`` is the corner's radius as a share of half the shorter side (1 makes a pill, a square a disc),
    ``ripple`` the depth of its torn rim in pixels, ``cell`` the period of its pattern in pixels.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    x: Finite
    y: Finite
    width: Positive
    height: Positive
    angle: Finite
    corner: Share
    ripple: NotNegative
    fill: Fill
    cell: Positive
    colour: Colour
    other: Colour
    seed: Seed


def rounded_box(u: NDArray, v: NDArray, half_width: float, half_height: float, radius: float) -> NDArray:
    """Signed distance to a rounded rectangle, negative inside, at coordinates (u, v) from its middle."""
    outside_u = np.abs(u) - (half_width - radius)
    outside_v = np.abs(v) - (half_height - radius)
    distance = np.hypot(np.maximum(outside_u, 0), np.maximum(outside_v, 0))
    return distance + np.minimum(np.maximum(outside_u, outside_v), 0) - radius


def turned(rows: slice, columns: slice, origin: Origin, x: float, y: float, angle: float) -> tuple[NDArray, NDArray]:
    """Coordinates (u, v) of a window's pixel centres from (``x``, ``y``), along axes turned by ``angle`` degrees."""
    dx = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] + np.float32(origin[0] + 0.5 - x)
    dy = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + np.float32(origin[1] + 0.5 - y)
    cos, sin = np.float32(math.cos(math.radians(angle))), np.float32(math.sin(math.radians(angle)))
    return dx * cos + dy * sin, dy * cos - dx * sin


@lru_cache(maxsize=8)  # an observer lays the same patches over one window again and again
def patch_pixels(patch: Patch, rows: Span, columns: Span, origin: Origin) -> tuple[NDArray, NDArray]:
    """Coverage [h, w, 1] in 0..1 and colour [h, w, 3] in 0..255 of the patch over that window, float32; not to be written
    to."""
    u, v = turned(slice(*rows), slice(*columns), origin, patch.x, patch.y, patch.angle)
    half_width, half_height = patch.width / 2, patch.height / 2
    distance = rounded_box(u, v, half_width, half_height, patch.corner * min(half_width, half_height))
    if patch.ripple > 0:
        waves = np.random.default_rng(patch.seed).uniform(0, 2 * np.pi, 3)
        for order, phase in zip((3.1, 5.7, 9.3), waves, strict=True):
            # The rim only ever bulges outwards: what the patch was meant to hide stays hidden.
            distance -= patch.ripple / 6 * (1 + np.sin(order * (u + 1.3 * v) / patch.height * 2 + phase))
    coverage = np.clip(0.5 - distance, 0, 1)[:, :, None]
    mix = fill_pattern(patch, u, v)[:, :, None]
    colour = np.asarray(patch.colour, np.float32) * (1 - mix) + np.asarray(patch.other, np.float32) * mix
    return coverage.astype(np.float32), colour.astype(np.float32)


def fill_pattern(patch: Patch, u: NDArray, v: NDArray) -> NDArray:
    """How much of the second colour there is at patch coordinates (u, v): float [h, w] in 0..1."""
    cell = patch.cell
    if patch.fill == "stripes":
        return np.clip(0.5 + np.sin(2 * np.pi * (u + 0.6 * v) / cell) * cell * 0.3, 0, 1)
    if patch.fill == "dots":
        du, dv = (u / cell) % 1 - 0.5, (v / cell) % 1 - 0.5
        return np.clip((0.32 - np.hypot(du, dv)) * cell + 0.5, 0, 1)
    if patch.fill == "checks":
        return ((np.floor(u / cell) + np.floor(v / cell)) % 2).astype(np.float32)
    if patch.fill == "gradient":
        return np.clip(0.5 + u / patch.width, 0, 1)
    if patch.fill == "speckle":
        return hashed(u, v, max(1.0, cell / 3), patch.seed)
    return np.zeros_like(u)


def hashed(u: NDArray, v: NDArray, cell: float, seed: int) -> NDArray:
    """A value in 0..1 for every cell, float [h, w]: a hash and not a stream, so that a window meets the same ones."""
    i, j = np.floor(u / cell).astype(np.int64), np.floor(v / cell).astype(np.int64)
    mixed = (i * 73856093) ^ (j * 19349663) ^ seed
    mixed = (mixed ^ (mixed >> 13)) * 1274126177 & 0xFFFFFFFF
    return ((mixed ^ (mixed >> 16)) & 0xFF) / 255.0


def paint(image: Image, patches: Sequence[Patch], opacity: float, origin: Origin) -> Image:
    """Lay ``patches`` over a copy of ``image``; each takes ``opacity`` (1 hides) of what is below it away."""
    result = image.copy()
    for patch in patches:
        reach = math.hypot(patch.width, patch.height) / 2 + patch.ripple + 2
        part = window(patch.x, patch.y, reach, image, origin)
        if part is not None:
            rows, columns = ((span.start, span.stop) for span in part)
            coverage, colour = patch_pixels(patch, rows, columns, origin)
            below = result[part]
            result[part] = to_uint8(below + (colour - below) * (coverage * np.float32(opacity)))
    return result


# What lies on documents: paper labels, tape, ink, skin, plastic, cardboard.
_PALETTE = (
    ((250, 250, 246), (225, 226, 222)),
    ((28, 28, 32), (64, 64, 70)),
    ((214, 188, 122), (188, 158, 96)),
    ((196, 40, 44), (236, 226, 214)),
    ((34, 82, 156), (214, 224, 236)),
    ((52, 122, 74), (226, 232, 214)),
    ((244, 214, 66), (228, 178, 44)),
    ((224, 172, 144), (198, 138, 112)),
    ((132, 88, 62), (102, 66, 48)),
    ((150, 152, 156), (112, 114, 120)),
    ((236, 236, 240), (176, 180, 190)),
)


def dress(rng: Rng, x: float, y: float, width: float, height: float, angle: float, text_height: float) -> Patch:
    """A patch of that geometry in a drawn material."""
    colour, other = _PALETTE[int(rng.integers(len(_PALETTE)))]
    if rng.random() < 0.15:
        colour, other = other, colour
    shift = rng.integers(-14, 15, 3)
    return Patch(
        x=number(x),
        y=number(y),
        width=number(width),
        height=number(height),
        angle=number(angle),
        corner=number(rng.choice([0.0, 0.0, 0.25, 0.6, 1.0])),
        ripple=number(rng.choice([0.0, 0.0, 0.08, 0.2]) * text_height),
        fill=FILLS[int(rng.choice(len(FILLS), p=(0.45, 0.12, 0.08, 0.05, 0.18, 0.12)))],
        cell=number(max(2.0, text_height * rng.uniform(0.25, 0.9))),
        colour=tuple(int(v) for v in np.clip(np.add(colour, shift), 0, 255)),  # type: ignore[arg-type]
        other=tuple(int(v) for v in np.clip(np.add(other, shift), 0, 255)),  # type: ignore[arg-type]
        seed=draw_seed(rng),
    )


def covering_size(rng: Rng, box: Box, text_height: float, spare: float) -> tuple[float, float, float, float, float]:
    """Middle, length, breadth and angle (degrees) of a strip that hides all of ``box`` (one printed line)."""
    x0, y0, x1, y1 = box
    width, height = x1 - x0, y1 - y0
    # Long patches tilt little, as a strip laid along a line does.
    limit = min(20.0, math.degrees(math.atan2(0.6 * text_height, width)))
    angle = float(rng.uniform(-limit, limit))
    cos, sin = abs(math.cos(math.radians(angle))), abs(math.sin(math.radians(angle)))
    length = (1 + spare) * (width * cos + height * sin) + 2.0
    breadth = (1 + spare) * (height * cos + width * sin) + 2.0
    return (x0 + x1) / 2, (y0 + y1) / 2, length, breadth, angle


def cover_box(rng: Rng, box: Box, text_height: float, *, spare: float = 0.12) -> Patch:
    """A patch that hides all of ``box`` (one printed line), whatever its corner, angle and rim turn out to be."""
    patch = dress(rng, *covering_size(rng, box, text_height, spare), text_height)
    # A corner of radius r reaches r (1 - 1/sqrt 2) less far along each axis; r grows with the patch.
    cut = (1 - math.sqrt(0.5)) * patch.corner
    growth = min(patch.width, patch.height) * cut / (1 - cut)
    return replace(patch, width=number(patch.width + growth), height=number(patch.height + growth))


def draw_patches(rng: Rng, context: Context, share: float) -> tuple[Patch, ...]:
    """Patches over a run of ``share`` of the field's slots, and half of the time a stray one elsewhere."""
    found = targets(rng, context, share)
    return tuple(cover_box(np.random.default_rng(t.seed), t.box, context.text_height) for t in found)


@register
@dataclass(frozen=True, slots=True)
class OpaqueOccluder(Operator):
    """Patches through which nothing is seen. Source: Porter and Duff, Compositing digital images, SIGGRAPH 1984 (over)."""

    name = "opaque_occluder"
    rungs = (-0.066, 0.268, 0.63, 0.83, 0.968, 1.283)
    stage = COVER
    local = True
    patches: tuple[Patch, ...]

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        share = cls.ladder(severity, 0.06, 0.706, rng, jitter=0.2)
        return cls(severity, draw_patches(rng, context, share))

    @classmethod
    def covering(cls, rng: Rng, context: Context) -> Self:
        """Hides every slot of the field, and of its copies."""
        patches = [
            cover_box(rng, around(run), context.text_height, spare=float(rng.uniform(0.1, 0.4)))
            for boxes in context.prints
            for run in by_line(boxes, 0, len(boxes))
        ]
        return cls(MAX_SEVERITY, tuple(patches))

    def _apply(self, image: Image, origin: Origin) -> Image:
        return paint(image, self.patches, 1.0, origin)


@register
@dataclass(frozen=True, slots=True)
class TranslucentOccluder(Operator):
    """Patches of ``opacity`` below 1 (film, a smear): the ink under them stays, paler. Source: as for opaque ones."""

    name = "translucent_occluder"
    rungs = (0.087, 0.366, 0.53, 0.696, 0.898, 1.68)
    stage = COVER
    local = True
    patches: tuple[Patch, ...]
    opacity: Share

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        patches = draw_patches(rng, context, cls.ladder(severity, 0.383, 0.872, rng, jitter=0.2))
        # What is let through shrinks evenly: opacity itself would crowd its whole effect into the last hundredths.
        return cls(severity, patches, number(1 - cls.ladder(severity, 0.235, 0.0184, rng)))

    def _apply(self, image: Image, origin: Origin) -> Image:
        return paint(image, self.patches, self.opacity, origin)
