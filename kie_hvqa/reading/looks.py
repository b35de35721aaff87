"""How a page looks: is there anything on it, and what would a second photograph mend?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

_SIDE = 512  # pixels of the longer side that is looked at for ink
_TILE = 8
_INK = 10  # grey levels within a tile that make it more than paper or a slow shadow
_BLACK = 64  # grey level below which a page without print is a covered lens, or the lid of a scanner
_LEAST = 3  # tiles: less is no print


@dataclass(frozen=True, slots=True)
class Looks:
    """``size`` is (width, height) in pixels; ``empty`` is "blank" or "black" where there is nothing that could be read, else ""."""

    size: tuple[int, int]
    empty: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"size": list(self.size), "empty": self.empty}

    @classmethod
    def of_json(cls, data: Any) -> Looks:
        return cls((int(data["size"][0]), int(data["size"][1])), str(data["empty"]))


def looks_of(image: Image) -> Looks:
    """``image`` (RGB), looked at."""
    return Looks(image.size, emptiness(image))


def emptiness(image: Image) -> str:
    """ "blank" or "black" where ``image`` is one colour, or a slow gradient, with no more on it than a speck; else ""."""
    grey = image.convert("L")
    grey.thumbnail((_SIDE, _SIDE), reducing_gap=2.0)
    pixels = np.asarray(grey, np.int16)
    rows, columns = (side // _TILE for side in pixels.shape)
    if rows and columns:
        tiles = pixels[: rows * _TILE, : columns * _TILE].reshape(rows, _TILE, columns, _TILE)
        printed = int((np.ptp(tiles, axis=(1, 3)) >= _INK).sum()) >= _LEAST
    else:
        printed = bool(np.ptp(pixels) >= _INK)
    if printed:
        return ""
    return "black" if pixels.mean() < _BLACK else "blank"
