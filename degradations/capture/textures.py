"""What lies below a document: tables, cloths and lids as tiles of brightness that repeat without a seam.

Each is made once a process from filtered noise in the frequency domain, where every period fits by itself, and coloured
when it is used. A desk is looked at beside the document and a little out of focus: what matters is that its detail has
the scales and directions of the real thing (growth rings and pores, threads, grains), not that it is any one desk.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from degradations.operators.pixels.grain import pieces
from degradations.operators.pixels.parts import Part

Texture = Literal["oak", "walnut", "laminate", "linen", "felt", "concrete", "marble", "leather", "paper", "plain"]
TEXTURES: tuple[Texture, ...] = (
    "oak", "walnut", "laminate", "linen", "felt", "concrete", "marble", "leather", "paper", "plain",
)  # fmt: skip
SIDE = 1024  # pixels of a tile as it is made
DENSITY = 11.8  # and how many of them are a millimetre: 300 dpi
Floats = NDArray[np.float32]
Tile = NDArray[np.uint8]


def _noise(rng: np.random.Generator, along: float, across: float, slope: float = 0.0) -> Floats:
    """Periodic noise of unit variance whose lumps are ``along`` x ``across`` pixels; ``slope`` > 0 makes a power law."""
    fy, fx = (f(SIDE).astype(np.float32) for f in (np.fft.fftfreq, np.fft.rfftfreq))
    fy, fx = fy[:, None], fx[None, :]
    spectrum = np.fft.rfft2(rng.standard_normal((SIDE, SIDE), dtype=np.float32))
    radius = np.square(fx * np.float32(along)) + np.square(fy * np.float32(across))
    gain = np.exp(np.float32(-6) * radius) if slope == 0 else (radius + (along / SIDE) ** 2) ** (-slope / 2)
    gain.flat[0] = 0
    field = np.fft.irfft2(spectrum * gain, (SIDE, SIDE))
    return (field / field.std()).astype(np.float32)


def _wood(rng: np.random.Generator, rings: int, figure: float) -> Floats:
    """Growth rings cut lengthwise, fibres, and pores as short dark dashes along them."""
    y = np.arange(SIDE, dtype=np.float32)[:, None] / SIDE
    bend = figure * (_noise(rng, 900, 170) + 0.25 * _noise(rng, 420, 60))
    phase = 2 * np.pi * (rings * y + bend)
    ring = 0.5 + 0.5 * np.sin(phase)
    ring = ring**2.2  # late wood is narrow and dark
    fibre = _noise(rng, 260, 2.2) + 0.6 * _noise(rng, 700, 7)
    pores = np.clip(_noise(rng, 46, 2.4) - 1.35, 0, 1.6) * (0.4 + ring)
    return 0.55 * ring - 0.20 * fibre - 1.1 * pores + 0.25 * _noise(rng, 900, 500)


def _woven(rng: np.random.Generator, threads: int, uneven: float) -> Floats:
    """Warp and weft one over the other, each thread of its own thickness."""
    t = np.arange(SIDE, dtype=np.float32) * np.float32(2 * np.pi * threads / SIDE)
    across = np.sin(t + uneven * _noise(rng, 300, 6)).astype(np.float32)
    down = np.sin(t[:, None] + uneven * _noise(rng, 6, 300)).astype(np.float32)
    over = np.sign(np.sin(0.5 * t)[None, :] * np.sin(0.5 * t)[:, None])
    slub = 0.5 * _noise(rng, 5, 240) + 0.5 * _noise(rng, 240, 5)
    return np.where(over > 0, across, down) * 0.55 + 0.5 * slub + 0.35 * _noise(rng, 3, 3)


def _field(texture: Texture, rng: np.random.Generator) -> tuple[Floats, float]:
    """The pattern, of about unit variance, and how strong it is in grey levels."""
    match texture:
        case "oak":
            return _wood(rng, 9, 0.75), 20.0
        case "walnut":
            return _wood(rng, 6, 1.25), 24.0
        case "laminate":
            return 0.7 * _noise(rng, 2.2, 2.2) + 0.4 * _noise(rng, 30, 4) + 0.6 * _noise(rng, 500, 500), 4.5
        case "linen":
            return _woven(rng, 96, 0.8), 12.0
        case "felt":
            return 0.8 * _noise(rng, 4, 4) + 0.5 * _noise(rng, 12, 12) + 0.4 * _noise(rng, 200, 200), 9.0
        case "concrete":
            pits = -2.2 * np.clip(_noise(rng, 7, 7) - 2.3, 0, 1)
            return _noise(rng, 1, 1, 1.3) + 0.35 * _noise(rng, 2, 2) + pits, 13.0
        case "marble":
            veins = np.abs(_noise(rng, 1, 1, 1.9))
            return -1.6 * np.exp(-veins / 0.05) - 0.7 * np.exp(-veins / 0.25) + 0.4 * _noise(rng, 1, 1, 1.5), 15.0
        case "leather":
            cells = np.abs(_noise(rng, 13, 13)) + 0.5 * np.abs(_noise(rng, 7, 7))
            return -1.4 * np.exp(-cells / 0.28) + 0.3 * _noise(rng, 200, 200), 11.0
        case "paper":
            return 0.7 * _noise(rng, 3, 3) + 0.5 * _noise(rng, 16, 16), 2.2
        case _:
            return 0.6 * _noise(rng, 2, 2) + 0.8 * _noise(rng, 600, 600), 1.6


@lru_cache(maxsize=len(TEXTURES))
def _made(texture: Texture) -> Tile:
    rng = np.random.default_rng([TEXTURES.index(texture), 7103])
    field, strength = _field(texture, rng)
    return np.clip(np.rint(128 + strength * (field - field.mean())), 0, 255).astype(np.uint8)


@lru_cache(maxsize=24)
def tile(texture: Texture, density: float, turned: bool) -> Tile:
    """Brightness around 128, uint8 [n, n], one period at ``density`` pixels a millimetre; not to be written to."""
    made = _made(texture)
    side = max(16, round(SIDE * density / DENSITY))
    if side != SIDE:
        made = np.asarray(cv2.resize(made, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    made = np.ascontiguousarray(made.T) if turned else made
    made.setflags(write=False)
    return made


def repeats(n: int, seed: int, origin: tuple[int, int], shape: tuple[int, ...]) -> Iterator[tuple[Part, Part]]:
    """Where a pattern of ``n`` x ``n`` pixels that fills the plane, shifted by what ``seed`` says, meets the window of ``shape``
    at ``origin`` = (x, y): (part of the window, part of the pattern)."""
    x, y = (seed * factor + o for factor, o in zip((104729, 7919), origin, strict=True))
    return pieces(n, (shape[0], shape[1]), (x, y))


def wrapped(pattern: Tile, seed: int, origin: tuple[int, int], shape: tuple[int, ...]) -> Tile:
    """That window of ``pattern`` [n, n]."""
    result = np.empty(shape[:2], np.uint8)
    for here, there in repeats(len(pattern), seed, origin, shape):
        result[here] = pattern[there]
    return result
