"""Wear of the surface: scratches in a laminate, print rubbed off."""

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
from degradations.operators.pixels.blend import mixed, scaled, smooth_step
from degradations.operators.pixels.grain import clouds, grain
from degradations.operators.pixels.parts import change_part
from degradations.operators.wear.ink import paper_of
from degradations.operators.wear.zone import Zone, strokes

Floats = NDArray[np.float32]
Count = Annotated[int, Field(ge=0, le=5000)]


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
