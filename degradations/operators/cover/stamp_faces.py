"""What a rubber stamp carries: words in a frame, or the jumble of letters of an identity guard.

An identity guard is a roller that people run over the names and numbers of papers that they throw away or send as a copy:
letters over letters, until what is printed below cannot be told from what is printed above.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from degradations.operators.base import Rng, Seed, draw_seed
from degradations.operators.cover.lettering import placed, word

Form = Literal["box", "bars", "oval", "ring"]
FORMS: tuple[Form, ...] = ("box", "bars", "oval", "ring")
_TEXTS = ("PAID", "RECEIVED", "COPY", "VOID", "APPROVED", "CANCELLED", "FILE COPY", "CHECKED", "POSTED", "ENTERED")
_MONTHS = ("JAN", "APR", "JUN", "SEP", "NOV")
_EM = 72
_GUARD_EM = 40
_LETTERS = "ABCDEFGHJKLMNOPRSTUVXZ0123456789"


@dataclass(frozen=True, slots=True)
class Words:
    """``text`` over ``second`` in a frame of ``form``; ``solid`` leaves the words out of a full block."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    form: Form
    text: Annotated[str, Field(min_length=1, max_length=16)]
    second: Annotated[str, Field(max_length=16)]
    solid: bool

    @classmethod
    def draw(cls, rng: Rng) -> Self:
        form = FORMS[int(rng.integers(len(FORMS)))]
        second = f"{rng.integers(1, 29):02d} {_MONTHS[rng.integers(len(_MONTHS))]} {rng.integers(2015, 2027)}"
        return cls(form, _TEXTS[int(rng.integers(len(_TEXTS)))], second, bool(rng.random() < 0.35))

    def face(self) -> NDArray[np.uint8]:
        return words(self.form, self.text, self.second, self.solid)


@dataclass(frozen=True, slots=True)
class Guard:
    """A roller's ``rows`` of letters, about ``length`` in each, ``layers`` times over one another; ``seed`` draws them."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    length: Annotated[int, Field(ge=1, le=60)]
    rows: Annotated[int, Field(ge=1, le=6)]
    layers: Annotated[int, Field(ge=1, le=8)]
    seed: Seed

    @classmethod
    def draw(cls, rng: Rng, aspect: float, layers: int) -> Self:
        """One that is ``aspect`` times as wide as it is high."""
        rows = int(rng.integers(3, 6))
        return cls(max(1, min(60, round(rows * aspect))), rows, layers, draw_seed(rng))

    def face(self) -> NDArray[np.uint8]:
        return guard(self.length, self.rows, self.layers, self.seed)


@lru_cache(maxsize=64)
def words(form: Form, text: str, second: str, solid: bool) -> NDArray[np.uint8]:
    """The face of ``Words``, uint8 [h, w]: 255 where it carries ink."""
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
    lettering = np.zeros_like(face)
    for row, mask in ((pad_y, first), (pad_y + first.shape[0] + gap // 2, lower)):
        if mask.size:
            left = (width - mask.shape[1]) // 2
            lettering[row : row + mask.shape[0], left : left + mask.shape[1]] = mask
    return cv2.subtract(face, lettering) if solid else cv2.max(face, lettering)


@lru_cache(maxsize=64)
def guard(length: int, rows: int, layers: int, seed: int) -> NDArray[np.uint8]:
    """The face of ``Guard``, uint8 [h, w]: 255 where it carries ink."""
    rng = np.random.default_rng((seed, length, rows, layers))
    face = np.zeros((rows * _GUARD_EM, length * _GUARD_EM), np.float32)
    for layer in range(layers):
        for row in range(rows):
            for column in range(length):
                letter = word(_LETTERS[int(rng.integers(len(_LETTERS)))], "Roboto Condensed", 700, _GUARD_EM)
                # Every layer is half a letter beside the one below it, so that gaps do not fall on gaps.
                x = (column + 0.5 + 0.5 * (layer % 2) + rng.uniform(-0.25, 0.25)) * _GUARD_EM
                y = (row + 0.5 + rng.uniform(-0.25, 0.25)) * _GUARD_EM
                corner = (int(x) - _GUARD_EM, int(y) - _GUARD_EM)
                drawn = placed(
                    letter,
                    (2 * _GUARD_EM,) * 2,
                    corner,
                    x,
                    y,
                    float(rng.uniform(-25, 25)),
                    float(rng.uniform(0.9, 1.25)),
                )
                _lay(face, drawn, corner)
    return np.asarray(np.rint(face * 255), np.uint8)


def _lay(face: NDArray[np.float32], drawn: NDArray[np.float32], corner: tuple[int, int]) -> None:
    """Put ``drawn`` on ``face`` at ``corner`` = (x, y), the darker of the two; what falls outside is cut off."""
    x, y = max(0, corner[0]), max(0, corner[1])
    part = face[y : corner[1] + drawn.shape[0], x : corner[0] + drawn.shape[1]]
    from_y, from_x = y - corner[1], x - corner[0]
    np.maximum(part, drawn[from_y : from_y + part.shape[0], from_x : from_x + part.shape[1]], out=part)
