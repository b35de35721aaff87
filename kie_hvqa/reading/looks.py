"""How a page looks: is there anything on it, and what would a second photograph mend?

Both are asked of the page at a small size, once, and kept. ``emptiness`` must never be wrong about a page with print: nobody is asked about an
empty one. The hint may be wrong: it is given only where something could not be read, and names the first fault that is plain. Thresholds come from
pages drawn and spoilt by hand (tests/kie_hvqa/reading/test_looks.py), not from a fit; glare is not told from white paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kie_hvqa.data.ledger import Box

if TYPE_CHECKING:
    from PIL.Image import Image

    Grey = np.ndarray[Any, np.dtype[Any]]

_SIDE = 1024  # pixels of the longer side that is looked at
_TILE = 16
_INK = 10  # grey levels within a tile that make it more than paper or a slow shadow
_LEAST = 3  # tiles: less is no print
_BLACK = 64  # grey level below which a page without print is a covered lens, or the lid of a scanner

_SHARP = 0.42  # of the strongest edges' height, within one pixel to either side: less is blurred
_DARK = 90  # grey level that a lit page's paper is above
_FLAT = 45  # grey levels between paper and ink
_GLARE, _PAPER = 250, 225  # grey levels of a lamp's reflection, and of the brightest page on which one shows
_LARGE = 4  # tiles that a reflection covers at least
_SMALL = 10.0  # pixels: print that is lower is hardly legible
_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True, slots=True)
class Looks:
    """``size`` is (width, height) in pixels; ``empty`` is "blank" or "black" where there is nothing that could be read, else "".

    ``faults`` are of the whole page, the plainest first: "dark", "flat", "blurred". ``glare``: boxes in pixels of the page.
    """

    size: tuple[int, int]
    empty: str = ""
    faults: tuple[str, ...] = ()
    glare: tuple[Box, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "size": list(self.size),
            "empty": self.empty,
            "faults": list(self.faults),
            "glare": [[round(side) for side in box] for box in self.glare],
        }

    @classmethod
    def of_json(cls, data: Any) -> Looks:
        glare = tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in data["glare"])
        return cls(
            (int(data["size"][0]), int(data["size"][1])), str(data["empty"]), tuple(map(str, data["faults"])), glare
        )


def looks_of(image: Image) -> Looks:
    """``image`` (RGB), looked at."""
    grey = image.convert("L")
    grey.thumbnail((_SIDE, _SIDE), reducing_gap=2.0)
    pixels = np.asarray(grey, np.int16)
    if empty := _emptiness(pixels):
        return Looks(image.size, empty)
    scale = image.width / pixels.shape[1]
    return Looks(image.size, "", _faults(pixels), tuple(_glare(pixels, scale)))


def emptiness(image: Image) -> str:
    """ "blank" or "black" where ``image`` is one colour, or a slow gradient, with no more on it than a speck; else ""."""
    return looks_of(image).empty


def _tiles(pixels: Grey, side: int = _TILE) -> Grey:
    """[rows, columns, side²] of the tiles that fit; one tile where none does."""
    rows, columns = (length // side for length in pixels.shape)
    if not rows or not columns:
        return pixels.reshape(1, 1, -1)
    cut = pixels[: rows * side, : columns * side].reshape(rows, side, columns, side)
    return cut.transpose(0, 2, 1, 3).reshape(rows, columns, -1)


def _emptiness(pixels: Grey) -> str:
    spread = np.ptp(_tiles(pixels, _TILE // 2), axis=2)
    if int((spread >= _INK).sum()) >= min(_LEAST, spread.size):
        return ""
    return "black" if pixels.mean() < _BLACK else "blank"


def _faults(pixels: Grey) -> tuple[str, ...]:
    tiles = _tiles(pixels)
    spread = np.ptp(tiles, axis=2)
    printed = tiles[spread >= np.quantile(spread, 0.8)]  # the tiles with most print
    paper, contrast = np.median(printed.max(axis=1)), np.median(np.ptp(printed, axis=1))
    found = []
    if paper < _DARK:
        found.append("dark")
    elif contrast < _FLAT:
        found.append("flat")
    # How much of an edge's height lies between two neighbours: most of it where print is sharp, at any contrast.
    steps = np.maximum(np.abs(np.diff(pixels, axis=0))[:, :-1], np.abs(np.diff(pixels, axis=1))[:-1])
    strongest = _tiles(steps).max(axis=2)
    high = spread[: strongest.shape[0], : strongest.shape[1]]
    clear = high >= max(float(_INK), float(np.quantile(high, 0.8)))
    if float(np.median(strongest[: high.shape[0], : high.shape[1]][clear] / high[clear])) < _SHARP:
        found.append("blurred")
    return tuple(found)


def _glare(pixels: Grey, scale: float) -> list[Box]:
    """Boxes around patches that are burnt out, on a page whose paper is not."""
    if np.median(pixels) > _PAPER:
        return []
    burnt = (_tiles(pixels) >= _GLARE).mean(axis=2) > 0.9
    boxes, seen = [], np.zeros_like(burnt)
    for start in zip(*np.nonzero(burnt), strict=True):
        if seen[start]:
            continue
        patch, waiting = [], [start]
        seen[start] = True
        while waiting:
            row, column = waiting.pop()
            patch.append((row, column))
            for near in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                if 0 <= near[0] < burnt.shape[0] and 0 <= near[1] < burnt.shape[1] and burnt[near] and not seen[near]:
                    seen[near] = True
                    waiting.append(near)
        if len(patch) >= _LARGE:
            rows, columns = zip(*patch, strict=True)
            side = _TILE * scale
            corners = min(columns), min(rows), max(columns) + 1, max(rows) + 1
            boxes.append(tuple(float(corner * side) for corner in corners))
    return boxes  # type: ignore[return-value]


_ADVICE = {
    "dark": "the picture is too dark",
    "flat": "the print hardly stands out",
    "blurred": "the picture is blurred",
}


def hint(looks: Sequence[Looks], unread: Sequence[tuple[int, Box | None]]) -> str | None:
    """What a person could do about the ``unread`` fields, each the place of its page in ``looks`` and its box if it has one; or None."""
    if not unread:
        return None
    pages = {page for page, _ in unread}
    if any(looks[page].empty == "black" for page in pages):
        return "photograph again: the picture is black"
    behind = sum(any(_meet(box, glare) for glare in looks[page].glare) for page, box in unread if box is not None)
    if behind:
        return f"photograph again: glare over {_counted(behind)}"
    for fault, words in _ADVICE.items():
        if any(fault in looks[page].faults for page in pages):
            return f"photograph again: {words}"
    if any(looks[page].glare for page in pages if any(box is None for other, box in unread if other == page)):
        return "photograph again: glare on the page"
    small = sum(box is not None and box[3] - box[1] < _SMALL for _, box in unread)
    return f"scan with more dots an inch: small print in {_counted(small)}" if small else None


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _counted(count: int) -> str:
    word = _WORDS[count] if count < len(_WORDS) else str(count)
    return f"{word} field{'' if count == 1 else 's'}"
