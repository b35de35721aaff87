"""Noise that belongs to page coordinates, so that a window of a page meets the noise of the page.

White noise and grain repeat every ``PERIOD`` pixels (no grain is wide enough for the eye to find the repeat), which
makes a page of noise cost little more than copying it; smooth fields (``clouds``) are drawn on a lattice and never
repeat.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from degradations.operators.base import Image, Origin
from degradations.operators.pixels.blend import added

Floats = NDArray[np.float32]
PERIOD = 320
_SHIFT = 1024  # lattice indices may be negative near the page's border


def _generator(seed: int, *key: int) -> np.random.Generator:
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, *key])))


def _spread(tile: Floats, shape: tuple[int, int], origin: Origin) -> Floats:
    """``tile`` [n, n, C] repeated over a window of ``shape`` whose corner lies at ``origin``."""
    n = len(tile)
    tile = np.roll(tile, (-origin[1] % n, -origin[0] % n), (0, 1))[: shape[0], : shape[1]]
    below, right = max(0, shape[0] - tile.shape[0]), max(0, shape[1] - tile.shape[1])
    spread = cv2.copyMakeBorder(tile, 0, below, 0, right, cv2.BORDER_WRAP).reshape(*shape, -1)
    spread.setflags(write=False)
    return spread


# The observer damages the same window a few dozen times with one seed: the last tiles and fields are kept.
@lru_cache(maxsize=8)
def _tile(seed: int, channels: int, size: float) -> Floats:
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


@lru_cache(maxsize=2)
def noise_field(shape: tuple[int, int], origin: Origin, seed: int, channels: int) -> Floats:
    """Standard normal noise, float32 [H, W, channels], that depends on page coordinates and ``seed`` only; not to be
    written to."""
    return _spread(_tile(seed, channels, 1.0), shape, origin)


@lru_cache(maxsize=2)
def grain(shape: tuple[int, int], origin: Origin, seed: int, channels: int, size: float) -> Floats:
    """Noise of unit variance whose grains are ``size`` pixels wide (1: white), float32 [H, W, channels]; not to be
    written to."""
    return _spread(_tile(seed, channels, max(1.0, size)), shape, origin)


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
    shape = (image.shape[0], image.shape[1])
    fine, coarse = grain(shape, origin, seed, 1, size), grain(shape, origin, seed ^ 5, 3, 2.4 * size)
    field = np.asarray(cv2.merge((fine[:, :, 0],) * 3), np.float32)
    field = cv2.addWeighted(field, 0.75 * level, np.ascontiguousarray(coarse), 0.42 * level, 0)
    if where is not None:
        field = cv2.multiply(field, cv2.merge((np.ascontiguousarray(where, np.float32),) * 3))
    return added(image, np.asarray(field, np.float32))
