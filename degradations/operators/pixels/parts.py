"""Damage that touches part of a page: only that part is worked on, and the rest is the page's own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from degradations.operators.base import Image, Origin

Part = tuple[slice, slice]  # rows and columns of an image
_STRIP = 48


def change_part(image: Image, origin: Origin, part: Part | None, change: Callable[[Image, Origin], Image]) -> Image:
    """A copy of ``image``, a window at ``origin``, with ``change(region, corner)`` in place of ``part``.

    ``corner`` is the page position (x, y) of the region's first pixel. None is a part that lies outside the window.
    """
    whole = image.copy()
    if part is not None:
        rows, columns = part
        whole[part] = change(np.ascontiguousarray(image[part]), (origin[0] + columns.start, origin[1] + rows.start))
    return whole


def in_strips(image: Image, origin: Origin, change: Callable[[Image, Origin], Image]) -> Image:
    """``change`` of a window, made a strip of rows at a time: what it computes on the way stays in the processor's cache.

    For changes that look at nothing but a pixel and where it lies on the page.
    """
    result = np.empty_like(image)
    for top in range(0, len(image), _STRIP):
        result[top : top + _STRIP] = change(image[top : top + _STRIP], (origin[0], origin[1] + top))
    return result


def square(image: Image, origin: Origin, x: float, y: float, reach: float) -> Part | None:
    """What the window shows of the square of ``reach`` pixels around the page position (``x``, ``y``), if anything."""
    left, right = (int(np.clip(x + s * reach - origin[0], 0, image.shape[1])) for s in (-1, 1))
    top, bottom = (int(np.clip(y + s * reach - origin[1], 0, image.shape[0])) for s in (-1, 1))
    return (slice(top, bottom), slice(left, right)) if left < right and top < bottom else None
