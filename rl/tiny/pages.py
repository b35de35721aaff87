"""Pages for base training, drawn once and kept: pixels, the place of every character that can be read, the fields.

A page is a pure function of (recipe, kind, split, index), so a pool is the same however many processes draw it. Pools hold
pages of one size, because a training batch does. Undamaged pages have been through their capture; damaged ones
through everything that a dataset of the same recipe is damaged by, with the printed value as their answer all the same.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from degradations.chance import generator
from degradations.config import SimulateConfig
from degradations.documents import Document
from degradations.documents.text_block import render_text_block
from degradations.recipe import Recipe
from degradations.simulate import clean_document, document_samples
from kie_hvqa.data.files import replacing
from kie_hvqa.data.ledger import Row

TEXT_BLOCK = "text_block"
READER_TEMPLATES = ("us_licence", "eu_card", "passport", "invoice_classic", "invoice_modern")
"""What the embedded reader is trained on. Other templates would change its questions and so its tokenizer."""
UNKNOWN = 0x10FFFF
"""A character of which nobody says whether it can still be read."""
PER_DOCUMENT = 2
"""Pages of one document in a pool, each with its own capture and damage: drawing the document is most of a page's time."""
_CHUNK = 32  # documents


@dataclass(frozen=True)
class Page:
    """One page: ``image`` uint8 [H, W, 3]; ``characters`` uint32 [n] (code points) with ``centres`` float32 [n, 2] (x, y in
    pixels), hidden ones left out; ``fields`` (question name, printed value), on a damaged page the damaged one first."""

    image: np.ndarray
    characters: np.ndarray
    centres: np.ndarray
    fields: list[tuple[str, str]]


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
    damaged: bool = False

    def __len__(self) -> int:
        return len(self.images)


def recipe_for(config: SimulateConfig, kind: str, split: str, *, damaged: bool) -> SimulateConfig:
    """``config`` for pages of one template and one split: undamaged, or damaged at every severity that it has above 0.

    Half of the training pages carry random strings, so that the reader must read pixels and not names.
    """
    severities = {s: w for s, w in config.severities.items() if s > 0} if damaged else {0: 1.0}
    return config.model_copy(
        update={
            "count": 1 << 30,
            "templates": {kind: 1.0},
            "splits": {split: 1.0},
            "values": {"natural": 0.5, "random": 0.5} if split == "train" else {"natural": 1.0},
            "severities": severities,
            "shuffled_rows": {split: 0.75} if split == "train" else {},  # a value must be found by its label
            "question_kinds": {"answerable": 0.9, "unreadable": 0.1} if damaged else {"answerable": 1.0},
            "questions_per_document": PER_DOCUMENT,
            "questions_per_image": 1,
            "absent_beside": {},
        }
    )


def draw(config: SimulateConfig, kind: str, number: int) -> list[Page]:
    """The pages of document ``number`` of ``recipe_for``'s config; of ``text_block``, which knows no damage, walls of text."""
    if kind == TEXT_BLOCK:
        indices = range(number * PER_DOCUMENT, (number + 1) * PER_DOCUMENT)
        return [_text_block(config, index) for index in indices]
    document = clean_document(config, number)
    return [_seen(document, *sample[:2]) for sample in document_samples(config, number, document=document)]


def _text_block(config: SimulateConfig, index: int) -> Page:
    block = render_text_block(generator(config.seed, TEXT_BLOCK, str(index)), size=(224, 128))
    printed = [mark for mark in block.text if not mark.char.isspace()]
    return Page(block.image, _codes([mark.char for mark in printed]), _centres([m.box for m in printed]), [])


def _seen(document: Document, row: Row, image: np.ndarray) -> Page:
    fields = [(field.question_name, field.value) for field in document.fields.values()]
    recipe = Recipe.from_json(row.recipe, row.capture)
    marks = [mark for mark in document.text if not mark.char.isspace()]
    if not row.severity:
        boxes = recipe.map_boxes([mark.box for mark in marks])
        return Page(image, _codes([mark.char for mark in marks]), _centres(boxes), fields)
    asked = document.fields[row.field]
    here = set(asked.boxes)
    others = [box for box in (mark.box for mark in marks) if box not in here]
    seen = [slot for slot in row.slots or () if slot.scored and slot.legibility != "hidden"]
    centres = _centres([*(slot.box for slot in seen), *recipe.map_boxes(others)])
    codes = np.concatenate([_codes([slot.char for slot in seen]), np.full(len(others), UNKNOWN, np.uint32)])
    first = (asked.question_name, asked.value)
    return Page(image, codes, centres, [first, *(pair for pair in fields if pair != first)])


def _codes(characters: Sequence[str]) -> np.ndarray:
    return np.array([ord(char) for char in characters], np.uint32)


def _centres(boxes: Sequence[Sequence[float]]) -> np.ndarray:
    edges = np.array(boxes, np.float32).reshape(-1, 4)
    return (edges[:, :2] + edges[:, 2:]) / 2


@dataclass(frozen=True)
class Wanted:
    """Which pool: pages of one template (or ``text_block``) and one split, undamaged or damaged."""

    kind: str
    split: str
    count: int
    damaged: bool = False

    def path(self, folder: Path, seed: int) -> Path:
        return folder / f"{self.kind}-{self.split}-{'damaged' if self.damaged else 'clean'}-{seed}-{self.count}.npz"


def load_pools(folder: Path, config: SimulateConfig, wanted: Sequence[Wanted], workers: int) -> list[Pool]:
    """Read pools from ``folder``, drawing those first that are missing."""
    missing = [one for one in wanted if not one.path(folder, config.seed).exists()]
    if missing:
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as executor:
            for one in missing:
                _write(one.path(folder, config.seed), config, one, executor)
    return [_read(one.path(folder, config.seed), one.damaged) for one in wanted]


def _read(path: Path, damaged: bool) -> Pool:
    with np.load(path) as data:
        fields = json.loads(bytes(data["fields"]).decode())
        pages = [[tuple(pair) for pair in page] for page in fields]
        return Pool(data["images"], data["characters"], data["centres"], data["offsets"], pages, damaged)


def _write(path: Path, config: SimulateConfig, wanted: Wanted, executor: Executor) -> None:
    if wanted.kind != TEXT_BLOCK:
        config = recipe_for(config, wanted.kind, wanted.split, damaged=wanted.damaged)
    job = partial(_draw_chunk, config, wanted.kind, wanted.count)
    starts = range(0, -(-wanted.count // PER_DOCUMENT), _CHUNK)
    pages = [page for chunk in executor.map(job, starts) for page in chunk][: wanted.count]
    with replacing(path, "wb") as stream:
        np.savez(
            stream,
            images=np.stack([page.image for page in pages]),
            characters=np.concatenate([page.characters for page in pages]),
            centres=np.concatenate([page.centres for page in pages]),
            offsets=np.concatenate([[0], np.cumsum([len(page.characters) for page in pages])]),
            fields=np.frombuffer(json.dumps([page.fields for page in pages]).encode(), np.uint8),
        )


def _draw_chunk(config: SimulateConfig, kind: str, count: int, start: int) -> list[Page]:
    numbers = range(start, min(start + _CHUNK, -(-count // PER_DOCUMENT)))
    return [page for number in numbers for page in draw(config, kind, number)]


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
