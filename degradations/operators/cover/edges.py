"""Where the page itself ends: a part of it folded over, a part of it outside the scan.

Both are half-planes: everything on one side of a line is gone, and in the fold as much again is covered by what was
folded. The line is moved in from a side of the page until it takes the share of the field that the severity asks for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from degradations.capture.scene import Desk, plain
from degradations.operators.base import (
    COVER,
    SHEETS,
    Colour,
    Context,
    Finite,
    Image,
    Operator,
    Origin,
    Positive,
    Rng,
    Seed,
    draw_seed,
    number,
    register,
)
from degradations.operators.light.lamps import ahead
from degradations.operators.pixels.blend import mixed, scaled, smooth_step, solid
from degradations.operators.pixels.grain import clouds
from degradations.operators.pixels.parts import Part, change_part, in_strips

Floats = NDArray[np.float32]
Page = tuple[Positive, Positive]


def cut_line(
    context: Context, angle: float, share: float, taken: Callable[[Floats, float], NDArray[np.bool_]]
) -> tuple[float, float]:
    """A point on the line, square to ``angle`` degrees, at which ``taken(slot middles, offset)`` first is ``share`` of them.

    Offsets are distances towards ``angle`` from the corner of the page; the line comes in from the far side.
    """
    rows, columns = context.size
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    far = max(x * cos + y * sin for x in (0, columns) for y in (0, rows))
    near = min(x * cos + y * sin for x in (0, columns) for y in (0, rows))
    middles = np.array([((b[0] + b[2]) / 2, (b[1] + b[3]) / 2) for b in context.boxes], np.float32)
    offset = near
    for offset in np.linspace(far, near, 240):
        if taken(middles, float(offset)).mean() >= share - 0.5 / len(middles):
            break
    middle = (columns / 2, rows / 2)
    along = offset - (middle[0] * cos + middle[1] * sin)
    return middle[0] + along * cos, middle[1] + along * sin


def side_of(shape: tuple[int, ...], origin: Origin, x: float, y: float, angle: float, least: float) -> Part | None:
    """Rows and columns that hold every pixel at least ``least`` pixels ahead of (``x``, ``y``) towards ``angle``."""
    columns, rows = ahead((1, shape[1]), origin, x, y, angle), ahead((shape[0], 1), origin, x, y, angle)
    base = float(columns[0, 0])
    across = np.nonzero(columns[0] + max(0.0, float(rows[-1, 0] - base)) >= least)[0]
    down = np.nonzero(rows[:, 0] + max(0.0, float(columns[0, -1] - base)) >= least)[0]
    if not len(across) or not len(down):
        return None
    return slice(int(down[0]), int(down[-1]) + 1), slice(int(across[0]), int(across[-1]) + 1)


def outside_distance(x: Floats, y: Floats, page: tuple[float, float]) -> Floats:
    """Signed distance of points to the page (width, height), negative on it."""
    return np.maximum(np.maximum(-x, x - np.float32(page[0])), np.maximum(-y, y - np.float32(page[1])))


def _below(context: Context, rng: Rng) -> Desk:
    """What the document lies on; for a real photograph something grey."""
    seed = draw_seed(rng)
    return context.desk if context.desk is not None else plain(context.millimetre, seed).desk


@register
@dataclass(frozen=True, slots=True)
class FoldedEdge(Operator):
    """An edge or a corner folded over: the line through (``x``, ``y``) square to ``angle`` is the fold.

    What lies beyond it shows the ``desk`` below, the scene's own; on this side the mirror image of what was there covers the page with its
    ``back``. Source: paper is inextensible, so a fold is a reflection at its line (the first axiom of developable
    surfaces); the bend at the fold has a radius of some sheet thicknesses and shades like a cylinder.
    """

    name = "folded_edge"
    applies_to = SHEETS
    rungs = (-0.302, 0.03, 0.448, 0.703, 0.863, 0.977)
    stage = COVER
    local = True
    x: Finite
    y: Finite
    angle: Finite
    page: Page
    unit: Positive
    back: Colour
    desk: Desk
    seed: Seed

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        share = cls.ladder(severity, 0.1, 0.95, rng, jitter=0.15)
        rows, columns = context.size
        x0, y0, x1, y1 = context.bounds
        right = (x0 + x1) / 2 > columns / 2 if rng.random() < 0.75 else rng.random() < 0.5
        # From a side, leaning, or from the corner that is nearer in height.
        lean = float(rng.uniform(-12, 12)) if rng.random() < 0.6 else float(rng.uniform(20, 50))
        low = (y0 + y1) / 2 > rows / 2
        angle = (0.0 if right else 180.0) + lean * (1 if low == right else -1)
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))

        def taken(points: Floats, offset: float) -> NDArray[np.bool_]:
            beyond = points @ np.array([cos, sin], np.float32) - np.float32(offset)
            mirror = points - 2 * beyond[:, None] * np.array([cos, sin], np.float32)
            return (beyond > 0) | (outside_distance(mirror[:, 0], mirror[:, 1], (columns, rows)) < 0)

        x, y = cut_line(context, angle, min(1.0, share), taken)
        return cls(
            severity,
            x=number(x),
            y=number(y),
            angle=number(angle),
            page=(float(columns), float(rows)),
            unit=number(context.text_height),
            back=tuple(int(v) for v in np.add((238, 236, 230), rng.integers(-10, 9, 3))),  # type: ignore[arg-type]
            desk=_below(context, rng),
            seed=draw_seed(rng),
        )

    def _apply(self, image: Image, origin: Origin) -> Image:
        columns, rows = self.page
        corners = ahead((2, 2), (0, 0), self.x, self.y, self.angle)  # of the first pixel; the page is linear in both
        far = float(corners[0, 0] + max(0.0, (corners[0, 1] - corners[0, 0]) * columns))
        far += max(0.0, float(corners[1, 0] - corners[0, 0]) * rows)
        # The flap reaches as far back as the page reaches forward, and its shadow a little further.
        part = side_of(image.shape, origin, self.x, self.y, self.angle, -far - 3 * self.unit)
        return change_part(image, origin, part, self._folded)

    def _folded(self, part: Image, corner: Origin) -> Image:
        return in_strips(part, corner, self._turned_over)

    def _turned_over(self, image: Image, origin: Origin) -> Image:
        shape = (image.shape[0], image.shape[1])
        unit = np.float32(self.unit)
        beyond = ahead(shape, origin, self.x, self.y, self.angle)
        cos, sin = np.float32(math.cos(math.radians(self.angle))), np.float32(math.sin(math.radians(self.angle)))
        x = np.arange(shape[1], dtype=np.float32)[None, :] + np.float32(origin[0] + 0.5) - 2 * cos * beyond
        y = np.arange(shape[0], dtype=np.float32)[:, None] + np.float32(origin[1] + 0.5) - 2 * sin * beyond
        flap = outside_distance(x, y, self.page)
        reach = np.maximum(flap, beyond)  # below 0 on the flap, whose own edge and the fold bound it
        # The flap stands off a little at its free edge: a soft shadow, and a thin dark line where it touches.
        fall = np.exp(np.float32(-2.6) * np.clip(flap, 0, None) / unit)
        shade = (np.float32(0.34) * fall + np.float32(0.2) * fall**5) * (flap > -0.5) * (beyond < 0.5)
        result = scaled(image, 1 - shade)
        bend = np.exp(np.minimum(beyond, 0) / (np.float32(0.7) * unit))
        uneven = clouds(shape, origin, self.seed, 5 * self.unit)
        light = (
            np.float32(0.97) + np.float32(0.02) * uneven + bend * (np.float32(0.36) * bend * bend - np.float32(0.30))
        )
        light -= np.float32(0.07) * np.exp(np.minimum(flap, 0) / (np.float32(0.10) * unit + 1))
        sheet = scaled(solid(shape, self.back), light)
        result = mixed(result, sheet, np.clip(np.float32(0.5) - reach, 0, 1))
        if float(beyond.max()) < -1:
            return result
        table = self.desk.over(shape, origin)
        table = scaled(table, 1 - np.float32(0.5) * np.exp(np.clip(beyond, 0, None) / (np.float32(-0.5) * unit)))
        return mixed(result, table, np.clip(beyond + np.float32(0.5), 0, 1))


@register
@dataclass(frozen=True, slots=True)
class CroppedEdge(Operator):
    """The page is cut off, or lay partly off the glass: beyond the line through (``x``, ``y``), square to ``angle``, shows
    the ``desk`` or lid below.

    Source: a flatbed scanner images what touches its platen; at its rim the sheet lifts over ``soft`` pixels, and
    darkens and blurs before it is gone.
    """

    name = "cropped_edge"
    applies_to = SHEETS
    rungs = (0.106, 0.449, 0.695, 0.865, 0.964, 1.056)
    stage = COVER
    local = True
    x: Finite
    y: Finite
    angle: Finite
    soft: Positive
    unit: Positive
    desk: Desk

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        share = cls.ladder(severity, 0.06, 0.8, rng, jitter=0.15)
        x0, _, x1, _ = context.bounds
        right = (x0 + x1) / 2 > context.size[1] / 2 if rng.random() < 0.75 else rng.random() < 0.5
        angle = (0.0 if right else 180.0) + float(rng.normal(0, 2.2))
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))

        def taken(points: Floats, offset: float) -> NDArray[np.bool_]:
            return points @ np.array([cos, sin], np.float32) > offset

        x, y = cut_line(context, angle, min(1.0, share), taken)
        return cls(
            severity,
            x=number(x),
            y=number(y),
            angle=number(angle),
            soft=number(context.text_height * rng.uniform(0.1, 0.9)),
            unit=number(context.text_height),
            desk=_below(context, rng),
        )

    def _apply(self, image: Image, origin: Origin) -> Image:
        part = side_of(image.shape, origin, self.x, self.y, self.angle, -4 * self.soft - 2)
        return change_part(image, origin, part, self._cropped)

    def _cropped(self, region: Image, corner: Origin) -> Image:
        shape = (region.shape[0], region.shape[1])
        beyond = ahead(shape, corner, self.x, self.y, self.angle)
        fall = smooth_step(beyond / np.float32(self.soft) + np.float32(1.2))
        region = scaled(region, 1 - np.float32(0.45) * fall)
        lid = self.desk.over(shape, corner)
        lid = scaled(lid, 1 - np.float32(0.4) * np.exp(np.clip(beyond, 0, None) / np.float32(-0.35 * self.unit)))
        return mixed(region, lid, np.clip(beyond + np.float32(0.5), 0, 1))
