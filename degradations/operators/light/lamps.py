"""Light: what a lamp, a shadow and a veil do to contrast.

Glare is the specular highlight of a laminate: added light that saturates, so that in its core the ink is gone
and in its skirt only paler. Shadow and uneven lighting multiply, as irradiance does; low contrast is veiling
light (scattered light adds the same amount everywhere and the exposure divides it away again). What they leave
is read through the noise floor of a sensor, without which a page at a fiftieth of its contrast would still hold
everything and a machine would read it. Cameras lift the dark parts of a picture, and their noise with them: so
``gain`` is what is seen after lifting, and the floor is that of the dark parts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from degradations.operators.base import (
    LIGHT,
    Colour,
    Context,
    Finite,
    Grey,
    Image,
    NotNegative,
    Operator,
    Origin,
    Positive,
    Rng,
    Share,
    coordinates,
    number,
    register,
    to_uint8,
)
from degradations.operators.floor import Floored
from degradations.operators.pixels.blend import mixed, scaled, smooth_step
from degradations.operators.pixels.parts import change_part, in_strips, square


def ahead(shape: tuple[int, ...], origin: Origin, x: float, y: float, angle: float) -> NDArray[np.float32]:
    """How far each pixel lies from (``x``, ``y``) towards ``angle`` degrees, in pixels, float32 [H, W]."""
    columns, rows = coordinates(shape, origin)
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return np.asarray((columns - x) * np.float32(cos) + (rows - y) * np.float32(sin), np.float32)


@register
@dataclass(frozen=True, slots=True)
class Glare(Operator):
    """An elongated highlight centred at (``x``, ``y``) with half axes ``length`` and ``width`` (pixels), turned by
    ``angle`` degrees; ``peak`` above 1 saturates its core. ``source`` is what is reflected.

    Source: off-specular peaks of rough surfaces (Torrance and Sparrow, Journal of the Optical Society of America 57, 1967).
    """

    name = "glare"
    applies_to = frozenset(("plastic", "screen", "thermal"))
    rungs = (-0.16, -0.019, 0.084, 0.31, 0.599, 1.043)
    stage = LIGHT
    local = True
    x: Finite
    y: Finite
    length: Positive
    width: Positive
    angle: Finite
    peak: NotNegative
    colour: Colour
    source: Literal["lamp", "tube", "window"]

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        x0, y0, x1, y1 = context.bounds
        height = context.text_height
        share = cls.ladder(severity, 0.393, 1.627, rng)
        length = max(1.2 * height, 0.5 * share * (x1 - x0))
        # A weak highlight wanders over the field and a strong one sits on it.
        slack = max(0.0, (x1 - x0) / 2 - 0.6 * length)
        return cls(
            severity,
            x=number((x0 + x1) / 2 + rng.uniform(-slack, slack)),
            y=number((y0 + y1) / 2 + rng.uniform(-0.35, 0.35) * height),
            length=number(length),
            width=number(max(0.5 * (y1 - y0), height * rng.uniform(0.7, 1.6), context.millimetre * rng.uniform(3, 9))),
            angle=number(rng.uniform(-35, 35)),
            peak=cls.ladder(severity, 1.033, 3.226, rng),
            colour=tuple(int(v) for v in 255 - rng.integers(0, 1 + np.array([4, 8, 24]))),  # type: ignore[arg-type]
            source=("lamp", "tube", "window")[int(rng.choice(3, p=(0.45, 0.2, 0.35)))],
        )

    def _apply(self, image: Image, origin: Origin) -> Image:
        # Beyond 3.2 half widths less than 1 % of the light is left: work inside that square only.
        reach = 3.2 * max(self.length, self.width)
        part = square(image, origin, self.x, self.y, reach)
        return change_part(image, origin, part, self._lit)

    def _lit(self, region: Image, corner: Origin) -> Image:
        along = ahead(region.shape, corner, self.x, self.y, self.angle) / self.length
        across = ahead(region.shape, corner, self.x, self.y, self.angle + 90) / self.width
        squared = along * along + across * across
        # A core in a wider veil: the look of a lamp on plastic film.
        core = np.exp(-squared)
        if self.source == "window":
            # Panes between bars, out of focus; film that is not quite flat bends them.
            u, v = along + 0.10 * np.sin(2.1 * across), across + 0.08 * np.sin(1.7 * along)
            panes = smooth_step((0.95 - np.abs(u)) / 0.16) * smooth_step((0.95 - np.abs(v)) / 0.16)
            bars = np.maximum(np.exp(-np.square(u / 0.07)), np.exp(-np.square((v - 0.1) / 0.08)))
            core = panes * (1 - 0.35 * bars)
        elif self.source == "tube":
            core = smooth_step((1.25 - np.abs(along)) / 0.3) * np.exp(-np.square(across / 0.8))
        amount = self.peak * (0.85 * core + 0.15 * np.exp(-0.35 * squared))
        return mixed(region, self.colour, np.minimum(amount, 1))


@register
@dataclass(frozen=True, slots=True)
class Shadow(Floored):
    """A straight shadow edge through (``x``, ``y``): the side towards ``angle`` keeps ``gain`` of its light; the
    penumbra is ``softness`` pixels wide. ``depth`` ends the shadow again (a hand, a phone); ``bulge`` bends its edge.

    Source: geometrical optics: an extended lamp behind a straight edge is covered little by little.
    """

    name = "shadow"
    rungs = (0.52, 0.644, 0.792, 0.867, 0.957, 1.372)
    stage = LIGHT
    x: Finite
    y: Finite
    angle: Finite
    softness: Positive
    depth: Positive
    bulge: Finite
    gain: Share

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        x0, y0, x1, y1 = context.bounds
        height = context.text_height
        angle = float(rng.uniform(0, 360))
        reach = 0.5 * abs((x1 - x0) * math.cos(math.radians(angle))) + height
        # Severity moves the edge over the field as well as darkening what lies behind it.
        offset = cls.ladder(severity, -0.44, -1.0, rng) * reach
        noise = cls.drawn(rng, context, 12)
        return cls(
            severity,
            x=number((x0 + x1) / 2 + offset * math.cos(math.radians(angle))),
            y=number((y0 + y1) / 2 + offset * math.sin(math.radians(angle))),
            angle=number(angle),
            softness=number(height * rng.uniform(0.3, 2.0)),
            depth=number(2 * reach + context.size[1] * rng.uniform(0.1, 0.8)),
            bulge=number(rng.uniform(-0.2, 0.2)),
            gain=min(1.0, cls.ladder(severity, 0.6, 0.128, rng)),
            **noise,
        )

    def _apply(self, image: Image, origin: Origin) -> Image:
        return in_strips(image, origin, self._darkened)

    def _darkened(self, image: Image, origin: Origin) -> Image:
        along = ahead(image.shape, origin, self.x, self.y, self.angle)
        across = ahead(image.shape, origin, self.x, self.y, self.angle + 90)
        along += np.float32(self.bulge / self.depth) * across * across
        # A penumbra is narrow where the thing that throws the shadow touches the page, and wide far from there.
        soft = np.float32(self.softness) * (1 + np.float32(0.5 / self.depth) * np.abs(across))
        inside = smooth_step(along / soft) * smooth_step((self.depth - along) / (1.6 * soft))
        dark = scaled(image, 1 - (1 - self.gain) * inside)
        # The sensor is as noisy in the light; there is only less of it to be seen.
        return self.noisy(dark, origin, 0.22 + 0.78 * inside)


@register
@dataclass(frozen=True, slots=True)
class UnevenLighting(Floored):
    """One lamp: light falls from 1 to ``gain`` over ``span`` pixels towards ``angle``, starting at (``x``, ``y``).

    Source: Lambert's cosine and the inverse square of the distance, which at a grazing lamp is close to an exponential.
    """

    name = "uneven_lighting"
    rungs = (0.373, 0.509, 0.69, 0.834, 0.985, 1.421)
    stage = LIGHT
    x: Finite
    y: Finite
    angle: Finite
    span: Positive
    gain: Share

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        x0, y0, x1, y1 = context.bounds
        angle = float(rng.uniform(0, 360))
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        span = float(rng.uniform(0.5, 1.1)) * (abs(cos) * context.size[1] + abs(sin) * context.size[0])
        # The field lies in the darker part of the fall, so that the gain there follows the severity.
        where = float(rng.uniform(0.7, 0.95))
        noise = cls.drawn(rng, context, 14)
        return cls(
            severity,
            x=number((x0 + x1) / 2 - where * span * cos),
            y=number((y0 + y1) / 2 - where * span * sin),
            angle=number(angle),
            span=number(span),
            gain=min(1.0, cls.ladder(severity, 0.36, 0.09, rng)),
            **noise,
        )

    def _apply(self, image: Image, origin: Origin) -> Image:
        return in_strips(image, origin, self._darkened)

    def _darkened(self, image: Image, origin: Origin) -> Image:
        fall = np.clip(ahead(image.shape, origin, self.x, self.y, self.angle) / self.span, 0, 1.3)
        # Exponential fall: equal steps in log light, as lamps at grazing angles give.
        gain = np.exp(np.float32(math.log(max(self.gain, 1e-3))) * fall)
        dark = scaled(image, gain)
        return self.noisy(dark, origin, 1 - gain)


@register
@dataclass(frozen=True, slots=True)
class LowContrast(Floored):
    """Veiling light: every pixel keeps ``gain`` of its distance from the grey ``level``.

    Source: Koschmieder's law of contrast behind a veil (Beitraege zur Physik der freien Atmosphaere 12, 1924).
    """

    name = "low_contrast"
    rungs = (0.33, 0.419, 0.538, 0.672, 0.806, 1.303)
    stage = LIGHT
    level: Grey
    gain: Share

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        gain = min(1.0, cls.ladder(severity, 0.2, 0.046, rng))
        return cls(severity, int(rng.integers(90, 235)), gain, **cls.drawn(rng, context, 5))

    def _apply(self, image: Image, origin: Origin) -> Image:
        table = to_uint8(self.level + self.gain * (np.arange(256, dtype=np.float32) - self.level))
        return self.noisy(np.asarray(cv2.LUT(image, table), np.uint8), origin)
