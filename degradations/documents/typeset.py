"""Setting a text and printing it: two pure functions that the page builder and the ideal observer share.

``typeset`` turns a text and a style into a coverage mask and boxes; ``ink`` prints a mask on an image. Printing the
same text with the same style on the same ground gives the same bytes, which is what lets a slot be replaced by
a rival character and compared.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from degradations.documents import fonts
from degradations.documents.model import Colour, TextStyle
from kie_hvqa.data.ledger import Box


@dataclass(frozen=True, slots=True)
class Line:
    """Coverage uint8 [h, w] at (left, top) of the page, and one box a character (x from advances, y from the line)."""

    coverage: np.ndarray
    left: int
    top: int
    boxes: tuple[Box, ...]


def pens(text: str, style: TextStyle) -> list[float]:
    """Where each character's pen stands (pixels from the left of the page), and after them where the line ends.

    Everybody who sets a line or sets it again goes by these: advances, kerning and tracking, unrounded.
    """
    family, weight, size = style.family, style.weight, style.size
    pen, found, before = style.x, [], ""
    for char in text:
        if before:
            pen += fonts.kerning(family, weight, size, before, char)
        found.append(pen)
        pen += fonts.advance(family, weight, size, char) + style.tracking
        before = char
    return [*found, pen]


def measure(text: str, style: TextStyle) -> float:
    """Width in pixels, from the first pen position to the last."""
    return pens(text, style)[-1] - style.x


def typeset(text: str, style: TextStyle) -> Line:
    """Sets one line. Raises InputError naming the character for which the face has no glyph."""
    family, weight, size, baseline = style.family, style.weight, style.size, round(style.baseline)
    ascent, descent = fonts.vertical_metrics(family, weight, size)
    placed = []
    boxes: list[Box] = []
    for char, (pen, end) in zip(text, pairwise(pens(text, style)), strict=True):
        boxes.append((pen, baseline - ascent, end, baseline + descent))
        if char != " ":
            # Ties always go up, in spite of rounding errors: a line moved by whole pixels must not change its shape.
            quarters = math.floor(pen * fonts.PHASES + 0.5 + 1e-6)
            glyph = fonts.glyph(family, weight, size, char, quarters % fonts.PHASES)
            placed.append((glyph.coverage, quarters // fonts.PHASES + glyph.left, baseline + glyph.top))
    if not placed:
        return Line(np.zeros((0, 0), np.uint8), round(style.x), baseline, tuple(boxes))
    margin = int(np.ceil(3 * style.softness))
    left = min(x for _, x, _ in placed) - margin
    top = min(y for _, _, y in placed) - margin
    right = max(x + c.shape[1] for c, x, _ in placed) + margin
    bottom = max(y + c.shape[0] for c, _, y in placed) + margin
    coverage = np.zeros((bottom - top, right - left), np.uint8)
    for mask, x, y in placed:
        view = coverage[y - top : y - top + mask.shape[0], x - left : x - left + mask.shape[1]]
        np.maximum(view, mask, out=view)
    if style.softness > 0:
        coverage = cv2.GaussianBlur(coverage, (2 * margin + 1, 2 * margin + 1), style.softness)
    return Line(coverage, left, top, tuple(boxes))


def ink(image: np.ndarray, line: Line, colour: Colour, *, opaque: bool = False) -> None:
    """Prints ``line`` on ``image`` (uint8 [H, W, 3]) in place; what falls outside is cut off."""
    height, width = image.shape[:2]
    h, w = line.coverage.shape
    x0, y0, x1, y1 = max(line.left, 0), max(line.top, 0), min(line.left + w, width), min(line.top + h, height)
    if x0 >= x1 or y0 >= y1:
        return
    mask = line.coverage[y0 - line.top : y1 - line.top, x0 - line.left : x1 - line.left, None].astype(np.float32)
    region = image[y0:y1, x0:x1]
    target = np.asarray(colour, np.float32)
    if opaque:
        mask *= np.float32(1 / 255)
        printed = region + mask * (target - region)
    else:
        printed = region * (1 - mask * ((1 - target / np.float32(255)) / np.float32(255)))
    region[...] = (printed + np.float32(0.5)).astype(np.uint8)
