"""What a clean document is: its pixels, every character printed on it, and the fields a question can ask about.

The damage operators move the boxes, the legibility observer re-typesets the values, the dataset builder asks
the questions: each needs only this module. ``Document.ground`` is the page as it was before the asked values
were printed on it, so ``image`` can be made again exactly by inking every value onto ``ground``
(``typeset.ink``), and so can the page with another character in any slot.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from kie_hvqa.data.ledger import Box

Colour = tuple[int, int, int]
Material = Literal["paper", "plastic", "thermal", "screen"]
MATERIALS: tuple[Material, ...] = ("paper", "plastic", "thermal", "screen")


@dataclass(frozen=True, slots=True)
class TextStyle:
    """Everything needed to print a text again at the same place.

    ``family`` and ``weight`` name a face (``fonts.face``), ``size`` is the em size in pixels, ``colour`` RGB 0..255.
    ``x`` is the pen position of the first character and ``baseline`` the baseline, both in pixels from the
    top left corner of the page; x is rounded to quarter pixels and the baseline to whole ones when printing.
    ``tracking`` is added to every advance (pixels). ``softness`` is the standard deviation of a Gaussian that
    the print has gone through (pixels, 0 for none). ``opaque`` paints over what lies below; otherwise the text is
    ink, which filters it: pixel * (1 - coverage * (1 - colour / 255)).
    """

    family: str
    weight: int
    size: float
    colour: Colour
    x: float = 0.0
    baseline: float = 0.0
    tracking: float = 0.0
    softness: float = 0.0
    opaque: bool = False

    def at(self, x: float, baseline: float) -> TextStyle:
        return replace(self, x=float(x), baseline=float(baseline))


@dataclass(frozen=True, slots=True)
class PrintedChar:
    """One printed character. Its box spans the advance in x, and the line's ascent to its descent in y (pixels)."""

    char: str
    box: Box


@dataclass(frozen=True, slots=True)
class PrintedLine:
    """One line of print, asked or not: its text, a box a character, and how to set it again.

    ``field`` is the asked field whose value it is, None for everything else on the page.
    """

    text: str
    boxes: tuple[Box, ...]
    style: TextStyle
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Characters ``places`` of line number ``line`` of ``Document.lines``."""

    line: int
    places: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Derivation:
    """Whoever reads all of ``sources`` knows the characters ``slots`` of a field.

    ``how``: ``same`` (the same characters of the same fact, printed elsewhere), ``date`` (a month's name and its number),
    ``script`` (a name in another script), ``sum`` (a total and its parts), ``change`` (what was paid, and what came back), ``words`` (a sum in words), ``check`` (a check digit),
    ``code`` (the same in another code), ``parity`` (the sex in a number).
    """

    slots: tuple[int, ...]
    sources: tuple[Source, ...]
    how: str


@dataclass(frozen=True, slots=True)
class PrintedField:
    """One value a question can ask for: ``boxes`` holds one box a character of ``value``, spaces included.

    ``copies`` are the boxes of further prints of the whole value; ``derivations`` say which of its characters can be had from
    which other print. Both come from what the template says a text means, never from what it looks like.
    """

    name: str
    question_name: str
    value: str
    boxes: tuple[Box, ...]
    label: str
    style: TextStyle
    copies: tuple[tuple[Box, ...], ...] = ()
    derivations: tuple[Derivation, ...] = ()


@dataclass(frozen=True)
class Document:
    """A clean page. ``image`` and ``ground`` are uint8 [H, W, 3] RGB; ``fields`` by concept; ``lines`` all print in order.

    ``identity`` holds what is known about the holder or the invoice as plain strings, printed or not;
    ``drawing`` says which palette, background, arrangement and faces were drawn. The thing itself is made of ``material``,
    ``millimetres`` wide, its corners rounded by a radius of ``corner`` millimetres: light, desk and camera are not its own
    (``degradations.capture``).
    """

    image: np.ndarray
    fields: dict[str, PrintedField]
    lines: tuple[PrintedLine, ...]
    document_type: str
    template: str
    identity: dict[str, str]
    ground: np.ndarray
    drawing: dict[str, str] = field(default_factory=dict)
    material: Material = "paper"
    millimetres: float = 210.0
    corner: float = 0.0

    @property
    def text(self) -> tuple[PrintedChar, ...]:
        """Every printed character."""
        return tuple(
            PrintedChar(char, box) for line in self.lines for char, box in zip(line.text, line.boxes, strict=True)
        )

    @property
    def density(self) -> float:
        """Pixels a millimetre."""
        return self.image.shape[1] / self.millimetres
