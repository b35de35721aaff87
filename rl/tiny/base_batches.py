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
    """Draws batches from several pools; a step's batch depends on nothing but the seed, the stage and the step."""

    def __init__(self, pools: list[Pool], *, seed: int, stage: int, batch: int, shift: int, cell: int) -> None:
        self._pools = pools
        self._key = (seed, stage)
        self._batch = batch
        self._shift = shift
        self._cell = cell
        shares = np.array([len(pool) for pool in pools], float)
        self._shares = shares / shares.sum()

    def __call__(self, step: int, fields_per_page: int = 0) -> PageBatch:
        rng = np.random.default_rng([*self._key, step])
        pool = self._pools[rng.choice(len(self._pools), p=self._shares)]
        members = rng.choice(len(pool), self._batch, replace=False)
        pages, characters, fields = [], [], []
        for member in members:
            page, targets = self._moved(pool, int(member), rng)
            pages.append(page)
            characters.append(targets)
            asked = pool.fields[member]
            chosen = rng.permutation(len(asked))[:fields_per_page]
            fields.append([asked[index] for index in chosen])
        return PageBatch(np.stack(pages), np.stack(characters), fields)

    def _moved(self, pool: Pool, member: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The page moved by up to ``shift`` pixels (edges repeated) and scanned a little differently each time."""
        page = pool.images[member]
        height, width, _ = page.shape
        dx, dy = rng.integers(-self._shift, self._shift + 1, 2)
        rows = np.clip(np.arange(height) - dy, 0, height - 1)
        columns = np.clip(np.arange(width) - dx, 0, width - 1)
        page = scanned(page[rows][:, columns], rng)
        span = slice(pool.offsets[member], pool.offsets[member + 1])
        targets = character_targets(
            pool.characters[span],
            pool.centres[span] + np.array([dx, dy], np.float32),
            rows=height // self._cell,
            columns=width // self._cell,
            cell=self._cell,
        )
        return page, targets


def scanned(page: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A clean page, uint8 [H, W, 3], as another good scanner might have given it: every character stays clear.

    Contrast, brightness and tint vary; every other page has a little softness (up to 0.7 pixels) and sensor noise (up to
    8 grey levels). Nothing is hidden, so a reader trained on it still has no reason to say that it cannot see.
    """
    pixels = page.astype(np.float32)
    if rng.random() < 0.5:
        pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.2, 0.7))
    middle = pixels.mean()
    pixels = (pixels - middle) * rng.uniform(0.5, 1.1) + middle + rng.uniform(-30, 30)
    if rng.random() < 0.5:
        pixels += rng.normal(0.0, rng.uniform(1.0, 8.0), pixels.shape)
    if rng.random() < 0.3:
        pixels = pixels[:, :, rng.permutation(3)]
    return np.clip(pixels, 0, 255).astype(np.uint8)
