"""How a template may look, and which looks are kept for the test.

Every template lists palettes, backgrounds, faces and arrangements twice: ``seen`` for training and validation, ``held``
for the test alone. The two share no palette, no background kind and no arrangement, and ``held`` has font families that
``seen`` lacks, so a score on the test says how a reader does on drawings that it never met. Three of four documents of
training and validation have the rows of their arrangement shuffled and the portrait on either side, so that a reader
must find a value by its label.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import numpy as np

from degradations.documents.backgrounds import Palette
from degradations.documents.model import Colour, Document, Material
from degradations.documents.names import SPLITS
from degradations.documents.values import pick
from kie_hvqa.errors import InputError

Face = tuple[str, int]  # family, weight

SEEN_FACES: tuple[Face, ...] = (
    ("Roboto", 500), ("Roboto", 700), ("Arimo", 400), ("Arimo", 700), ("Inter", 500), ("PT Sans", 400), ("PT Sans", 700),
    ("Open Sans", 500), ("IBM Plex Sans", 500), ("Barlow", 600), ("Roboto Condensed", 600), ("Roboto Mono", 500),
    ("Lato", 400), ("Lato", 700), ("Fira Sans", 500), ("Work Sans", 500), ("Noto Sans", 500), ("Noto Sans", 700),
)  # fmt: skip
HELD_FACES: tuple[Face, ...] = (
    ("Source Sans 3", 600), ("Public Sans", 500), ("Overpass", 600), ("Roboto", 600), ("Arimo", 500),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Where things go. ``rows`` are rows of concepts; ``labels`` stand left of the values or above them.

    The last ``fixed`` rows keep their place when the others are shuffled: a total comes after what it sums.
    ``portrait`` is ``left`` or ``right``; ``header`` is ``top``, ``bottom`` or ``side``.
    """

    name: str
    rows: tuple[tuple[str, ...], ...]
    labels: str = "left"
    portrait: str = "left"
    header: str = "top"
    fixed: int = 0

    def shuffled(self, rng: np.random.Generator, apart_from: Collection[tuple[tuple[str, ...], ...]]) -> Arrangement:
        """The same rows in a drawn order, each one's concepts too, and none of the orders ``apart_from``.

        The portrait goes to a drawn side.
        """
        loose = len(self.rows) - self.fixed
        rows = tuple(tuple(row[i] for i in rng.permutation(len(row))) for row in self.rows)
        rows = (*(rows[i] for i in rng.permutation(loose)), *rows[loose:])
        if rows in apart_from:
            return self.shuffled(rng, apart_from)
        return replace(self, name=f"{self.name}-shuffled", rows=rows, portrait=pick(rng, ("left", "right")))


@dataclass(frozen=True, slots=True)
class Choices:
    palettes: tuple[Palette, ...]
    backgrounds: tuple[str, ...]
    faces: tuple[Face, ...]
    arrangements: tuple[Arrangement, ...]


@dataclass(frozen=True, slots=True)
class Look:
    palette: Palette
    background: str
    arrangement: Arrangement
    value_face: Face
    label_face: Face
    ground_seed: int


@dataclass(frozen=True, slots=True)
class Drawing:
    """All that one document is drawn from. ``rng`` is the only source of chance."""

    rng: np.random.Generator
    split: str
    scale: str
    values: str
    look: Look
    size: tuple[int, int]

    @property
    def tiny(self) -> bool:
        return self.scale == "tiny"

    @property
    def description(self) -> dict[str, str]:
        look = self.look
        return {
            "palette": look.palette.name,
            "background": look.background,
            "arrangement": look.arrangement.name,
            "value_face": f"{look.value_face[0]} {look.value_face[1]}",
            "label_face": f"{look.label_face[0]} {look.label_face[1]}",
        }


@dataclass(frozen=True, slots=True)
class Template:
    """``questions`` maps the concepts that this template prints to what a question calls them.

    ``also`` are concepts that a page of full size shows without being asked about them. What the document is made of, how
    wide it is and how round its corners (millimetres): ``Document``.
    """

    name: str
    document_type: str
    questions: dict[str, str]
    sizes: dict[str, tuple[int, int]]
    seen: Choices
    held: Choices
    draw: Callable[[Drawing], Document]
    also: tuple[str, ...] = ()
    material: Material = "paper"
    millimetres: float = 210.0
    corner: float = 0.0

    def render(self, rng: np.random.Generator, *, split: str, scale: str, values: str) -> Document:
        if split not in SPLITS:
            raise InputError(f"unknown split {split!r}", remedy=f"use one of {', '.join(SPLITS)}")
        if scale not in self.sizes:
            raise InputError(f"unknown scale {scale!r}", remedy=f"use one of {', '.join(self.sizes)}")
        choices = self.held if split == "test" else self.seen
        look = Look(
            palette=pick(rng, choices.palettes),
            background=pick(rng, choices.backgrounds),
            arrangement=self._arrangement(rng, split),
            value_face=pick(rng, choices.faces),
            label_face=pick(rng, choices.faces),
            ground_seed=int(rng.integers(6)),
        )
        document = self.draw(Drawing(rng, split, scale, values, look, self.sizes[scale]))
        return replace(document, material=self.material, millimetres=self.millimetres, corner=self.corner)

    def _arrangement(self, rng: np.random.Generator, split: str) -> Arrangement:
        if split == "test":
            return pick(rng, self.held.arrangements)
        arrangement = pick(rng, self.seen.arrangements)
        if rng.random() < 0.25:
            return arrangement
        return arrangement.shuffled(rng, {held.rows for held in self.held.arrangements})


def jitter(rng: np.random.Generator, colour: Colour, amount: int) -> Colour:
    """The colour, each channel up to ``amount`` levels off."""
    shift = rng.integers(-amount, amount + 1, 3)
    return tuple(min(max(c + int(s), 0), 255) for c, s in zip(colour, shift, strict=True))  # type: ignore[return-value]
