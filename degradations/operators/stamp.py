"""A rubber stamp over the text: ink that filters what lies below it, patchy as a hand presses it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from degradations.operators.aim import Target, grown, targets, window
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
    Share,
    draw_seed,
    number,
    register,
)
from degradations.operators.blend import scaled
from degradations.operators.grain import clouds, grain
from degradations.operators.lettering import placed, word
from degradations.operators.objects import corner_of, shape_of, shift_colour

Form = Literal["box", "bars", "oval", "ring"]
FORMS: tuple[Form, ...] = ("box", "bars", "oval", "ring")
_TEXTS = ("PAID", "RECEIVED", "COPY", "VOID", "APPROVED", "CANCELLED", "FILE COPY", "CHECKED", "POSTED", "ENTERED")
_INKS = ((38, 44, 122), (150, 28, 40), (30, 30, 36), (88, 30, 110), (22, 92, 70))
_EM = 72


@lru_cache(maxsize=64)
def die(form: Form, text: str, second: str, solid: bool) -> NDArray[np.uint8]:
    """The face of the stamp, uint8 [h, w]: 255 where it carries ink. ``solid`` leaves the words out of a full block."""
    first = word(text, "Roboto Condensed", 700, _EM)
    lower = word(second, "Roboto Mono", 500, _EM // 2) if second else np.zeros((0, 0), np.uint8)
    gap = _EM // 3
    wide = max(first.shape[1], lower.shape[1] if lower.size else 0)
    high = first.shape[0] + (lower.shape[0] + gap // 2 if lower.size else 0)
    pad_x, pad_y = (
        (gap + _EM // 4, gap + _EM // 5)
        if form in ("box", "bars")
        else (int(0.24 * wide) + gap, int(0.55 * high) + gap)
    )
    face = np.zeros((high + 2 * pad_y, wide + 2 * pad_x), np.uint8)
    height, width = face.shape
    middle, half = (width // 2, height // 2), (width // 2 - 4, height // 2 - 4)
    line = _EM // 12
    if form == "box":
        cv2.rectangle(face, (4, 4), (width - 5, height - 5), 255, -1 if solid else line)
        if not solid:
            cv2.rectangle(face, (14, 14), (width - 15, height - 15), 255, max(1, line // 3))
    elif form == "bars":
        cv2.rectangle(face, (4, 4), (width - 5, height - 5 if solid else 4 + line), 255, -1)
        cv2.rectangle(face, (4, height - 5 - line), (width - 5, height - 5), 255, -1)
    else:
        cv2.ellipse(face, middle, half, 0, 0, 360, 255, -1 if solid else line, cv2.LINE_AA)
        if form == "ring" and not solid:
            inner = (half[0] - 3 * line, half[1] - 3 * line)
            cv2.ellipse(face, middle, inner, 0, 0, 360, 255, max(1, line // 2), cv2.LINE_AA)
            for angle in range(0, 360, 6):  # the milled rim between the rings
                outer = (half[0] - line, half[1] - line)
                rim = [
                    np.array(r) * (np.cos(np.radians(angle)), np.sin(np.radians(angle))) + middle
                    for r in (inner, outer)
                ]
                cv2.line(face, tuple(int(v) for v in rim[0]), tuple(int(v) for v in rim[1]), 255, 1, cv2.LINE_AA)
    words = np.zeros_like(face)
    for row, mask in ((pad_y, first), (pad_y + first.shape[0] + gap // 2, lower)):
        if mask.size:
            left = (width - mask.shape[1]) // 2
            words[row : row + mask.shape[0], left : left + mask.shape[1]] = mask
    return cv2.subtract(face, words) if solid else cv2.max(face, words)


@lru_cache(maxsize=64)
def block(form: Form, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """All of the stamp's face, uint8 of ``shape`` [h, w]: what a flooded pad inks."""
    face = np.zeros(shape, np.uint8)
    if form in ("box", "bars"):
        face[4:-4, 4:-4] = 255
    else:
        cv2.ellipse(
            face,
            (shape[1] // 2, shape[0] // 2),
            (shape[1] // 2 - 4, shape[0] // 2 - 4),
            0,
            0,
            360,
            255,
            -1,
            cv2.LINE_AA,
        )
    return face


@dataclass(frozen=True, slots=True)
class Imprint:
    """One stroke of a stamp, its middle at (``x``, ``y``), turned by ``angle`` degrees, ``width`` pixels wide.

    ``density`` is the ink on the page where the stamp pressed well (1: one film, 2: pressed twice), ``flood`` the share of
    it that its recesses left as well, and
    ``cell`` the size of the patches that it missed (pixels).
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    x: Finite
    y: Finite
    angle: Finite
    width: Positive
    form: Form
    text: Annotated[str, Field(min_length=1, max_length=16)]
    second: Annotated[str, Field(max_length=16)]
    solid: bool
    ink: Colour
    density: Annotated[float, Field(ge=0, le=4)]
    flood: Share
    cell: Positive
    seed: Seed

    @classmethod
    def over(cls, rng: Rng, target: Target, text_height: float, density: float, flood: float) -> Self:
        x0, y0, x1, y1 = grown(rng, target, text_height, 1.5)
        form = FORMS[int(rng.integers(len(FORMS)))]
        second = f"{rng.integers(1, 29):02d} {('JAN', 'APR', 'JUN', 'SEP', 'NOV')[rng.integers(5)]} {rng.integers(2015, 2027)}"
        text = _TEXTS[int(rng.integers(len(_TEXTS)))]
        solid = bool(rng.random() < 0.35 + 0.5 * flood)
        face = die(form, text, second, solid)
        # Wide enough for the run, and high enough for its line even where the stamp is turned.
        angle = float(rng.uniform(-14, 14))
        width = max((x1 - x0) * 1.08, (y1 - y0) * 1.5 * face.shape[1] / face.shape[0], 5 * text_height)
        return cls(
            x=number((x0 + x1) / 2),
            y=number((y0 + y1) / 2 + rng.uniform(-0.2, 0.2) * text_height),
            angle=number(angle),
            width=number(width),
            form=form,
            text=text,
            second=second,
            solid=solid,
            ink=shift_colour(rng, _INKS[int(rng.integers(len(_INKS)))], 10),
            density=number(density),
            flood=number(flood),
            cell=number(text_height * rng.uniform(1.2, 3.0)),
            seed=draw_seed(rng),
        )

    def paint(self, image: Image, origin: Origin) -> None:
        face = die(self.form, self.text, self.second, self.solid)
        scale = self.width / face.shape[1]
        part = window(self.x, self.y, 0.5 * float(np.hypot(*face.shape)) * scale + 3, image, origin)
        if part is None:
            return
        shape, corner = shape_of(part), corner_of(part, origin)
        pressed = placed(face, shape, corner, self.x, self.y, self.angle, scale)
        body = placed(block(self.form, face.shape), shape, corner, self.x, self.y, self.angle, scale)
        patchy = clouds(shape, corner, self.seed, self.cell)
        speckle = grain(shape, corner, self.seed ^ 7, 1, max(1.0, 0.06 * self.cell))[:, :, 0]
        # Paper takes ink where rubber touches it: less in patches, with pinholes, more at the rim of every line.
        soft = cv2.GaussianBlur(pressed, (0, 0), 0.7)
        rim = np.clip(soft - cv2.GaussianBlur(pressed, (0, 0), max(1.0, 0.05 * self.cell)), 0, 1)
        touch = np.clip(0.92 + 0.22 * patchy + 0.12 * speckle, 0, 1) * (
            1 - 0.55 * np.clip(speckle - 1.9 + 0.4 * patchy, 0, 1)
        )
        amount = soft * touch * (0.94 + 0.25 * rim) + self.flood * body * np.clip(
            0.9 + 0.15 * patchy + 0.05 * speckle, 0, 1
        )
        amount = np.clip(np.maximum(amount, self.flood * body), 0, 1) * np.float32(self.density)
        # A film of ink lets through (ink / white) to the power of its thickness (Beer and Lambert).
        absorb = np.log(np.maximum(np.asarray(self.ink, np.float32), 4) / np.float32(255))
        image[part] = scaled(image[part], np.exp(amount[:, :, None] * absorb))


@register
@dataclass(frozen=True, slots=True)
class Stamp(Operator):
    """Stamps over the text. Thin ink only clutters; a flooded pad leaves a dark block in which print drowns.

    Source: the law of Beer and Lambert for a transparent ink film over printed paper.
    """

    name = "stamp"
    rungs = (0.5, 0.6, 0.743, 0.9, 1.05, 1.233)
    stage = COVER
    local = True
    imprints: tuple[Imprint, ...]

    @classmethod
    def draw(cls, severity: int, rng: Rng, context: Context) -> Self:
        share = cls.ladder(severity, 0.12, 0.95, rng, jitter=0.15)
        density = min(4.0, cls.ladder(severity, 0.4, 2.6, rng))
        flood = min(1.0, cls.ladder(severity, 0.08, 0.92, rng))
        imprints = tuple(
            Imprint.over(np.random.default_rng(target.seed), target, context.text_height, density, flood)
            for target in targets(rng, context, min(1.0, share))
        )
        return cls(severity, imprints)

    def _apply(self, image: Image, origin: Origin) -> Image:
        result = image.copy()
        for imprint in self.imprints:
            imprint.paint(result, origin)
        return result
