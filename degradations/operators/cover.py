"""Things that lie on the page: patches that hide what is below them, wholly or in part.

A patch is drawn against the slots of the asked field: severity decides how long a run of characters it covers.
Not every patch hits, and most pages also carry a patch that covers nothing asked about, so that "there is a
patch" says nothing about the answer. Where the same value is printed twice, every print is covered alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

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
from kie_hvqa.ledger import MAX_SEVERITY, Box

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


def patch_window(patch: Patch, shape: Sequence[int], origin: Origin) -> tuple[slice, slice] | None:
    """Rows and columns of the window that the patch can touch; None if it misses the window."""
    reach = math.hypot(patch.width, patch.height) / 2 + patch.ripple + 2
    left = max(0, math.floor(patch.x - reach) - origin[0])
    top = max(0, math.floor(patch.y - reach) - origin[1])
    right = min(shape[1], math.ceil(patch.x + reach) - origin[0])
    bottom = min(shape[0], math.ceil(patch.y + reach) - origin[1])
    return (slice(top, bottom), slice(left, right)) if left < right and top < bottom else None


def patch_pixels(patch: Patch, rows: slice, columns: slice, origin: Origin) -> tuple[NDArray, NDArray]:
    """Coverage [h, w, 1] in 0..1 and colour [h, w, 3] in 0..255 of the patch over that window, float32."""
    x = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] + (origin[0] + 0.5 - patch.x)
    y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + (origin[1] + 0.5 - patch.y)
    cos, sin = math.cos(math.radians(patch.angle)), math.sin(math.radians(patch.angle))
    u, v = x * cos + y * sin, y * cos - x * sin
    half_width, half_height = patch.width / 2, patch.height / 2
    radius = patch.corner * min(half_width, half_height)
    outside_u = np.abs(u) - (half_width - radius)
    outside_v = np.abs(v) - (half_height - radius)
    # Signed distance to a rounded rectangle, negative inside.
    distance = np.hypot(np.maximum(outside_u, 0), np.maximum(outside_v, 0))
    distance += np.minimum(np.maximum(outside_u, outside_v), 0) - radius
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
        # A hash of the cell, not a stream of draws: a window of the page meets the same speckles.
        i, j = np.floor(u / max(1.0, cell / 3)).astype(np.int64), np.floor(v / max(1.0, cell / 3)).astype(np.int64)
        mixed = (i * 73856093) ^ (j * 19349663) ^ patch.seed
        mixed = (mixed ^ (mixed >> 13)) * 1274126177 & 0xFFFFFFFF
        return ((mixed ^ (mixed >> 16)) & 0xFF) / 255.0
    return np.zeros_like(u)


def paint(image: Image, patches: Sequence[Patch], opacity: float, origin: Origin) -> Image:
    """Lay ``patches`` over a copy of ``image``; each takes ``opacity`` (1 hides) of what is below it away."""
    result = image.copy()
    for patch in patches:
        window = patch_window(patch, image.shape, origin)
        if window is not None:
            coverage, colour = patch_pixels(patch, *window, origin)
            below = result[window]
            result[window] = to_uint8(below + (colour - below) * (coverage * np.float32(opacity)))
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


def cover_boxes(rng: Rng, boxes: Sequence[Box], text_height: float, *, spare: float = 0.12) -> Patch:
    """A patch that hides all of ``boxes`` (one printed line), whatever its corner, angle and rim turn out to be."""
    array = np.asarray(boxes)
    (x0, y0), (x1, y1) = array[:, :2].min(0), array[:, 2:].max(0)
    width, height = x1 - x0, y1 - y0
    # Long patches tilt little, as a strip laid along a line does.
    limit = min(20.0, math.degrees(math.atan2(0.6 * text_height, width)))
    angle = float(rng.uniform(-limit, limit))
    cos, sin = abs(math.cos(math.radians(angle))), abs(math.sin(math.radians(angle)))
    length = (1 + spare) * (width * cos + height * sin) + 2.0
    breadth = (1 + spare) * (height * cos + width * sin) + 2.0
    patch = dress(rng, (x0 + x1) / 2, (y0 + y1) / 2, length, breadth, angle, text_height)
    # A corner of radius r reaches r (1 - 1/sqrt 2) less far along each axis; r grows with the patch.
    cut = (1 - math.sqrt(0.5)) * patch.corner
    growth = min(patch.width, patch.height) * cut / (1 - cut)
    return replace(patch, width=number(patch.width + growth), height=number(patch.height + growth))


def draw_patches(severity: int, rng: Rng, context: Context, share: float) -> tuple[Patch, ...]:
    """Patches over a run of ``share`` of the field's slots, and half of the time a stray one elsewhere."""
    patches: list[Patch] = []
    height = context.text_height
    count = len(context.boxes)
    if rng.random() >= miss_rate(severity):
        length = int(np.clip(round(share * count), 1, count))
        start = int(rng.integers(0, count - length + 1))
        # A third of the patches lie across the line only in part, or end inside a character.
        whole = rng.random() < 0.67
        trim = (0.0, 0.0) if whole else (float(rng.uniform(-0.45, 0.45)), float(rng.uniform(0.45, 0.85)))
        twin = int(rng.integers(0, 2**32))
        for boxes in (context.boxes, *context.copies):
            alike = np.random.default_rng(twin)  # every print of the value gets the same patch
            for run in _runs(boxes, start, start + length):
                patch = cover_boxes(alike, run, height)
                if not whole:
                    patch = replace(patch, y=number(patch.y + trim[0] * height), height=number(patch.height * trim[1]))
                patches.append(patch)
    if not patches or rng.random() < 0.5:
        patches.append(_stray(rng, context))
    return tuple(patches)


def miss_rate(severity: int) -> float:
    """How often a patch lands beside the field: less with severity, never at 6."""
    return 0.18 * (MAX_SEVERITY - severity) / (MAX_SEVERITY - 1)


def _runs(boxes: Sequence[Box], start: int, stop: int) -> list[list[Box]]:
    """The boxes start..stop by printed line."""
    context = Context((1, 1), tuple(boxes), 1.0)
    runs = ([boxes[i] for i in line if start <= i < stop] for line in context.lines)
    return [run for run in runs if run]


def _stray(rng: Rng, context: Context) -> Patch:
    """A patch that stays off the field and its copies, if eight tries find room for it."""
    rows, columns = context.size
    height = context.text_height
    taken = [(b[0] - height, b[1] - height, b[2] + height, b[3] + height) for b in context.boxes]
    taken += [(b[0] - height, b[1] - height, b[2] + height, b[3] + height) for c in context.copies for b in c]
    x = y = 0.0
    width, tall = height * rng.uniform(1.0, 5.0), height * rng.uniform(0.8, 2.0)
    for _ in range(8):
        x, y = rng.uniform(0, columns), rng.uniform(0, rows)
        near = (x - width / 2, y - tall / 2, x + width / 2, y + tall / 2)
        if not any(near[0] < b[2] and b[0] < near[2] and near[1] < b[3] and b[1] < near[3] for b in taken):
            return dress(rng, x, y, width, tall, rng.uniform(-25, 25), height)
    return dress(rng, x, -rows, width, tall, 0.0, height)  # no room: it falls off the page


@register
@dataclass(frozen=True, slots=True)
class OpaqueOccluder(Operator):
    """Patches through which nothing is seen."""

    name = "opaque_occluder"
    rungs = (0.0, 0.142, 0.446, 0.699, 0.874, 1.0)
    stage = COVER
    patches: tuple[Patch, ...]

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        share = cls.ladder(severity, 0.06, 0.706, rng, jitter=0.2)
        return cls(severity, draw_patches(severity, rng, context, share))

    @classmethod
    def covering(cls, rng: Rng, context: Context) -> Self:
        """Hides every slot of the field, and of its copies."""
        patches = [
            cover_boxes(rng, run, context.text_height, spare=float(rng.uniform(0.1, 0.4)))
            for boxes in (context.boxes, *context.copies)
            for run in _runs(boxes, 0, len(boxes))
        ]
        return cls(MAX_SEVERITY, tuple(patches))

    def _apply(self, image: Image, origin: Origin) -> Image:
        return paint(image, self.patches, 1.0, origin)


@register
@dataclass(frozen=True, slots=True)
class TranslucentOccluder(Operator):
    """Patches of ``opacity`` below 1 (tape, film, a smear): the ink under them stays, paler."""

    name = "translucent_occluder"
    rungs = (0.0, 0.162, 0.325, 0.526, 0.749, 1.0)
    stage = COVER
    patches: tuple[Patch, ...]
    opacity: Share

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        patches = draw_patches(severity, rng, context, cls.ladder(severity, 0.383, 0.872, rng, jitter=0.2))
        # What is let through shrinks evenly: opacity itself would crowd its whole effect into the last hundredths.
        return cls(severity, patches, number(1 - cls.ladder(severity, 0.235, 0.0184, rng)))

    def _apply(self, image: Image, origin: Origin) -> Image:
        return paint(image, self.patches, self.opacity, origin)
