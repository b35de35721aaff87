"""Exposure and foil: too much light, too little, and the rainbow of a hologram.

Exposure works in linear light, because a sensor does: grey levels are linearised by the sRGB curve, multiplied, clipped
at a 12 bit converter and put through the curve again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Self

import cv2
import numpy as np
from pydantic import Field

from degradations.operators.aim import aimed
from degradations.operators.base import (
    LIGHT,
    Context,
    Finite,
    Image,
    NotNegative,
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
from degradations.operators.floor import Floored
from degradations.operators.light.lamps import ahead
from degradations.operators.pixels.blend import added, developed, to_linear
from degradations.operators.pixels.grain import clouds
from degradations.operators.pixels.parts import change_part, in_strips, square
from degradations.operators.pixels.resample import shrink

Stops = Annotated[float, Field(ge=-10, le=10)]


@register
@dataclass(frozen=True, slots=True)
class Overexposure(Operator):
    """``stops`` too much light: white clips, and light scattered in the lens creeps over the strokes between.

    ``veil`` of the light of every point spreads over ``spread`` pixels around it. Source: McCann and Rizzi, The Art and
    Science of HDR Imaging (2011): veiling glare, not the sensor, limits what a camera holds in its shadows.
    """

    name = "overexposure"
    rungs = (0.58, 0.663, 0.729, 0.795, 0.854, 0.907)
    stage = LIGHT
    stops: Stops
    veil: Share
    spread: Positive

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        return cls(
            severity,
            stops=cls.ladder(severity, 1.2, 5.2, rng),
            veil=number(rng.uniform(0.05, 0.08)),
            spread=number(context.text_height * rng.uniform(0.4, 1.2)),
        )

    def _apply(self, image: Image, origin: Origin) -> Image:
        pitch = max(1.0, self.spread / 3)
        small, matrix = shrink(image, pitch, origin)
        light = cv2.LUT(small, to_linear())
        around = cv2.GaussianBlur(light, (0, 0), self.spread / pitch, borderType=cv2.BORDER_REFLECT)
        size, flags = image.shape[1::-1], cv2.INTER_LINEAR
        halo = cv2.warpAffine(around, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        gain = 2.0**self.stops

        def exposed(part: Image, corner: Origin) -> Image:
            own, beside = cv2.LUT(part, to_linear()), halo[corner[1] - origin[1] :][: len(part)]
            return developed(cv2.addWeighted(own, gain * (1 - self.veil), beside, gain * self.veil, 0))

        return in_strips(image, origin, exposed)


@register
@dataclass(frozen=True, slots=True)
class Underexposure(Floored):
    """``stops`` too little light, not lifted: all that is left sits in the darkest levels, above ``floor`` of noise.

    ``black`` is the share of white that the converter takes for black (its pedestal is cut off with what lies below).
    Source: Healey and Kondepudy, Radiometric CCD camera calibration and noise estimation, IEEE TPAMI 1994.
    """

    name = "underexposure"
    rungs = (1.011, 1.089, 1.152, 1.222, 1.293, 1.463)
    stage = LIGHT
    stops: Stops
    black: Share

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        noise = cls.drawn(rng, context, 5)
        stops = cls.ladder(severity, -2.6, -6.4, rng)
        return cls(severity, stops, number(rng.uniform(0.0005, 0.0015)), **noise)

    def _apply(self, image: Image, origin: Origin) -> Image:
        light = np.clip(to_linear() * np.float32(2.0**self.stops) - np.float32(self.black), 0, 1)
        table = developed(np.repeat(light[:, None, None], 3, axis=2))[:, 0, 0]
        return self.noisy(np.asarray(cv2.LUT(image, table), np.uint8), origin)


@register
@dataclass(frozen=True, slots=True)
class HologramSheen(Operator):
    """The security foil in a laminate catching the lamp: bands of colour over fine lines, as bright as the lamp.

    A grating of spacing d sends wavelength λ to the angle with d·(sin a + sin b) = λ (the grating equation; van Renesse,
    Optical Document Security, 2005), so the hue runs through the spectrum across the foil: once every
    ``period`` pixels towards ``angle``. ``peak`` is the light added at the middle (1 saturates), ``line`` the pitch of the
    foil's own pattern, ``wave`` its bend.
    """

    name = "hologram_sheen"
    applies_to = frozenset(("plastic",))
    rungs = (0.684, 0.778, 0.864, 0.944, 1.063, 1.221)
    stage = LIGHT
    local = True
    x: Finite
    y: Finite
    length: Positive
    width: Positive
    angle: Finite
    period: Positive
    line: Positive
    wave: NotNegative
    peak: NotNegative
    seed: Seed

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        height = context.text_height
        share = cls.ladder(severity, 0.25, 1.6, rng)
        x0, y0, x1, y1 = aimed(rng, context, share)
        return cls(
            severity,
            x=number((x0 + x1) / 2),
            y=number((y0 + y1) / 2 + rng.uniform(-0.3, 0.3) * height),
            length=number(max(1.6 * height, 0.5 * max(1.0, share) * (x1 - x0))),
            width=number(max(0.75 * (y1 - y0), height * rng.uniform(1.2, 2.4))),
            angle=number(rng.uniform(-40, 40)),
            period=number(height * rng.uniform(3, 9)),
            line=number(height * rng.uniform(0.22, 0.4)),
            wave=number(height * rng.uniform(0.3, 1.2)),
            peak=cls.ladder(severity, 0.7, 7.0, rng),
            seed=draw_seed(rng),
        )

    def _apply(self, image: Image, origin: Origin) -> Image:
        reach = 2.4 * max(self.length, self.width)
        part = square(image, origin, self.x, self.y, reach)
        return change_part(image, origin, part, self._sheened)

    def _sheened(self, region: Image, corner: Origin) -> Image:
        along = ahead(region.shape, corner, self.x, self.y, self.angle)
        across = ahead(region.shape, corner, self.x, self.y, self.angle + 90)
        cell = 2.5 * self.width
        uneven = clouds(region.shape[:2], corner, self.seed, cell)
        distance = (along / self.length) ** 2 + (across / self.width) ** 2
        envelope = np.exp(-(distance**1.5)) * np.clip(0.8 + 0.25 * uneven, 0.2, 1.4)
        bend = self.wave * np.sin(across * np.float32(2 * math.pi / (6 * self.wave + 1)))
        lines = 0.5 + 0.5 * np.cos((along + bend) * np.float32(2 * math.pi / self.line))
        strength = np.asarray(self.peak * envelope * (0.55 + 0.45 * lines), np.float32)
        turn = (along + 0.35 * across) * np.float32(1 / self.period) + 0.15 * uneven
        light = np.empty((*region.shape[:2], 3), np.float32)
        for channel, offset in enumerate((0.0, 1 / 3, 2 / 3)):
            # A spectral colour is pale where it is bright: the eye and the sensor both see a broad lamp.
            hue = 0.62 + 0.38 * np.cos(np.float32(2 * math.pi) * (turn - np.float32(offset)))
            light[:, :, channel] = np.minimum(strength * hue, 1)
        # Added light saturates: what is left to white is filled by its share.
        room = cv2.multiply(255 - region, light, dtype=cv2.CV_32F)
        return added(region, room)
