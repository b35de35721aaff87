"""Fingers that hold a document down: round bodies with skin, nails and a shadow, a little out of focus."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from degradations.operators.aim import around, harmless
from degradations.operators.base import (
    COVER,
    Colour,
    Context,
    Finite,
    Image,
    Operator,
    Origin,
    Positive,
    Rng,
    Seed,
    draw_seed,
    number,
    register,
    split_lines,
)
from degradations.operators.cover.patches import Span, turned
from degradations.operators.cover.stickers import Part, corner_of, laid, shape_of, shift_colour
from degradations.operators.pixels.blend import smooth_step
from degradations.operators.pixels.grain import clouds, grain
from kie_hvqa.data.ledger import Box

SKIN = ((232, 190, 166), (218, 170, 142), (192, 140, 108), (150, 104, 78), (104, 72, 54), (240, 206, 188))


# Where the joints are, in half widths from the pad of the last one, and how deep skin folds over them.
_CREASES = ((2.5, 0.13), (5.9, 0.17))


def _outline(u: NDArray, v: NDArray, lumps: NDArray) -> tuple[NDArray, NDArray]:
    """Half the breadth at every place along a finger, and the distance from its outline, both in half widths."""
    wide = 0.98 + 0.03 * np.clip(u, -1, 2) - 0.055 * np.exp(-np.square((u - 1.7) / 0.8))
    wide = wide + 0.06 * np.exp(-np.square((u - 2.6) / 0.9)) - 0.05 * np.exp(-np.square((u - 4.2) / 1.0))
    wide = wide + 0.10 * np.exp(-np.square((u - 5.9) / 1.2)) + 0.05 * np.clip((u - 6.5) / 4, 0, 2) + 0.012 * lumps
    tip = np.hypot(np.minimum(u + 0.1, 0) / 1.16, v)
    return wide, np.where(u < -0.1, tip, np.abs(v)) - wide


@dataclass(frozen=True, slots=True)
class Digit:
    """A finger whose last joint's middle lies at (``x``, ``y``), coming from ``angle`` degrees (0: from the right).

    ``width`` is its breadth in pixels, ``soft`` how far its outline is out of focus (pixels), ``bend`` how far it curves to
    one side (half widths a squared half width), ``nail`` whether its back shows.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    x: Finite
    y: Finite
    angle: Finite
    width: Positive
    soft: Positive
    bend: Finite
    colour: Colour
    nail: bool
    seed: Seed

    def paint(self, image: Image, origin: Origin) -> None:
        for part in self._parts(image, origin):
            self._paint(image, part, origin)

    def touches(self, image: Image, origin: Origin) -> bool:
        return next(self._parts(image, origin), None) is not None

    def _paint(self, image: Image, part: Part, origin: Origin) -> None:
        rows, columns = ((span.start, span.stop) for span in part)
        image[part] = laid(image[part], *_body(self, rows, columns, origin))

    def _look(self, part: Part, origin: Origin) -> tuple[NDArray, NDArray, NDArray]:
        """Colour, coverage and shadow of the finger over ``part`` of a window at ``origin``."""
        shape, corner = shape_of(part), corner_of(part, origin)
        half = self.width / 2
        u, v = turned(*part, origin, self.x, self.y, self.angle)
        u, v = (
            u / np.float32(half),
            v / np.float32(half),
        )  # in half widths; u is 0 in the middle of the last joint's pad
        v = v - np.float32(self.bend) * np.square(np.maximum(u, 0))
        lumps = clouds(shape, corner, self.seed, 1.6 * self.width)
        wide, outline = _outline(u, v, lumps)
        alpha = smooth_step(-outline * np.float32(half / self.soft))
        # A round body: how far a point lies inside its outline says how its surface leans.
        across = np.clip(v / wide, -1, 1)
        turn = np.clip((-u - 0.1) / 1.15, 0, 1)
        up = np.sqrt(np.clip(1 - 0.94 * across**2 - 0.85 * turn**2, 0.02, 1))
        cos, sin = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        lamp_u, lamp_v = -0.42 * cos - 0.5 * sin, 0.42 * sin - 0.5 * cos
        lambert = np.clip(0.80 * up + 0.55 * lamp_v * across - 0.5 * lamp_u * turn, 0, 1)
        # Skin is lit a little beyond where the lamp ends, and darkens where it meets the page.
        light = 0.42 + 0.66 * lambert - 0.22 * np.exp(-np.maximum(-outline, 0) / 0.10)
        skin = np.asarray(self.colour, np.float32)
        pores = grain(shape, corner, self.seed ^ 3, 1, max(1.2, 0.018 * self.width))[:, :, 0]
        mottle = clouds(shape, corner, self.seed ^ 19, 0.16 * self.width)
        tone = light * (1 + 0.03 * lumps + 0.012 * pores + 0.018 * mottle)
        wrinkle = np.zeros_like(tone)
        for place, deep in _CREASES:  # skin folds over the joints
            for step in (-0.16, 0.0, 0.14):
                line = (u - place - step - 0.10 * np.cos(2.0 * across + step * 9) - 0.05 * mottle) / 0.045
                wrinkle += deep * (0.5 if step else 1.0) * np.exp(-(line**2))
        tone = tone * (1 - wrinkle * (1 - 0.7 * np.abs(across)))
        # Blood shows at the tip, over the knuckles and where the skin turns away.
        flush = 0.55 * np.exp(-(((u + 0.25) / 0.9) ** 2)) + 0.35 * across**4 + 0.10 * mottle
        for place, _ in _CREASES:
            flush += 0.25 * np.exp(-(((u - place) / 0.7) ** 2))
        flush = np.clip(flush, 0, 1)[:, :, None] * np.array([0.0, 0.11, 0.12], np.float32)
        colour = skin * tone[:, :, None] * (1 - flush)
        gloss = np.exp(-(((across - 0.42 * lamp_v) / 0.22) ** 2)) * np.clip(0.6 + 0.4 * mottle, 0, 1)
        colour += 11 * (gloss * (u > -0.9))[:, :, None]
        if self.nail:
            self._nail(colour, u, v, light)
        off_u, off_v = 0.18 * (cos + sin), 0.18 * (cos - sin)
        cast = _outline(u - np.float32(off_u), v - np.float32(off_v), 0 * lumps)[1]
        shade = 0.50 * smooth_step(-(cast - 0.12) / 0.30) + 0.18 * smooth_step(-(cast - 0.5) / 0.7)
        shade = np.clip(shade, 0, 0.65)
        return colour.astype(np.float32), alpha.astype(np.float32), shade.astype(np.float32)

    def _parts(self, image: Image, origin: Origin) -> Iterator[Part]:
        """Where the finger and its shadow are: a strip that runs off the picture, looked for on every eighth pixel and given
        in bands, so that little of what lies beside a slanting one is painted with nothing."""
        half, step, band = self.width / 2, 8, 8
        rows, columns = -(-image.shape[0] // step), -(-image.shape[1] // step)
        x = np.arange(columns, dtype=np.float32)[None, :] * step + np.float32(origin[0] - self.x)
        y = np.arange(rows, dtype=np.float32)[:, None] * step + np.float32(origin[1] - self.y)
        cos, sin = np.float32(math.cos(math.radians(self.angle))), np.float32(math.sin(math.radians(self.angle)))
        ahead = x * cos + y * sin
        aside = y * cos - x * sin - np.float32(self.bend / half) * np.square(np.maximum(ahead, 0))
        near = (ahead > -2.6 * half - 2 * step) & (np.abs(aside) < 2.6 * half + 2 * step)
        for top in range(0, rows, band):
            across = np.nonzero(near[top : top + band].any(0))[0]
            if len(across):
                yield (
                    slice(top * step, min(image.shape[0], (top + band) * step)),
                    slice(int(across[0]) * step, min(image.shape[1], (int(across[-1]) + 1) * step)),
                )

    def _nail(self, colour: NDArray, u: NDArray, v: NDArray, light: NDArray) -> None:
        """The nail lies over the tip: flatter, paler, glossy, with the moon at its root."""
        edge = (np.abs((u + 0.36) / 0.72) ** 3.2 + np.abs(v / (0.60 + 0.04 * u)) ** 2.6) - 1
        mask = smooth_step(-edge / 0.10)[:, :, None]
        flat = np.asarray(self.colour, np.float32) * np.array([1.03, 0.93, 0.92], np.float32)
        plate = flat * (0.40 + 0.62 * light[:, :, None])
        plate += 26 * np.exp(-(((u - 0.26) / 0.12) ** 2))[:, :, None]
        plate += 34 * np.exp(-(((u + 1.04) / 0.10) ** 2))[:, :, None]  # the free edge
        plate += 54 * (np.exp(-(((v + 0.24) / 0.10) ** 2)) * np.exp(-(((u + 0.35) / 0.4) ** 2)))[:, :, None]
        colour += (plate - colour) * mask
        groove = np.exp(-((edge / 0.16) ** 2)) * (u > -0.95)
        colour *= 1 - 0.20 * groove[:, :, None]


@lru_cache(maxsize=32)  # an observer lays the same finger over one window again and again
def _body(digit: Digit, rows: Span, columns: Span, origin: Origin) -> tuple[NDArray, NDArray, NDArray]:
    return digit._look((slice(*rows), slice(*columns)), origin)


@register
@dataclass(frozen=True, slots=True)
class Finger(Operator):
    """Fingers that hold the document down, coming in from the nearest side of the picture.

    Source: a round body lit by Lambert's law, coloured like skin, redder where blood shows (Angelopoulou, Understanding
    the color of human skin, SPIE 4299, 2001); out of focus at its outline, which is nearer than the page.
    """

    name = "finger"
    rungs = (-0.115, 0.248, 0.546, 0.77, 0.889, 1.028)
    stage = COVER
    digits: tuple[Digit, ...]

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        share = min(1.0, cls.ladder(severity, 0.08, 0.95, rng, jitter=0.2))
        # One hand: it lies over an end of one line of the field, and where a value is printed twice, over one print.
        lines = split_lines(context.boxes)
        line = [context.boxes[i] for i in max(lines, key=len)]
        count = int(np.clip(math.floor(share * len(line) + rng.random()), 0, len(line)))
        at_end = bool(rng.random() < 0.5)
        if count:
            box = around(line[-count:] if at_end else line[:count])
        else:
            height = context.text_height
            box = harmless(rng, context, (3 * height, 2 * height))
        return cls(severity, tuple(_fingers(rng, box, at_end, context)))

    def _apply(self, image: Image, origin: Origin) -> Image:
        result = image.copy()
        for digit in self.digits:
            digit.paint(result, origin)
        return result


def _fingers(rng: Rng, box: Box, at_end: bool, context: Context) -> list[Digit]:
    """As many fingers of one hand as it takes to cover ``box``, from the corner of the document that is nearest to it.

    A fingertip is 14 to 19 mm wide, whatever the size of the print. Where the fingers are wider than the box they reach beyond
    it to the right if it lies ``at_end`` of its line, else to the left.
    """
    x0, y0, x1, y1 = box
    size, height = float(rng.uniform(14, 19)) * context.millimetre, y1 - y0
    count = int(np.clip(math.ceil((x1 - x0) / (0.88 * size)), 1, 4))
    # Wider than the fingers of a hand: a nearer, larger one.
    width = max(size, (x1 - x0) / (0.90 * count))
    from_below = (y0 + y1) / 2 > 0.45 * context.size[0]
    to_right = (x0 + x1) / 2 > context.size[1] / 2
    pitch = 0.96 * width
    left = x0 - 0.04 * width if at_end else x1 + 0.04 * width - count * pitch
    skin = shift_colour(rng, SKIN[int(rng.integers(len(SKIN)))], 8)
    nail, lean = bool(rng.random() < 0.65), float(rng.uniform(4, 30 if count == 1 else 14)) * (1 if to_right else -1)
    bend, seed = float(rng.uniform(-0.010, 0.010)), draw_seed(rng)
    digits = []
    for index in range(count):
        # The middle finger reaches furthest; each tip lies past the text by its own pad.
        reach = (0.10, 0.30, 0.22, 0.0)[index] if count > 1 else 0.15
        y = (y1 + y0) / 2 + (1 if from_below else -1) * (0.30 * width - 0.35 * height - reach * 0.5 * width)
        splay = (index - (count - 1) / 2) * 3.0
        digits.append(
            Digit(
                x=number(left + (index + 0.5) * pitch),
                y=number(y + float(rng.uniform(-0.04, 0.04)) * width),
                angle=number((90 - lean - splay) if from_below else (-90 + lean + splay)),
                width=number(width * (1.0 if count == 1 else (0.99, 1.02, 0.98, 0.90)[index])),
                soft=number(max(0.8, 0.02 * width)),
                bend=number(bend),
                colour=skin,
                nail=nail,
                seed=(seed + index) % 2**32,
            )
        )
    return digits
