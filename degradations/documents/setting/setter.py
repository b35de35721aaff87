"""Where things go on a page and how they look there: places, colours, type, and a field's label and value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from degradations.documents import elements
from degradations.documents.art.palette import Palette
from degradations.documents.elements import Type
from degradations.documents.model import Colour, TextStyle
from degradations.documents.page import Misfit, Page
from degradations.documents.subjects.identities import Sitter
from degradations.documents.subjects.said import Said
from degradations.documents.subjects.subject import Fact, Subject
from degradations.documents.subjects.values import pick
from degradations.documents.template import Layout, Look, Template
from degradations.documents.typeset import measure

POINT = 25.4 / 72  # millimetres
FIXED_FACES = {"title": ("Roboto Condensed", 700), "ocr_b": ("OCR-B", 400), "serif": ("PT Serif", 400)}
COLOURS: dict[str, Colour] = {
    "white": (250, 250, 250), "black": (18, 18, 20), "red": (176, 28, 34), "blue": (30, 58, 140), "grey": (110, 112, 116),
}  # fmt: skip


class Setter:
    """``bottom`` is where print or decoration ends so far (pixels); ``held`` says that the document is of the test."""

    def __init__(
        self,
        page: Page,
        template: Template,
        layout: Layout,
        look: Look,
        subject: Subject,
        sitter: Sitter | None,
        rng: np.random.Generator,
        held: bool,
    ) -> None:
        self.page, self.template, self.layout, self.look = page, template, layout, look
        self.subject, self.sitter, self.rng, self.held = subject, sitter, rng, held
        self.d = layout.density
        self.last = 0.0  # in the layout's unit
        self.marks: dict[str, float] = {}
        self.bottom = 0.0
        self.shift = {name: rng.integers(-8, 9, 3) for name in ("ink", "label")}
        self.sizes: dict[str, float] = {}
        self.picture: np.ndarray | None = None

    def y(self, value: float | int | str) -> float:
        if not isinstance(value, str):
            return float(value)
        name, _, add = value.partition("+")
        if name and name not in self.marks:
            raise Misfit(f"nothing ends at {name!r}", field=name, remedy="let an earlier element carry `as`")
        return (self.marks[name] if name else self.last) + float(add)

    def box(self, place: elements.Place, fixed: bool) -> tuple[float, float, float, float]:
        """(x, y, width, height) in the layout's unit, mirrored where the arrangement is."""
        x, y, w, h = float(place[0]), self.y(place[1]), float(place[2]), float(place[3])
        if self.look.arrangement.mirrored and not fixed:
            x = self.wide - x - w
        return x, y, w, h

    @property
    def wide(self) -> float:
        return self.page.width / self.d

    def rect(self, place: elements.Place, fixed: bool) -> tuple[int, int, int, int]:
        """(x0, y0, x1, y1) in pixels."""
        x, y, w, h = self.box(place, fixed)
        return round(x * self.d), round(y * self.d), round((x + w) * self.d), round((y + h) * self.d)

    def colour(self, name: str) -> Colour:
        if name.startswith("#"):
            return (int(name[1:3], 16), int(name[3:5], 16), int(name[5:7], 16))
        if name in COLOURS:
            return COLOURS[name]
        palette: Palette = self.look.palette
        found: Colour = getattr(palette, name)
        if name in self.shift:
            found = tuple(min(max(c + int(s), 0), 255) for c, s in zip(found, self.shift[name], strict=True))  # type: ignore[assignment]
        return found

    def style(self, given: Type, role: str) -> TextStyle:
        """The style of ``given``, the rest of it from what the layout says of its role."""
        face = given.face if given.face is not None else role
        role = face if isinstance(face, str) else role
        base = self.layout.types.get(role) or self.layout.types.get("value") or Type()  # type: ignore[call-overload]
        size = given.size if given.size is not None else base.size
        if size is None:
            raise Misfit(f"no size is given for {role}", field="types", remedy=f"say `types: {{{role}: {{size: …}}}}`")
        if isinstance(size, list):
            key = repr((role, size))
            if key not in self.sizes:
                self.sizes[key] = float(pick(self.rng, size))
            size = self.sizes[key]
        family, weight = self._face(base.face if isinstance(face, str) and base.face is not None else face)
        bold = given.bold if given.bold is not None else base.bold
        colour = (
            given.colour
            or base.colour
            or {"value": "ink", "title": "accent", "mono": "ink", "ocr_b": "ink"}.get(role, "label")
        )
        opaque = given.opaque if given.opaque is not None else colour in ("white",)
        em = size * (POINT * self.d if self.layout.unit == "mm" else 1.0)
        return TextStyle(
            family, 700 if bold else weight, round(em, 2), self.colour(colour),
            tracking=round(given.tracking * self.d, 2), opaque=opaque,
        )  # fmt: skip

    def _face(self, face: Any) -> tuple[str, int]:
        if not isinstance(face, str):
            return str(face[0]), int(face[1])
        if face == "value":
            return self.look.value_face
        if face in ("label",):
            return self.look.label_face
        if face == "small":
            return self.look.label_face[0], 400
        if face == "mono":
            return ("IBM Plex Mono", 500) if self.held else ("Roboto Mono", 500)
        return FIXED_FACES[face]

    def em(self, style: TextStyle) -> float:
        return style.size / self.d

    def fitted(self, said: Said, style: TextStyle, room: float, squeeze: float, name: str) -> TextStyle:
        """``style``, made smaller until the text fits ``room`` pixels; Misfit where ``squeeze`` of the size is too large."""
        width = measure(said.text, style)
        if width <= room:
            return style
        if width * squeeze > room:
            raise Misfit(
                f"text {said.text!r} is {width:.0f} pixels wide and its box {room:.0f}",
                remedy="shorten it, widen the box or make the font smaller",
                field=name,
            )
        return replace(style, size=round(style.size * 0.995 * room / width, 2))

    def say(self, text: str, row: Mapping[str, Fact] | None = None) -> Said:
        return self.subject.say(text, row)

    def label(self, name: str) -> str:
        return self.subject.words.get(name, "")

    def value(self, name: str) -> Said:
        return self.say(self.template.fields[name].says)

    def put(self, name: str, label: str, said: Said, style: TextStyle, align: str = "left") -> None:
        """Prints a field's value: at the end and as what is asked about, or now where nobody asks."""
        ask = self.template.fields[name].ask
        if not said.text.strip():
            return
        if ask is None:
            self.page.write(said, style, align=align)
        else:
            self.page.field(name, ask, said, label, style, align=align)
