"""A rubber stamp over the text: ink that filters what lies below it, patchy as a hand presses it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Self

import cv2
import numpy as np
from pydantic import ConfigDict, Field

from degradations.operators.aim import Target, at_least, grown, targets, window
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
)
from degradations.operators.cover.lettering import placed
from degradations.operators.cover.stamp_faces import Guard, Words
from degradations.operators.cover.stickers import corner_of, shape_of, shift_colour
from degradations.operators.pixels.blend import scaled
from degradations.operators.pixels.grain import clouds, grain

_INKS: tuple[Colour, ...] = ((38, 44, 122), (150, 28, 40), (30, 30, 36), (88, 30, 110), (22, 92, 70))
_GUARD_INKS: tuple[Colour, ...] = ((24, 24, 28), (30, 34, 66))


@dataclass(frozen=True, slots=True)
class Imprint:
    """One stroke of a stamp, its middle at (``x``, ``y``), turned by ``angle`` degrees, ``width`` pixels wide.

    ``density`` is the ink on the page where the stamp pressed well (1: one film, 2: pressed twice) and ``cell`` the size of
    the patches that it missed (pixels).
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    x: Finite
    y: Finite
    angle: Finite
    width: Positive
    stamp: Words | Guard
    ink: Colour
    density: Annotated[float, Field(ge=0, le=4)]
    cell: Positive
    seed: Seed

    @classmethod
    def over(cls, rng: Rng, target: Target, text_height: float, mm: float, density: float, layers: int) -> Self:
        """Words, or where there are ``layers``, a guard; it hides what it is rolled over, so it is put on straight."""
        x0, y0, x1, y1 = grown(rng, target, text_height, 0.5)
        if layers:  # a guard's roller is a centimetre wide
            x0, y0, x1, y1 = at_least(rng, (x0, y0, x1, y1), float(rng.uniform(7, 11)) * mm)
            angle, width = float(rng.uniform(-2, 2)), (x1 - x0) + text_height * float(rng.uniform(0.3, 0.8))
            stamp: Words | Guard = Guard.draw(rng, width / (1.25 * (y1 - y0)), layers)
            inks, shift = _GUARD_INKS, 0.05
        else:
            stamp = Words.draw(rng)
            face = stamp.face()
            # Wide enough for the run, and high enough for its line even where the stamp is turned.
            angle = float(rng.uniform(-14, 14))
            width = max(
                (x1 - x0) * 1.08, (y1 - y0) * 1.5 * face.shape[1] / face.shape[0], float(rng.uniform(32, 52)) * mm
            )
            inks, shift = _INKS, 0.2
        return cls(
            x=number((x0 + x1) / 2),
            y=number((y0 + y1) / 2 + rng.uniform(-shift, shift) * text_height),
            angle=number(angle),
            width=number(width),
            stamp=stamp,
            ink=shift_colour(rng, inks[int(rng.integers(len(inks)))], 10),
            density=number(density),
            cell=number(text_height * rng.uniform(1.2, 3.0)),
            seed=draw_seed(rng),
        )

    def paint(self, image: Image, origin: Origin) -> None:
        face = self.stamp.face()
        scale = self.width / face.shape[1]
        part = window(self.x, self.y, 0.5 * float(np.hypot(*face.shape)) * scale + 3, image, origin)
        if part is None:
            return
        shape, corner = shape_of(part), corner_of(part, origin)
        pressed = placed(face, shape, corner, self.x, self.y, self.angle, scale)
        patchy = clouds(shape, corner, self.seed, self.cell)
        speckle = grain(shape, corner, self.seed ^ 7, 1, max(1.0, 0.06 * self.cell))[:, :, 0]
        # Paper takes ink where rubber touches it: less in patches, with pinholes, more at the rim of every line.
        soft = cv2.GaussianBlur(pressed, (0, 0), 0.7)
        rim = np.clip(soft - cv2.GaussianBlur(pressed, (0, 0), max(1.0, 0.05 * self.cell)), 0, 1)
        pinholes = 0.55 * np.clip(speckle - 1.9 + 0.4 * patchy, 0, 1)
        touch = np.clip(0.92 + 0.22 * patchy + 0.12 * speckle, 0, 1) * (1 - pinholes)
        amount = np.clip(soft * touch * (0.94 + 0.25 * rim), 0, 1) * np.float32(self.density)
        # A film of ink lets through (ink / white) to the power of its thickness (Beer and Lambert).
        absorb = np.log(np.maximum(np.asarray(self.ink, np.float32), 4) / np.float32(255))
        image[part] = scaled(image[part], np.exp(amount[:, :, None] * absorb))


@register
@dataclass(frozen=True, slots=True)
class Stamp(Operator):
    """Stamps over the text: thin words only clutter it, an identity guard's jumble of letters drowns it.

    Source: the law of Beer and Lambert for a transparent ink film over printed paper.
    """

    name = "stamp"
    applies_to = frozenset(("paper",))
    rungs = (0.53, 0.694, 0.802, 0.89, 1.032, 1.526)
    stage = COVER
    local = True
    imprints: tuple[Imprint, ...]

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        share = cls.ladder(severity, 0.15, 1.0, rng, jitter=0.15)
        density = min(4.0, cls.ladder(severity, 0.5, 2.0, rng))
        often = cls.ladder(severity, 0.0, 1.0, rng)
        layers = max(1, min(8, round(cls.ladder(severity, 1.0, 4.0, rng))))
        if rng.random() >= often:
            layers = 0
        imprints = tuple(
            Imprint.over(
                np.random.default_rng(target.seed), target, context.text_height, context.millimetre, density, layers
            )
            for target in targets(rng, context, max(0.0, min(1.0, share)))
        )
        return cls(severity, imprints)

    def _apply(self, image: Image, origin: Origin) -> Image:
        result = image.copy()
        for imprint in self.imprints:
            imprint.paint(result, origin)
        return result
