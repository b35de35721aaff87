"""Files: what is lost each time a picture is saved, sent and saved again.

Every coder works on the picture reduced to pixels of ``pitch``, as messengers and scanners' apps reduce it, and the result
is enlarged again; the blocks lie where they lie on the whole page, whatever window is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Self

import cv2
import numpy as np
from pydantic import Field

from degradations.operators.base import (
    COMPRESSION,
    Context,
    Image,
    NotNegative,
    Operator,
    Origin,
    Rng,
    number,
    register,
)
from degradations.operators.pixels.resample import enlarge, shrink

Quality = Annotated[int, Field(ge=1, le=100)]
Offset = Annotated[int, Field(ge=0, le=15)]
Pitch = Annotated[float, Field(ge=1, le=200)]
_BLOCK = 16  # of a JPEG with 4:2:0 chroma, and of WebP


def recoded(image: Image, extension: str, flags: list[int]) -> Image:
    """``image`` (uint8 [H, W, 3] RGB) encoded by OpenCV and decoded again."""
    done, data = cv2.imencode(extension, image[:, :, ::-1], flags)
    if not done:
        raise ValueError(f"OpenCV could not encode the image as {extension}")
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None, "it was encoded a moment ago"
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)


def jpeg(image: Image, quality: int) -> Image:
    """A JPEG round trip at ``quality`` (1..100) with 4:2:0 chroma (ITU-T T.81)."""
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]
    return recoded(image, ".jpg", flags)


def webp(image: Image, quality: int) -> Image:
    """A lossy WebP round trip at ``quality`` (1..100): VP8 intra frames (RFC 6386), filtered across block edges."""
    return recoded(image, ".webp", [cv2.IMWRITE_WEBP_QUALITY, quality])


def sharpened(image: Image, amount: float) -> Image:
    """Unsharp mask one pixel wide."""
    soft = cv2.GaussianBlur(image, (0, 0), 1.0, borderType=cv2.BORDER_REFLECT)
    return np.asarray(cv2.addWeighted(image, 1 + amount, soft, -amount, 0), np.uint8)


def pitch_for(rows: float, context: Context) -> float:
    """The pixel pitch at which a line of text has ``rows`` rows of pixels; never finer than the page."""
    return number(max(1.0, context.text_height / rows))


@register
@dataclass(frozen=True, slots=True)
class Jpeg(Operator):
    """Reduced to pixels of ``pitch`` (1: not at all), compressed at ``quality``, enlarged. Source: ITU-T T.81 (1992)."""

    name = "jpeg"
    rungs = (0.335, 0.406, 0.459, 0.503, 0.538, 0.74)
    stage = COMPRESSION
    pitch: Pitch
    quality: Quality

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        pitch = pitch_for(cls.ladder(severity, 16.0, 8.15, rng), context)
        return cls(severity, pitch=pitch, quality=max(1, min(100, round(cls.ladder(severity, 60.0, 3.6, rng)))))

    def _apply(self, image: Image, origin: Origin) -> Image:
        small, matrix = shrink(image, self.pitch, origin, block=_BLOCK)
        return enlarge(jpeg(small, self.quality), matrix, image.shape, True)


@register
@dataclass(frozen=True, slots=True)
class JpegTwice(Operator):
    """Saved at ``first``, cropped by (``dx``, ``dy``) pixels of the file, and saved again at ``second``.

    The two block grids do not agree, so the second coder spends its bits on the first one's edges. Source: Bianchi and
    Piva, Detection of nonaligned double JPEG compression based on integer periodicity maps, IEEE Transactions on
    Information Forensics and Security 7(2), 2012.
    """

    name = "jpeg_twice"
    rungs = (0.252, 0.328, 0.389, 0.444, 0.51, 0.693)
    stage = COMPRESSION
    pitch: Pitch
    first: Quality
    second: Quality
    dx: Offset
    dy: Offset

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        pitch = pitch_for(cls.ladder(severity, 16.0, 7.6, rng), context)
        quality = cls.ladder(severity, 70.0, 4.5, rng)
        other = quality * float(rng.uniform(1.0, 2.0))
        worse, better = (int(np.clip(round(v), 1, 100)) for v in (quality, other))
        first, second = (worse, better) if rng.random() < 0.5 else (better, worse)
        return cls(severity, pitch, first, second, int(rng.integers(1, 16)), int(rng.integers(1, 16)))

    def _apply(self, image: Image, origin: Origin) -> Image:
        small, matrix = shrink(image, self.pitch, origin, block=_BLOCK)
        once = jpeg(small, self.first)
        wide = cv2.copyMakeBorder(once, 0, self.dy, 0, self.dx, cv2.BORDER_REPLICATE)
        twice = once.copy()
        cut = jpeg(np.ascontiguousarray(wide[self.dy :, self.dx :]), self.second)
        twice[self.dy :, self.dx :] = cut[: len(once) - self.dy, : once.shape[1] - self.dx]
        return enlarge(twice, matrix, image.shape, True)


@register
@dataclass(frozen=True, slots=True)
class WebP(Operator):
    """Reduced to pixels of ``pitch`` and saved as WebP at ``quality``. Source: RFC 6386 (2011), VP8's intra frames.

    Each block is predicted from those above and left of it and the coder adapts to the whole picture, so a window is
    only nearly that part of the page.
    """

    name = "webp"
    rungs = (-0.265, -0.169, -0.088, -0.036, 0.013, 0.33)
    stage = COMPRESSION
    exact_windows = False
    pitch: Pitch
    quality: Quality

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        pitch = pitch_for(cls.ladder(severity, 9.5, 4.4, rng), context)
        return cls(severity, pitch=pitch, quality=max(1, round(cls.ladder(severity, 12.0, 1.0, rng))))

    def _apply(self, image: Image, origin: Origin) -> Image:
        small, matrix = shrink(image, self.pitch, origin, block=_BLOCK)
        return enlarge(webp(small, self.quality), matrix, image.shape, True)


@register
@dataclass(frozen=True, slots=True)
class Messenger(Operator):
    """What a messenger does: reduced to a fixed size (``pitch``), sharpened by ``sharpen``, saved as JPEG at ``quality``.

    Source for the steps: Moltisanti, Paratore, Battiato and Saravo, Image
    manipulation on Facebook for forensics evidence, ICIAP 2015.
    """

    name = "messenger"
    rungs = (-0.097, 0.024, 0.091, 0.16, 0.235, 0.59)
    stage = COMPRESSION
    pitch: Pitch
    sharpen: NotNegative
    quality: Quality

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        pitch = pitch_for(cls.ladder(severity, 8.6, 3.2, rng), context)
        return cls(severity, pitch, number(rng.uniform(0.2, 1.0)), int(rng.integers(35, 76)))

    def _apply(self, image: Image, origin: Origin) -> Image:
        small, matrix = shrink(image, self.pitch, origin, block=_BLOCK)
        return enlarge(jpeg(sharpened(small, self.sharpen), self.quality), matrix, image.shape, True)
