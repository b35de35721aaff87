"""Sensor: noise, too little light, too few pixels, one colour a pixel, and rows read one after the other.

Grain and pixel pitch are tied to the text height, not to the pixel grid, because a page photographed from
twice the distance has twice as few pixels a letter: the same severity then removes the same share of a letter
at every scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Self

import cv2
import numpy as np
from pydantic import Field

from degradations.operators.base import (
    SENSOR,
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
from degradations.operators.pixels.blend import developed, scaled, to_linear
from degradations.operators.pixels.grain import added_tile, coloured_tile, grain_tile, pieces
from degradations.operators.pixels.resample import enlarge, shrink

Pitch = Annotated[float, Field(ge=1, le=200)]


@register
@dataclass(frozen=True, slots=True)
class Noise(Operator):
    """High gain in weak light: ``read`` grey levels of signal-independent noise and ``shot`` at white, in grains
    of ``grain_size`` pixels, ``chroma`` of it different by channel. Source: as for ``LowLight``, on grey levels."""

    name = "noise"
    rungs = (-0.364, -0.207, -0.058, 0.032, 0.14, 0.633)
    stage = SENSOR
    read: NotNegative
    shot: NotNegative
    grain_size: Positive
    chroma: Share
    seed: Seed

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        return cls(
            severity,
            read=cls.ladder(severity, 47.0, 165.0, rng),
            shot=cls.ladder(severity, 29.0, 86.0, rng),
            grain_size=number(max(1.0, context.text_height / rng.uniform(9, 13))),
            chroma=number(rng.uniform(0.0, 0.5)),
            seed=draw_seed(rng),
        )

    def _apply(self, image: Image, origin: Origin) -> Image:
        field = coloured_tile(self.seed, self.grain_size, self.chroma)
        # Photon counts vary with the square root of the light, read noise does not.
        table = np.sqrt(self.read**2 + self.shot**2 * np.arange(256) / 255).astype(np.float32)
        return added_tile(image, origin, field, table)


@register
@dataclass(frozen=True, slots=True)
class LowLight(Operator):
    """A night picture, lifted: white gave ``electrons`` a pixel over ``read`` electrons of noise, and the camera's gain
    brings them back to ``level`` of full brightness.

    Source: Foi, Trimeche, Katkovnik and Egiazarian, Practical Poissonian-Gaussian noise modeling and fitting for
    single-image raw-data, IEEE Transactions on Image Processing 17(10), 2008; EMVA Standard 1288. Noise is added to
    linear light, before the tone curve, so that dark parts suffer most; photosites are ``grain_size`` pixels wide.
    """

    name = "low_light"
    rungs = (0.362, 0.414, 0.474, 0.538, 0.604, 0.803)
    stage = SENSOR
    electrons: Positive
    read: NotNegative
    level: Share
    grain_size: Positive
    seed: Seed

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        return cls(
            severity,
            electrons=cls.ladder(severity, 60.0, 1.6, rng),
            read=number(rng.uniform(1.5, 2.5)),
            level=number(rng.uniform(0.35, 0.8)),
            grain_size=number(max(1.0, context.text_height / rng.uniform(9, 13))),
            seed=draw_seed(rng),
        )

    def _apply(self, image: Image, origin: Origin) -> Image:
        # Colours of one photosite share most of their noise once a raw converter has filled in the mosaic.
        field = grain_tile(self.seed, 3, max(1.0, self.grain_size))
        deviation = np.sqrt(to_linear() / self.electrons + (self.read / self.electrons) ** 2).astype(np.float32)
        result = np.empty_like(image)
        for here, there in pieces(len(field), (image.shape[0], image.shape[1]), origin):
            noise = cv2.multiply(field[there], cv2.LUT(image[here], deviation))
            noisy = cv2.add(cv2.LUT(image[here], to_linear()), noise)
            result[here] = developed(cv2.multiply(noisy, self.level))
        return result


@register
@dataclass(frozen=True, slots=True)
class LowResolution(Operator):
    """The page photographed with pixels of ``pitch`` (in pixels of this page) and enlarged again.

    Source: sampling by photosites that integrate over their area (Boreman, Modulation Transfer Function in Optical and
    Electro-Optical Systems, 2001).
    """

    name = "low_resolution"
    rungs = (0.196, 0.307, 0.369, 0.42, 0.472, 0.895)
    stage = SENSOR
    pitch: Pitch
    smooth: bool

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        rows = cls.ladder(severity, 8.9, 3.05, rng)
        return cls(severity, pitch=number(max(1.0, context.text_height / rows)), smooth=bool(rng.random() < 0.7))

    def _apply(self, image: Image, origin: Origin) -> Image:
        small, matrix = shrink(image, self.pitch, origin)
        return enlarge(small, matrix, image.shape, self.smooth)


@register
@dataclass(frozen=True, slots=True)
class Demosaic(Operator):
    """One colour a photosite, ``pitch`` pixels wide, the other two guessed from its neighbours: zips and false colours.

    The optical low-pass filter that would prevent them is weak (``filter``, in photosites), as in phones. Source: Bayer,
    US patent 3971065 (1976); Gunturk, Glotzbach, Altunbasak, Schafer and Mersereau, Demosaicking: color filter array
    interpolation, IEEE Signal Processing Magazine 22(1), 2005, on the artefacts of bilinear interpolation.
    """

    name = "demosaic"
    rungs = (0.011, 0.074, 0.133, 0.194, 0.248, 0.59)
    stage = SENSOR
    pitch: Pitch
    filter: Share

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        rows = cls.ladder(severity, 10.0, 3.4, rng)
        pitch = number(max(1.0, context.text_height / rows))
        return cls(severity, pitch=pitch, filter=number(rng.uniform(0.15, 0.3)))

    def _apply(self, image: Image, origin: Origin) -> Image:
        small, matrix = shrink(image, self.pitch, origin, block=2, spread=self.filter)
        mosaic = small[:, :, 1].copy()
        mosaic[0::2, 0::2] = small[0::2, 0::2, 0]
        mosaic[1::2, 1::2] = small[1::2, 1::2, 2]
        # Mirrored by whole tiles of the mosaic, so that the guess at the border has neighbours of the right colour.
        wide = cv2.copyMakeBorder(mosaic, 2, 2, 2, 2, cv2.BORDER_REFLECT_101)
        colours = np.asarray(cv2.cvtColor(wide, cv2.COLOR_BayerRGGB2RGB), np.uint8)[2:-2, 2:-2]
        return enlarge(np.ascontiguousarray(colours), matrix, image.shape, True)


@register
@dataclass(frozen=True, slots=True)
class RollingBands(Floored):
    """Dark bands of a lamp that flickers while the rows of the sensor are read one after the other.

    Bands come every ``period`` pixels towards ``angle`` (90: rows from top to bottom, 0: the phone was held upright),
    the first dark one at (``x``, ``y``); they keep ``gain`` of the light and are dark for ``duty`` of the period.
    Source: Sheinin, Schechner and Kutulakos, Rolling shutter imaging on the electric grid, ICCP 2018.
    """

    name = "rolling_bands"
    rungs = (-0.04, 0.013, 0.076, 0.242, 0.542, 0.946)
    stage = SENSOR
    x: Finite
    y: Finite
    angle: Finite
    period: Positive
    duty: Share
    gain: Share

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        x0, y0, x1, y1 = context.bounds
        height = context.text_height
        noise = cls.drawn(rng, context, 13)
        upright = rng.random() < 0.5
        # Bands across the line take some of its slots; bands along it have to fall on it.
        span = (x1 - x0) if upright else (y1 - y0)
        period = span * rng.uniform(0.45, 1.1) + height * rng.uniform(1.5, 3.0)
        slack = 0.5 * span if upright else 0.25 * height
        return cls(
            severity,
            x=number((x0 + x1) / 2 + rng.uniform(-slack, slack)),
            y=number((y0 + y1) / 2 + rng.uniform(-slack, slack)),
            angle=0.0 if upright else 90.0,
            period=number(period),
            duty=number(min(0.85, cls.ladder(severity, 0.3, 0.85, rng))),
            gain=min(1.0, cls.ladder(severity, 0.5, 0.07, rng)),
            **noise,
        )

    def _apply(self, image: Image, origin: Origin) -> Image:
        # The bands are the same all along a row (or column): one line of them is enough.
        line = image[:1] if self.angle == 0 else image[:, :1]
        phase = ahead(line.shape, origin, self.x, self.y, self.angle) * np.float32(2 * math.pi / self.period)
        # A raised cosine, dark for ``duty`` of its period and flat in the dark, as lamps driven by pulses are.
        edge = np.float32(math.cos(math.pi * self.duty))
        inside = np.clip((np.cos(phase) - edge) / np.float32(0.35) + np.float32(0.5), 0, 1)
        inside = np.ascontiguousarray(np.broadcast_to(inside, image.shape[:2]))
        dark = scaled(image, 1 - np.float32(1 - self.gain) * inside)
        return self.noisy(dark, origin, inside)
