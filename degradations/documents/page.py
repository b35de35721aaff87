"""A page while it is being printed: ground first, then labels and decoration, the asked values last.

The order matters only for ``Document.ground``, which is taken just before the asked values are inked, so that a value can
be printed again in other words on exactly what was below it. Nothing else tells asked print from the rest: all of it is
inked by one function on a ground that no blur, light or grain has touched. Those come with the capture, over everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from degradations.documents import meaning
from degradations.documents.model import Colour, Document, PrintedField, PrintedLine, Source, TextStyle
from degradations.documents.subjects.said import Rule, Said, dumb
from degradations.documents.typeset import Line, ink, measure, typeset
from kie_hvqa.data.ledger import Box
from kie_hvqa.errors import InputError


class Misfit(InputError):
    """A text that has no room where a template puts it: other values may have."""


@dataclass(frozen=True, slots=True)
class _Value:
    """An asked value that waits to be printed: its name, what a question calls it, its label, its text and style."""

    name: str
    question_name: str
    label: str
    said: Said
    style: TextStyle
    line: Line


class Page:
    """``image`` is uint8 [H, W, 3] RGB, drawn on in place."""

    def __init__(self, image: np.ndarray) -> None:
        self.image = image
        self._lines: list[tuple[Said, TextStyle, Line]] = []
        self._values: list[_Value] = []

    @property
    def width(self) -> int:
        return int(self.image.shape[1])

    @property
    def height(self) -> int:
        return int(self.image.shape[0])

    @property
    def bottom(self) -> float:
        """How far down anything is printed, asked values included."""
        lines = [line for _, _, line in self._lines] + [value.line for value in self._values]
        return max((line.boxes[-1][3] for line in lines if line.boxes), default=0.0)

    def write(self, text: Said | str, style: TextStyle, *, max_width: float | None = None, align: str = "left") -> Line:
        """Prints ``text`` at the style's position. Raises Misfit when it leaves the page or its ``max_width``."""
        said = dumb(text) if isinstance(text, str) else text
        style, line = self._set(said.text, style, max_width, align, said.text)
        ink(self.image, line, style.colour, opaque=style.opaque)
        self._lines.append((said, style, line))
        return line

    def field(
        self,
        name: str,
        question_name: str,
        value: Said | str,
        label: str,
        style: TextStyle,
        *,
        max_width: float | None = None,
        align: str = "left",
    ) -> Line:
        """Registers an asked value; it is printed by ``document``, after everything else."""
        said = dumb(value) if isinstance(value, str) else value
        style, line = self._set(said.text, style, max_width, align, name)
        self._values.append(_Value(name, question_name, label, said, style, line))
        return line

    def _set(
        self, text: str, style: TextStyle, max_width: float | None, align: str, name: str
    ) -> tuple[TextStyle, Line]:
        width = measure(text, style)
        if align != "left":
            style = replace(style, x=style.x - (width if align == "right" else width / 2))
        if max_width is not None and width > max_width + 1e-6:
            raise Misfit(
                f"text {text!r} is {width:.1f} pixels wide and its box {max_width:.1f}",
                remedy="shorten it, widen the box or make the font smaller",
                field=name,
            )
        line = typeset(text, style)
        if line.boxes:
            x0, y0, x1, y1 = line.boxes[0][0], line.boxes[0][1], line.boxes[-1][2], line.boxes[-1][3]
            if x0 < -0.01 or y0 < -0.01 or x1 > self.width + 0.01 or y1 > self.height + 0.01:
                raise Misfit(
                    f"text {text!r} leaves the page ({x0:.0f}, {y0:.0f}, {x1:.0f}, {y1:.0f})",
                    remedy="move it, shorten it or make the font smaller",
                    field=name,
                )
        return style, line

    def band(self, box: Box, colour: Colour, opacity: float = 1.0) -> None:
        """A filled rectangle."""
        x0, y0, x1, y1 = (round(v) for v in box)
        region = self.image[max(y0, 0) : y1, max(x0, 0) : x1]
        if not region.size:
            return
        levels = np.arange(256, dtype=np.float32)[:, None]
        table = levels + np.float32(opacity) * (np.asarray(colour, np.float32) - levels)
        region[...] = cv2.LUT(np.ascontiguousarray(region), (table + 0.5).astype(np.uint8)[None])

    def rule(self, x0: float, y: float, x1: float, colour: Colour, thickness: int = 1) -> None:
        """A horizontal line."""
        self.band((x0, round(y), x1, round(y) + thickness), colour, 0.8)

    def document(
        self,
        *,
        document_type: str,
        template: str,
        identity: dict[str, str],
        drawing: dict[str, str],
        rules: Sequence[Rule] = (),
        height: int | None = None,
    ) -> Document:
        """Prints the asked values and closes the page; ``height`` ends it there. ``rules``: what follows from what on it."""
        image = np.ascontiguousarray(self.image[:height])
        ground = image.copy()
        said = [text for text, _, _ in self._lines] + [value.said for value in self._values]
        lines = [PrintedLine(text.text, line.boxes, style) for text, style, line in self._lines]
        for value in self._values:
            ink(image, value.line, value.style.colour, opaque=value.style.opaque)
            lines.append(PrintedLine(value.said.text, value.line.boxes, value.style, value.name))
        index = meaning.indexed(said)
        fields = {}
        for number, value in enumerate(self._values, len(self._lines)):
            fields[value.name] = PrintedField(
                value.name,
                value.question_name,
                value.said.text,
                value.line.boxes,
                value.label,
                value.style,
                tuple(_boxes(lines, source) for source in meaning.copies(said, number)),
                meaning.derivations(said, number, index, rules),
            )
        return Document(image, fields, tuple(lines), document_type, template, identity, ground, drawing)


def _boxes(lines: Sequence[PrintedLine], source: Source) -> tuple[Box, ...]:
    return tuple(lines[source.line].boxes[place] for place in source.places)
