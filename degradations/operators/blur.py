"""Optics: the three ways a lens and a hand spread a point.

Widths are multiples of the text height: letters stop being identifiable when the spread reaches their stroke
spacing, whatever the resolution (Majaj, Pelli, Kurshan and Palomares, Vision Research 2002).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from degradations.operators.base import (
    OPTICS,
    Context,
    Finite,
    Image,
    Operator,
    Origin,
    Positive,
    Rng,
    number,
    register,
)


def gaussian_blur(image: Image, sigma: float) -> Image:
    """Convolve with a Gaussian of standard deviation ``sigma`` pixels; mirror borders."""
    return cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)


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


def convolve(image: Image, kernel: NDArray[np.float32]) -> Image:
    return cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT)


@register
@dataclass(frozen=True, slots=True)
class GaussianBlur(Operator):
    """Many small spreads at once: ``sigma`` pixels."""

    name = "gaussian_blur"
    rungs = (0.0, 0.229, 0.413, 0.593, 0.779, 1.0)
    stage = OPTICS
    sigma: Positive

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        return cls(severity, number(cls.ladder(severity, 0.071, 0.208, rng) * context.text_height))

    def _apply(self, image: Image, origin: Origin) -> Image:
        return gaussian_blur(image, self.sigma)


@register
@dataclass(frozen=True, slots=True)
class DefocusBlur(Operator):
    """The page out of the focal plane: a disc of ``radius`` pixels."""

    name = "defocus_blur"
    rungs = (0.0, 0.289, 0.51, 0.66, 0.827, 1.0)
    stage = OPTICS
    radius: Positive

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        return cls(severity, number(cls.ladder(severity, 0.101, 0.23, rng) * context.text_height))

    def _apply(self, image: Image, origin: Origin) -> Image:
        return convolve(image, disc(self.radius))


@register
@dataclass(frozen=True, slots=True)
class MotionBlur(Operator):
    """A straight shake during the exposure: ``length`` pixels at ``angle`` degrees."""

    name = "motion_blur"
    rungs = (0.0, 0.135, 0.249, 0.384, 0.6, 1.0)
    stage = OPTICS
    length: Positive
    angle: Finite

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        length = number(cls.ladder(severity, 0.253, 1.81, rng) * context.text_height)
        return cls(severity, length, round(float(rng.uniform(-90, 90)), 2))

    def _apply(self, image: Image, origin: Origin) -> Image:
        return convolve(image, streak(self.length, self.angle))
