"""Optics: the ways a lens and a hand spread a point.

Widths are multiples of the text height: letters stop being identifiable when the spread reaches their stroke
spacing, whatever the resolution (Majaj, Pelli, Kurshan and Palomares, Vision Research 2002).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from degradations.operators.base import (
    OPTICS,
    Context,
    Finite,
    Image,
    NotNegative,
    Operator,
    Origin,
    Positive,
    Rng,
    number,
    register,
)
from degradations.operators.pixels.blend import blurred, mixed

Point = tuple[Finite, Finite]
_DIRECT = 11  # kernels up to this side are convolved as they are; larger ones are taken apart
_RANK = 5


@lru_cache(maxsize=64)
def disc(radius: float) -> NDArray[np.float32]:
    """A disc of ``radius`` pixels with an antialiased rim, summing to 1; the geometric defocus kernel."""
    reach = math.ceil(radius + 0.5)
    axis = np.arange(-reach, reach + 1, dtype=np.float32)
    kernel = np.clip(radius + 0.5 - np.hypot(axis[:, None], axis[None, :]), 0, 1)
    return (kernel / kernel.sum()).astype(np.float32)


def streak(length: float, angle: float) -> NDArray[np.float32]:
    """A straight path of ``length`` pixels at ``angle`` degrees, antialiased, summing to 1."""
    reach = math.ceil(length / 2 + 1)
    axis = np.arange(-reach, reach + 1, dtype=np.float32)
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    along = axis[None, :] * cos + axis[:, None] * sin
    across = -axis[None, :] * sin + axis[:, None] * cos
    kernel = np.clip(length / 2 + 0.5 - np.abs(along), 0, 1) * np.clip(1 - np.abs(across), 0, 1)
    return (kernel / kernel.sum()).astype(np.float32)


@lru_cache(maxsize=64)
def _separable(radius: float) -> tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]:
    """``disc(radius)`` as a sum of a few products of columns and rows (its singular vectors)."""
    u, s, v = np.linalg.svd(disc(radius).astype(np.float64))
    scale = 1 / sum(s[i] * u[:, i].sum() * v[i].sum() for i in range(_RANK))  # what is left out must not darken
    return tuple(((u[:, i] * s[i] * scale).astype(np.float32), v[i].astype(np.float32)) for i in range(_RANK))


def defocused(image: Image, radius: float) -> Image:
    """Convolve with a disc of ``radius`` pixels; mirror borders."""
    kernel = disc(radius)
    if len(kernel) <= _DIRECT:
        return np.asarray(cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT), np.uint8)
    source = image.astype(np.float32)
    total = np.zeros_like(source)
    for column, row in _separable(radius):
        total += cv2.sepFilter2D(source, cv2.CV_32F, row, column, borderType=cv2.BORDER_REFLECT)
    return np.asarray(cv2.add(total, 0.0, dtype=cv2.CV_8U), np.uint8)


def smeared(padded: Image, reach: int, start: tuple[float, float], stop: tuple[float, float]) -> Image:
    """The mean of ``padded`` shifted along the segment from ``start`` to ``stop`` (pixels from the middle).

    ``padded`` is a picture with ``reach`` more pixels on every side, which come off again. A segment of n pixels takes
    log2(n) additions: the sum over 2 k places is the sum over k places plus itself, shifted.
    """
    length = math.hypot(stop[0] - start[0], stop[1] - start[1])
    levels = max(0, math.ceil(math.log2(max(1.0, length))))
    taps = 2**levels
    step = ((stop[0] - start[0]) / taps, (stop[1] - start[1]) / taps)
    origin = (start[0] + step[0] / 2, start[1] + step[1] / 2)
    left, top = 0, 0  # how much has come off the upper left so far
    for level in range(levels):
        dx, dy = round(step[0] * 2**level), round(step[1] * 2**level)
        height, width = padded.shape[0] - abs(dy), padded.shape[1] - abs(dx)
        x0, y0 = max(0, -dx), max(0, -dy)
        first = padded[y0 : y0 + height, x0 : x0 + width]
        second = padded[y0 + dy : y0 + dy + height, x0 + dx : x0 + dx + width]
        padded = np.asarray(cv2.addWeighted(first, 0.5, second, 0.5, 0), np.uint8)
        left, top = left + x0, top + y0
    x, y = reach - left + round(origin[0]), reach - top + round(origin[1])
    return padded[y:, x:]


def shaken(image: Image, path: Sequence[tuple[float, float]]) -> Image:
    """``image`` moved along a path of straight pieces during the exposure, each taking as long as it is long."""
    reach = math.ceil(max(abs(v) for point in path for v in point)) + 2
    padded = cv2.copyMakeBorder(image, reach, reach, reach, reach, cv2.BORDER_REFLECT)
    result, spent = None, 0.0
    for start, stop in pairwise(path):
        part = smeared(padded, reach, start, stop)[: image.shape[0], : image.shape[1]]
        spent += math.dist(start, stop)
        share = math.dist(start, stop) / spent if spent > 0 else 1.0
        result = part if result is None else cv2.addWeighted(result, 1 - share, part, share, 0)
    return np.ascontiguousarray(result, np.uint8)


@register
@dataclass(frozen=True, slots=True)
class GaussianBlur(Operator):
    """Many small spreads at once: ``sigma`` pixels. Source: the central limit theorem, for spreads that convolve."""

    name = "gaussian_blur"
    rungs = (0.27, 0.341, 0.389, 0.431, 0.473, 0.915)
    stage = OPTICS
    sigma: Positive

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        return cls(severity, number(cls.ladder(severity, 0.071, 0.208, rng) * context.text_height))

    def _apply(self, image: Image, origin: Origin) -> Image:
        return blurred(image, self.sigma)


@register
@dataclass(frozen=True, slots=True)
class DefocusBlur(Operator):
    """The page out of the focal plane: a disc of ``radius`` pixels.

    Source: Goodman, Introduction to Fourier Optics (2005): far out of focus the spot is the aperture's shadow.
    """

    name = "defocus_blur"
    rungs = (0.456, 0.511, 0.553, 0.595, 0.651, 1.018)
    stage = OPTICS
    radius: Positive

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        return cls(severity, number(cls.ladder(severity, 0.101, 0.23, rng) * context.text_height))

    def _apply(self, image: Image, origin: Origin) -> Image:
        return defocused(image, self.radius)


@register
@dataclass(frozen=True, slots=True)
class MotionBlur(Operator):
    """A straight shake during the exposure: ``length`` pixels at ``angle`` degrees.

    Source: the integral of a moving picture over the exposure (Boracchi and Foi 2012, see ``CameraShake``).
    """

    name = "motion_blur"
    rungs = (0.124, 0.145, 0.175, 0.219, 0.278, 0.681)
    stage = OPTICS
    length: Annotated[float, Field(gt=0, le=2000)]
    angle: Finite

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        length = number(cls.ladder(severity, 0.253, 1.81, rng) * context.text_height)
        return cls(severity, length, round(float(rng.uniform(-90, 90)), 2))

    def _apply(self, image: Image, origin: Origin) -> Image:
        if 2 * math.ceil(self.length / 2 + 1) + 1 <= _DIRECT:
            kernel = streak(self.length, self.angle)
            return np.asarray(cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT), np.uint8)
        x = 0.5 * self.length * math.cos(math.radians(self.angle))
        y = 0.5 * self.length * math.sin(math.radians(self.angle))
        return shaken(image, ((-x, -y), (x, y)))


@register
@dataclass(frozen=True, slots=True)
class CameraShake(Operator):
    """A hand that trembles: the picture moves along ``path``, points in pixels from its middle, at an even speed.

    Source: Boracchi and Foi, Modeling the performance of image restoration from motion blur, IEEE Transactions on Image
    Processing 21(8), 2012, section III: an inertial random walk with impulsive corrections.
    """

    name = "camera_shake"
    rungs = (0.025, 0.082, 0.154, 0.234, 0.418, 0.827)
    stage = OPTICS
    path: Annotated[tuple[Point, ...], Field(min_length=2, max_length=24)]

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        extent = cls.ladder(severity, 0.3, 2.2, rng) * context.text_height
        heading, turn, points = float(rng.uniform(0, 2 * math.pi)), 0.0, [np.zeros(2)]
        for _ in range(int(rng.integers(3, 6))):
            turn = 0.4 * turn + float(rng.normal(0, 0.55))
            heading += turn + (math.pi * 0.8 if rng.random() < 0.15 else 0.0)  # now and then the hand corrects itself
            points.append(points[-1] + rng.uniform(0.5, 1.5) * np.array([math.cos(heading), math.sin(heading)]))
        path = np.array(points) - np.mean(points, axis=0)
        path *= extent / sum(math.dist(a, b) for a, b in pairwise(path))
        return cls(severity, tuple((number(x), number(y)) for x, y in path))

    def _apply(self, image: Image, origin: Origin) -> Image:
        return shaken(image, self.path)


@register
@dataclass(frozen=True, slots=True)
class LensFault(Operator):
    """A poor lens: sharp on its axis at (``x``, ``y``), softer and with coloured fringes towards the corners.

    The image surface is curved, so the blur grows with the square of the distance from the axis, to ``sigma`` pixels at
    ``reach`` pixels; red and blue are imaged larger and smaller than green by ``fringe`` pixels there. Source: Smith,
    Modern Optical Engineering (field curvature, lateral colour); Kang, Automatic removal of chromatic aberration from a
    single image, CVPR 2007.
    """

    name = "lens_fault"
    rungs = (0.271, 0.515, 0.648, 0.72, 0.806, 1.291)
    stage = OPTICS
    x: Finite
    y: Finite
    reach: Positive
    sigma: Positive
    fringe: NotNegative

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        rows, columns = context.size
        x0, y0, x1, y1 = context.bounds
        field = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
        # The axis lies beyond the middle of the page, seen from the field, so that the field lies in a corner.
        away = np.array([columns / 2, rows / 2]) - field
        away = away / max(1.0, float(np.hypot(*away))) * rng.uniform(0.5, 0.7) * max(rows, columns)
        height = context.text_height
        return cls(
            severity,
            x=number(field[0] + away[0]),
            y=number(field[1] + away[1]),
            reach=number(max(float(np.hypot(*away)), 4 * height)),
            sigma=number(cls.ladder(severity, 0.075, 0.24, rng) * height),
            fringe=number(height * rng.uniform(0.02, 0.12)),
        )

    def _apply(self, image: Image, origin: Origin) -> Image:
        grow = self.fringe / self.reach
        planes = list(cv2.split(image))
        for channel, factor in ((0, 1 + grow), (2, 1 - grow)):
            if grow > 0:
                shift = [(1 - factor) * (c - o - 0.5) for c, o in zip((self.x, self.y), origin, strict=True)]
                matrix = np.array([[factor, 0, shift[0]], [0, factor, shift[1]]])
                flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
                planes[channel] = cv2.warpAffine(
                    planes[channel], matrix, image.shape[1::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE
                )
        fringed = np.asarray(cv2.merge(planes), np.uint8)
        x = np.arange(image.shape[1], dtype=np.float32)[None, :] + np.float32(origin[0] + 0.5 - self.x)
        y = np.arange(image.shape[0], dtype=np.float32)[:, None] + np.float32(origin[1] + 0.5 - self.y)
        share = (x * x + y * y) * np.float32(1 / self.reach**2)
        # Three pictures, of no blur, of half and of 1.4 times the blur, are mixed; variances add, not deviations.
        half, full = np.float32(0.25), np.float32(1.96)
        soft = mixed(fringed, blurred(fringed, 0.5 * self.sigma), np.clip(share * share / half, 0, 1))
        return mixed(soft, blurred(fringed, 1.4 * self.sigma), np.clip((share * share - half) / (full - half), 0, 1))
