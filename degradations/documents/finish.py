"""Light, grain and edges: what turns a drawing into the scan of an object.

All of it goes on the ground of a page, before the values are printed on it. Ink filters what lies below it
(``typeset.ink``), so light and grain show through the values as they would in a photograph, while a value
can still be printed again exactly.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from degradations.documents.model import Colour
from degradations.documents.values import pick

CORNER_MM = 3.18  # ISO/IEC 7810, ID-1
BEDS: tuple[Colour, ...] = ((28, 29, 31), (226, 226, 224), (92, 74, 58), (60, 66, 72), (176, 178, 180))
_UNIT = 200  # the factor that leaves a pixel as it is, in light fields kept as bytes


def shade(image: np.ndarray, rng: np.random.Generator, *, strength: float) -> None:
    """Multiplies ``image`` (uint8 [H, W, 3]) in place by a smooth field within about 1 ± ``strength``."""
    coarse = (1 + strength * rng.uniform(-1, 1, (3, 4))).astype(np.float32)
    field = cv2.resize(coarse, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)
    # One plane through OpenCV's saturating multiply is several times faster than float arrays.
    cv2.multiply(image, cv2.merge((field, field, field)), dst=image, dtype=cv2.CV_8U)


@lru_cache(maxsize=4)
def _sheet(height: int, width: int, paper: bool) -> np.ndarray:
    """Sensor noise around 128, uint8 [height, width, 3], with the unevenness of paper or without.

    Fine in luminance, coarser in colour. It is drawn once a size: a page takes a window of it.
    """
    rng = np.random.default_rng(1401)
    plane = cv2.GaussianBlur(rng.standard_normal((height, width), dtype=np.float32), (0, 0), 0.6) * np.float32(4.2)
    for cell, strength in ((24, 1.0), (7, 1.0), (2, 1.6)) if paper else ():
        cloud = rng.standard_normal((height // cell + 2, width // cell + 2), dtype=np.float32)
        plane += cv2.resize(cloud, (width, height)) * np.float32(strength)
    tint = cv2.resize(rng.standard_normal((height // 3 + 1, width // 3 + 1, 3), dtype=np.float32), (width, height))
    return np.clip(128.5 + plane[..., None] + tint * np.float32(1.3), 0, 255).astype(np.uint8)


def _texture(image: np.ndarray, rng: np.random.Generator, *, paper: bool) -> None:
    """Adds grain."""
    height, width = image.shape[:2]
    sheet = _sheet(height + 64, width + 64, paper)
    y, x = (int(v) for v in rng.integers(0, 64, 2))
    cv2.addWeighted(image, 1.0, sheet[y : y + height, x : x + width], 1.0, -128.0, dst=image)


def _light(image: np.ndarray, rng: np.random.Generator, strength: float, edge: float) -> None:
    """A lamp to one side, a fall-off towards the edges, and the unevenness of both."""
    y, x = np.mgrid[-1:1:12j, -1:1:16j].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    field = 1 + strength * (x * np.cos(angle) + y * np.sin(angle)) + strength * 0.3 * rng.uniform(-1, 1, y.shape)
    field = cv2.GaussianBlur(field.astype(np.float32), (0, 0), 1.2) - edge * np.maximum(np.abs(x), np.abs(y)) ** 6
    small = np.clip(field * _UNIT, 0, 255).astype(np.uint8)
    large = cv2.resize(small, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_CUBIC)
    cv2.multiply(image, cv2.merge((large, large, large)), dst=image, scale=1 / _UNIT)


def _sheen(image: np.ndarray, rng: np.random.Generator, strength: float) -> None:
    """A broad diagonal reflection in the laminate, ``strength`` levels at its crest."""
    y, x = np.mgrid[-1:1:24j, -1:1:32j].astype(np.float32)
    angle = rng.uniform(0, np.pi)
    across = x * np.cos(angle) + y * np.sin(angle) - rng.uniform(-0.8, 0.8)
    band = strength * np.exp(-((across / rng.uniform(0.15, 0.5)) ** 2))
    large = cv2.resize(band.astype(np.uint8), (image.shape[1], image.shape[0]), interpolation=cv2.INTER_CUBIC)
    cv2.add(image, cv2.merge((large, large, large)), dst=image)


@lru_cache(maxsize=4)
def _rim(height: int, width: int, radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Of a card with round corners: its coverage, and the light left at its rim; both float32 [h, w, 1] in 0..1."""
    large = np.zeros((height * 2, width * 2), np.uint8)
    r = radius * 2
    cv2.rectangle(large, (r, 2), (width * 2 - r, height * 2 - 3), 255, -1)
    cv2.rectangle(large, (2, r), (width * 2 - 3, height * 2 - r), 255, -1)
    for cx in (r + 1, width * 2 - r - 2):
        for cy in (r + 1, height * 2 - r - 2):
            cv2.circle(large, (cx, cy), r - 1, 255, -1)
    mask = cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    near = np.clip(cv2.GaussianBlur(mask, (0, 0), 4.0, borderType=cv2.BORDER_CONSTANT) * 2 - 1, 0, 1)
    return mask[..., None], np.float32(0.72) + np.float32(0.28) * near[..., None]


def card(image: np.ndarray, rng: np.random.Generator) -> None:
    """A laminated ID-1 card, its long side 85.6 mm, on the bed of a scanner. In place."""
    height, width = image.shape[:2]
    cv2.GaussianBlur(image, (5, 5), 0.7, dst=image)
    radius = round(CORNER_MM * width / 85.6)
    mask, light = _rim(height, width, radius)
    bed = np.asarray(pick(rng, BEDS), np.float32) * np.float32(rng.uniform(0.9, 1.08))
    inner = slice(radius, height - radius)
    for part in (
        (slice(0, radius), slice(None)),
        (slice(height - radius, height), slice(None)),
        (inner, slice(0, radius)),
        (inner, slice(width - radius, width)),
    ):  # within these strips lies all that the rim changes
        image[part] = np.clip(bed + mask[part] * (image[part] * light[part] - bed) + 0.5, 0, 255).astype(np.uint8)
    _light(image, rng, rng.uniform(0.03, 0.09), 0.03)
    _sheen(image, rng, rng.uniform(4, 26))
    _texture(image, rng, paper=False)


def booklet(image: np.ndarray, rng: np.random.Generator) -> None:
    """A passport's data page: the fold of the spine along the top, laminate over it. In place."""
    cv2.GaussianBlur(image, (5, 5), 0.7, dst=image)
    depth = max(int(image.shape[0] * 0.035), 2)
    fall = np.linspace(0.55, 1.0, depth, dtype=np.float32)[:, None, None] ** 0.7
    image[:depth] = (image[:depth] * fall).astype(np.uint8)
    _light(image, rng, rng.uniform(0.03, 0.08), 0.05)
    _sheen(image, rng, rng.uniform(4, 22))
    _texture(image, rng, paper=True)


def paper(image: np.ndarray, rng: np.random.Generator) -> None:
    """A sheet that has been folded for its envelope and laid on a scanner. In place."""
    height = image.shape[0]
    if rng.random() < 0.6:
        for third in (1, 2):
            y = int(height * third / 3 + rng.uniform(-8, 8))
            image[y : y + 2] = (image[y : y + 2] * np.float32(rng.uniform(0.90, 0.97))).astype(np.uint8)
            light = image[y + 2 : y + 5].astype(np.float32) * np.float32(1.02)
            image[y + 2 : y + 5] = np.clip(light, 0, 255).astype(np.uint8)
    cv2.GaussianBlur(image, (3, 3), 0.5, dst=image)
    _light(image, rng, rng.uniform(0.01, 0.05), rng.uniform(0.02, 0.10))
    _texture(image, rng, paper=True)
    side, depth = int(rng.integers(4)), int(rng.integers(3, 14))
    edge = (image[:depth], image[-depth:], image[:, :depth], image[:, -depth:])[side]
    edge[...] = (edge * np.float32(rng.uniform(0.55, 0.9))).astype(np.uint8)


def thermal(image: np.ndarray, rng: np.random.Generator, edge: float, end: float) -> None:
    """A strip off a roll, torn at both ends, curling, on something dark or light. In place.

    ``edge`` is how far its sides stay from those of the picture and ``end`` where it is torn off, in pixels.
    """
    height, width = image.shape[:2]
    cv2.GaussianBlur(image, (3, 3), 0.5, dst=image)
    # The roll's set: across the strip the sides rise to the lamp or fall from it, and a few bends run across.
    x = np.linspace(-1, 1, width, dtype=np.float32)
    y = np.linspace(0, 1, height, dtype=np.float32)
    across = 1 - np.float32(rng.uniform(0.05, 0.14)) * np.abs(x) ** 3 + np.float32(rng.uniform(-0.05, 0.05)) * x
    along = np.ones(height, np.float32)
    for _ in range(int(rng.integers(2, 5))):
        centre, reach = rng.uniform(0, 1), rng.uniform(0.01, 0.12)
        along += np.float32(rng.uniform(-0.09, 0.06)) * np.exp(-(((y - centre) / reach) ** 2)).astype(np.float32)
    light = along[:, None] * across[None, :]
    cv2.multiply(image, cv2.merge((light, light, light)), dst=image, dtype=cv2.CV_8U)
    # The tear-off bar's teeth, and sides that are not quite straight.
    tooth = np.float32(rng.uniform(5, 9))
    teeth = tooth * np.abs((np.arange(width) / rng.uniform(9, 13)) % 1 - 0.5).astype(np.float32)
    lean = np.float32(rng.uniform(-5, 5)) * (y - 0.5) + np.float32(rng.uniform(-6, 6)) * (y - 0.5) ** 2
    columns = np.arange(width, dtype=np.float32)[None, :]
    rows = np.arange(height, dtype=np.float32)[:, None]
    left = columns - (np.float32(edge * 0.6) + lean[:, None])
    right = np.float32(width - edge * 0.6) + lean[:, None] - columns
    ends = np.minimum(rows - 10 - teeth[None, :], np.float32(end) - teeth[None, :] - rows)
    inside = np.minimum(np.minimum(left, right), ends)
    bed = np.asarray(pick(rng, BEDS), np.float32) * np.float32(rng.uniform(0.9, 1.08))
    table = np.empty_like(image)
    table[...] = np.clip(bed, 0, 255).astype(np.uint8)
    shade = 1 - np.float32(0.5) * np.exp(np.minimum(inside, 0) / np.float32(7))
    cv2.multiply(table, cv2.merge((shade, shade, shade)), dst=table, dtype=cv2.CV_8U)
    cover = np.clip(inside + np.float32(0.5), 0, 1)
    image[...] = cv2.blendLinear(image, table, cover, 1 - cover)
    _light(image, rng, rng.uniform(0.02, 0.06), 0.03)
    _texture(image, rng, paper=True)
