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

import cv2
import numpy as np

from kie_hvqa.data.ledger import Box

Page = np.ndarray[Any, np.dtype[np.uint8]]
"""[height, width, 3]"""

# Lengths in heights of the line.
LONGEST = 10.0  # over which a cover is followed
_BEHIND = 0.2  # of the last character, that may still be its own ink
_SHORTEST = 0.6  # a line of a form is no cover
_PAPER = 0.4  # that must be paper again behind it
_SHARP = 0.5  # over which its edge may go
_SMOOTH = 0.25  # over which noise and the pattern of paper are evened out
_LEAST = 8.0  # levels of 255 by which another colour differs, and ``_APART`` times what paper itself does
_APART = 2.5


def covered_to(page: Page, value: Box) -> float:
    """Where what lies over ``page`` right behind ``value`` ends (x, pixels); the end of ``value`` where nothing does."""
    x0, y0, x1, y1 = value
    high = y1 - y0
    smooth = max(1, round(_SMOOTH * high))
    top, bottom = max(0, round(y0 - 0.5 * high)), min(page.shape[0], round(y1 + 0.5 * high))
    left, right = max(0, round(x0)), min(page.shape[1], round(x1 + LONGEST * high))
    seen = (
        cv2.blur(page[top:bottom, left:right].astype(np.float32), (smooth, smooth))
        if bottom > top and right > left
        else None
    )
    if seen is None:
        return x1

    def rows(low: float, end: float) -> slice:
        return slice(max(0, round(low) - top), max(0, round(end) - top))

    across = slice(0, round(x1) - left)
    paper = np.concatenate([
        seen[rows(y0 - 0.45 * high, y0 - 0.15 * high), across].reshape(-1, 3),
        seen[rows(y1 + 0.15 * high, y1 + 0.45 * high), across].reshape(-1, 3),
    ])  # fmt: skip
    if not len(paper):
        return x1
    colour = np.median(paper, axis=0)
    other = max(_LEAST, _APART * float(np.quantile(np.abs(paper - colour).max(axis=1), 0.5)))
    start = round(x1 + _BEHIND * high) - left
    band = np.abs(seen[rows(y0 + 0.2 * high, y1 - 0.2 * high), start:] - colour).max(axis=2)
    if not band.size:
        return x1
    profile = np.median(band, axis=0)
    free = profile < other
    again = max(1, round(_PAPER * high))
    ends = np.flatnonzero(np.convolve(free, np.ones(again), "valid") >= again)
    end = int(ends[0]) if len(ends) else 0
    if end < _SHORTEST * high or free[: max(1, round(_SHORTEST * high))].any():
        return x1
    # Its edge: from most of its own colour to little of it.
    own = float(np.median(profile[:end]))
    last = int(np.flatnonzero(profile[:end] > 0.75 * own)[-1])
    faded = np.flatnonzero(profile[last:] < 0.3 * own)
    if not len(faded) or int(faded[0]) > (_SHARP + _SMOOTH) * high:
        return x1
    return float(left + start + end)
