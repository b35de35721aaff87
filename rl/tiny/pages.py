"""Undamaged pages for base training, drawn, captured once and kept: pixels, every printed character's place, the asked fields.

A page is a pure function of (seed, index), so a pool is the same however many processes draw it. Pools hold pages
of one size, because a training batch does.
"""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from degradations.capture.draw import draw_capture
from degradations.documents import Document, render, render_text_block
from degradations.recipe import Recipe
from kie_hvqa.data.files import replacing

TEXT_BLOCK = "text_block"
READER_TEMPLATES = ("us_licence", "eu_card", "passport", "invoice_classic", "invoice_modern")
"""What the embedded reader is trained on. Templates that came later would change its pages and its tokenizer."""
_CHUNK = 256


@dataclass(frozen=True)
class Pool:
    """Pages of one size.

    ``images`` uint8 [n, H, W, 3]; the characters of page i are ``characters[offsets[i]:offsets[i+1]]`` (code
    points, uint32) with centres ``centres`` float32 [·, 2] (x, y in pixels); ``fields[i]`` lists
    (question name, value). A text block has no fields.
    """

    images: np.ndarray
    characters: np.ndarray
    centres: np.ndarray
    offsets: np.ndarray
    fields: list[list[tuple[str, str]]]

    def __len__(self) -> int:
        return len(self.images)


def draw(kind: str, split: str, seed: int, index: int) -> Document:
    """Page ``index`` of a pool: ``kind`` is one of READER_TEMPLATES or ``text_block``.

    Every other training page carries random strings, so that the reader must read pixels and not names.
    """
    key = [
        seed,
        index,
        sorted([*READER_TEMPLATES, TEXT_BLOCK]).index(kind),
        {"train": 0, "validation": 1, "test": 2}[split],
    ]
    rng = np.random.default_rng(key)
    if kind == TEXT_BLOCK:
        return _captured(render_text_block(rng, size=(224, 128)), rng)
    values = "random" if split == "train" and index % 2 else "natural"
    rows = "shuffled" if split != "test" and index % 4 else "issuer"  # a value must be found by its label
    return _captured(render(kind, rng, split=split, scale="tiny", values=values, rows=rows), rng)


def _captured(document: Document, rng: np.random.Generator) -> Document:
    """``document`` as a benign capture shows it, every character where it lies in the picture."""
    recipe = Recipe((), draw_capture(document, rng))
    lines = tuple(replace(line, boxes=recipe.map_boxes(line.boxes)) for line in document.lines)
    return replace(document, image=recipe.apply(document.image), lines=lines)


def pool_path(folder: Path, kind: str, split: str, seed: int, count: int) -> Path:
    return folder / f"{kind}-{split}-{seed}-{count}.npz"


def load_pool(folder: Path, kind: str, split: str, seed: int, count: int, workers: int) -> Pool:
    """Read the pool from ``folder``, drawing it first where it is missing."""
    path = pool_path(folder, kind, split, seed, count)
    if not path.exists():
        _write(path, kind, split, seed, count, workers)
    with np.load(path) as data:
        fields = json.loads(bytes(data["fields"]).decode())
        return Pool(
            data["images"],
            data["characters"],
            data["centres"],
            data["offsets"],
            [[tuple(pair) for pair in page] for page in fields],
        )


def _write(path: Path, kind: str, split: str, seed: int, count: int, workers: int) -> None:
    starts = range(0, count, _CHUNK)
    job = partial(_draw_chunk, kind, split, seed, count)
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as executor:
        chunks = list(executor.map(job, starts))
    lengths = np.concatenate([chunk[3] for chunk in chunks])
    fields = json.dumps([page for chunk in chunks for page in chunk[4]]).encode()
    with replacing(path, "wb") as stream:
        np.savez(
            stream,
            images=np.concatenate([chunk[0] for chunk in chunks]),
            characters=np.concatenate([chunk[1] for chunk in chunks]),
            centres=np.concatenate([chunk[2] for chunk in chunks]),
            offsets=np.concatenate([[0], np.cumsum(lengths)]),
            fields=np.frombuffer(fields, np.uint8),
        )


def _draw_chunk(kind: str, split: str, seed: int, count: int, start: int):
    pages = [draw(kind, split, seed, index) for index in range(start, min(start + _CHUNK, count))]
    printed = [[mark for mark in page.text if not mark.char.isspace()] for page in pages]
    marks = [mark for page in printed for mark in page]
    boxes = np.array([mark.box for mark in marks], np.float32).reshape(-1, 4)
    return (
        np.stack([page.image for page in pages]),
        np.array([ord(mark.char) for mark in marks], np.uint32),
        (boxes[:, :2] + boxes[:, 2:]) / 2,
        [len(page) for page in printed],
        [[(field.question_name, field.value) for field in page.fields.values()] for page in pages],
    )


def character_targets(characters: np.ndarray, centres: np.ndarray, *, rows: int, columns: int, cell: int) -> np.ndarray:
    """What each visual token should know: int64 [rows · columns, 8], the characters whose centre lies in each of its
    eight sub-cells (2 down × 4 across); 0 for none, otherwise the code point − 32; −100 outside printable ASCII.
    """
    grid = np.zeros((rows * 2, columns * 4), np.int64)
    down = (centres[:, 1] * 2 // cell).astype(int)
    across = (centres[:, 0] * 4 // cell).astype(int)
    inside = (down >= 0) & (down < rows * 2) & (across >= 0) & (across < columns * 4)
    codes = characters.astype(np.int64) - 32
    codes[(codes <= 0) | (codes > 94)] = -100
    grid[down[inside], across[inside]] = codes[inside]
    return grid.reshape(rows, 2, columns, 4).transpose(0, 2, 1, 3).reshape(rows * columns, 8)
