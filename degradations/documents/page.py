"""A page while it is being printed: ground first, then labels and decoration, the asked values last.

The order matters only for ``Document.ground``, which is taken just before the asked values are inked, so that a value can
be printed again in other words on exactly what was below it. Nothing else tells asked print from the rest: all of it is
inked by one function on a ground that no blur, light or grain has touched. Those come with the capture, over everything.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from degradations.documents.model import Colour, Document, PrintedChar, PrintedField, TextStyle
from degradations.documents.typeset import Line, ink, measure, typeset
from kie_hvqa.data.ledger import Box
from kie_hvqa.errors import InputError


class Page:
    """``image`` is uint8 [H, W, 3] RGB, drawn on in place."""

    def __init__(self, image: np.ndarray) -> None:
        self.image = image
        self.text: list[PrintedChar] = []
        self._values: list[tuple[str, str, str, str, TextStyle, Line]] = []

    @property
    def width(self) -> int:
        return int(self.image.shape[1])

    @property
    def height(self) -> int:
        return int(self.image.shape[0])

    def write(self, text: str, style: TextStyle, *, max_width: float | None = None, align: str = "left") -> Line:
        """Prints ``text`` at the style's position. Raises InputError when it leaves the page or its ``max_width``."""
        line = self._set(text, style, max_width, align, text)
        ink(self.image, line, style.colour, opaque=style.opaque)
        self.text.extend(PrintedChar(char, box) for char, box in zip(text, line.boxes, strict=True))
        return line

    def field(
        self,
        name: str,
        question_name: str,
        value: str,
        label: str,
        style: TextStyle,
        *,
        max_width: float | None = None,
        align: str = "left",
    ) -> None:
        """Registers an asked value; it is printed by ``document``, after everything else."""
        width = measure(value, style)
        if align == "right":
            style = replace(style, x=style.x - width)
        line = self._set(value, style, max_width, "left", name)
        self._values.append((name, question_name, value, label, style, line))

    def _set(self, text: str, style: TextStyle, max_width: float | None, align: str, name: str) -> Line:
        width = measure(text, style)
        if align != "left":
            style = replace(style, x=style.x - (width if align == "right" else width / 2))
        if max_width is not None and width > max_width + 1e-6:
            raise InputError(
                f"text {text!r} is {width:.1f} pixels wide and its box {max_width:.1f}",
                remedy="shorten it, widen the box or make the font smaller",
                field=name,
            )
        line = typeset(text, style)
        if line.boxes:
            x0, y0, x1, y1 = line.boxes[0][0], line.boxes[0][1], line.boxes[-1][2], line.boxes[-1][3]
            if x0 < -0.01 or y0 < -0.01 or x1 > self.width + 0.01 or y1 > self.height + 0.01:
                raise InputError(
                    f"text {text!r} leaves the page ({x0:.0f}, {y0:.0f}, {x1:.0f}, {y1:.0f})",
                    remedy="move it, shorten it or make the font smaller",
                    field=name,
                )
        return line

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

    def paste(self, picture: np.ndarray, x: int, y: int, opacity: float = 1.0) -> None:
        """A picture laid on the ground, uint8 [h, w, 3]."""
        region = self.image[y : y + picture.shape[0], x : x + picture.shape[1]]
        if opacity >= 1.0:
            region[...] = picture
        else:
            cv2.addWeighted(picture, opacity, region, 1 - opacity, 0.0, dst=region)

    def document(
        self,
        *,
        document_type: str,
        template: str,
        identity: dict[str, str],
        drawing: dict[str, str],
        cut: tuple[int, int, int, int] | None = None,
    ) -> Document:
        """Prints the asked values and closes the page; ``cut`` leaves only that part (x0, y0, x1, y1) of it."""
        x0, y0, x1, y1 = cut or (0, 0, self.width, self.height)
        image = np.ascontiguousarray(self.image[y0:y1, x0:x1])
        ground = image.copy()
        text = [PrintedChar(printed.char, _moved(printed.box, x0, y0)) for printed in self.text]
        fields = {}
        for name, question_name, value, label, style, line in self._values:
            there = style.at(style.x - x0, style.baseline - y0)
            line = typeset(value, there) if cut else line
            ink(image, line, style.colour, opaque=style.opaque)
            text.extend(PrintedChar(char, box) for char, box in zip(value, line.boxes, strict=True))
            fields[name] = PrintedField(name, question_name, value, line.boxes, label, there)
        return Document(image, fields, tuple(text), document_type, template, identity, ground, drawing)


def _moved(box: Box, x: int, y: int) -> Box:
    return (box[0] - x, box[1] - y, box[2] - x, box[3] - y)
