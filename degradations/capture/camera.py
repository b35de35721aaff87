"""From the plane of the page to the picture: where a camera stood, or how a sheet lay on the glass.

A homography (Hartley and Zisserman, Multiple View Geometry, 2003) maps the page to the picture. A moving operator of the
recipe moves the same camera further; there is one pose, and one warp.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from degradations.operators.base import Image, Mask, Origin, Points
from degradations.operators.geometry.pose import Posed, Rect, Size, spot_blurred, spots

Floats = NDArray[np.float32]
Rows = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]
_FAR = 0.7  # of the page's longer side: further than this around the page nothing is drawn
_NEAR = 0.12  # the least depth at which the scene is looked at, the middle of the picture being at 1
_FLAT: Rows = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@dataclass(frozen=True, slots=True)
class Camera:
    """``page`` and ``size`` are width and height of page and picture; ``rows`` maps the one to the other, and then ``posed``,
    a moving operator, the picture to itself."""

    page: Size
    size: Size
    rows: Rows = _FLAT
    posed: Posed | None = None

    @property
    def matrix(self) -> NDArray[np.float64]:
        own = np.array(self.rows, np.float64)
        return own if self.posed is None else self.posed.matrix @ own

    def map_points(self, points: Points) -> Points:
        """Where points of the page (float64 [n, 2]) lie in the picture."""
        ahead = np.column_stack([points, np.ones(len(points))]) @ self.matrix.T
        return ahead[:, :2] / ahead[:, 2:]

    def source(self, box: Rect) -> tuple[Floats, Floats]:
        """Where on the page the pixel centres in ``box`` of the picture come from: x and y, [h, w] each."""
        px = np.arange(box[0], box[2], dtype=np.float32)[None, :] + np.float32(0.5)
        py = np.arange(box[1], box[3], dtype=np.float32)[:, None] + np.float32(0.5)
        m = np.linalg.inv(self.matrix)
        m = (m / m[2, 2]).astype(np.float32)
        depth = np.maximum(m[2, 0] * px + m[2, 1] * py + m[2, 2], np.float32(1e-4))
        return (m[0, 0] * px + m[0, 1] * py + m[0, 2]) / depth, (m[1, 0] * px + m[1, 1] * py + m[1, 2]) / depth

    def sides(self) -> tuple[int, int, int, int]:
        """How much of the scene shows at the left, top, right and bottom of the page, in its pixels."""
        return _sides(self)

    def seen(self, canvas: Image, origin: Origin, box: Rect) -> Image:
        """The part ``box`` of the picture, from a window of the scene at ``origin``."""

        def look(picture: Image, pitch: float, shift: tuple[float, float], part: tuple[slice, slice]) -> Image:
            x, y = box[0] + part[1].start + 0.5, box[1] + part[0].start + 0.5
            size = (part[1].stop - part[1].start, part[0].stop - part[0].start)
            to_box = np.array([[1, 0, -x], [0, 1, -y], [0, 0, 1]]) @ self.matrix
            # Pixel i of ``picture`` has its centre at ``pitch`` * i + shift of the window.
            left, top = shift[0] + origin[0] + 0.5, shift[1] + origin[1] + 0.5
            matrix = to_box @ np.array([[pitch, 0, left], [0, pitch, top], [0, 0, 1]])
            shown = cv2.warpPerspective(picture, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
            return np.asarray(shown, np.uint8)

        if self.posed is None:
            return look(canvas, 1.0, (0.0, 0.0), (slice(0, box[3] - box[1]), slice(0, box[2] - box[0])))
        return spot_blurred(canvas, origin, spots(self.posed, box), look)

    def view(self, canvas: Image, known: Mask, origin: Origin) -> tuple[Image, Mask, Origin]:
        """The part of the picture that a window of the scene decides, what of it is known, and where it lies."""
        found = _seen_of(self, (canvas.shape[1], canvas.shape[0]), origin)
        if found is None:  # nothing of the window is in the picture: one pixel that says so
            return np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), bool), (0, 0)
        box, inside = found
        if not known.all():
            x, y = self.source(box)
            column = np.clip((x - np.float32(origin[0])).astype(int), 0, known.shape[1] - 1)
            row = np.clip((y - np.float32(origin[1])).astype(int), 0, known.shape[0] - 1)
            inside = inside & known[row, column]
        return self.seen(canvas, origin, box), inside, (box[0], box[1])


# An observer damages the same window again and again, with other characters in it: what does not depend on them is kept.
@lru_cache(maxsize=4)
def _seen_of(camera: Camera, size: Size, origin: Origin) -> tuple[Rect, Mask] | None:
    """The part of the picture around what a window of ``size`` (width, height) at ``origin`` becomes, and where in it the
    window is seen; None if it is not in the picture."""
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64) * size + origin
    points = camera.map_points(corners)
    low, high = np.floor(points.min(0)).astype(int), np.ceil(points.max(0)).astype(int)
    x0, y0 = (int(v) for v in np.maximum(low, 0))
    x1, y1 = (int(v) for v in np.minimum(high, camera.size))
    if x0 >= x1 or y0 >= y1:
        return None
    x, y = camera.source((x0, y0, x1, y1))
    left, top = x - np.float32(origin[0]), y - np.float32(origin[1])
    return (x0, y0, x1, y1), (left >= 0) & (left < size[0]) & (top >= 0) & (top < size[1])


@lru_cache(maxsize=4)
def _sides(camera: Camera) -> tuple[int, int, int, int]:
    (width, height), far = camera.page, _FAR * max(camera.page)
    t = np.linspace(0, 1, 9)
    edge = np.concatenate([np.stack(p, 1) for p in ((t, 0 * t), (t, 0 * t + 1), (0 * t, t), (0 * t + 1, t))])
    inverse = np.linalg.inv(camera.matrix)
    inverse /= inverse[2, 2]
    points = np.column_stack([edge * camera.size, np.ones(len(edge))]) @ inverse.T
    points = points[:, :2] / np.maximum(points[:, 2:], 1e-3)
    low = np.clip(-np.floor(points.min(0)) + 2, 0, far)
    high = np.clip(np.ceil(points.max(0)) - (width, height) + 2, 0, far)
    sides = np.array([*low, *high])
    middle = float(camera.matrix[2] @ (width / 2, height / 2, 1.0))
    for _ in range(12):  # what would lie behind the camera is not looked at
        x, y = (-sides[0], width + sides[2]), (-sides[1], height + sides[3])
        corners = np.array([(a, b, 1.0) for a in x for b in y])
        if (corners @ camera.matrix[2]).min() >= _NEAR * middle:
            break
        sides *= 0.75
    return tuple(int(v) for v in sides)  # type: ignore[return-value]
