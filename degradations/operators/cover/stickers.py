"""Things that are stuck on a document: paper labels, adhesive tape.

Each is an opaque or translucent body with its own light: a shadow on the page, an edge that catches the lamp, a surface
that is not one colour. Where they land is in ``aim.py``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from degradations.operators.aim import Target, at_least, grown, targets, window
from degradations.operators.base import (
    COVER,
    Colour,
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
from degradations.operators.cover.lettering import placed, word
from degradations.operators.cover.patches import Span, covering_size, hashed, rounded_box, turned
from degradations.operators.pixels.blend import blurred, smooth_step
from degradations.operators.pixels.grain import clouds, grain
from kie_hvqa.data.ledger import Box

Floats = NDArray[np.float32]
Part = tuple[slice, slice]


def laid(below: Image, colour: NDArray, alpha: NDArray, shade: NDArray) -> Image:
    """A body of ``colour`` [h, w, 3] and ``alpha`` [h, w] over ``below``, which keeps 1 - ``shade`` of its light."""
    lit = below * (1 - shade[:, :, None])
    return np.clip(lit + (colour - lit) * alpha[:, :, None] + 0.5, 0, 255).astype(np.uint8)


def shape_of(part: Part) -> tuple[int, int]:
    return part[0].stop - part[0].start, part[1].stop - part[1].start


def corner_of(part: Part, origin: Origin) -> Origin:
    return origin[0] + part[1].start, origin[1] + part[0].start


def shift_colour(rng: Rng, colour: Sequence[int], amount: int) -> Colour:
    return tuple(int(v) for v in np.clip(np.add(colour, rng.integers(-amount, amount + 1, 3)), 0, 255))  # type: ignore[return-value]


_WORDS = ("PRIORITY", "FRAGILE", "CHECKED", "COPY", "No. 4471", "REF 0218", "SALE", "A-17", "17.90", "2 of 3", "QC OK")
_LABELS = (
    (250, 249, 244),
    (248, 232, 96),
    (250, 196, 70),
    (232, 84, 62),
    (120, 190, 120),
    (128, 180, 226),
    (238, 236, 226),
)


@dataclass(frozen=True, slots=True)
class Label:
    """A paper label centred at (``x``, ``y``), ``width`` x ``height`` pixels, turned by ``angle`` degrees.

    ``corner`` rounds it (pixels); ``lift`` is how far its edge stands off the page (pixels); ``print`` is what is on it:
    ``word``, ``barcode`` or ``ruled`` lines in ``ink``; ``em`` is the size of a line (pixels).
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    x: Finite
    y: Finite
    width: Positive
    height: Positive
    angle: Finite
    corner: NotNegative
    lift: NotNegative
    colour: Colour
    ink: Colour
    print: Literal["nothing", "word", "barcode", "ruled"]
    text: str
    em: Positive
    seed: Seed

    @classmethod
    def over(cls, rng: Rng, box: Box, text_height: float, millimetre: float) -> Self:
        """A label that hides all of ``box``, and is at least as high as labels are."""
        box = at_least(rng, box, float(rng.uniform(8, 20)) * millimetre)
        x, y, length, breadth, angle = covering_size(rng, box, text_height, 0.14)
        corner = float(rng.choice([0.0, 0.12, 0.35])) * text_height
        grow = 0.6 * corner  # (1 - 1/sqrt 2) of a corner is cut off on each side
        return cls(
            x=number(x),
            y=number(y),
            width=number(length + grow),
            height=number(breadth + grow + text_height * rng.uniform(0.0, 0.5)),
            angle=number(angle),
            corner=number(corner),
            lift=number(text_height * rng.uniform(0.05, 0.14)),
            colour=shift_colour(rng, _LABELS[int(rng.integers(len(_LABELS)))], 8),
            ink=(30, 32, 38) if rng.random() < 0.7 else (150, 30, 34),
            print=("nothing", "word", "barcode", "ruled")[int(rng.choice(4, p=(0.2, 0.45, 0.2, 0.15)))],
            text=_WORDS[int(rng.integers(len(_WORDS)))],
            em=number(0.62 * breadth),
            seed=draw_seed(rng),
        )

    def paint(self, image: Image, origin: Origin) -> None:
        reach = math.hypot(self.width, self.height) / 2 + 4 * self.lift + 2
        part = window(self.x, self.y, reach, image, origin)
        if part is None:
            return
        rows, columns = ((span.start, span.stop) for span in part)
        image[part] = laid(image[part], *_body(self, rows, columns, origin))

    def _look(self, part: Part, origin: Origin) -> tuple[NDArray, NDArray, NDArray]:
        """Colour, coverage and shadow of the label over ``part`` of a window at ``origin``."""
        shape, corner = shape_of(part), corner_of(part, origin)
        u, v = turned(*part, origin, self.x, self.y, self.angle)
        edge = rounded_box(u, v, self.width / 2, self.height / 2, self.corner)
        alpha = np.clip(0.5 - edge, 0, 1)
        # The lamp is up and left: the shadow falls down and right, wider where the edge lifts.
        away = rounded_box(u - self.lift, v - self.lift, self.width / 2, self.height / 2, self.corner + self.lift)
        shade = 0.42 * smooth_step(-away / (1.4 * self.lift + 0.6))
        paper = 1 + 0.012 * clouds(shape, corner, self.seed, 0.8 * self.height)
        paper += 0.008 * grain(shape, corner, self.seed ^ 5, 1, 1.5)[:, :, 0]
        paper += 0.05 * (u / self.width - v / self.height)  # it does not lie quite flat
        rim = np.exp(-np.abs(edge) / (0.35 * self.lift + 0.5))
        paper += rim * np.where(u / self.width + v / self.height < 0, 0.06, -0.14)
        colour = np.asarray(self.colour, np.float32) * paper[:, :, None]
        mark = self._print(shape, corner, u, v) * np.clip((-edge - 0.1 * self.em) / 2, 0, 1) * 0.9
        colour += (np.asarray(self.ink, np.float32) - colour) * mark[:, :, None]
        return colour.astype(np.float32), alpha, shade

    def _print(self, shape: tuple[int, int], corner: Origin, u: Floats, v: Floats) -> Floats:
        if self.print == "word":
            texture = word(self.text, "Roboto Condensed", 700, 48)
            scale = min(self.em / texture.shape[0], 0.8 * self.width / texture.shape[1])
            return placed(texture, shape, corner, self.x, self.y, self.angle, scale)
        if self.print == "barcode":
            bars = hashed(u, np.zeros_like(u), max(1.5, 0.06 * self.em), self.seed) < 0.5
            inside = (np.abs(v) < 0.32 * self.height) & (np.abs(u) < 0.42 * self.width)
            return (bars & inside).astype(np.float32)
        if self.print == "ruled":
            row = np.abs((v / (0.45 * self.em)) % 1 - 0.5)
            inside = np.abs(u) < 0.44 * self.width
            return np.clip((row - 0.44) * 20, 0, 0.6).astype(np.float32) * inside
        return np.zeros(shape, np.float32)


@lru_cache(maxsize=8)  # an observer lays the same label over one window again and again
def _body(label: Label, rows: Span, columns: Span, origin: Origin) -> tuple[NDArray, NDArray, NDArray]:
    return label._look((slice(*rows), slice(*columns)), origin)


@register
@dataclass(frozen=True, slots=True)
class Sticker(Operator):
    """Paper labels stuck on the page: opaque, with a shadow and something printed on them.

    Source: paper is a near-Lambertian opaque reflector (ISO 2471 defines its opacity); its edge stands off by its
    thickness, which is what casts the thin shadow that tells a label from a printed box.
    """

    name = "sticker"
    rungs = (-0.292, 0.034, 0.38, 0.661, 0.88, 1.063)
    stage = COVER
    local = True
    labels: tuple[Label, ...]

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        share = cls.ladder(severity, 0.06, 0.706, rng, jitter=0.2)
        found = targets(rng, context, share)
        labels = []
        for target in found:
            alike = np.random.default_rng(target.seed)
            box = grown(alike, target, context.text_height, 1.0)
            labels.append(Label.over(alike, box, context.text_height, context.millimetre))
        return cls(severity, tuple(labels))

    def _apply(self, image: Image, origin: Origin) -> Image:
        result = image.copy()
        for label in self.labels:
            label.paint(result, origin)
        return result


@dataclass(frozen=True, slots=True)
class Strip:
    """A strip of tape centred at (``x``, ``y``), ``length`` x ``width`` pixels, turned by ``angle`` degrees, torn at its ends
    over ``tooth`` pixels."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    x: Finite
    y: Finite
    length: Positive
    width: Positive
    angle: Finite
    tooth: NotNegative
    colour: Colour
    gloss: Share
    seed: Seed

    @classmethod
    def over(cls, rng: Rng, target: Target, text_height: float, millimetre: float) -> Self:
        """A strip along the line, as wide as tape is sold; across the line where what it has to cover is no wider."""
        sold = float(rng.choice((12, 15, 19))) * millimetre
        box = at_least(rng, grown(rng, target, text_height, 0.5), 0.8 * sold)
        x, y, length, breadth, angle = covering_size(rng, box, text_height, 0.12)
        tooth = float(rng.uniform(0.5, 1.2)) * millimetre
        if sold * 0.8 < box[2] - box[0] < 1.4 * sold and rng.random() < 0.6:
            length, breadth, angle = breadth + sold * float(rng.uniform(0.5, 3)), length, angle * 0.3 + 90
            y += float(rng.uniform(-0.4, 0.4)) * (length - breadth) * (length > breadth)
        colour = ((236, 226, 190), (240, 238, 230), (226, 206, 152), (214, 184, 128), (246, 246, 244))[
            int(rng.integers(5))
        ]
        return cls(
            x=number(x),
            y=number(y),
            length=number(length + 3 * tooth),
            width=number(max(breadth, 1.2 * text_height)),
            angle=number(angle),
            tooth=number(tooth),
            colour=shift_colour(rng, colour, 8),
            gloss=number(rng.uniform(0.15, 0.55)),
            seed=draw_seed(rng),
        )

    def paint(self, image: Image, opacity: float, haze: float, origin: Origin) -> None:
        reach = math.hypot(self.length, self.width) / 2 + self.tooth + 6
        part = window(self.x, self.y, reach, image, origin)
        if part is None:
            return
        shape, corner = shape_of(part), corner_of(part, origin)
        u, v = turned(*part, origin, self.x, self.y, self.angle)
        # The cutter's teeth: a triangle wave, a little uneven.
        tooth = np.abs((v / (0.9 * self.tooth + 1e-3)) % 1 - 0.5) * 2 * self.tooth if self.tooth > 0 else 0 * v
        tooth = tooth + 0.25 * self.tooth * clouds(shape, corner, self.seed, 2 * self.tooth + 3)
        edge = np.maximum(np.abs(u) + tooth - self.length / 2, np.abs(v) - self.width / 2)
        inside = np.clip(0.5 - edge, 0, 1)
        below = blurred(image[part], haze) if haze > 0.3 else image[part]
        uneven = clouds(shape, corner, self.seed ^ 9, (0.9 * self.width, 0.5 * self.width))
        film = np.asarray(self.colour, np.float32) * (1 + 0.03 * uneven[:, :, None])
        # Air under the film: pale blisters where the adhesive does not touch.
        blister = smooth_step((uneven - 1.35) * 4)
        alpha = inside * np.clip(opacity + 0.25 * blister * (1 - opacity), 0, 1)
        body = below * (1 - alpha[:, :, None]) + film * alpha[:, :, None]
        bend = v - 0.18 * self.width * np.sin(u / (0.8 * self.length) * 5 + self.seed % 7) + 0.05 * self.width * uneven
        streak = np.exp(-((bend / (0.10 * self.width)) ** 2)) + 0.5 * np.exp(-((bend / (0.3 * self.width)) ** 2))
        light = self.gloss * streak * inside * np.clip(0.7 + 0.3 * uneven, 0, 1.3) * 0.6
        light += 0.22 * inside * np.exp(-(((np.abs(v) - self.width / 2 + 1.5) / 1.2) ** 2))
        body += (252 - body) * np.clip(light, 0, 1)[:, :, None]
        shade = 0.22 * np.exp(-np.clip(edge, 0, None) / 2.2) * (edge > 0)
        picture = image[part] * (1 - shade[:, :, None])
        picture += (body - picture) * inside[:, :, None]
        image[part] = np.clip(picture + 0.5, 0, 255).astype(np.uint8)


@register
@dataclass(frozen=True, slots=True)
class Tape(Operator):
    """Adhesive tape over the print: the film scatters (``haze`` pixels), tints and, old or frosted, hides (``opacity``).

    Source: a film of transmittance t over paper shows t of its contrast (ASTM D1003 defines haze and transmittance of
    plastics); gloss is the lamp's reflection in the film, at Fresnel's few percent of a bright lamp.
    """

    name = "tape"
    applies_to = frozenset(("paper", "plastic", "thermal"))
    rungs = (0.191, 0.588, 0.832, 0.96, 1.084, 1.332)
    stage = COVER
    local = True
    strips: tuple[Strip, ...]
    opacity: Share
    haze: NotNegative

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        found = targets(rng, context, cls.ladder(severity, 0.383, 0.872, rng, jitter=0.2))
        mm, height = context.millimetre, context.text_height
        strips = tuple(Strip.over(np.random.default_rng(t.seed), t, height, mm) for t in found)
        through = cls.ladder(severity, 0.3, 0.02, rng)
        return cls(severity, strips, number(1 - through), number(context.text_height * rng.uniform(0.01, 0.04)))

    def _apply(self, image: Image, origin: Origin) -> Image:
        result = image.copy()
        for strip in self.strips:
            strip.paint(result, self.opacity, self.haze, origin)
        return result
