"""What lies over the page right behind a value: an engine reads up to it, and nothing in its answer says that more was printed.

An engine's line ends where the visible print ends, and so does the box that it gives of it (RapidOCR's polygon ends 2 to 9 pixels behind the
last character whether a value is whole or covered): on a line whose end is covered nothing is missing from the engine's point of view. Only the page itself shows that paper
does not go on behind the last character. So the strip behind it is compared with the paper around the value: where almost all of it
differs by as much as print does, something lies there. A cover of the paper's own colour is not seen, and neither is print that a blur or a reflection took.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from kie_hvqa.data.ledger import Box

Page = np.ndarray[Any, np.dtype[np.uint8]]
"""[height, width, 3]"""

LONGEST = 10.0  # heights of the line over which a cover is followed
_GAP = 0.2  # heights behind the last character that belong to it still
_STEP = 0.25  # heights
_INK = 0.4  # of the difference between paper and ink, from which on a place is no paper
_LEAST = 14.0  # levels of 255, and never less than that
_SHARE = 0.85  # of a strip that is no paper


def covered_to(page: Page, value: Box) -> float:
    """Where what lies over ``page`` right behind ``value`` ends (x, pixels); the end of ``value`` where nothing does."""
    x0, y0, x1, y1 = value
    height = y1 - y0
    top, bottom = _rows(page, y0 + 0.15 * height, y1 - 0.15 * height)
    across = slice(max(0, round(x0)), max(0, round(x1)))
    around = [page[slice(*_rows(page, *rows)), across] for rows in ((y0 - 0.5 * height, y0 - 0.1 * height), (y1 + 0.1 * height, y1 + 0.5 * height))]
    paper = np.concatenate([part.reshape(-1, 3) for part in around]).astype(np.float32)
    print_ = page[top:bottom, across].reshape(-1, 3).astype(np.float32)
    if not len(paper) or not len(print_):
        return x1
    colour = np.median(paper, axis=0)
    ink = float(np.percentile(np.abs(print_ - colour).max(axis=1), 95))
    start, stop = round(x1 + _GAP * height), min(page.shape[1], round(x1 + LONGEST * height))
    if stop - start < _STEP * height:
        return x1
    # Noise and the pattern of paper are evened out; a neighbouring character covers a third of its strip.
    strip = cv2.blur(page[top:bottom, start:stop].astype(np.float32), (max(1, round(_STEP * height)), max(1, round(_STEP * height))))
    apart = np.abs(strip - colour).max(axis=2) > max(_LEAST, _INK * ink)
    step = max(1, round(_STEP * height))
    end = 0
    while end + step <= apart.shape[1] and apart[:, end : end + step].mean() >= _SHARE:
        end += step
    return float(start + end) if end >= 2 * step else x1


def _rows(page: Page, low: float, high: float) -> tuple[int, int]:
    return max(0, round(low)), max(0, min(page.shape[0], round(high)))
