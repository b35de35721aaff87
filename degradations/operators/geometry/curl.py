"""A page that bends out of its plane: an open book, a curled sheet."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from degradations.capture.scene import Desk
from degradations.operators.base import (
    BEND,
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
    Share,
    number,
    register,
)
from degradations.operators.geometry.pose import Floats, Part, Rect, Size, spot_blurred
from degradations.operators.pixels.blend import scaled

_OTHER = Desk("paper", (234, 230, 220), 8.0, False, 7)  # the page on the other side of the gutter
_FLAT = 4.5  # bends from the gutter at which the page is flat


def bounds_of(points: Points, limit: Size) -> Rect | None:
    """The whole pixels (x0, y0, x1, y1) around ``points`` within a picture of ``limit``; None if they miss it."""
    low, high = np.floor(points.min(0)).astype(int), np.ceil(points.max(0)).astype(int)
    x0, y0 = (int(v) for v in np.maximum(low, 0))
    x1, y1 = (int(v) for v in np.minimum(high, limit))
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def grid(box: Rect) -> tuple[Floats, Floats]:
    """Picture coordinates of the pixel centres in ``box``: x as [1, w], y as [h, 1]."""
    x = np.arange(box[0], box[2], dtype=np.float32)[None, :] + np.float32(0.5)
    y = np.arange(box[1], box[3], dtype=np.float32)[:, None] + np.float32(0.5)
    return x, y


@register
@dataclass(frozen=True, slots=True)
class PageCurl(Operator):
    """An open book or a curled sheet: towards ``gutter`` (x in pixels) the page bends away over ``bend`` pixels; ``page`` is its width and height.

    The page is a cylinder along y: a point at s along it stands ``depth`` · exp(-d / bend) pixels behind the plane of the
    rest, d its distance from the gutter along the page, so that lines bow and letters narrow. ``side`` is 1 if the
    page lies to the right of the gutter. ``camera`` is the distance of the lens in pixels, ``dark`` the light left
    in the gutter, ``aperture`` the blur at ``depth`` in pixels. Source: Cao, Ding and Liu, Rectifying the bound document
    image captured by the camera: a model based approach, ICDAR 2003 (cylindrical surface model).
    """

    name = "page_curl"
    applies_to = frozenset(("paper",))
    stage = BEND
    rungs = (0.5, 0.606, 0.701, 0.785, 0.865, 0.931)

    moves = True

    page: Size
    gutter: Finite
    side: Annotated[int, Field(ge=-1, le=1)]
    bend: Positive
    depth: NotNegative
    camera: Positive
    dark: Share
    aperture: NotNegative

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        rows, columns = context.size
        x0, _, x1, _ = context.bounds
        height = context.text_height
        side = 1 if (x0 + x1) / 2 < columns / 2 else -1
        # The gutter moves in until ``share`` of the field is in the bend.
        share = cls.ladder(severity, 0.1, 1.25, rng, jitter=0.1)
        bend = float(rng.uniform(2.4, 3.6)) * height
        start, stop = (x0, x1) if side == 1 else (x1, x0)
        gutter = start + share * (stop - start) - side * 1.1 * bend
        gutter = min(gutter, start + 0.9 * (stop - start)) if side == 1 else max(gutter, start + 0.9 * (stop - start))
        return cls(
            severity,
            (columns, rows),
            gutter=number(gutter),
            side=side,
            bend=number(bend),
            depth=number(bend * cls.ladder(severity, 0.8, 2.2, rng)),
            camera=number(max(rows, columns) * rng.uniform(1.2, 1.8)),
            dark=number(rng.uniform(0.1, 0.35)),
            aperture=number(height * rng.uniform(0.05, 0.2)),
        )

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

    def _profile(self) -> tuple[NDArray[np.float64], ...]:
        """Along the page, from the gutter outwards: s (page), X (picture), magnification, depth (0..1), slope."""
        width = self.page[0]
        away = self.gutter if self.side == -1 else width - self.gutter
        s = np.arange(0.0, max(away, 1.0) + 1.5, 0.5)
        # The exponential, brought to nothing at _FLAT bends from the gutter.
        deep = np.clip((np.exp(-s / self.bend) - math.exp(-_FLAT)) / (1 - math.exp(-_FLAT)), 0, 1)
        z = self.depth * deep
        slope = np.minimum(self.depth / self.bend * deep, 0.995)
        # Along the page, ds² = dX² + dz²; the flat end stays where it was.
        flat = np.concatenate([[0.0], np.cumsum(np.sqrt(1 - slope[1:] ** 2) * 0.5)])
        across = self.gutter + self.side * (s[-1] - (flat[-1] - flat))
        scale = self.camera / (self.camera + z)
        seen = width / 2 + (across - width / 2) * scale
        return s, seen, scale, deep, slope

    def map_points(self, points: Points) -> Points:
        if self.severity == 0:
            return points
        s, seen, scale, _, _ = self._profile()
        along = (points[:, 0] - self.gutter) * self.side
        x = np.interp(along, s, seen)
        # Beyond the gutter there is nothing: such points end at it.
        y = self.page[1] / 2 + (points[:, 1] - self.page[1] / 2) * np.interp(along, s, scale)
        return np.stack([x, y], axis=1)

    def _columns(self, box: Rect) -> tuple[NDArray[np.float64], ...]:
        """Of each column in ``box``: place along the page, magnification, depth, slope, and how far it is off the page."""
        px = np.arange(box[0], box[2]) + 0.5
        s, seen, scale, deep, slope = self._profile()
        order = slice(None) if self.side == 1 else slice(None, None, -1)
        along = np.interp(px, seen[order], s[order])
        off = np.maximum(0.0, (seen[0] - px) * self.side)
        return along, np.interp(along, s, scale), np.interp(along, s, deep), np.interp(along, s, slope), off

    def source(self, box: Rect) -> tuple[Floats, Floats]:
        along, scale, _, _, off = self._columns(box)
        _, py = grid(box)
        # What shows the other page comes from beyond the gutter, where this one has nothing.
        x = (self.gutter + self.side * (along - off)).astype(np.float32)
        middle = np.float32(self.page[1] / 2)
        y = middle + (py - middle) / scale.astype(np.float32)[None, :]
        return np.ascontiguousarray(np.broadcast_to(x[None, :], y.shape)), y

    def rendered(self, image: Image, origin: Origin, box: Rect) -> Image:
        # Beyond the bend the page is flat and in its place.
        edge = int(np.clip(round(self.gutter + self.side * _FLAT * self.bend), box[0], box[2]))
        bent = (edge if self.side == -1 else box[0], box[1], box[2] if self.side == -1 else edge, box[3])
        if box[:2] != origin or (box[2] - box[0], box[3] - box[1]) != image.shape[1::-1]:
            return self._bent(image, origin, box)
        result = image.copy()
        if bent[0] < bent[2]:
            result[:, bent[0] - box[0] : bent[2] - box[0]] = self._bent(image, origin, bent)
        return result

    def _bent(self, image: Image, origin: Origin, box: Rect) -> Image:
        x, y = self.source(box)
        _, scale, deep, slope, off = self._columns(box)
        step = 1 / np.maximum(scale * np.sqrt(1 - slope**2), 0.02)
        spot = np.sqrt(0.16 * np.maximum(step * step - 1, 0) + np.square(self.aperture * deep))
        spot = np.minimum(spot, max(1.0, 3 * self.aperture)).astype(np.float32)

        def look(picture: Image, pitch: float, shift: tuple[float, float], part: Part) -> Image:
            left, top = (np.float32(o + 0.5 + s) for o, s in zip(origin, shift, strict=True))
            places = (x[part] - left) / np.float32(pitch), (y[part] - top) / np.float32(pitch)
            return np.asarray(cv2.remap(picture, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)

        picture = spot_blurred(image, origin, np.ascontiguousarray(np.broadcast_to(spot, x.shape)), look)
        # A bend turned from the lamp loses the cosine, and the gutter sees little of the sky.
        light = (1 - 0.35 * slope**2) * (1 - (1 - self.dark) * deep**1.4)
        other = off > 0
        if other.any():
            sheet = _OTHER.over(picture.shape[:2], (box[0], box[1]))
            picture[:, other] = sheet[:, other]
            rise = 1 - np.exp(-off / (0.5 * self.bend))
            light = np.where(other, 0.6 * self.dark + (0.93 - 0.6 * self.dark) * rise, light)
        return scaled(picture, np.broadcast_to(light.astype(np.float32), picture.shape[:2]))


# An observer damages the same window again and again, with other characters in it: what does not depend on them is kept.
@lru_cache(maxsize=2)
def _seen_of(operator: PageCurl, size: Size, origin: Origin) -> tuple[Rect, Mask] | None:
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
