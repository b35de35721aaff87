"""Noise that belongs to page coordinates, so that a window of a page meets the noise of the page.

White noise and grain repeat every ``PERIOD`` pixels (no grain is wide enough for the eye to find the repeat), which
makes a page of noise cost little more than copying it; smooth fields (``clouds``) are drawn on a lattice and never
repeat.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from degradations.operators.base import Image, Origin
from degradations.operators.pixels.blend import added, planes
from degradations.operators.pixels.parts import Part

Floats = NDArray[np.float32]
PERIOD = 320
_SHIFT = 1024  # lattice indices may be negative near the page's border


def _generator(seed: int, *key: int) -> np.random.Generator:
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, *key])))


def pieces(period: int, shape: tuple[int, int], origin: Origin) -> Iterator[tuple[Part, Part]]:
    """Where a tile of ``period`` pixels, repeated, meets a window at ``origin``: (part of the window, part of the tile)."""
    y, x = origin[1] % period, origin[0] % period
    for top in range(-y, shape[0], period):
        for left in range(-x, shape[1], period):
            a, b, c, d = max(0, top), max(0, left), min(shape[0], top + period), min(shape[1], left + period)
            yield (slice(a, c), slice(b, d)), (slice(a - top, c - top), slice(b - left, d - left))


def _spread(tile: Floats, shape: tuple[int, int], origin: Origin) -> Floats:
    """``tile`` [n, n, C] repeated over a window of ``shape`` whose corner lies at ``origin``."""
    spread = np.empty((*shape, tile.shape[2]), tile.dtype)
    for here, there in pieces(len(tile), shape, origin):
        spread[here] = tile[there]
    spread.setflags(write=False)
    return spread


# The observer damages the same window a few dozen times with one seed: the last tiles and fields are kept.
@lru_cache(maxsize=8)
def grain_tile(seed: int, channels: int, size: float) -> Floats:
    """One period of noise of unit variance with grains of ``size`` pixels, float32 [n, n, channels]; not to be written to."""
    tile = _generator(seed).standard_normal((PERIOD, PERIOD, channels), dtype=np.float32)
    if size <= 1:
        return tile
    sigma = 0.5 * size
    margin = int(np.ceil(3 * sigma))
    wide = cv2.copyMakeBorder(tile, margin, margin, margin, margin, cv2.BORDER_WRAP)
    kernel = cv2.getGaussianKernel(2 * margin + 1, sigma, cv2.CV_32F)
    smooth = cv2.sepFilter2D(wide, cv2.CV_32F, kernel, kernel)[margin:-margin, margin:-margin]
    return np.asarray(smooth.reshape(PERIOD, PERIOD, channels) / np.float32(np.square(kernel).sum()), np.float32)


@lru_cache(maxsize=4)
def coloured_tile(seed: int, size: float, chroma: float) -> Floats:
    """One period of grain whose share ``chroma`` differs by channel, float32 [n, n, 3], or [n, n, 1] where none does."""
    same = grain_tile(seed, 1, max(1.0, size))
    if chroma == 0:
        return same
    return np.float32(math.sqrt(1 - chroma**2)) * same + np.float32(chroma) * grain_tile(seed ^ 1, 3, max(1.0, size))


@lru_cache(maxsize=2)
def grain(shape: tuple[int, int], origin: Origin, seed: int, channels: int, size: float) -> Floats:
    """Noise of unit variance whose grains are ``size`` pixels wide (1: white), float32 [H, W, channels]; not to be
    written to."""
    return _spread(grain_tile(seed, channels, max(1.0, size)), shape, origin)


@lru_cache(maxsize=8)
def clouds(
    shape: tuple[int, int], origin: Origin, seed: int, cell: float | tuple[float, float], *, step: int = 1
) -> Floats:
    """A smooth field of about unit variance, float32 [H, W], not to be written to; ``cell`` is the size of its lumps in
    pixels (x, y).

    ``step`` above 1 gives every ``step``-th pixel of the page (those at page coordinates divisible by it, from the
    first one at or before ``origin``): enough for what will be enlarged again.
    """
    across, down = cell if isinstance(cell, tuple) else (cell, cell)
    first = [int(np.floor(o / c)) - 2 for o, c in zip(origin, (across, down), strict=True)]
    count = [int(np.ceil(n * step / c)) + 6 for n, c in zip(shape[::-1], (across, down), strict=True)]
    rng_origin = (first[0] + _SHIFT, first[1] + _SHIFT)
    lattice = _lattice((count[1], count[0]), rng_origin, seed)
    # Pixel centres in lattice coordinates: (o + x + 0.5) / cell - first.
    matrix = np.array(
        [
            [step / across, 0, (origin[0] + 0.5) / across - first[0]],
            [0, step / down, (origin[1] + 0.5) / down - first[1]],
        ],
        np.float64,
    )
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    field = cv2.warpAffine(lattice, matrix, shape[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
    field = np.asarray(field, np.float32) * np.float32(1.25)  # interpolation averages some of the variance away
    field.setflags(write=False)
    return field


def _lattice(shape: tuple[int, int], origin: Origin, seed: int) -> Floats:
    """Standard normal values at lattice points, from tiles with a generator each, so that no repeat shows."""
    side = 32
    result = np.empty(shape, np.float32)
    for row in range(origin[1] // side, (origin[1] + shape[0] - 1) // side + 1):
        for column in range(origin[0] // side, (origin[0] + shape[1] - 1) // side + 1):
            tile = _generator(seed, row, column).standard_normal((side, side), dtype=np.float32)
            top, left = row * side - origin[1], column * side - origin[0]
            a, b = max(0, top), max(0, left)
            c, d = min(shape[0], top + side), min(shape[1], left + side)
            result[a:c, b:d] = tile[a - top : c - top, b - left : d - left]
    return result


def add_floor(
    image: Image, origin: Origin, seed: int, level: float, size: float, where: NDArray[np.floating] | None = None
) -> Image:
    """Add the noise that every weak exposure carries: ``level`` grey levels, times ``where`` [H, W] if given.

    A camera's denoiser has been over it: beside grains of ``size`` pixels there are blotches of more than twice that, and a part
    of both is colour.
    """
    if level == 0:
        return image
    return added_tile(image, origin, _floor_tile(seed, level, size), where)


@lru_cache(maxsize=4)
def _floor_tile(seed: int, level: float, size: float) -> Floats:
    """One period of that noise in grey levels, float32 [n, n, 3]; not to be written to."""
    fine, coarse = grain_tile(seed, 1, max(1.0, size)), grain_tile(seed ^ 5, 3, max(1.0, 2.4 * size))
    same = np.asarray(cv2.merge((fine[:, :, 0],) * 3), np.float32)
    return np.asarray(cv2.addWeighted(same, 0.75 * level, coarse, 0.42 * level, 0), np.float32)


def added_tile(image: Image, origin: Origin, tile: Floats, strength: NDArray[np.floating] | None = None) -> Image:
    """``image``, a window at ``origin``, plus ``tile`` [n, n, C] (grey levels) repeated over the page.

    ``strength`` multiplies the noise: one number a pixel, [H, W], or one a grey level of the image, [256]. Piece by piece, so
    that no page of floats is ever made.
    """
    result = np.empty_like(image)
    for here, there in pieces(len(tile), (image.shape[0], image.shape[1]), origin):
        part, noise = image[here], tile[there]
        if strength is not None:
            gain = cv2.LUT(part, strength) if strength.ndim == 1 else planes(strength[here])
            noise = cv2.multiply(planes(noise), gain)
        result[here] = added(part, noise)
    return result
