"""A part of the clean page, found again in a picture of it: where the recipe moved nothing it is a crop, else it is
pulled back along ``Recipe.map_points``, so that clean and damaged text lie on the same pixels and can be compared.

What a turned or bent line loses on the way (resampling, the blur of a lens held at an angle) stays lost: only its place
is undone, as any reader that follows a line undoes it.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from degradations.operators.base import Image, Origin
from degradations.recipe import Recipe
from kie_hvqa.data.ledger import Box

Region = tuple[int, int, int, int]
_MARGIN = 6  # pixels: as far as a capture's lens reaches


class Frame:
    """The pixels ``region`` = (x0, y0, x1, y1) of the clean page, in pictures that ``recipe`` makes of it."""

    def __init__(self, recipe: Recipe, region: Region) -> None:
        self.region = region
        x0, y0, x1, y1 = region
        self._map: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
        if recipe.moves:
            x, y = np.meshgrid(np.arange(x0, x1) + 0.5, np.arange(y0, y1) + 0.5)
            places = recipe.map_points(np.stack([x.ravel(), y.ravel()], 1)) - 0.5
            across, down = (part.reshape(x.shape).astype(np.float32) for part in places.T)
            self._map = across, down

    def take(self, picture: Image, origin: Origin = (0, 0)) -> Image:
        """The region out of ``picture`` (a part of it at ``origin``), uint8 [y1 - y0, x1 - x0, 3]."""
        if self._map is None:
            x0, y0, x1, y1 = self.region
            return picture[y0 - origin[1] : y1 - origin[1], x0 - origin[0] : x1 - origin[0]]
        across, down = self._map[0] - np.float32(origin[0]), self._map[1] - np.float32(origin[1])
        taken = cv2.remap(picture, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return taken.astype(np.uint8, copy=False)

    def known(self, known: NDArray[np.bool_], origin: Origin) -> bool:
        """Whether ``known`` holds wherever the region lies in the picture; outside of the picture nothing is asked."""
        if self._map is None:
            return True
        height, width = known.shape
        column, row = (np.rint(part).astype(int) - o for part, o in zip(self._map, origin, strict=True))
        inside = (column >= -origin[0]) & (row >= -origin[1])
        return bool(known[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)][inside].all())


def undamaged(page: Image, region: Region, recipe: Recipe) -> Image:
    """``region`` of the clean ``page`` as the recipe's capture alone would have shown it, pulled back to the page's pixels."""
    x0, y0, x1, y1 = region
    if recipe.capture is None:
        return page[y0:y1, x0:x1]
    left, top = max(0, x0 - _MARGIN), max(0, y0 - _MARGIN)
    seen, origin, _ = recipe.undamaged.apply_window(page[top : y1 + _MARGIN, left : x1 + _MARGIN], (left, top))
    return Frame(recipe.undamaged, region).take(seen, origin)


def region_around(
    boxes: Sequence[Box] | NDArray[np.float64], across: float, along: float, size: Sequence[int]
) -> Region:
    """Whole pixels around ``boxes`` with margins beside (``across``) and above (``along``), inside (height, width)."""
    array = np.asarray(boxes, np.float64).reshape(-1, 4)
    margin = np.array([across, along])
    x0, y0 = (int(v) for v in np.maximum(0, np.floor(array[:, :2].min(0) - margin)))
    x1, y1 = (int(v) for v in np.minimum([size[1], size[0]], np.ceil(array[:, 2:].max(0) + margin)))
    return x0, y0, x1, y1
