"""Pools of line crops for base training, from datasets on the disk (``rl.tiny.base_batches`` makes pools of pages).

A training batch has one size, and crops have all: each is laid on the smallest canvas that holds it, its edge pixels drawn out.
Of a crop only the asked line's characters are known. What the line's own cells should show is learnt, hidden characters as
nothing; the cells above, below and beside it teach nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from kie_hvqa.data.dataset import image_path, load_image, load_rows
from kie_hvqa.data.ledger import Row, value_of
from rl.tiny.base_batches import Sampler, scanned
from rl.tiny.pages import Pool, character_targets
from studies.receipts.lines import ASKED

CANVASES = (
    (64, 96),
    (64, 160),
    (64, 256),
    (96, 160),
    (96, 256),
    (96, 384),
)  # height, width: multiples of a visual token's 16
_LEAST = 64 * 64  # pixels below which the reader's budget enlarges an image


@dataclass(frozen=True)
class LinePool(Pool):
    """Crops of one canvas: of each also ``places`` float32 [n, 4], the box of the asked line on the canvas (x0, y0, x1, y1)."""

    places: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))


@dataclass(frozen=True)
class _Crop:
    image: np.ndarray
    characters: np.ndarray
    centres: np.ndarray
    place: np.ndarray
    value: str


def line_pools(folder: Path, split: str, batch: int, *, damaged: bool) -> list[LinePool]:
    """The rows of ``split`` of the dataset ``folder`` by canvas, the ``damaged`` or the others, at least ``batch`` crops on each: a
    few move to a larger one."""
    waiting: dict[tuple[int, int], list[_Crop]] = {canvas: [] for canvas in CANVASES}
    for row in load_rows(folder, split=split):
        if row.slots and bool(row.severity) == damaged:
            crop, canvas = _crop(row, folder)
            waiting[canvas].append(crop)
    pools = []
    for canvas in CANVASES:
        crops = waiting[canvas]
        larger = [other for other in CANVASES if other != canvas and other[0] >= canvas[0] and other[1] >= canvas[1]]
        if not crops:
            continue
        if len(crops) < batch and larger and any(waiting[other] for other in larger):
            waiting[next(other for other in larger if waiting[other])] += crops
            continue
        crops = [crops[i % len(crops)] for i in range(max(batch, len(crops)))]
        pools.append(_pool([_laid(crop, canvas) for crop in crops], damaged))
    return pools


def _crop(row: Row, folder: Path) -> tuple[_Crop, tuple[int, int]]:
    """The row's crop at the size at which the reader would see it, or smaller where no canvas is so large; and its canvas."""
    image = np.asarray(load_image(image_path(folder, row)))
    height, width = image.shape[:2]
    high, wide = CANVASES[-1]
    scale = min(max(1.0, (_LEAST / (height * width)) ** 0.5), high / height, wide / width)
    if scale != 1.0:
        size = max(1, int(width * scale)), max(1, int(height * scale))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    height, width = image.shape[:2]
    slots = [slot for slot in row.slots or () if slot.scored]
    boxes = np.array([slot.box for slot in slots], np.float32) * scale
    seen = np.array([slot.legibility != "hidden" for slot in slots])
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    crop = _Crop(
        image,
        np.array([ord(slot.char) for slot in slots], np.uint32)[seen],
        centres[seen],
        np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)]),
        value_of(row.slots or ()),
    )
    return crop, next(canvas for canvas in CANVASES if height <= canvas[0] and width <= canvas[1])


def _laid(crop: _Crop, canvas: tuple[int, int]) -> _Crop:
    height, width = crop.image.shape[:2]
    down, across = canvas[0] - height, canvas[1] - width
    top, left = down // 2, across // 2
    image = cv2.copyMakeBorder(crop.image, top, down - top, left, across - left, cv2.BORDER_REPLICATE)
    move = np.array([left, top], np.float32)
    return _Crop(image, crop.characters, crop.centres + move, crop.place + np.concatenate([move, move]), crop.value)


def _pool(crops: Sequence[_Crop], damaged: bool) -> LinePool:
    return LinePool(
        images=np.stack([crop.image for crop in crops]),
        characters=np.concatenate([crop.characters for crop in crops]),
        centres=np.concatenate([crop.centres for crop in crops]),
        offsets=np.concatenate([[0], np.cumsum([len(crop.characters) for crop in crops])]),
        fields=[[(ASKED, crop.value)] for crop in crops],
        damaged=damaged,
        places=np.stack([crop.place for crop in crops]),
    )


class LineSampler(Sampler):
    """Draws batches of crops, stretched by up to ``stretch`` and moved by up to ``shift`` pixels so that the line stays inside."""

    def __init__(self, pools: Sequence[LinePool], *, stretch: float, **settings: int | float) -> None:
        super().__init__(list(pools), **settings)  # type: ignore[arg-type]
        self._stretch = stretch

    def _moved(self, pool: Pool, member: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        assert isinstance(pool, LinePool)
        image = pool.images[member]
        size = np.array(image.shape[1::-1], np.float32)
        place = pool.places[member].reshape(2, 2)
        stretch = rng.uniform(1 - self._stretch, 1 + self._stretch, 2)
        stretch = np.minimum(stretch, np.maximum(size / np.maximum(place[1] - place[0], 1), 0.5))
        offset = size / 2 * (1 - stretch) + rng.uniform(-self._shift, self._shift, 2)
        low, high = (
            -place[0] * stretch,
            size - place[1] * stretch,
        )  # the offsets that leave the line where it can be seen
        offset = np.clip(offset, np.minimum(low, high), np.maximum(low, high))
        matrix = np.array([[stretch[0], 0.0, offset[0]], [0.0, stretch[1], offset[1]]])
        flags = cv2.INTER_LINEAR
        image = cv2.warpAffine(
            image, matrix, (int(size[0]), int(size[1])), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        span = slice(pool.offsets[member], pool.offsets[member + 1])
        rows, columns = image.shape[0] // self._cell, image.shape[1] // self._cell
        centres = (pool.centres[span] * stretch + offset).astype(np.float32)
        targets = character_targets(pool.characters[span], centres, rows=rows, columns=columns, cell=self._cell)
        targets = np.where(
            _line_cells(place * stretch + offset, rows, columns, self._cell) | (targets != 0), targets, -100
        )
        return image if pool.damaged else scanned(image, rng), targets


def _line_cells(place: np.ndarray, rows: int, columns: int, cell: int) -> np.ndarray:
    """Which sub-cells (bool [rows · columns, 8], as ``character_targets`` orders them) have their middle in the line's box."""
    y = (np.arange(rows * 2) + 0.5) * cell / 2
    x = (np.arange(columns * 4) + 0.5) * cell / 4
    inside = ((y >= place[0, 1]) & (y < place[1, 1]))[:, None] & ((x >= place[0, 0]) & (x < place[1, 0]))[None]
    return inside.reshape(rows, 2, columns, 4).transpose(0, 2, 1, 3).reshape(rows * columns, 8)
