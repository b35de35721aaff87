"""Grounds that documents are printed on: guilloche, rosettes, waves, contours, and paper.

A ground is drawn once a (kind, palette, size, seed) and kept, because drawing it costs more than all the text of a
small card; the page then varies it by mirroring and shading. Everything is low in contrast: it must disturb a
reader as on a real card, not hide the text.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from degradations.documents.art.palette import Palette
from kie_hvqa.errors import InputError

_SHIFT = 4  # fractional bits of the coordinates given to OpenCV
_RICH = 400  # pages at least this high get dense patterns, several colours and an emblem


def _curve(canvas: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
    points = np.rint(np.stack([x, y], axis=1) * (1 << _SHIFT)).astype(np.int32)
    cv2.polylines(canvas, [points], False, 255, 1, cv2.LINE_AA, _SHIFT)


def _guilloche(canvas: np.ndarray, rng: np.random.Generator, density: float) -> None:
    height, width = canvas.shape
    x = np.linspace(0, width, 160)
    f1, f2, phase = rng.uniform(1.5, 3.5), rng.uniform(4, 8), rng.uniform(0, 6.28)
    for k in np.linspace(-0.3, 1.3, int(26 * density)):
        wave = np.sin(x / width * 6.28 * f1 + phase + k * 5) * 0.10 + np.sin(x / width * 6.28 * f2 + k * 9) * 0.035
        _curve(canvas, x, (k + wave) * height)


def rosette(
    canvas: np.ndarray, centre: tuple[float, float], radius: float, petals: int, rings: int, swirl: float = 7.0
) -> None:
    """A wreath of ``rings`` closed curves with ``petals`` lobes, drawn into the mask ``canvas`` (uint8 [h, w])."""
    t = np.linspace(0, 2 * np.pi, 60 + 30 * petals)
    for k in np.linspace(0.3, 1.0, rings):
        r = radius * k * (1 + 0.16 * np.sin(petals * t + k * swirl))
        _curve(canvas, centre[0] + r * np.cos(t), centre[1] + r * np.sin(t))


def _rosettes(canvas: np.ndarray, rng: np.random.Generator, density: float) -> None:
    height, width = canvas.shape
    for _ in range(3):
        centre = (rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.9) * height)
        rosette(canvas, centre, rng.uniform(0.35, 0.6) * height, int(rng.integers(6, 14)), int(9 * density))


def _waves(canvas: np.ndarray, rng: np.random.Generator, density: float) -> None:
    height, width = canvas.shape
    y = np.linspace(0, height, 120)
    f, phase, slant = rng.uniform(1, 2.5), rng.uniform(0, 6.28), rng.uniform(-0.4, 0.4)
    for k in np.linspace(-0.4, 1.4, int(48 * density)):
        swing = 0.03 * np.sin(y / height * 6.28 * f + phase + (k * 3 if density > 1 else 0))
        _curve(canvas, (k + slant * y / height + swing) * width, y)


def _field(shape: tuple[int, int], rng: np.random.Generator, cells: int) -> np.ndarray:
    """A smooth random field in about -1..1, float32 [h, w]."""
    coarse = rng.standard_normal((cells, cells * 2)).astype(np.float32)
    return cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def _contours(canvas: np.ndarray, rng: np.random.Generator, density: float) -> None:
    height, width = canvas.shape
    field = _field((height, width), rng, 4) * np.float32(9 * (1 if density == 1 else 2.2))
    if density == 1:
        canvas[...] = np.clip(255 * (1 - np.abs(np.sin(field)) * 2.2), 0, 255).astype(np.uint8)
        return
    # Divided by its slope, so that every line has one width however steep the field is.
    slope = np.hypot(cv2.Sobel(field, cv2.CV_32F, 1, 0), cv2.Sobel(field, cv2.CV_32F, 0, 1)) / 8 + np.float32(1e-3)
    distance = np.abs((field + np.float32(np.pi / 2)) % np.float32(np.pi) - np.float32(np.pi / 2)) / slope
    canvas[...] = np.clip(255 * (1.3 - distance), 0, 255).astype(np.uint8)


def _mesh(canvas: np.ndarray, rng: np.random.Generator, density: float) -> None:
    height, width = canvas.shape
    s = np.linspace(-0.2, 1.2, 200)
    bend, phase = rng.uniform(0.02, 0.06), rng.uniform(0, 6.28)
    for k in np.linspace(-1, 1.6, int(30 * density)):
        swing = bend * np.sin(s * 12 + phase + k)
        _curve(canvas, s * width, (k + 0.6 * s + swing) * height)
        _curve(canvas, s * width, (1 - k - 0.6 * s + swing) * height)


def _dots(canvas: np.ndarray, rng: np.random.Generator, density: float) -> None:
    height, width = canvas.shape
    yy, xx = np.mgrid[0:height, 0:width].astype(np.float32)
    pitch = np.float32(height / rng.uniform(24, 34) / density)
    angle = rng.uniform(0.2, 1.2)
    cos, sin = np.float32(np.cos(angle) * 2 * np.pi / pitch), np.float32(np.sin(angle) * 2 * np.pi / pitch)
    dots = np.cos(xx * cos + yy * sin) * np.cos(yy * cos - xx * sin) + np.float32(0.4) * _field((height, width), rng, 3)
    canvas[...] = np.clip(255 * dots, 0, 200).astype(np.uint8)


def _plain(canvas: np.ndarray, rng: np.random.Generator, density: float) -> None:
    """Nothing: a sheet of paper."""


KINDS = {
    "guilloche": _guilloche,
    "rosettes": _rosettes,
    "waves": _waves,
    "contours": _contours,
    "mesh": _mesh,
    "dots": _dots,
    "plain": _plain,
}


def _stain(image: np.ndarray, mask: np.ndarray, ink: np.ndarray, strength: float) -> np.ndarray:
    """``image`` (uint8 [h, w, 3]) with ``ink`` (RGB, or one RGB a column) mixed in where ``mask`` is set."""
    weight = mask.astype(np.float32) * np.float32(strength / 255)
    other = np.broadcast_to(np.rint(ink).astype(np.uint8), image.shape)
    return cv2.blendLinear(image, np.ascontiguousarray(other), 1 - weight, weight)


def _ramp(palette: Palette, width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """An uneven gradient from ``light`` to ``second``, uint8 [h, w, 3]; it is smooth, so it is made small and enlarged."""
    h, w = (height, width) if height < _RICH else (height // 8, width // 8)
    y, x = np.ogrid[0 : 1 : h * 1j, 0 : 1 : w * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    along = (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle) + 0.5
    share = np.clip(along.astype(np.float32) + np.float32(0.15) * _field((h, w), rng, 3), 0, 1)[..., None]
    light, second = np.asarray(palette.light, np.float32), np.asarray(palette.second, np.float32)
    small = np.rint(light + share * (second - light)).astype(np.uint8)
    return small if h == height else cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def _microprint(mask: np.ndarray, rng: np.random.Generator, lines: int) -> None:
    """Lines of type too small to read: at this resolution only their texture is left."""
    height, width = mask.shape
    for y in rng.integers(height // 5, height - 8, lines):
        ticks = (rng.random((4, width // 2)) < 0.55).astype(np.uint8) * 200
        mask[y : y + 4, : 2 * (width // 2)] = np.repeat(ticks, 2, axis=1)


def _draw(kind: str, palette: Palette, width: int, height: int, seed: int, strength: float) -> np.ndarray:
    rng = np.random.default_rng([seed, *kind.encode(), *palette.name.encode()])
    rich = height >= _RICH
    pattern = np.zeros((height, width), np.uint8)
    KINDS[kind](pattern, rng, 2.4 if rich else 1.0)
    colour, line = _ramp(palette, width, height, rng), np.asarray(palette.line, np.float32)
    if rich and strength >= 1:
        # Iris printing: the colour of the lines runs from one ink to another across the card.
        other = np.asarray(palette.accent, np.float32) * np.float32(0.45) + np.float32(255 * 0.55)
        across = (0.5 - 0.5 * np.cos(np.linspace(0, np.pi * rng.uniform(1, 2.5), width))).astype(np.float32)[:, None]
        colour = _stain(colour, pattern, line + across * (other - line), rng.uniform(0.6, 0.8))
        emblem = np.zeros_like(pattern)
        centre = (width * rng.uniform(0.55, 0.75), height * rng.uniform(0.45, 0.6))
        radius, petals, swirl = height * rng.uniform(0.3, 0.4), int(rng.integers(8, 25)), rng.uniform(1, 6)
        for turn in (swirl, -swirl):
            rosette(emblem, centre, radius, petals, 14, turn)
        rosette(emblem, centre, height * 0.12, 5, 6, 0.0)
        _microprint(emblem, rng, 3)
        colour = _stain(colour, emblem, other + (1 - across) * (line - other), rng.uniform(0.4, 0.6))
    elif kind != "plain":
        colour = _stain(colour, pattern, line, strength * rng.uniform(0.25, 0.5))
    if not rich:  # the finish of a larger page has its own grain
        grain = colour + rng.normal(0, 1.2, (height, width, 1)).astype(np.float32)
        colour = np.clip(grain + 0.5, 0, 255).astype(np.uint8)
    return colour


@lru_cache(maxsize=256)
def _small(kind: str, palette: Palette, width: int, height: int, seed: int, strength: float) -> np.ndarray:
    return _draw(kind, palette, width, height, seed, strength)


@lru_cache(maxsize=16)  # 2 to 7 MB each
def _large(kind: str, palette: Palette, width: int, height: int, seed: int, strength: float) -> np.ndarray:
    return _draw(kind, palette, width, height, seed, strength)


def ground(kind: str, palette: Palette, width: int, height: int, seed: int, strength: float = 1.0) -> np.ndarray:
    """uint8 [height, width, 3], read-only and shared: copy before drawing. Raises InputError for an unknown kind.

    ``strength`` below 1 fades the pattern, for paper that carries only a trace of one.
    """
    if kind not in KINDS:
        raise InputError(f"unknown background {kind!r}", remedy=f"use one of {', '.join(KINDS)}")
    result = (_large if height >= _RICH else _small)(kind, palette, width, height, seed, strength)
    result.setflags(write=False)
    return result
