"""Ink that goes where it should not, or goes away: water, bleeding, fading, pins that no longer print."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Self

import cv2
import numpy as np
from pydantic import Field

from degradations.operators.base import (
    SHEETS,
    WEAR,
    Colour,
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
from degradations.operators.cover.patches import hashed
from degradations.operators.floor import Floored
from degradations.operators.pixels.blend import blurred, mixed, scaled, smooth_step
from degradations.operators.pixels.grain import clouds, grain
from degradations.operators.pixels.parts import change_part
from degradations.operators.wear.ink import paper_of, print_on
from degradations.operators.wear.zone import Zone

_ROWS_OF_PINS = 9


@register
@dataclass(frozen=True, slots=True)
class WaterStain(Operator):
    """A spill that dried: a tide line of what the water carried, and inside it ink that ran and paled.

    The blot fills the zone; ``run`` is how far ink ran (standard deviation, pixels), ``washed`` the share that left.
    ``colour`` is the paper's, stained. Source: Deegan, Bakajin, Dupont, Huber, Nagel and Witten, Capillary flow as the
    cause of ring stains from dried liquid drops, Nature 389, 1997.
    """

    name = "water_stain"
    applies_to = SHEETS
    rungs = (0.189, 0.245, 0.268, 0.295, 0.329, 0.628)
    stage = WEAR
    local = True
    zone: Zone
    run: Positive
    washed: Share
    colour: Colour
    text_height: Positive
    seed: Seed

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        height = context.text_height
        stain = ((206, 180, 136), (214, 200, 168), (186, 152, 110), (222, 214, 196))[int(rng.integers(4))]
        return cls(
            severity,
            zone=Zone.over(rng, context, 1.6),
            run=number(cls.ladder(severity, 0.07, 0.3, rng) * height),
            washed=min(1.0, cls.ladder(severity, 0.2, 0.8, rng)),
            colour=stain,
            text_height=number(height),
            seed=draw_seed(rng),
        )

    def _apply(self, image: Image, origin: Origin) -> Image:
        return change_part(image, origin, self.zone.part(image, origin), self._stained)

    def _stained(self, region: Image, corner: Origin) -> Image:
        shape = region.shape[:2]
        zone, unit = self.zone, np.float32(self.text_height)
        x = (np.arange(shape[1], dtype=np.float32) + np.float32(corner[0] + 0.5 - zone.x)) / np.float32(zone.width)
        y = (np.arange(shape[0], dtype=np.float32) + np.float32(corner[1] + 0.5 - zone.y)) / np.float32(zone.height)
        radius = np.sqrt(x * x + (y * y)[:, None])
        rough = 0.085 * clouds(shape, corner, self.seed, 2.6 * self.text_height)
        rough += 0.022 * clouds(shape, corner, self.seed ^ 1, 0.55 * self.text_height)
        inward = (1.28 - radius - rough) * np.float32(min(zone.width, zone.height))  # pixels inside the tide line
        wet = smooth_step(inward / (0.12 * unit))
        # The solute stops at the rim: sharp outside, fading inwards; an earlier, smaller front left a second line.
        tide = np.exp(-np.clip(inward, 0, None) / (0.22 * unit)) * wet
        old = np.clip(0.5 + 0.8 * clouds(shape, corner, self.seed ^ 4, 3 * self.text_height), 0, 1)
        tide += 0.3 * old * np.exp(-(((inward - 1.1 * unit) / (0.16 * unit)) ** 2)) * wet
        tint = np.asarray(self.colour, np.float32) / np.float32(255)
        pigment = np.clip(
            0.16 * wet + 0.75 * tide * (0.9 + 0.2 * clouds(shape, corner, self.seed ^ 2, 3 * self.text_height)), 0, 1
        )
        paper = paper_of(region, self.text_height, corner)
        ran = mixed(blurred(region, self.run), paper, np.full(shape, self.washed, np.float32))
        result = mixed(region, ran, wet)
        # Ink that the water took lies at the rim, too.
        carried = 0.5 * self.washed * tide
        result = scaled(result, 1 - 0.12 * carried)
        gain = 1 - pigment[:, :, None] * (1 - tint)
        cockle = 1 + 0.05 * wet * clouds(shape, corner, self.seed ^ 3, (4 * self.text_height, 2 * self.text_height))
        return scaled(result, (gain * cockle[:, :, None]).astype(np.float32))


@register
@dataclass(frozen=True, slots=True)
class InkBleed(Operator):
    """Ink that crept along the fibres of poor paper: strokes swell by ``spread`` pixels and feather until counters close.

    Source: Washburn, The dynamics of capillary flow, Physical Review 17, 1921 (the front advances with the square root of
    time, further along wider pores); ``feather`` is the size of the fibres in pixels.
    """

    name = "ink_bleed"
    applies_to = frozenset(("paper",))
    rungs = (0.335, 0.436, 0.472, 0.518, 0.586, 1.172)
    stage = WEAR
    spread: Positive
    gain: Positive
    feather: Positive
    text_height: Positive
    seed: Seed

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        height = context.text_height
        return cls(
            severity,
            spread=number(cls.ladder(severity, 0.05, 0.24, rng) * height),
            gain=number(cls.ladder(severity, 2.2, 6.5, rng)),
            feather=number(max(1.0, height * rng.uniform(0.05, 0.09))),
            text_height=number(height),
            seed=draw_seed(rng),
        )

    def _apply(self, image: Image, origin: Origin) -> Image:
        paper = paper_of(image, self.text_height, origin)
        ink = print_on(image, paper)
        near = cv2.GaussianBlur(ink, (0, 0), self.spread, borderType=cv2.BORDER_REFLECT)
        fibres = grain((image.shape[0], image.shape[1]), origin, self.seed, 1, self.feather)[:, :, 0]
        # Ink spreads until the film is too thin to flow, further where the pores are wide: a soft threshold.
        front = np.clip(near * np.float32(self.gain) * (1 + np.float32(0.35) * fibres) - np.float32(0.06), 0, None)
        amount = np.maximum(np.minimum(front, np.float32(0.86)), ink)
        darker = np.clip((amount - ink) / np.maximum(1 - ink, np.float32(0.05)), 0, 1)
        return mixed(image, (34, 34, 46), darker)


@register
@dataclass(frozen=True, slots=True)
class FadedThermal(Floored):
    """A thermal print that faded: ``left`` of the dye's density is still there, less where light and plasticisers reached.

    The dye is a leuco dye that loses its developer (Muthyala, ed., Chemistry and Applications of Leuco Dyes, 1997); what
    is left turns ``tone``. ``floor`` is the noise through which the rest is seen.
    """

    name = "faded_thermal"
    applies_to = frozenset(("thermal",))
    rungs = (-0.192, 0.23, 0.413, 0.573, 0.654, 1.105)
    stage = WEAR
    left: Share
    uneven: Share
    cell: Positive
    tone: Colour
    paper: Colour
    text_height: Positive

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        height = context.text_height
        noise = cls.drawn(rng, context, 4)
        return cls(
            severity,
            left=min(1.0, cls.ladder(severity, 0.3, 0.03, rng)),
            uneven=number(rng.uniform(0.2, 0.45)),
            cell=number(height * rng.uniform(2.5, 9)),
            tone=((118, 104, 116), (112, 112, 140), (130, 112, 92))[int(rng.integers(3))],
            paper=((250, 240, 210), (244, 240, 230), (246, 246, 244))[int(rng.integers(3))],
            text_height=number(height),
            **noise,
        )

    def _apply(self, image: Image, origin: Origin) -> Image:
        shape = (image.shape[0], image.shape[1])
        paper = paper_of(image, self.text_height, origin)
        lost = clouds(shape, origin, self.seed, self.cell)
        left = np.clip(self.left * np.exp(np.float32(1.2 * self.uneven) * lost), 0, 1)
        pale = mixed(paper, image, left)
        # What is left of the dye is no longer black, and the sheet itself yellows.
        aged = mixed(pale, self.tone, np.clip(print_on(pale, paper) * np.float32(0.5), 0, 1))
        table = np.asarray(self.paper, np.float32) / np.float32(255)
        aged = scaled(aged, np.broadcast_to(table * np.float32(1.0), image.shape))
        return self.noisy(aged, origin)


@register
@dataclass(frozen=True, slots=True)
class DotMatrix(Operator):
    """A needle printer near its end: print is dots ``pitch`` pixels apart, some pins are dead, the ribbon is dry.

    The head has nine pins; those of ``dead`` (counted from the top of a line) strike no more, ``worn`` of the other dots
    are missing, and dots have ``size`` of the pitch. Lines come every ``line`` pixels from ``top``. Source: the
    nine-pin heads of Epson's ESC/P Reference Manual (1997), pins 1/72 inch apart.
    """

    name = "dot_matrix"
    applies_to = frozenset(("paper",))
    rungs = (0.316, 0.377, 0.443, 0.572, 0.701, 0.967)
    stage = WEAR
    pitch: Positive
    top: Finite
    line: Positive
    dead: Annotated[tuple[Annotated[int, Field(ge=0, lt=_ROWS_OF_PINS)], ...], Field(max_length=_ROWS_OF_PINS)]
    size: Share
    worn: Share
    text_height: Positive
    seed: Seed

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        height = context.text_height
        pins = int(np.clip(round(cls.ladder(severity, 0.6, 6.4, rng)), 0, _ROWS_OF_PINS))
        dead = rng.permutation(_ROWS_OF_PINS)[:pins]
        return cls(
            severity,
            pitch=number(height / _ROWS_OF_PINS),
            top=number(context.boxes[0][1]),
            line=number(height * 1.55),
            dead=tuple(sorted(int(pin) for pin in dead)),
            size=number(rng.uniform(0.8, 0.95)),
            worn=min(1.0, cls.ladder(severity, 0.06, 0.5, rng)),
            text_height=number(height),
            seed=draw_seed(rng),
        )

    def _apply(self, image: Image, origin: Origin) -> Image:
        shape = (image.shape[0], image.shape[1])
        x = (np.arange(shape[1]) + origin[0] + 0.5) / self.pitch
        # Rows of dots start anew with every line, as the paper is fed.
        feed, rest = np.divmod(np.arange(shape[0]) + origin[1] + 0.5 - self.top, self.line)
        y = rest / self.pitch
        column, row = np.floor(x).astype(int), np.floor(y).astype(int)
        dx, dy = np.square(x % 1 - 0.5).astype(np.float32), np.square(y % 1 - 0.5).astype(np.float32)
        size = np.float32((0.5 * self.size + 0.12) ** 2)
        dot = np.clip((size - dx[None, :] - dy[:, None]) * np.float32(max(2.0, self.pitch)) + np.float32(0.5), 0, 1)
        # One decision for every dot, then spread over its pixels.
        strikes, of_row = np.unique(row + 64 * feed.astype(int), return_inverse=True)
        u, v = np.meshgrid(np.arange(column[0], column[-1] + 1), strikes)
        hit = (hashed(u.astype(float), v.astype(float), 1.0, self.seed) >= self.worn) & ~np.isin(v % 64, self.dead)
        dry = np.clip(
            np.float32(0.75) + np.float32(0.3) * clouds(shape, origin, self.seed, 3 * self.text_height), 0.25, 1
        )
        kept = dot * dry * hit.astype(np.float32)[of_row][:, column - column[0]]
        soft = cv2.GaussianBlur(kept, (0, 0), max(0.35, 0.12 * self.pitch), borderType=cv2.BORDER_REFLECT)
        return mixed(paper_of(image, self.text_height, origin), image, np.clip(soft, 0, 1))
