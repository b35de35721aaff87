"""Which characters a slot could be mistaken for, and what a printed line looks like with one of them in its place.

A rival is another character of the same class (digit, capital, small letter, mark, Chinese character) set in the same
face at the same place. A whole class has 10 to some hundred characters and most are never plausible, so a slot is compared with the few
that come nearest in that face: near as a whole, or near when only one half of the box can be seen (an `8` whose left
half is covered is a `3`). The ranking is a property of the face, and is kept.
"""

from __future__ import annotations

import math
import string
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from degradations.documents import fonts
from degradations.documents.model import TextStyle
from degradations.documents.subjects.chinese import CHARACTERS
from degradations.documents.typeset import Line, ink, pens
from degradations.operators.base import Image
from kie_hvqa.errors import InputError

MARKS = ".,:;-/'()*#&+<>"
CYRILLIC = "АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯҐЄІЇ"
GREEK = "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩ"
CLASSES = (
    string.digits,
    string.ascii_uppercase,
    string.ascii_lowercase,
    MARKS,
    CYRILLIC,
    CYRILLIC.lower(),
    GREEK,
    GREEK.lower(),
    CHARACTERS,
)
# Enough that the evidence with all of the class is the same within 0.02 (docs/legibility.md).
RIVALS = 8
_SIZE = 32.0  # pixels an em at which faces are compared
_BLUR = 0.06  # of the em: differences finer than this are the first to go


@dataclass(frozen=True, slots=True)
class Print:
    """How a value was printed: ``ground`` is the page below it (uint8 [H, W, 3] RGB), ``style`` in page coordinates."""

    ground: Image
    style: TextStyle


def character_class(char: str) -> str:
    """The characters that could stand in ``char``'s place, ``char`` itself included."""
    for members in CLASSES:
        if char in members:
            return members
    plain = unicodedata.normalize("NFD", char)[0]
    for members in CLASSES:
        if plain in members:  # an accented letter: the plain letters, and itself
            return members + char
    return (MARKS if not char.isalpha() else string.ascii_uppercase) + char


@lru_cache(maxsize=4096)
def rivals(family: str, weight: int, char: str, count: int = RIVALS) -> str:
    """The ``count`` characters of ``char``'s class that come nearest to it in this face, nearest first."""
    pictures = {}
    for other in character_class(char):
        try:
            pictures[other] = _picture(family, weight, other)
        except InputError:  # the face lacks it, so nobody can take the slot for it
            continue
    own = pictures.pop(char)
    height, width = own.shape
    views = (
        (slice(None), slice(None)),
        (slice(None), slice(0, width // 2)),
        (slice(None), slice(width // 2, None)),
        (slice(0, height // 2), slice(None)),
        (slice(height // 2, None), slice(None)),
    )
    # Each view ranks all rivals; a rival's place is the best of its five ranks, ties broken by the whole.
    names = sorted(pictures)
    away = np.array([[float(np.square(pictures[n][view] - own[view]).sum()) for n in names] for view in views])
    ranks = away.argsort(1, kind="stable").argsort(1, kind="stable")
    ranks[1:] += 1  # the whole character comes first
    order = sorted(range(len(names)), key=lambda i: (int(ranks[:, i].min()), int(ranks[0, i])))
    return "".join(names[i] for i in order[:count])


@lru_cache(maxsize=2048)
def _picture(family: str, weight: int, char: str) -> NDArray[np.float32]:
    """``char`` centred on a canvas two em wide and high, a little blurred, float32 in 0..1."""
    glyph = fonts.glyph(family, weight, _SIZE, char, 0)
    side = int(2 * _SIZE)
    canvas = np.zeros((side, side), np.float32)
    centre = fonts.advance(family, weight, _SIZE, char) / 2
    x, y = round(side / 2 - centre) + glyph.left, round(1.4 * _SIZE) + glyph.top
    h, w = glyph.coverage.shape
    x, y = max(0, min(x, side - w)), max(0, min(y, side - h))
    canvas[y : y + h, x : x + w] = glyph.coverage
    return cv2.GaussianBlur(canvas / np.float32(255), (0, 0), _BLUR * _SIZE)


@dataclass(frozen=True, slots=True)
class _Place:
    """A glyph's mask and the pixel of the page where its top left corner lies."""

    mask: NDArray[np.uint8]
    x: int
    y: int


class Setting:
    """One printed line inside a window of its page, in which any slot can be replaced.

    ``window`` is the clean page around the line (uint8 [h, w, 3]) with its top left pixel at ``origin`` = (x, y);
    ``print`` as the value was printed. Raises InputError for a face that is not installed.
    """

    def __init__(self, value: str, window: Image, origin: tuple[int, int], how: Print) -> None:
        self.value, self.window, self.style = value, window, how.style
        self._origin = origin
        style = how.style
        self.baseline = round(style.baseline) - origin[1]
        self.pens = pens(value, style.at(style.x - origin[0], style.baseline))[:-1]
        self.places = [self._place(char, pen) for char, pen in zip(value, self.pens, strict=True)]
        self._margin = math.ceil(3 * style.softness)
        x, y = origin
        ground = how.ground[y : y + window.shape[0], x : x + window.shape[1]]
        self._bare = window.copy()
        line = self._line(self.places, 0, window.shape[1])
        rows = slice(line.top, line.top + len(line.coverage))
        printed = line.coverage > 0
        self._bare[rows][printed] = ground[rows][printed]
        self._whole = self._bare.copy()
        ink(self._whole, line, style.colour, opaque=style.opaque)

    def _place(self, char: str, pen: float) -> _Place:
        if char.isspace():
            return _Place(np.zeros((0, 0), np.uint8), 0, 0)
        style = self.style
        quarters = math.floor(pen * fonts.PHASES + 0.5 + 1e-6)
        glyph = fonts.glyph(style.family, style.weight, style.size, char, quarters % fonts.PHASES)
        return _Place(glyph.coverage, quarters // fonts.PHASES + glyph.left, self.baseline + glyph.top)

    def rival(self, index: int, char: str) -> _Place:
        """``char`` centred where slot ``index`` stands; what would reach over the slot's sides is cut off.

        Neighbours stay as they are and a wider rival must not show beside a patch that hides the slot.
        """
        style, own = self.style, self.value[index]
        before, after = (fonts.advance(style.family, style.weight, style.size, c) for c in (own, char))
        place = self._place(char, self.pens[index] + (before - after) / 2)
        there = self.places[index]
        left = min(math.floor(self.pens[index]), there.x)
        right = max(math.ceil(self.pens[index] + before + style.tracking), there.x + there.mask.shape[1])
        first, last = max(0, left - place.x), min(place.mask.shape[1], right - place.x)
        return _Place(place.mask[:, first : max(first, last)], place.x + first, place.y)

    def _line(self, places: Sequence[_Place], left: int, right: int) -> Line:
        """What ``places`` print on the window's columns from ``left`` to ``right``."""
        height, width = self.window.shape[:2]
        first, last = max(0, left - self._margin), min(width, right + self._margin)
        inked = [p for p in places if p.mask.size and p.x < last and p.x + p.mask.shape[1] > first]
        around = self._margin + 1  # blurred rows must not see themselves mirrored in the border
        top = max(0, min((place.y for place in inked), default=0) - around)
        bottom = min(height, max((place.y + place.mask.shape[0] for place in inked), default=0) + around)
        coverage = np.zeros((max(0, bottom - top), max(0, last - first)), np.uint8)
        for place in inked:
            h, w = place.mask.shape
            x0, y0, x1, y1 = max(place.x, first), max(place.y, top), min(place.x + w, last), min(place.y + h, bottom)
            if x0 < x1 and y0 < y1:
                view = coverage[y0 - top : y1 - top, x0 - first : x1 - first]
                np.maximum(view, place.mask[y0 - place.y : y1 - place.y, x0 - place.x : x1 - place.x], out=view)
        if self.style.softness > 0 and coverage.size:
            side = 2 * self._margin + 1
            coverage = cv2.GaussianBlur(coverage, (side, side), self.style.softness)
        return Line(coverage[:, left - first : right - first], left, top, ())

    def printed(self, changes: dict[int, str]) -> Image:
        """The clean window with the slots in ``changes`` replaced by those characters."""
        places = [self.rival(i, changes[i]) if i in changes else place for i, place in enumerate(self.places)]
        image = self._whole.copy()
        for index in changes:  # the rest of the line is as it was
            both = [place for place in (self.places[index], places[index]) if place.mask.size]
            left = min((place.x for place in both), default=0) - self._margin
            right = max((place.x + place.mask.shape[1] for place in both), default=0) + self._margin
            left, right = max(0, left), min(image.shape[1], right)
            if left < right:
                image[:, left:right] = self._bare[:, left:right]
                ink(image, self._line(places, left, right), self.style.colour, opaque=self.style.opaque)
        return image
