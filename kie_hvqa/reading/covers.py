"""What lies over the page right behind a value: an engine reads up to it, and nothing in its answer says that more was printed.

An engine's line ends where the visible print ends, and so does the box that it gives of it (RapidOCR's polygon ends 2 to 9 pixels behind the
last character whether a value is whole or covered): on a line whose end is covered nothing is missing from the engine's point of view. Only
the page itself shows that paper does not go on behind the last character. So the strip behind it is compared with the paper above and
below the value: something lies there where the strip has another colour from the start on, and then, at once, that of paper again. A shadow or
a reflection comes and goes slowly. A cover of the paper's own colour is not seen, nor is one that reaches the edge of the page, nor
what blur or noise took.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.ndimage import uniform_filter

from kie_hvqa.data.ledger import Box

Page = np.ndarray[Any, np.dtype[np.uint8]]
"""[height, width, 3]"""

# Lengths in heights of the line.
LONGEST = 10.0  # over which a cover is followed
_BEHIND = 0.2  # of the last character, that may still be its own ink
_SHORTEST = 0.6  # a line of a form is no cover
_PAPER = 0.4  # that must be paper again behind it
_SHARP = 0.75  # over which its edge may go
_SMOOTH = 0.25  # over which noise and the pattern of paper are evened out
_LEAST = 8.0  # levels of 255 by which another colour differs, and ``_APART`` times what paper itself does
_APART = 2.5
_FADED = 0.35  # of a cover's difference from the paper, at which it is paper again: paper differs from place to place
_ALIKE = 25.0  # levels by which the same paper may differ between two places on a line


class Covers:
    """What lies over ``page``."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def behind(self, value: Box) -> float:
        """Where what lies right behind ``value`` ends (x, pixels); the end of ``value`` where nothing does, or where it does not end."""
        _, y0, x1, y1 = value
        high = y1 - y0
        found = self._around(value)
        left, right = max(0, round(x1 + _BEHIND * high)), min(self._page.shape[1], round(x1 + LONGEST * high))
        band = self._page[slice(*self._rows(y0 + 0.2 * high, y1 - 0.2 * high)), left:right]
        if found is None or not band.size:
            return x1
        colour, spread = found
        profile = np.median(np.abs(_smooth(band, high) - colour).max(axis=2), axis=0)
        shortest = max(1, round(_SHORTEST * high))
        own = float(np.median(profile[:shortest]))
        if float(profile[:shortest].min()) < max(_LEAST, _APART * spread):
            return x1
        again = max(1, round(_PAPER * high))
        ends = np.flatnonzero(np.convolve(profile < _FADED * own, np.ones(again), "valid") >= again)
        if not len(ends):
            return x1
        # A shadow or a reflection fades; a cover has an edge.
        last = int(np.flatnonzero(profile[: ends[0]] > 0.75 * own)[-1])
        return float(left + ends[0]) if ends[0] - last <= _SHARP * high else x1

    def alike(self, one: Box, other: Box) -> bool:
        """Whether two boxes on a line stand on the same paper: print on a sticker does not."""
        first, second = self._around(one), self._around(other)
        return first is not None and second is not None and float(np.abs(first[0] - second[0]).max()) <= _ALIKE

    def _around(self, value: Box) -> tuple[Page, float] | None:
        """The colour of the paper above and below ``value``, and how far it differs there in the middle; None beyond the page."""
        x0, y0, x1, y1 = value
        high = y1 - y0
        across = slice(max(0, round(x0)), max(0, round(x1)))
        strips = [
            _smooth(self._page[slice(*self._rows(low, end)), across], high).reshape(-1, 3)
            for low, end in ((y0 - 0.45 * high, y0 - 0.15 * high), (y1 + 0.15 * high, y1 + 0.45 * high))
        ]
        paper = np.concatenate(strips)
        if not len(paper):
            return None
        colour = np.median(paper, axis=0)
        return colour, float(np.median(np.abs(paper - colour).max(axis=1)))

    def _rows(self, low: float, end: float) -> tuple[int, int]:
        return max(0, round(low)), max(0, min(self._page.shape[0], round(end)))


def _smooth(part: Page, high: float) -> Any:
    if not part.size:
        return part.astype(np.float32)
    size = max(1, round(_SMOOTH * high))
    return uniform_filter(part.astype(np.float32), (size, size, 1), mode="mirror")
