"""Fingers that hold a document down: round bodies with skin, nails and a shadow, a little out of focus."""

from __future__ import annotations

import math
from dataclasses import dataclass
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
from degradations.operators.blend import smooth_step
from degradations.operators.cover import turned
from degradations.operators.grain import clouds, grain
from degradations.operators.objects import Part, corner_of, laid, shape_of, shift_colour
from kie_hvqa.data.ledger import Box

_SKIN = ((232, 190, 166), (218, 170, 142), (192, 140, 108), (150, 104, 78), (104, 72, 54), (240, 206, 188))


@dataclass(frozen=True, slots=True)
class Digit:
    """A finger whose last joint's middle lies at (``x``, ``y``), coming from ``angle`` degrees (0: from the right).

    ``width`` is its breadth in pixels, ``soft`` how far its outline is out of focus (pixels), ``nail`` whether its back
    shows.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    x: Finite
    y: Finite
    angle: Finite
    width: Positive
    soft: Positive
    colour: Colour
    nail: bool
    seed: Seed

    def paint(self, image: Image, origin: Origin) -> None:
        half = self.width / 2
        part = self._part(image, origin)
        if part is None:
            return
        u, v = turned(*part, origin, self.x, self.y, self.angle)
        shape, corner = shape_of(part), corner_of(part, origin)
        lumps = clouds(shape, corner, self.seed, 1.6 * self.width)
        # Narrower at the tip, fuller at the joint; u is 0 in the middle of the last joint's pad.
        wide = half * (0.90 + 0.10 * np.clip(u / half, -1, 1.6) + 0.05 * np.sin(u / (1.9 * half)) + 0.012 * lumps)
        tip = np.hypot(np.minimum(u + 0.1 * half, 0) / 1.12, v)
        distance = np.where(u < -0.1 * half, tip, np.abs(v)) - wide
        alpha = smooth_step(-distance / self.soft)
        # A round body under a lamp from the upper left, and its shadow on the page.
        across = np.clip(v / wide, -1, 1)
        turn = np.clip((-u - 0.1 * half) / (1.12 * half), 0, 1)
        up = np.sqrt(np.clip(1 - across**2 * 0.92 - turn**2 * 0.85, 0.02, 1))
        cos, sin = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        lamp_u, lamp_v = -0.42 * cos - 0.5 * sin, 0.42 * sin - 0.5 * cos
        lambert = 0.76 * up + lamp_v * across * 0.55 - lamp_u * turn * 0.5
        light = 0.46 + 0.62 * np.clip(lambert, 0, 1)
        skin = np.asarray(self.colour, np.float32)
        pores = grain(shape, corner, self.seed ^ 3, 1, max(1.2, 0.018 * self.width))[:, :, 0]
        tone = light * (1 + 0.035 * lumps + 0.022 * pores)
        # Creases over the joint, and blood that shows at the tip and the sides.
        for place in (1.75, 1.95, 2.2):
            line = (u / half - place - 0.05 * np.cos(2.2 * across) - 0.02 * lumps) / 0.035
            tone -= 0.07 * np.exp(-(line**2)) * (1 - 0.6 * np.abs(across))
        flush = np.clip(0.5 * np.exp(-(((u + 0.3 * half) / (0.8 * half)) ** 2)) + 0.4 * across**4, 0, 1)
        colour = skin * tone[:, :, None] * (1 - flush[:, :, None] * np.array([0.0, 0.12, 0.13], np.float32))
        if self.nail:
            self._nail(colour, u / half, v / half, light)
        off_u, off_v = 0.16 * half * (cos + sin), 0.16 * half * (cos - sin)
        cast = np.where(
            u - off_u < -0.1 * half, np.hypot(np.minimum(u - off_u + 0.1 * half, 0), v - off_v), np.abs(v - off_v)
        )
        shade = 0.5 * smooth_step((1.06 * wide - cast) / (0.32 * half))
        image[part] = laid(image[part], colour.astype(np.float32), alpha.astype(np.float32), shade.astype(np.float32))

    def _part(self, image: Image, origin: Origin) -> Part | None:
        """Where the finger and its shadow are: a strip that runs off the picture, looked for on every eighth pixel."""
        half, step = self.width / 2, 8
        rows, columns = -(-image.shape[0] // step), -(-image.shape[1] // step)
        x = np.arange(columns, dtype=np.float32)[None, :] * step + np.float32(origin[0] - self.x)
        y = np.arange(rows, dtype=np.float32)[:, None] * step + np.float32(origin[1] - self.y)
        cos, sin = np.float32(math.cos(math.radians(self.angle))), np.float32(math.sin(math.radians(self.angle)))
        near = (x * cos + y * sin > -1.9 * half - 2 * step) & (np.abs(y * cos - x * sin) < 2.0 * half + 2 * step)
        down, across = np.nonzero(near.any(1))[0], np.nonzero(near.any(0))[0]
        if not len(down):
            return None
        return (
            slice(int(down[0]) * step, min(image.shape[0], (int(down[-1]) + 1) * step)),
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


@register
@dataclass(frozen=True, slots=True)
class Finger(Operator):
    """Fingers that hold the document down, coming in from the nearest side of the picture.

    Source: a round body lit by Lambert's law, coloured like skin, redder where blood shows (Angelopoulou, Understanding
    the color of human skin, SPIE 4299, 2001); out of focus at its outline, which is nearer than the page.
    """

    name = "finger"
    rungs = (-0.185, 0.4, 0.632, 0.794, 0.922, 1.104)
    stage = COVER
    local = True
    digits: tuple[Digit, ...]

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        share = min(1.0, cls.ladder(severity, 0.08, 0.95, rng, jitter=0.2))
        seed, at_end = draw_seed(rng), bool(rng.random() < 0.5)
        digits: list[Digit] = []
        for boxes in context.prints:
            for line in split_lines(boxes):
                # A fingertip is wider than a few characters: it comes to lie over an end of the line and beyond.
                held = [boxes[i] for i in line]
                alike = np.random.default_rng(seed)
                count = int(np.clip(math.floor(share * len(held) + alike.random()), 0, len(held)))
                if count:
                    digits += _fingers(alike, around(held[-count:] if at_end else held[:count]), at_end, context)
        if not digits or rng.random() < 0.3:
            alone = np.random.default_rng(draw_seed(rng))
            height = context.text_height
            digits += _fingers(alone, harmless(rng, context, (3 * height, 2 * height)), at_end, context)
        return cls(severity, tuple(digits))

    def _apply(self, image: Image, origin: Origin) -> Image:
        result = image.copy()
        for digit in self.digits:
            digit.paint(result, origin)
        return result


def _fingers(rng: Rng, box: Box, at_end: bool, context: Context) -> list[Digit]:
    """As many fingers side by side as it takes to cover ``box``, from above or below, whichever is nearer.

    Where they are wider than the box they reach beyond it to the right if it lies ``at_end`` of its line, else to the left.
    """
    height = context.text_height
    x0, y0, x1, y1 = box
    # A fingertip is 14 to 20 mm wide, five to seven times the height of type on a card; a small one covers less.
    count = max(1, math.ceil((x1 - x0) / (6.0 * height)))
    width = float(np.clip((x1 - x0) / count, float(rng.uniform(3.2, 4.5)) * height, 6.5 * height)) + 0.3 * height
    left = x0 - 0.15 * height if at_end else x1 + 0.15 * height - count * 0.94 * width
    from_below = (y0 + y1) / 2 > context.size[0] / 2
    skin = shift_colour(rng, _SKIN[int(rng.integers(len(_SKIN)))], 8)
    nail, lean = bool(rng.random() < 0.6), float(rng.uniform(-10, 10))
    digits = []
    for index in range(count):
        # The tip reaches past the text by a third of the finger.
        y = (y1 + y0) / 2 + (0.12 if from_below else -0.12) * width + float(rng.uniform(-0.1, 0.1)) * height
        digits.append(
            Digit(
                x=number(left + (index + 0.5) * 0.94 * width),
                y=number(y),
                angle=number((90 if from_below else -90) + lean + float(rng.uniform(-3, 3))),
                width=number(width),
                soft=number(max(0.8, 0.025 * width)),
                colour=skin,
                nail=nail,
                seed=draw_seed(rng),
            )
        )
    return digits
