"""Geometry: the page seen from the side, turned in the picture, or curling out of its binding.

These move what is printed, so the ledger's boxes follow (``map_points``). Each is given by where a point of the page goes
and by where a pixel of the picture comes from; a picture keeps the size of its page. What moves the page also blurs it:
where it is seen through fewer pixels, and where it is out of focus. Both are drawn from the same stack of blurred
pictures, mixed by how wide a spot each pixel has to average (mip mapping: Williams, Pyramidal parametrics, SIGGRAPH
1983).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from degradations.operators.base import (
    GEOMETRY,
    Colour,
    Context,
    Finite,
    Image,
    Mask,
    NotNegative,
    Operator,
    Origin,
    Points,
    Positive,
    Rng,
    Seed,
    draw_seed,
    number,
    register,
)
from degradations.operators.blend import blurred, mixed, scaled
from degradations.operators.resample import shrink
from degradations.operators.surface import Material, draw_surface, surface

Floats = NDArray[np.float32]
Size = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]  # width, height of the page in pixels
Three = tuple[Finite, Finite, Finite]
Rect = tuple[int, int, int, int]  # x0, y0, x1, y1 in whole pixels
_COARSE = 8


Part = tuple[slice, slice]
# (a picture whose pixels have a pitch, that pitch, where its first pixel lies, a part of the result) -> that part
Look = Callable[[Image, float, tuple[float, float], Part], Image]


def spot_blurred(image: Image, origin: Origin, widths: Floats, look: Look) -> Image:
    """``image`` seen through ``look``, each pixel of the result averaged over a spot of its own.

    ``widths`` [H, W] are the spots' standard deviations in pixels of ``image``; below 0.3 nothing is averaged.
    """
    result = look(image, 1.0, (0.0, 0.0), (slice(0, widths.shape[0]), slice(0, widths.shape[1])))
    low, sigma = 0.3, 0.7
    while True:
        wide = widths > low
        rows, columns = np.nonzero(wide.any(1))[0], np.nonzero(wide.any(0))[0]
        if not len(rows):
            return result
        part = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
        # A blurred picture needs fewer pixels: reduced first, and blurred by what the reduction has left to do.
        pitch = max(1.0, 0.6 * sigma)
        small, matrix = shrink(image, pitch, origin)
        rest = sigma**2 - ((0.4 * pitch) ** 2 if pitch > 1.05 else 0.0)
        soft = blurred(small, math.sqrt(rest) / pitch)
        shown = look(soft, pitch, (float(matrix[0, 2]), float(matrix[1, 2])), part)
        # Variances add: this share of the softer picture gives the spot in between.
        share = (np.square(widths[part]) - np.float32(low * low)) * np.float32(1 / (sigma * sigma - low * low))
        result[part] = mixed(np.ascontiguousarray(result[part]), shown, np.clip(share, 0, 1))
        low, sigma = sigma, 2.2 * sigma


def bounds_of(points: Points, limit: Size) -> Rect | None:
    """The whole pixels (x0, y0, x1, y1) around ``points`` within a picture of ``limit``; None if they miss it."""
    low, high = np.floor(points.min(0)).astype(int), np.ceil(points.max(0)).astype(int)
    x0, y0 = (int(v) for v in np.maximum(low, 0))
    x1, y1 = (int(v) for v in np.minimum(high, limit))
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


@dataclass(frozen=True, slots=True)
class Moving(Operator):
    """What the three have in common. ``page`` is (width, height) of page and picture."""

    stage = GEOMETRY
    moves = True

    page: Size

    def rendered(self, image: Image, origin: Origin, box: Rect) -> Image:
        """The part ``box`` of the picture, from a window of the page at ``origin``."""
        raise NotImplementedError

    def source(self, box: Rect) -> tuple[Floats, Floats]:
        """Where on the page the pixel centres in ``box`` of the picture come from: x and y, [h, w] each."""
        raise NotImplementedError

    def _apply(self, image: Image, origin: Origin) -> Image:
        return self.rendered(image, origin, (*origin, origin[0] + image.shape[1], origin[1] + image.shape[0]))

    def view(self, image: Image, known: Mask, origin: Origin) -> tuple[Image, Mask, Origin]:
        height, width = image.shape[:2]
        found = _seen_of(self, (width, height), origin)
        if found is None:
            # Nothing of the window is in the picture: one pixel that says so.
            return np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), bool), (0, 0)
        box, inside = found
        if not known.all():
            x, y = self.source(box)
            column = np.clip((x - np.float32(origin[0])).astype(int), 0, width - 1)
            row = np.clip((y - np.float32(origin[1])).astype(int), 0, height - 1)
            inside = inside & known[row, column]
        return self.rendered(image, origin, box), inside, (box[0], box[1])


# An observer damages the same window again and again, with other characters in it: what does not depend on them is kept.
@lru_cache(maxsize=2)
def _seen_of(operator: Moving, size: Size, origin: Origin) -> tuple[Rect, Mask] | None:
    """The part of the picture around what a window of ``size`` (width, height) at ``origin`` becomes, and where in it the
    window is seen; None if it is not in the picture."""
    # The border of the window, not its corners alone: a straight edge may come out bent.
    t = np.linspace(0, 1, 17)
    edge = np.concatenate([np.stack(p, 1) for p in ((t, 0 * t), (t, 0 * t + 1), (0 * t, t), (0 * t + 1, t))])
    box = bounds_of(operator.map_points(edge * size + origin), operator.page)
    if box is None:
        return None
    x, y = operator.source(box)
    left, top = x - np.float32(origin[0]), y - np.float32(origin[1])
    return box, (left >= 0) & (left < size[0]) & (top >= 0) & (top < size[1])


def grid(box: Rect) -> tuple[Floats, Floats]:
    """Picture coordinates of the pixel centres in ``box``: x as [1, w], y as [h, 1]."""
    x = np.arange(box[0], box[2], dtype=np.float32)[None, :] + np.float32(0.5)
    y = np.arange(box[1], box[3], dtype=np.float32)[:, None] + np.float32(0.5)
    return x, y


@dataclass(frozen=True, slots=True)
class Posed(Moving):
    """A flat page in front of a pinhole camera: a homography (Hartley and Zisserman, Multiple View Geometry, 2003).

    All of the page is in front of the camera (``draw`` keeps the camera more than a page's width away).

    ``rows`` are the three rows of the matrix from page to picture. ``focus`` is the magnification at which the page is
    sharp, ``aperture`` the blur in pixels where it is half as large; ``material`` and ``colour`` are what lies below
    the page, ``unit`` the size of its grain.
    """

    rows: tuple[Three, Three, Three]
    focus: Positive
    aperture: NotNegative
    unit: Positive
    material: Material
    colour: Colour
    seed: Seed

    @property
    def matrix(self) -> NDArray[np.float64]:
        return np.array(self.rows, np.float64)

    def map_points(self, points: Points) -> Points:
        if self.severity == 0:
            return points
        ahead = np.column_stack([points, np.ones(len(points))]) @ self.matrix.T
        return ahead[:, :2] / ahead[:, 2:]

    def source(self, box: Rect) -> tuple[Floats, Floats]:
        px, py = grid(box)
        m = np.linalg.inv(self.matrix)
        m = (m / m[2, 2]).astype(np.float32)
        depth = m[2, 0] * px + m[2, 1] * py + m[2, 2]
        depth = np.where(np.abs(depth) < 1e-4, np.float32(1e-4), depth)
        return (m[0, 0] * px + m[0, 1] * py + m[0, 2]) / depth, (m[1, 0] * px + m[1, 1] * py + m[1, 2]) / depth

    def rendered(self, image: Image, origin: Origin, box: Rect) -> Image:
        def look(picture: Image, pitch: float, shift: tuple[float, float], part: Part) -> Image:
            x, y = box[0] + part[1].start + 0.5, box[1] + part[0].start + 0.5
            size = (part[1].stop - part[1].start, part[0].stop - part[0].start)
            to_box = np.array([[1, 0, -x], [0, 1, -y], [0, 0, 1]]) @ self.matrix
            # Pixel i of ``picture`` has its centre at ``pitch`` * i + shift of the window.
            left, top = shift[0] + origin[0] + 0.5, shift[1] + origin[1] + 0.5
            matrix = to_box @ np.array([[pitch, 0, left], [0, pitch, top], [0, 0, 1]])
            shown = cv2.warpPerspective(picture, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            return np.asarray(shown, np.uint8)

        picture = spot_blurred(image, origin, _spots(self, box), look)
        table = _table(self, box)
        return picture if table is None else mixed(picture, *table)


@lru_cache(maxsize=2)
def _spots(posed: Posed, box: Rect) -> Floats:
    """How wide a spot of the page each pixel in ``box`` averages: it changes slowly, so every eighth is looked at."""
    x0, y0 = box[0] // _COARSE, box[1] // _COARSE
    x1, y1 = -(-box[2] // _COARSE), -(-box[3] // _COARSE)
    px = (np.arange(x0, x1, dtype=np.float64)[None, :] + 0.5) * _COARSE
    py = (np.arange(y0, y1, dtype=np.float64)[:, None] + 0.5) * _COARSE
    m = np.linalg.inv(posed.matrix)
    m /= m[2, 2]
    depth = np.maximum(m[2, 0] * px + m[2, 1] * py + m[2, 2], 0.05)
    x = (m[0, 0] * px + m[0, 1] * py + m[0, 2]) / depth
    y = (m[1, 0] * px + m[1, 1] * py + m[1, 2]) / depth
    # Page pixels to one picture pixel, along the axis of the picture on which they crowd most.
    xx, xy = (m[0, 0] - m[2, 0] * x) / depth, (m[0, 1] - m[2, 1] * x) / depth
    yx, yy = (m[1, 0] - m[2, 0] * y) / depth, (m[1, 1] - m[2, 1] * y) / depth
    step = np.sqrt(np.maximum(xx * xx + yx * yx, xy * xy + yy * yy))
    # Out of focus, a spot grows with the distance from the plane in focus, here told by its magnification.
    defocus = 2 * posed.aperture * np.abs(1 - 1 / np.maximum(step * posed.focus, 0.1))
    spot = np.sqrt(0.16 * np.maximum(step * step - 1, 0) + np.square(defocus * step))
    coarse = np.minimum(spot, 0.6 * posed.unit).astype(np.float32)
    large = cv2.resize(coarse, None, fx=_COARSE, fy=_COARSE, interpolation=cv2.INTER_LINEAR)
    left, top = box[0] - x0 * _COARSE, box[1] - y0 * _COARSE
    return np.asarray(large, np.float32)[top : top + box[3] - box[1], left : left + box[2] - box[0]]


@lru_cache(maxsize=2)
def _table(posed: Posed, box: Rect) -> tuple[Image, Floats] | None:
    """What lies beyond the page's four sides: the table, darker where the page stands on it, and its share of each pixel.

    None where the page fills ``box``.
    """
    width, height = posed.page
    corners = posed.map_points(np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64))
    px, py = grid(box)
    beyond = np.full((box[3] - box[1], box[2] - box[0]), -1e6, np.float32)
    turn = np.sign(np.linalg.det(posed.matrix[:2, :2]))
    for start, stop in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        normal = turn * np.array([stop[1] - start[1], start[0] - stop[0]]) / max(1e-6, math.dist(start, stop))
        offset = np.float32(normal @ start)
        np.maximum(beyond, np.float32(normal[0]) * px + (np.float32(normal[1]) * py - offset), out=beyond)
    if float(beyond.max()) < -1:
        return None
    table = surface(posed.material, posed.colour, beyond.shape, (box[0], box[1]), posed.seed, posed.unit)
    near = np.clip(beyond, 0, None) * np.float32(-1 / posed.unit)
    shade = 1 - np.float32(0.55) * np.exp(near * 3) - np.float32(0.1) * np.exp(near * np.float32(0.25))
    return scaled(table, shade), np.clip(beyond + np.float32(0.5), 0, 1)


def pose(page: Size, turn: float, tilt: float, towards: float, distance: float) -> NDArray[np.float64]:
    """The homography of a camera ``distance`` page widths away that sees the page's middle in the picture's middle.

    The page is turned by ``turn`` degrees in its plane and tilted by ``tilt`` degrees away at the side ``towards``.
    """
    width, height = page
    a, b, c = math.radians(turn), math.radians(tilt), math.radians(towards)
    axis = np.array([-math.sin(c), math.cos(c), 0.0])  # in the page's plane, square to ``towards``
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    rotate = np.eye(3) + math.sin(b) * cross + (1 - math.cos(b)) * cross @ cross
    spin = np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]])
    # z points to the camera, so the far side has a negative z.
    whole = rotate @ spin
    focal = distance * max(page)
    project = np.array([whole[0, :2], whole[1, :2], whole[2, :2]])
    to_plane = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1]])
    camera = np.zeros((3, 3))
    camera[:2, :2] = focal * project[:2]
    camera[2, :2] = -project[2]
    camera[2, 2] = focal
    back = np.array([[1, 0, width / 2], [0, 1, height / 2], [0, 0, 1]])
    result = back @ camera @ to_plane
    return result / result[2, 2] if result[2, 2] else result


def framed(matrix: NDArray[np.float64], context: Context, lost: float, rng: Rng) -> NDArray[np.float64]:
    """``matrix`` with the picture shifted until ``lost`` of the field's slots lie outside it, by its nearest side."""
    columns = context.size[1]
    middles = np.array([((b[0] + b[2]) / 2, (b[1] + b[3]) / 2, 1.0) for b in context.boxes])
    seen = middles @ matrix.T
    seen = seen[:, :2] / seen[:, 2:]
    count = min(round(lost * len(middles)), len(middles))
    if count == 0:
        return matrix
    to_left = seen[:, 0].mean() < columns / 2 if rng.random() < 0.75 else rng.random() < 0.5
    order = np.sort(seen[:, 0] if to_left else columns - seen[:, 0])
    # Between the last slot that is lost and the first that is kept.
    last = order[count - 1]
    after = order[count] if count < len(order) else last + context.text_height
    shift = (last + after) / 2
    move = np.eye(3)
    move[0, 2] = -shift if to_left else shift
    return move @ matrix


def _rows(matrix: NDArray[np.float64]) -> tuple[Three, Three, Three]:
    return tuple(tuple(float(f"{v:.9g}") for v in row) for row in matrix / matrix[2, 2])  # type: ignore[return-value]


@register
@dataclass(frozen=True, slots=True)
class Rotation(Posed):
    """The page turned in the picture, and, held too near, partly outside it. Source: as for ``Posed``."""

    name = "rotation"
    rungs = (-0.08, 0.357, 0.607, 0.787, 0.921, 1.032)

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        rows, columns = context.size
        turn = min(40.0, cls.ladder(severity, 2.0, 26.0, rng)) * float(rng.choice([-1, 1]))
        lost = cls.ladder(severity, 0.08, 0.78, rng, jitter=0.15) if severity else 0.0
        matrix = framed(pose((columns, rows), turn, 0.0, 0.0, 4.0), context, lost, rng)
        material, colour = draw_surface(rng, ("wood", "cloth", "stone"))
        unit = number(0.7 * context.text_height)
        return cls(severity, (columns, rows), _rows(matrix), 1.0, 0.0, unit, material, colour, draw_seed(rng))


@register
@dataclass(frozen=True, slots=True)
class Perspective(Posed):
    """The page seen from the side: its far end is small, and out of focus. Source: as for ``Posed``."""

    name = "perspective"
    rungs = (0.408, 0.439, 0.469, 0.496, 0.537, 0.611)

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        rows, columns = context.size
        x0, y0, x1, y1 = context.bounds
        # The field lies at the far end, more or less.
        towards = math.degrees(math.atan2((y0 + y1) / 2 - rows / 2, (x0 + x1) / 2 - columns / 2))
        towards += float(rng.normal(0, 25))
        tilt = min(74.0, cls.ladder(severity, 14.0, 66.0, rng))
        matrix = pose((columns, rows), float(rng.uniform(-6, 6)), tilt, towards, float(rng.uniform(1.1, 1.6)))
        height = context.text_height
        material, colour = draw_surface(rng, ("wood", "cloth", "stone"))
        return cls(
            severity,
            (columns, rows),
            _rows(matrix),
            focus=1.0,
            aperture=number(height * cls.ladder(severity, 0.05, 0.9, rng)),
            unit=number(0.7 * height),
            material=material,
            colour=colour,
            seed=draw_seed(rng),
        )
