"""Character boxes inside a printed line whose text is known, from the line's ink.

Real annotations box whole lines. The cuts between characters are found by dynamic programming over the columns
of the line: a cut costs the ink it goes through, a character costs its departure from the advance that a
typical face would give it, and a word space costs the ink inside it. Three faces are tried (proportional,
condensed and fixed pitch) with several ratios of letter to space width, because receipts are printed in any of
them and justified with gaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from degradations.documents.fonts import advance
from degradations.operators import Image
from kie_hvqa.data.ledger import Box
from kie_hvqa.errors import InputError

_HEIGHT = 24  # working height of a line in pixels
_FACES = ("Arimo", "Roboto Condensed", "")
_STRETCH = (0.94, 0.88, 0.8, 0.7, 0.6)  # letters' share of their natural width in lines with wide gaps
_GOOD = 0.08  # mean cost of a character below which no other word spacing is tried
_POOR = 0.4  # mean cost of a character above which wider words are tried
_CUT, _GAP, _BLANK = 3.0, 1.5, 1.5  # cost of a cut through full ink, of a full inked space, of a letter without ink


@dataclass(frozen=True, slots=True)
class Fit:
    """The boxes of a line's characters, and how well the text explains the ink.

    ``cost`` is the mean cost of a character (below 0.5 in a good fit), ``aspect`` the mean width of a letter's cell
    as a share of the line's height: about 0.4 to 0.9 in print.
    """

    boxes: tuple[Box, ...]
    cost: float
    aspect: float

    @property
    def plausible(self) -> bool:
        """False where the box holds more or less than the text (1.2 and 0.25 lie outside what faces do)."""
        return 0.25 <= self.aspect <= 1.2 and self.cost <= 1.5


def fit_characters(page: Image, line: Box, text: str) -> Fit:
    """One box a character of ``text``, spaces included, in page pixels.

    ``page`` is uint8 [H, W, 3] RGB and ``line`` (x0, y0, x1, y1) holds ``text`` on one printed line. All boxes span the
    line's ink from top to bottom, following its slope; a character's box spans its cell. Raises ValueError for an empty text, or a line
    without ink.
    """
    if not text.strip():
        raise ValueError("an empty line has no character boxes")
    x0, y0, x1, y1 = (round(v) for v in line)
    crop = page[max(0, y0) : y1, max(0, x0) : x1]
    ink = _ink(crop)
    slope = _slope(ink)
    ink = _sheared(ink, slope)
    top, bottom = _band(ink)
    scale = _HEIGHT / max(1, bottom - top)
    width = max(len(text) * 3, round(ink.shape[1] * scale))
    profile = cv2.resize(ink[top:bottom].mean(0, keepdims=True), (width, 1), interpolation=cv2.INTER_AREA)[0]
    peak = np.percentile(profile[profile > 0], 90) if (profile > 0).any() else 0.0
    if peak <= 0:
        raise ValueError("there is no ink in the line")
    profile = np.clip(profile / peak, 0, 1)
    inked = np.flatnonzero(profile > 0.12)
    first, last = max(0, inked[0] - 1), min(width, inked[-1] + 2)
    cost, cuts = _segment(profile[first:last], text)
    cuts += first
    edges = max(0, x0) + cuts * ink.shape[1] / width
    low, high = max(0, y0) + top - 1.0, max(0, y0) + bottom + 1.0
    middle = max(0, x0) + ink.shape[1] / 2
    boxes = tuple(
        (float(a), low + slope * ((a + b) / 2 - middle), float(b), high + slope * ((a + b) / 2 - middle))
        for a, b in pairwise(edges)
    )
    widths = [box[2] - box[0] for box, char in zip(boxes, text, strict=True) if char != " "]
    return Fit(boxes, cost / len(text), sum(widths) / len(widths) / (high - low))


def _ink(crop: Image) -> NDArray[np.float32]:
    """Difference from the local paper, float32 [h, w] in 0..1; specks below a quarter of the strongest ink are 0.

    Paper is what there is most of: print on a dark ground is lighter than it.
    """
    if crop.size == 0:
        raise ValueError("there is no ink in the line")
    grey = cv2.cvtColor(np.ascontiguousarray(crop), cv2.COLOR_RGB2GRAY)
    low, middle, high = np.percentile(grey, (2, 50, 98))
    if high - middle > middle - low:
        grey = 255 - grey
    side = max(3, 2 * (crop.shape[0] // 2) + 1)
    paper = cv2.GaussianBlur(cv2.dilate(grey, np.ones((side, side), np.uint8)), (0, 0), side / 4)
    ink = np.clip(paper.astype(np.float32) - grey, 0, 255)
    strong = float(np.percentile(ink, 97))
    if strong < 8:
        raise ValueError("there is no ink in the line")
    ink = np.clip(ink / strong, 0, 1)
    return np.where(ink > 0.25, ink, 0)


def _slope(ink: NDArray[np.float32]) -> float:
    """Pixels that the line falls per pixel to the right: the shear that gathers the ink into the fewest rows."""
    if ink.shape[1] < 3 * ink.shape[0]:
        return 0.0  # too short to tell, and too short to matter
    slopes = np.linspace(-0.1, 0.1, 41)
    gathered = [float(np.square(_sheared(ink, slope).sum(1)).sum()) for slope in slopes]
    best = int(np.argmax(gathered))
    # Level unless the gain is plain: print is rarely tilted, and tails and capitals pull a little.
    return float(slopes[best]) if gathered[best] > 1.03 * gathered[20] else 0.0


def _sheared(ink: NDArray[np.float32], slope: float) -> NDArray[np.float32]:
    """``ink`` with every column moved up by ``slope`` times its distance from the middle."""
    if slope == 0:
        return ink
    matrix = np.array([[1, 0, 0], [slope, 1, -slope * ink.shape[1] / 2]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(ink, matrix, ink.shape[::-1], flags=flags, borderMode=cv2.BORDER_CONSTANT)


def _band(ink: NDArray[np.float32]) -> tuple[int, int]:
    """The rows of this line's text: the run of inked rows that holds most ink (neighbours may reach into the box)."""
    rows = ink.mean(1)
    inked = rows > 0.08 * rows.max()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], inked.astype(int), [0]])))
    spans = list(zip(edges[::2], edges[1::2], strict=True))
    # Bridge the gap between a body and its dots.
    merged = [spans[0]]
    for start, stop in spans[1:]:
        if start - merged[-1][1] <= max(1, 0.12 * len(rows)):
            merged[-1] = (merged[-1][0], stop)
        else:
            merged.append((start, stop))
    best = max(merged, key=lambda span: rows[span[0] : span[1]].sum())
    return int(best[0]), int(best[1])


def _segment(profile: NDArray[np.float32], text: str) -> tuple[float, NDArray[np.float64]]:
    """The least cost over faces and stretches, and the cuts [len(text) + 1] into ``profile``, from 0 to its length."""
    naturals = [np.array([_advance(face, char) for char in text]) for face in _FACES]
    best = _least(profile, text, [(natural, 1.0) for natural in naturals])
    if " " in text and (best is None or best[0] > _GOOD * len(text)):
        other = _least(profile, text, [(natural, stretch) for natural in naturals for stretch in _STRETCH])
        best = other if best is None or (other is not None and other[0] < best[0]) else best
    if best is None or best[0] > _POOR * len(text):
        # Receipt printers set single words in double width.
        ends = [index for index, char in enumerate(text) if char == " "]
        wide = [np.where((np.arange(len(text)) < end) == first, 1.2, 0.6) for end in ends for first in (True, False)]
        other = _least(profile, text, [(natural, 1.0) for natural in wide])
        best = other if best is None or (other is not None and other[0] < best[0]) else best
    if best is None:  # more characters than columns allow: cut evenly
        return 9.0 * len(text), np.linspace(0, len(profile), len(text) + 1)
    return best


def _least(
    profile: NDArray[np.float32], text: str, tries: Sequence[tuple[NDArray[np.float64], float]]
) -> tuple[float, NDArray[np.float64]] | None:
    best = None
    for natural, stretch in tries:
        found = _cut(profile, text, natural * (len(profile) / natural.sum()), stretch)
        if found is not None and (best is None or found[0] < best[0]):
            best = found
    return best


def _cut(
    profile: NDArray[np.float32], text: str, natural: NDArray[np.float64], stretch: float
) -> tuple[float, NDArray[np.float64]] | None:
    size = len(profile)
    total = np.concatenate([[0.0], np.cumsum(profile)])
    # Ink right at a cut: the lighter of the columns on its two sides.
    sides = np.concatenate([[0.0], profile, [0.0]])
    through = _CUT * np.minimum(sides[:-1], sides[1:])
    through[0] = through[-1] = 0
    cost = np.full(size + 1, np.inf)
    cost[0] = 0
    back = np.zeros((len(text), size + 1), np.int64)
    space = text.count(" ")
    letters = sum(w for w, c in zip(natural, text, strict=True) if c != " ")
    gaps = (size - stretch * letters) / space if space else 0.0
    at = np.arange(size + 1)
    for index, char in enumerate(text):
        is_space = char == " "
        expected = max(1.0, gaps if is_space else natural[index] * stretch)
        shortest = max(1, int(expected * (0.25 if is_space else 0.5)))
        longest = max(shortest + 1, int(np.ceil(expected * (6 if is_space else 1.7))))
        widths = np.arange(shortest, min(longest, size) + 1)
        start = at[:, None] - widths[None, :]
        valid = start >= 0
        start = np.where(valid, start, 0)
        ink = total[at][:, None] - total[start]
        if is_space:
            slack = np.where(widths < expected, 0.4, 2.0) * expected
            own = ((widths - expected) / slack) ** 2 + _GAP * ink
        else:
            own = ((widths - expected) / (0.22 * expected)) ** 2 + _BLANK * np.clip(1 - ink / (0.12 * expected), 0, 1)
        whole = np.where(valid, cost[start] + own, np.inf)
        choice = whole.argmin(1)
        back[index] = at - widths[choice]
        cost = whole[at, choice] + through
    if not np.isfinite(cost[size]):
        return None
    cuts = [size]
    for index in range(len(text) - 1, -1, -1):
        cuts.append(int(back[index, cuts[-1]]))
    return float(cost[size]), np.array(cuts[::-1], np.float64)


@lru_cache(maxsize=4096)
def _advance(face: str, char: str) -> float:
    if not face:
        return 0.6
    try:
        return advance(face, 400, 1.0, char)
    except InputError:
        return 0.55
