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
from typing import Self

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
    Seed,
    Share,
    coordinates,
    draw_seed,
    number,
    register,
    to_uint8,
)
from degradations.operators.blend import mixed, scaled, smooth_step
from degradations.operators.grain import add_floor
from degradations.operators.parts import change_part, square


def draw_floor(rng: Rng, context: Context, level: float) -> tuple[float, float, int]:
    """The noise parameters ``floor`` (near ``level`` grey levels), ``grain_size`` (pixels) and ``seed``."""
    size = number(max(1.0, context.text_height / rng.uniform(9, 13)))
    return number(level * rng.uniform(0.8, 1.2)), size, draw_seed(rng)


def ahead(shape: tuple[int, ...], origin: Origin, x: float, y: float, angle: float) -> NDArray[np.float32]:
    """How far each pixel lies from (``x``, ``y``) towards ``angle`` degrees, in pixels, float32 [H, W]."""
    columns, rows = coordinates(shape, origin)
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return np.asarray((columns - x) * np.float32(cos) + (rows - y) * np.float32(sin), np.float32)


@register
@dataclass(frozen=True, slots=True)
class Glare(Operator):
    """An elongated highlight centred at (``x``, ``y``) with half axes ``length`` and ``width`` (pixels), turned by
    ``angle`` degrees; ``peak`` above 1 saturates its core.

    Source: off-specular peaks of rough surfaces (Torrance and Sparrow, Journal of the Optical Society of America 57, 1967).
    """

    name = "glare"
    applies_to = frozenset(("plastic", "screen", "thermal"))
    rungs = (-0.033, 0.062, 0.193, 0.42, 0.6, 1.135)
    stage = LIGHT
    local = True
    x: Finite
    y: Finite
    length: Positive
    width: Positive
    angle: Finite
    peak: NotNegative
    colour: Colour

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
            width=number(max(0.5 * (y1 - y0), height * rng.uniform(0.7, 1.6))),
            angle=number(rng.uniform(-35, 35)),
            peak=cls.ladder(severity, 1.033, 3.226, rng),
            colour=tuple(int(v) for v in 255 - rng.integers(0, 1 + np.array([4, 8, 24]))),  # type: ignore[arg-type]
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
        # A Gaussian core in a wider veil: the look of a lamp on plastic film.
        amount = self.peak * (0.85 * np.exp(-squared) + 0.15 * np.exp(-0.35 * squared))
        return mixed(region, self.colour, np.minimum(amount, 1))


@register
@dataclass(frozen=True, slots=True)
class Shadow(Operator):
    """A straight shadow edge through (``x``, ``y``): the side towards ``angle`` keeps ``gain`` of its light; the
    penumbra is ``softness`` pixels wide. ``depth`` ends the shadow again (a hand, a phone).

    Source: geometrical optics: an extended lamp behind a straight edge is covered little by little.
    """

    name = "shadow"
    rungs = (0.059, 0.153, 0.246, 0.334, 0.452, 0.781)
    stage = LIGHT
    x: Finite
    y: Finite
    angle: Finite
    softness: Positive
    depth: Positive
    gain: Share
    floor: NotNegative
    grain_size: Positive
    seed: Seed

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        x0, y0, x1, y1 = context.bounds
        height = context.text_height
        angle = float(rng.uniform(0, 360))
        reach = 0.5 * abs((x1 - x0) * math.cos(math.radians(angle))) + height
        # Severity moves the edge over the field as well as darkening what lies behind it.
        offset = cls.ladder(severity, -0.44, -1.0, rng) * reach
        floor, grain_size, seed = draw_floor(rng, context, 22)
        return cls(
            severity,
            x=number((x0 + x1) / 2 + offset * math.cos(math.radians(angle))),
            y=number((y0 + y1) / 2 + offset * math.sin(math.radians(angle))),
            angle=number(angle),
            softness=number(height * rng.uniform(0.3, 2.0)),
            depth=number(2 * reach + context.size[1] * rng.uniform(0.1, 0.8)),
            gain=min(1.0, cls.ladder(severity, 0.6, 0.128, rng)),
            floor=floor,
            grain_size=grain_size,
            seed=seed,
        )

    def _apply(self, image: Image, origin: Origin) -> Image:
        along = ahead(image.shape, origin, self.x, self.y, self.angle)
        inside = smooth_step(along / self.softness) * smooth_step((self.depth - along) / self.softness)
        dark = scaled(image, 1 - (1 - self.gain) * inside)
        return add_floor(dark, origin, self.seed, self.floor, self.grain_size, inside)


@register
@dataclass(frozen=True, slots=True)
class UnevenLighting(Operator):
    """One lamp: light falls from 1 to ``gain`` over ``span`` pixels towards ``angle``, starting at (``x``, ``y``).

    Source: Lambert's cosine and the inverse square of the distance, which at a grazing lamp is close to an exponential.
    """

    name = "uneven_lighting"
    rungs = (-0.105, 0.04, 0.135, 0.219, 0.318, 0.719)
    stage = LIGHT
    x: Finite
    y: Finite
    angle: Finite
    span: Positive
    gain: Share
    floor: NotNegative
    grain_size: Positive
    seed: Seed

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        x0, y0, x1, y1 = context.bounds
        angle = float(rng.uniform(0, 360))
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        span = float(rng.uniform(0.5, 1.1)) * (abs(cos) * context.size[1] + abs(sin) * context.size[0])
        # The field lies in the darker part of the fall, so that the gain there follows the severity.
        where = float(rng.uniform(0.7, 0.95))
        floor, grain_size, seed = draw_floor(rng, context, 30)
        return cls(
            severity,
            x=number((x0 + x1) / 2 - where * span * cos),
            y=number((y0 + y1) / 2 - where * span * sin),
            angle=number(angle),
            span=number(span),
            gain=min(1.0, cls.ladder(severity, 0.36, 0.09, rng)),
            floor=floor,
            grain_size=grain_size,
            seed=seed,
        )

    def _apply(self, image: Image, origin: Origin) -> Image:
        fall = np.clip(ahead(image.shape, origin, self.x, self.y, self.angle) / self.span, 0, 1.3)
        # Exponential fall: equal steps in log light, as lamps at grazing angles give.
        gain = np.exp(np.float32(math.log(max(self.gain, 1e-3))) * fall)
        dark = scaled(image, gain)
        return add_floor(dark, origin, self.seed, self.floor, self.grain_size, 1 - gain)


@register
@dataclass(frozen=True, slots=True)
class LowContrast(Operator):
    """Veiling light: every pixel keeps ``gain`` of its distance from the grey ``level``.

    Source: Koschmieder's law of contrast behind a veil (Beitraege zur Physik der freien Atmosphaere 12, 1924).
    """

    name = "low_contrast"
    rungs = (-0.046, 0.061, 0.135, 0.222, 0.314, 0.81)
    stage = LIGHT
    level: Grey
    gain: Share
    floor: NotNegative
    grain_size: Positive
    seed: Seed

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        gain = min(1.0, cls.ladder(severity, 0.2, 0.046, rng))
        return cls(severity, int(rng.integers(90, 235)), gain, *draw_floor(rng, context, 8))

    def _apply(self, image: Image, origin: Origin) -> Image:
        table = to_uint8(self.level + self.gain * (np.arange(256, dtype=np.float32) - self.level))
        return add_floor(cv2.LUT(image, table), origin, self.seed, self.floor, self.grain_size)
