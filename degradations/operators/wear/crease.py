"""A sheet that has been folded or crumpled."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from degradations.operators.base import (
    SHEETS,
    WEAR,
    Context,
    Image,
    Operator,
    Origin,
    Positive,
    Rng,
    Seed,
    Share,
    draw_seed,
    number,
    register,
)
from degradations.operators.pixels.blend import added, mixed, scaled, smooth_step
from degradations.operators.pixels.grain import clouds, grain
from degradations.operators.pixels.parts import change_part
from degradations.operators.wear.ink import paper_of
from degradations.operators.wear.zone import Zone, strokes

Floats = NDArray[np.float32]


@register
@dataclass(frozen=True, slots=True)
class Crease(Operator):
    """A sheet that was folded, ``lines`` times across the zone: ink flaked off along each, and facets that shade.

    ``width`` (pixels) is how far the coating broke beside a fold and ``relief`` how much the facets differ in light.
    Source: a creased sheet keeps an angle at the fold (Lechenault, Thiria and Adda-Bedia, Mechanical response of a
    creased sheet, Physical Review Letters 112, 2014); its coating cracks on the outside of the bend.
    """

    name = "crease"
    applies_to = SHEETS
    rungs = (0.485, 0.634, 0.815, 0.897, 1.077, 1.963)
    stage = WEAR
    local = True
    zone: Zone
    lines: Annotated[int, Field(ge=1, le=200)]
    width: Positive
    relief: Share
    text_height: Positive
    seed: Seed

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        height = context.text_height
        zone = Zone.over(rng, context, 2.0)
        spacing = cls.ladder(severity, 6.0, 0.3, rng) * height
        return cls(
            severity,
            zone=zone,
            lines=int(np.clip(round(2 * zone.width / spacing), 1, 200)),
            width=number(height * cls.ladder(severity, 0.14, 0.4, rng)),
            relief=number(rng.uniform(0.1, 0.3)),
            text_height=number(height),
            seed=draw_seed(rng),
        )

    def _apply(self, image: Image, origin: Origin) -> Image:
        return change_part(image, origin, self.zone.part(image, origin), self._folded)

    def _folded(self, region: Image, corner: Origin) -> Image:
        broken, light = _folds_over(self, region.shape[:2], corner)
        pale = mixed(region, paper_of(region, self.text_height, corner), broken)
        return scaled(added(pale, 10 * broken), light)

    def folds(self) -> tuple[NDArray[np.float64], NDArray]:
        """Pieces of ragged lines across the zone [n, 3, 2] in page pixels, and how sharp each is (0..255)."""
        rng = np.random.default_rng(self.seed)
        n, zone = self.lines, self.zone
        steps = 33
        reach = 1.5 * math.hypot(zone.width, zone.height)
        lean = rng.normal(math.pi / 2, 0.45, n) + np.where(rng.random(n) < 0.2, math.pi / 2, 0.0)
        x = zone.x + zone.width * (-1 + 2 * (np.arange(n) + rng.uniform(0.1, 0.9, n)) / n)
        y = zone.y + zone.height * rng.uniform(-0.5, 0.5, n)
        # Few folds cross a whole sheet; in a crumpled one they end at each other.
        half = reach * np.where(n > 4, rng.uniform(0.15, 0.7, n), 1.0)
        along = np.linspace(-1, 1, steps)
        ragged = np.cumsum(rng.normal(0, 0.16 * self.width, (n, steps)), axis=1) + rng.normal(
            0, 0.12 * self.width, (n, steps)
        )
        direction = np.stack([np.cos(lean), np.sin(lean)], 1)
        across = np.stack([-np.sin(lean), np.cos(lean)], 1)
        points = np.stack([x, y], 1)[:, None] + (half[:, None] * along)[:, :, None] * direction[:, None]
        points = points + ragged[:, :, None] * across[:, None]
        # A fold dies away towards its ends: it is drawn in pieces, from faint to sharp to faint.
        sharp, pieces = rng.integers(150, 256, n), []
        levels = []
        for first in range(0, steps - 1, 2):
            pieces.append(points[:, first : first + 3])
            levels.append(sharp * (1 - np.abs(along[first + 1]) ** 2.5))
        order = np.argsort(np.concatenate(levels), kind="stable")
        return np.concatenate(pieces)[order], np.concatenate(levels)[order].round()


@lru_cache(maxsize=2)
def _folds_over(sheet: Crease, shape: tuple[int, int], corner: Origin) -> tuple[Floats, Floats]:
    """Where the print is broken off, and the light on the facets; [H, W] each."""
    points, level = sheet.folds()
    count = len(points)
    core = strokes(shape, corner, points, level, np.full(count, max(1, round(0.5 * sheet.width))))
    band = strokes(shape, corner, points, level, np.full(count, max(1, round(2.2 * sheet.width))))
    flakes = grain(shape, corner, sheet.seed, 1, max(1.0, 0.35 * sheet.width))[:, :, 0]
    near = cv2.GaussianBlur(band, (0, 0), 0.7 * sheet.width).astype(np.float32) / 255
    line = cv2.GaussianBlur(core, (0, 0), 0.6).astype(np.float32) / 255
    broken = np.clip(line * (0.85 + 0.35 * flakes) + smooth_step((near * 2.2 + flakes - 2.1) / 0.5) * near, 0, 1)
    # Facets: on one side of a fold the sheet turns to the lamp, on the other away from it.
    side = sheet.width * np.array([0.9, 0.5])
    lit = strokes(shape, corner, points - side, level, np.full(count, max(1, round(1.5 * sheet.width))))
    dark = strokes(shape, corner, points + side, level, np.full(count, max(1, round(1.5 * sheet.width))))
    slope = cv2.GaussianBlur(lit, (0, 0), 1.1 * sheet.width).astype(np.float32)
    slope -= cv2.GaussianBlur(dark, (0, 0), 1.1 * sheet.width)
    facets = clouds(shape, corner, sheet.seed ^ 13, 2.5 * sheet.text_height) * sheet.zone.mask(shape, corner)
    light = 1 + np.float32(sheet.relief) * (slope / np.float32(190) + np.float32(0.11) * facets)
    return broken, light
