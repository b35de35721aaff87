"""Geometry: the page seen from the side, or turned in the picture.

These move what is printed, so the ledger's boxes follow (``map_points``). What moves the page also blurs it: where it is seen
through fewer pixels, and where it is out of focus. Both are drawn from the same stack of blurred pictures, mixed by how
wide a spot each pixel has to average (mip mapping: Williams, Pyramidal parametrics, SIGGRAPH 1983).
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
    Context,
    Finite,
    Image,
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
from degradations.operators.pixels.blend import blurred, mixed
from degradations.operators.pixels.resample import shrink

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


@dataclass(frozen=True, slots=True)
class Posed(Operator):
    """A camera that stood elsewhere: a homography from the picture as it would have been to the picture as it is.

    All of the page is in front of the camera (``draw`` keeps the camera more than a page's width away). The operator only says
    where things go: the page is warped once, by the capture's camera, and what shows beyond it is the capture's scene.

    ``page`` is (width, height) of the picture, ``rows`` are the three rows of the matrix. ``focus`` is the magnification at which the page is sharp, ``aperture`` the blur in
    pixels where it is half as large, ``unit`` the size of the smallest detail of what lies below.
    """

    stage = GEOMETRY
    moves = True

    page: Size
    rows: tuple[Three, Three, Three]
    focus: Positive
    aperture: NotNegative
    unit: Positive
    seed: Seed

    @property
    def matrix(self) -> NDArray[np.float64]:
        return np.array(self.rows, np.float64)

    def map_points(self, points: Points) -> Points:
        if self.severity == 0:
            return points
        ahead = np.column_stack([points, np.ones(len(points))]) @ self.matrix.T
        return ahead[:, :2] / ahead[:, 2:]

    def _apply(self, image: Image, origin: Origin) -> Image:
        """A whole picture that no capture made; a window goes through ``Recipe.apply_window``."""
        if origin != (0, 0):
            raise ValueError("a window is moved by its recipe's camera")
        from degradations.recipe import Recipe

        return Recipe((self,)).apply(image)


@lru_cache(maxsize=2)
def spots(posed: Posed, box: Rect) -> Floats:
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
    rungs = (-0.077, 0.347, 0.584, 0.763, 0.898, 1.018)

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        rows, columns = context.size
        turn = min(40.0, cls.ladder(severity, 2.0, 26.0, rng)) * float(rng.choice([-1, 1]))
        lost = cls.ladder(severity, 0.08, 0.78, rng, jitter=0.15) if severity else 0.0
        matrix = framed(pose((columns, rows), turn, 0.0, 0.0, 4.0), context, lost, rng)
        return cls(
            severity, (columns, rows), _rows(matrix), 1.0, 0.0, number(0.7 * context.text_height), draw_seed(rng)
        )


@register
@dataclass(frozen=True, slots=True)
class Perspective(Posed):
    """The page seen from the side: its far end is small, and out of focus. Source: as for ``Posed``."""

    name = "perspective"
    rungs = (0.437, 0.453, 0.473, 0.501, 0.526, 0.602)

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
        return cls(
            severity,
            (columns, rows),
            _rows(matrix),
            focus=1.0,
            aperture=number(height * cls.ladder(severity, 0.05, 0.9, rng)),
            unit=number(0.7 * height),
            seed=draw_seed(rng),
        )
