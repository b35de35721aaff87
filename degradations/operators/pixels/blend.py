"""Pixel arithmetic that every operator shares: multiply, add and mix a whole page, rounded once and saturated.

OpenCV's arithmetic does in a millisecond or two what arrays of floats take ten for, and the page stays uint8.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from degradations.operators.base import Colour, Image

Floats = NDArray[np.float32]
_STRIP = 48  # rows


def planes(field: NDArray[np.floating], channels: int = 3) -> Floats:
    """``field`` [H, W], [H, W, 1] or [H, W, 3] as float32 [H, W, 3]."""
    values = np.asarray(field, np.float32)
    if values.ndim == 3 and values.shape[2] == channels:
        return values
    plane = np.ascontiguousarray(values.reshape(values.shape[:2]))
    return np.asarray(cv2.merge((plane,) * channels))


def scaled(image: Image, gain: NDArray[np.floating]) -> Image:
    """``image`` (uint8 [H, W, 3]) times ``gain`` ([H, W] or [H, W, 3])."""
    return np.asarray(cv2.multiply(image, planes(gain), dtype=cv2.CV_8U), np.uint8)


def added(image: Image, field: NDArray[np.floating]) -> Image:
    """``image`` plus ``field`` (grey levels, [H, W] or [H, W, 3])."""
    return np.asarray(cv2.add(image, planes(field), dtype=cv2.CV_8U), np.uint8)


def mixed(image: Image, other: Image | Colour, share: NDArray[np.floating]) -> Image:
    """``share`` [H, W] (0 … 1) of ``other``, a picture of the same size or one colour, and the rest of ``image``."""
    share = np.ascontiguousarray(share, np.float32)
    result = np.empty(image.shape, np.uint8)
    plain = None if isinstance(other, np.ndarray) else solid((min(_STRIP, len(image)), image.shape[1]), other)
    for top in range(0, len(image), _STRIP):  # what is made on the way stays in the processor's cache
        part, own = share[top : top + _STRIP], image[top : top + _STRIP]
        second = plain[: len(own)] if plain is not None else np.asarray(other)[top : top + _STRIP]
        result[top : top + _STRIP] = cv2.blendLinear(own, second, np.float32(1) - part, part)
    return result


def solid(shape: tuple[int, ...], colour: Colour) -> Image:
    """A picture of one colour, uint8 [H, W, 3]."""
    return np.full((shape[0], shape[1], 3), np.asarray(colour, np.uint8), np.uint8)


def luma(image: Image) -> NDArray[np.uint8]:
    """Brightness as uint8 [H, W]."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def blurred(image: Image, sigma: float) -> Image:
    """Gaussian blur with standard deviation ``sigma`` pixels; mirror borders."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT), np.uint8)


def smooth_step(values: NDArray[np.floating]) -> Floats:
    """0 below -1, 1 above 1, a cubic in between."""
    t = np.asarray(values, np.float32) * np.float32(0.5)
    t += np.float32(0.5)
    np.clip(t, 0, 1, out=t)
    rest = np.float32(-2) * t
    rest += np.float32(3)
    t *= t
    t *= rest
    return t


@lru_cache(maxsize=1)
def to_linear() -> Floats:
    """Grey level (0 … 255) to linear light (0 … 1), float32 [256]: the sRGB transfer curve (IEC 61966-2-1)."""
    v = np.arange(256) / 255
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4).astype(np.float32)


@lru_cache(maxsize=1)
def from_linear() -> NDArray[np.uint8]:
    """Linear light in 4096 steps (a 12 bit converter, which clips above them) to grey level, uint8 [65536]."""
    v = np.minimum(np.arange(65536), 4095) / 4095
    return np.rint(255 * np.where(v <= 0.0031308, 12.92 * v, 1.055 * v ** (1 / 2.4) - 0.055)).astype(np.uint8)


def developed(light: NDArray[np.floating]) -> Image:
    """Linear light (float32 [H, W, 3], 1 is white) as a picture, uint8 [H, W, 3]."""
    counts = cv2.multiply(light, 4095.0, dtype=cv2.CV_16U)
    return np.asarray(cv2.LUT(counts, from_linear()), np.uint8).reshape(light.shape)
