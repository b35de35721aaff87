"""Sensor and file: noise, too few pixels, and compression.

Grain and pixel pitch are tied to the text height, not to the pixel grid, because a page photographed from
twice the distance has twice as few pixels a letter: the same severity then removes the same share of a letter
at every scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from degradations.operators.base import (
    COMPRESSION,
    SENSOR,
    Context,
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
from degradations.operators.grain import grain

Quality = Annotated[int, Field(ge=1, le=100)]


def shrink(image: Image, pitch: float, origin: Origin) -> tuple[Image, NDArray[np.float32]]:
    """Sample ``image`` with square pixels of ``pitch``; also the 2 x 3 matrix from small to window coordinates."""
    first = [np.floor(o / pitch) for o in origin]
    size = [int(np.ceil((o + n) / pitch - f)) for o, n, f in zip(origin, image.shape[1::-1], first, strict=True)]
    shift = [(f + 0.5) * pitch - o - 0.5 for f, o in zip(first, origin, strict=True)]
    matrix = np.array([[pitch, 0, shift[0]], [0, pitch, shift[1]]], np.float32)
    # The photosite integrates over its area; a Gaussian of 0.4 pitch has nearly the same pass band.
    spread = cv2.GaussianBlur(image, (0, 0), 0.4 * pitch, borderType=cv2.BORDER_REFLECT) if pitch > 1.05 else image
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    small = cv2.warpAffine(spread, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return small.astype(np.uint8, copy=False), matrix


def enlarge(small: Image, matrix: NDArray[np.float32], shape: tuple[int, ...], smooth: bool) -> Image:
    flags = cv2.INTER_CUBIC if smooth else cv2.INTER_NEAREST
    return cv2.warpAffine(small, matrix, shape[1::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)


def jpeg(image: Image, quality: int) -> Image:
    """A JPEG round trip at ``quality`` (1..100) with 4:2:0 chroma."""
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]
    done, data = cv2.imencode(".jpg", image[:, :, ::-1], flags)
    if not done:
        raise ValueError("OpenCV could not encode the image as JPEG")
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None, "it was encoded a moment ago"
    return np.ascontiguousarray(decoded[:, :, ::-1])


@register
@dataclass(frozen=True, slots=True)
class Noise(Operator):
    """High gain in weak light: ``read`` grey levels of signal-independent noise and ``shot`` at white, in grains
    of ``grain_size`` pixels, ``chroma`` of it different by channel."""

    name = "noise"
    rungs = (0.0, 0.255, 0.441, 0.622, 0.793, 1.0)
    stage = SENSOR
    read: NotNegative
    shot: NotNegative
    grain_size: Positive
    chroma: Share
    seed: Seed

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        return cls(
            severity,
            read=cls.ladder(severity, 47.0, 165.0, rng),
            shot=cls.ladder(severity, 29.0, 86.0, rng),
            grain_size=number(max(1.0, context.text_height / rng.uniform(9, 13))),
            chroma=number(rng.uniform(0.0, 0.5)),
            seed=draw_seed(rng),
        )

    def _apply(self, image: Image, origin: Origin) -> Image:
        shape = (image.shape[0], image.shape[1])
        luma = grain(shape, origin, self.seed, 1, self.grain_size)
        field = luma
        if self.chroma > 0:
            colour = grain(shape, origin, self.seed ^ 1, 3, self.grain_size)
            field = np.sqrt(1 - self.chroma**2) * luma + self.chroma * colour
        # Photon counts vary with the square root of the light, read noise does not.
        table = np.sqrt(self.read**2 + self.shot**2 * np.arange(256) / 255).astype(np.float32)
        return to_uint8(image + field * table[image])


@register
@dataclass(frozen=True, slots=True)
class LowResolution(Operator):
    """The page photographed with pixels of ``pitch`` (in pixels of this page) and enlarged again."""

    name = "low_resolution"
    rungs = (0.0, 0.228, 0.395, 0.585, 0.771, 1.0)
    stage = SENSOR
    pitch: Annotated[float, Field(ge=1, le=200)]
    smooth: bool

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        rows = cls.ladder(severity, 8.9, 3.05, rng)
        return cls(severity, pitch=number(max(1.0, context.text_height / rows)), smooth=bool(rng.random() < 0.7))

    def _apply(self, image: Image, origin: Origin) -> Image:
        small, matrix = shrink(image, self.pitch, origin)
        return enlarge(small, matrix, image.shape, self.smooth)


@register
@dataclass(frozen=True, slots=True)
class Jpeg(Operator):
    """Reduced to pixels of ``pitch`` (1: not at all), compressed at ``quality``, enlarged: what a messenger does."""

    name = "jpeg"
    rungs = (0.0, 0.285, 0.439, 0.605, 0.823, 1.0)
    stage = COMPRESSION
    grid = 16
    pitch: Annotated[float, Field(ge=1, le=200)]
    quality: Quality

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        rows = cls.ladder(severity, 12.7, 8.15, rng)
        quality = round(cls.ladder(severity, 11.0, 3.6, rng))
        return cls(severity, pitch=number(max(1.0, context.text_height / rows)), quality=max(1, quality))

    def _apply(self, image: Image, origin: Origin) -> Image:
        if self.pitch == 1:
            return jpeg(image, self.quality)
        small, matrix = shrink(image, self.pitch, origin)
        return enlarge(jpeg(small, self.quality), matrix, image.shape, True)
