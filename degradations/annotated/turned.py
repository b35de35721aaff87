"""Boxes of a photograph that its EXIF data turn: annotated as one sees it, or in the pixels as they are stored."""

from __future__ import annotations

from collections.abc import Callable

from kie_hvqa.data.ledger import Box

Point = tuple[float, float]
# EXIF orientations that swap the sides → where a stored point (x, y) of a picture [width, height] is seen.
_SEEN: dict[int, Callable[[Point, float, float], Point]] = {
    5: lambda at, width, height: (at[1], at[0]),
    6: lambda at, width, height: (height - at[1], at[0]),
    7: lambda at, width, height: (height - at[1], width - at[0]),
    8: lambda at, width, height: (at[1], width - at[0]),
}


def as_seen(box: Box, orientation: int, size: tuple[int, int]) -> Box:
    """``box`` in the stored pixels of a picture of ``size`` (width, height), as a viewer that heeds EXIF shows it."""
    corners = ((box[0], box[1]), (box[2], box[3]))
    (a, b), (c, d) = (_SEEN[orientation](corner, *size) for corner in corners)
    return min(a, c), min(b, d), max(a, c), max(b, d)


def swaps_sides(orientation: int) -> bool:
    return orientation in _SEEN
