"""Noise that belongs to page coordinates, so that a window of a page meets the noise of the page.

It is drawn in tiles, each from a generator of its own: any part can be made alone, and a page costs no more
memory than itself.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from degradations.operators.base import Image, Origin, to_uint8

_TILE = 64


def noise_field(shape: tuple[int, int], origin: Origin, seed: int, channels: int) -> NDArray[np.float32]:
    """Standard normal noise, float32 [H, W, channels], that depends on page coordinates and ``seed`` only.

    It is drawn in tiles with a generator each, so a window of a page meets the noise of the page.
    """
    x0, y0 = origin
    result = np.empty((*shape, channels), np.float32)
    for tile_y in range(y0 // _TILE, (y0 + shape[0] - 1) // _TILE + 1):
        for tile_x in range(x0 // _TILE, (x0 + shape[1] - 1) // _TILE + 1):
            generator = np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, tile_y, tile_x])))
            tile = generator.standard_normal((_TILE, _TILE, channels), dtype=np.float32)
            top, left = tile_y * _TILE - y0, tile_x * _TILE - x0
            a, b = max(0, top), max(0, left)
            c, d = min(shape[0], top + _TILE), min(shape[1], left + _TILE)
            result[a:c, b:d] = tile[a - top : c - top, b - left : d - left]
    return result


def grain(shape: tuple[int, int], origin: Origin, seed: int, channels: int, size: float) -> NDArray[np.float32]:
    """Noise of unit variance whose grains are ``size`` pixels wide (1: white), float32 [H, W, channels]."""
    if size <= 1:
        return noise_field(shape, origin, seed, channels)
    sigma = 0.5 * size
    margin = int(np.ceil(3 * sigma))
    wide = (shape[0] + 2 * margin, shape[1] + 2 * margin)
    # Page coordinates may be negative in the margin; tiles take any non-negative index, so shift by whole tiles.
    shift = _TILE * (margin // _TILE + 1)
    field = noise_field(wide, (origin[0] - margin + shift, origin[1] - margin + shift), seed, channels)
    kernel = cv2.getGaussianKernel(2 * margin + 1, sigma, cv2.CV_32F)
    smooth = cv2.sepFilter2D(field, cv2.CV_32F, kernel, kernel)[margin:-margin, margin:-margin]
    smooth = smooth.reshape(*shape, channels)
    return smooth / np.float32(np.square(kernel).sum())


def add_floor(
    image: Image, origin: Origin, seed: int, level: float, size: float, where: NDArray[np.floating] | None = None
) -> Image:
    """Add the read noise that every weak exposure carries: ``level`` grey levels, times ``where`` [H, W] if given."""
    if level == 0:
        return image
    noise = np.float32(level) * grain((image.shape[0], image.shape[1]), origin, seed, 1, size)
    return to_uint8(image + (noise if where is None else noise * where[:, :, None]))
