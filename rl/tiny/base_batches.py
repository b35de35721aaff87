"""Batches for base training: which pages a step sees and how, as a pure function of (seed, stage, step)."""

from __future__ import annotations

from dataclasses import dataclass

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
        """The page moved by up to ``shift`` pixels (edges repeated), with its contrast and brightness varied a little."""
        page = pool.images[member]
        height, width, _ = page.shape
        dx, dy = rng.integers(-self._shift, self._shift + 1, 2)
        rows = np.clip(np.arange(height) - dy, 0, height - 1)
        columns = np.clip(np.arange(width) - dx, 0, width - 1)
        gain, offset = rng.uniform(0.75, 1.1), rng.uniform(-20, 20)
        page = np.clip(page[rows][:, columns].astype(np.float32) * gain + offset, 0, 255).astype(np.uint8)
        if rng.random() < 0.3:
            page = page[:, :, rng.permutation(3)]
        span = slice(pool.offsets[member], pool.offsets[member + 1])
        targets = character_targets(
            pool.characters[span],
            pool.centres[span] + np.array([dx, dy], np.float32),
            rows=height // self._cell,
            columns=width // self._cell,
            cell=self._cell,
        )
        return page, targets
