"""Wear of the surface: scratches in a laminate, print rubbed off, a sheet that has been folded or crumpled.

The damage lies in a zone around the asked field, because wear is never even; ``Zone`` is that place, with a soft rim.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from degradations.operators.aim import around
from degradations.operators.base import (
    SHEETS,
    WEAR,
    Context,
    Finite,
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
from degradations.operators.blend import added, mixed, scaled, smooth_step
from degradations.operators.grain import clouds, grain
from degradations.operators.ink import paper_of
from degradations.operators.parts import Part, change_part

Floats = NDArray[np.float32]
Count = Annotated[int, Field(ge=0, le=5000)]
_SHIFT = 4  # fractional bits of the coordinates given to OpenCV


@dataclass(frozen=True, slots=True)
class Zone:
    """An ellipse of half axes ``width`` and ``height`` around (``x``, ``y``) (pixels): full inside, gone at 1.6 times."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    x: Finite
    y: Finite
    width: Positive
    height: Positive

    @classmethod
    def over(cls, rng: Rng, context: Context, room: float) -> Self:
        """The field and every copy of it, and ``room`` text heights around them, more or less."""
        x0, y0, x1, y1 = around([box for boxes in context.prints for box in boxes])
        extra = room * context.text_height * float(rng.uniform(0.8, 1.6))
        # An ellipse around a box has sqrt(2) times its half sides.
        return cls(
            number((x0 + x1) / 2 + rng.uniform(-0.3, 0.3) * extra),
            number((y0 + y1) / 2 + rng.uniform(-0.3, 0.3) * extra),
            number(0.71 * (x1 - x0) + extra),
            number(0.71 * (y1 - y0) + extra),
        )

    def part(self, image: Image, origin: Origin) -> Part | None:
        """Rows and columns of ``image`` that the zone touches, if any."""
        left = int(np.clip(math.floor(self.x - 1.6 * self.width) - origin[0], 0, image.shape[1]))
        right = int(np.clip(math.ceil(self.x + 1.6 * self.width) - origin[0], 0, image.shape[1]))
        top = int(np.clip(math.floor(self.y - 1.6 * self.height) - origin[1], 0, image.shape[0]))
        bottom = int(np.clip(math.ceil(self.y + 1.6 * self.height) - origin[1], 0, image.shape[0]))
        return (slice(top, bottom), slice(left, right)) if left < right and top < bottom else None

    def mask(self, shape: tuple[int, int], corner: Origin) -> Floats:
        x = (np.arange(shape[1], dtype=np.float32) + np.float32(corner[0] + 0.5 - self.x)) / np.float32(self.width)
        y = (np.arange(shape[0], dtype=np.float32) + np.float32(corner[1] + 0.5 - self.y)) / np.float32(self.height)
        return smooth_step((np.float32(1.3) - np.sqrt(x * x + (y * y)[:, None])) / np.float32(0.3))


def strokes(
    shape: tuple[int, int], corner: Origin, points: NDArray[np.float64], levels: NDArray, thickness: NDArray
) -> NDArray[np.uint8]:
    """Polylines of ``points`` [n, k, 2] (page pixels) drawn at ``levels`` [n] (0..255), ``thickness`` [n] pixels.

    Where lines cross, the later one shows.
    """
    canvas = np.zeros(shape, np.uint8)
    fixed = np.rint((points - np.asarray(corner, np.float64)) * (1 << _SHIFT)).astype(np.int32)
    for line, level, thick in zip(fixed, levels.tolist(), thickness.tolist(), strict=True):
        cv2.polylines(canvas, [line], False, int(level), int(thick), cv2.LINE_AA, _SHIFT)
    return canvas


@register
@dataclass(frozen=True, slots=True)
class Scratches(Operator):
    """Grooves in the surface, ``count`` of them in the zone: they scatter light, so they are pale with a dark flank.

    Most run one way (``angle`` degrees: a card pulled out of a wallet), some cross. ``width`` is that of the widest in
    pixels, ``haze`` the share of light that the scuffed surface scatters between them. Source: Bosch, Pueyo, Merillou and
    Ghazanfarpour, A physically-based model for rendering realistic scratches, Computer Graphics Forum 23(3), 2004.
    """

    name = "scratches"
    applies_to = frozenset(("plastic", "screen"))
    rungs = (0.763, 0.974, 1.049, 1.135, 1.229, 1.323)
    stage = WEAR
    local = True
    zone: Zone
    count: Count
    angle: Finite
    width: Positive
    haze: Share
    seed: Seed

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        zone = Zone.over(rng, context, 2.0)
        height = context.text_height
        area = math.pi * zone.width * zone.height / height**2
        return cls(
            severity,
            zone=zone,
            count=min(5000, round(area * cls.ladder(severity, 0.8, 40.0, rng))),
            angle=number(rng.uniform(-60, 60)),
            width=number(height * cls.ladder(severity, 0.04, 0.11, rng)),
            haze=min(1.0, cls.ladder(severity, 0.03, 0.35, rng)),
            seed=draw_seed(rng),
        )

    def _apply(self, image: Image, origin: Origin) -> Image:
        return change_part(image, origin, self.zone.part(image, origin), self._scratched)

    def _scratched(self, region: Image, corner: Origin) -> Image:
        dark, scuffed, pale = _grooves(self, region.shape[:2], corner)
        result = mixed(scaled(region, dark), (222, 222, 220), scuffed)
        return mixed(result, (236, 236, 234), pale)


# An observer damages one window again and again, with other characters in it: the marks on it stay, and are kept.
@lru_cache(maxsize=2)
def _grooves(scratched: Scratches, shape: tuple[int, int], corner: Origin) -> tuple[Floats, Floats, Floats]:
    """The gain in the grooves' flanks, the share of scattered light, and the share of the grooves; [H, W] each."""
    rng = np.random.default_rng(scratched.seed)
    n, zone = scratched.count, scratched.zone
    radius, turn = np.sqrt(rng.random(n)) * 1.3, rng.uniform(0, 2 * math.pi, n)
    middle = np.stack([zone.x + zone.width * radius * np.cos(turn), zone.y + zone.height * radius * np.sin(turn)], 1)
    heading = np.radians(scratched.angle + np.where(rng.random(n) < 0.88, rng.normal(0, 6, n), rng.uniform(-90, 90, n)))
    length = 38 * scratched.width * rng.lognormal(0.3, 0.9, n)
    bend = rng.normal(0, 0.06, n)
    along = np.linspace(-0.5, 0.5, 7)
    local = heading[:, None] + bend[:, None] * along * 2
    points = middle[:, None] + length[:, None, None] * along[None, :, None] * np.stack(
        [np.cos(local), np.sin(local)], 2
    )
    deep = np.sort(rng.beta(0.8, 1.7, n))  # most are hairlines; where grooves cross, the deepest shows
    levels = (50 + 205 * deep).round()
    thickness = np.maximum(1, np.rint(scratched.width * (0.15 + 0.85 * deep)))
    groove = strokes(shape, corner, points, levels, thickness)
    side = math.radians(scratched.angle) + math.pi / 2
    off = max(0.8, 0.6 * scratched.width) * np.array([math.cos(side), math.sin(side)])
    flank = strokes(shape, corner, points + off, levels, thickness)
    pale = cv2.GaussianBlur(groove, (0, 0), 0.6).astype(np.float32) / 255
    dark = cv2.GaussianBlur(flank, (0, 0), 0.8).astype(np.float32) / 255
    inside = zone.mask(shape, corner)
    uneven = np.clip(0.8 + 0.3 * clouds(shape, corner, scratched.seed, 8 * scratched.width + 4), 0, 1.5) * np.sqrt(
        inside
    )
    # Between the grooves lie finer ones, too fine to be seen apart: a haze that follows them.
    streaks = cv2.GaussianBlur(pale, (0, 0), 1.6 * scratched.width + 1)
    scuffed = scratched.haze * inside * np.clip(0.35 + 0.3 * uneven + 1.6 * streaks, 0, 1.4)
    return 1 - 0.32 * dark * uneven, np.clip(scuffed, 0, 1), pale * np.clip(1.8 * uneven, 0, 1)


@register
@dataclass(frozen=True, slots=True)
class WornPrint(Operator):
    """Print rubbed off: ``loss`` of it is gone in the zone, in flecks and patches, streaked along ``angle`` degrees.

    Source: rub tests of print (ASTM D5264): ink leaves the high spots of the paper first, so the loss follows its
    texture (``fleck`` pixels) and grows until whole patches (``patch`` pixels) are bare.
    """

    name = "worn_print"
    applies_to = frozenset(("plastic", "paper"))
    rungs = (-0.41, 0.121, 0.421, 0.581, 0.753, 0.971)
    stage = WEAR
    local = True
    zone: Zone
    loss: Share
    fleck: Positive
    patch: Positive
    text_height: Positive
    seed: Seed

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        height = context.text_height
        return cls(
            severity,
            zone=Zone.over(rng, context, 2.5),
            loss=min(1.0, cls.ladder(severity, 0.3, 0.97, rng)),
            fleck=number(max(1.0, height * rng.uniform(0.05, 0.1))),
            patch=number(height * rng.uniform(0.6, 1.4)),
            text_height=number(height),
            seed=draw_seed(rng),
        )

    def _apply(self, image: Image, origin: Origin) -> Image:
        return change_part(image, origin, self.zone.part(image, origin), self._rubbed)

    def _rubbed(self, region: Image, corner: Origin) -> Image:
        shape = region.shape[:2]
        texture = grain(shape, corner, self.seed, 1, self.fleck)[:, :, 0]
        fine = grain(shape, corner, self.seed ^ 2, 1, 1.0)[:, :, 0]
        patches = clouds(shape, corner, self.seed, (1.7 * self.patch, self.patch))
        wear = np.float32(0.62) * patches + np.float32(0.62) * texture + np.float32(0.3) * fine
        # A standard normal field: the threshold that leaves ``1 - loss`` of it, softly.
        bound = np.float32(_normal_quantile(1 - self.loss))
        gone = smooth_step((wear - bound) / np.float32(0.45)) * self.zone.mask(shape, corner)
        return mixed(region, paper_of(region, self.text_height, corner), gone)


def _normal_quantile(share: float) -> float:
    """The value below which ``share`` of a standard normal lies (Tukey's lambda approximation, within 0.01)."""
    p = min(max(share, 1e-3), 1 - 1e-3)
    return 4.91 * (p**0.14 - (1 - p) ** 0.14)


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
