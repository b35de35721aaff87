"""Batches for base training: which pages a step sees and how, as a pure function of (seed, stage, step)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from rl.tiny.pages import Pool, character_targets


@dataclass(frozen=True)
class PageBatch:
    """Pages of one size: ``pages`` uint8 [B, H, W, 3], ``characters`` int64 [B, T, 8], ``fields`` per page."""

    pages: np.ndarray
    characters: np.ndarray
    fields: list[list[tuple[str, str]]]


class Sampler:
    """Draws batches from several pools; a step's batch depends on nothing but the seed, the stage and the step.

    ``damaged`` is the share of batches that come from damaged pools; within a share pools are drawn by their size.
    """

    def __init__(
        self, pools: list[Pool], *, seed: int, stage: int, batch: int, shift: int, cell: int, damaged: float = 0.0
    ) -> None:
        self._pools = pools
        self._key = (seed, stage)
        self._batch = batch
        self._shift = shift
        self._cell = cell
        self.shares = _shares(pools, damaged)

    def __call__(self, step: int, fields_per_page: int = 0) -> PageBatch:
        rng = np.random.default_rng([*self._key, step])
        pool = self._pools[rng.choice(len(self._pools), p=self.shares)]
        members = rng.choice(len(pool), self._batch, replace=False)
        pages, characters, fields = [], [], []
        for member in members:
            page, targets = self._moved(pool, int(member), rng)
            pages.append(page)
            characters.append(targets)
            asked = pool.fields[member]
            order = rng.permutation(len(asked))
            if pool.damaged:  # the damaged field is always asked about
                order = np.concatenate([[0], order[order != 0]])
            fields.append([asked[index] for index in order[:fields_per_page]])
        return PageBatch(np.stack(pages), np.stack(characters), fields)

    def _moved(self, pool: Pool, member: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The page stretched and moved, with no character pushed over its edge, and scanned a little differently."""
        page = pool.images[member]
        height, width, _ = page.shape
        span = slice(pool.offsets[member], pool.offsets[member + 1])
        centres = pool.centres[span]
        stretch, offset = _placed(centres, np.array([width, height], float), self._shift, rng)
        matrix = np.array([[stretch[0], 0.0, offset[0]], [0.0, stretch[1], offset[1]]])
        page = cv2.warpAffine(page, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        targets = character_targets(
            pool.characters[span],
            (centres * stretch + offset).astype(np.float32),
            rows=height // self._cell,
            columns=width // self._cell,
            cell=self._cell,
        )
        return page if pool.damaged else scanned(page, rng), targets


def _shares(pools: list[Pool], damaged: float) -> np.ndarray:
    """How often each pool is drawn from: by its size, damaged ones together in ``damaged`` of the batches."""
    sizes = np.array([len(pool) for pool in pools], float)
    hurt = np.array([pool.damaged for pool in pools])
    for group, share in ((hurt, damaged), (~hurt, 1 - damaged)):
        if hurt.any() and not hurt.all():
            sizes[group] *= share / sizes[group].sum()
    return sizes / sizes.sum()


_EDGE = 5.0  # pixels that a character's centre keeps from the page's edge: about half a character


def _placed(
    centres: np.ndarray, size: np.ndarray, shift: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Stretch and offset (x, y): a point p goes to stretch · p + offset.

    The stretch is 0.9 to 1.12, the move up to ``shift`` pixels; both give way where they would push a character over the
    edge, because an answer must never hold what the page does not show. Half the pages stay on the pixel grid that they
    were drawn on.
    """
    stretch, moved = rng.uniform(0.9, 1.12, 2), rng.uniform(-shift, shift, 2)
    if rng.random() < 0.5:
        stretch, moved = np.ones(2), np.round(moved)
    if not len(centres):
        return stretch, moved
    low, high = centres.min(0), centres.max(0)
    edge = np.minimum(_EDGE, np.minimum(low, size - high))  # some are drawn nearer to the edge: no nearer than that
    stretch = np.minimum(stretch, (size - 2 * edge) / np.maximum(high - low, 1.0))
    offset = size / 2 * (1 - stretch) + moved
    return stretch, np.clip(offset, edge - low * stretch, size - edge - high * stretch)


def scanned(page: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A clean page, uint8 [H, W, 3], as another scanner or camera might have given it: every character stays clear.

    Contrast, brightness, tint, slope of the light, softness (up to 0.9 pixels), sensor noise (up to 12 grey levels) and
    JPEG (quality 40 to 95) vary. Nothing is hidden, so a reader trained on it still has no reason to say that it cannot
    see; but its eyes do not fail at the first blemish, as a large model's do not.
    """
    pixels = page.astype(np.float32)
    if rng.random() < 0.5:
        pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.2, 0.9))
    middle = pixels.mean()
    pixels = (pixels - middle) * rng.uniform(0.4, 1.1) + middle + rng.uniform(-30, 30)
    if rng.random() < 0.3:
        height, width, _ = page.shape
        slope = rng.uniform(-40, 40, 2)
        pixels += (np.linspace(-slope[0], slope[0], width)[None] + np.linspace(-slope[1], slope[1], height)[:, None])[
            :, :, None
        ]
    if rng.random() < 0.5:
        pixels += rng.normal(0.0, rng.uniform(1.0, 12.0), pixels.shape)
    if rng.random() < 0.3:
        pixels = pixels[:, :, rng.permutation(3)]
    page = np.clip(pixels, 0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        quality = int(rng.integers(40, 96))
        coded = cv2.imencode(".jpg", page, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        page = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return page
