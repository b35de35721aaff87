"""Sets each element of a template on a page: type in its face and size, labelled fields, tables, rolls, zones, pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from degradations.documents import decor, elements, portraits
from degradations.documents.backgrounds import Palette
from degradations.documents.elements import Type
from degradations.documents.model import Colour, TextStyle
from degradations.documents.page import Misfit, Page
from degradations.documents.rows import Cell, lay_cells
from degradations.documents.subjects.identities import Sitter, zone
from degradations.documents.subjects.said import Said, dumb
from degradations.documents.subjects.subject import Fact, Subject
from degradations.documents.subjects.values import pick
from degradations.documents.template import Layout, Look, Template
from degradations.documents.typeset import measure

POINT = 25.4 / 72  # millimetres
SAMPLES = {
    "sex": "M", "nationality": "GBR", "date_of_birth": "00.00.0000", "expiry_date": "00.00.0000", "document_number": "AA0000000",
    "surname": "", "given_names": "",
}  # fmt: skip
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

    def draw_all(self) -> None:
        for element in self.layout.elements:
            if element.chance < 1 and self.rng.random() >= element.chance:
                continue
            self.last = getattr(self, f"_{element.draw}")(element)
            self.bottom = max(self.bottom, self.last * self.d)
            if element.name:
                self.marks[element.name] = self.last

    # --- places, colours, type -------------------------------------------------------------------------------------

    def _y(self, value: float | int | str) -> float:
        if not isinstance(value, str):
            return float(value)
        name, _, add = value.partition("+")
        if name and name not in self.marks:
            raise Misfit(f"nothing ends at {name!r}", field=name, remedy="let an earlier element carry `as`")
        return (self.marks[name] if name else self.last) + float(add)

    def _box(self, place: elements.Place, fixed: bool) -> tuple[float, float, float, float]:
        """(x, y, width, height) in the layout's unit, mirrored where the arrangement is."""
        x, y, w, h = float(place[0]), self._y(place[1]), float(place[2]), float(place[3])
        if self.look.arrangement.mirrored and not fixed:
            x = self._wide - x - w
        return x, y, w, h

    @property
    def _wide(self) -> float:
        return self.page.width / self.d

    def _rect(self, place: elements.Place, fixed: bool) -> tuple[int, int, int, int]:
        """(x0, y0, x1, y1) in pixels."""
        x, y, w, h = self._box(place, fixed)
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

    def _em(self, style: TextStyle) -> float:
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

    # --- plain things ----------------------------------------------------------------------------------------------

    def _band(self, element: elements.Band) -> float:
        box = self._rect(element.box, element.fixed)
        self.page.band(box, self.colour(element.colour), element.opacity)
        return box[3] / self.d

    def _rule(self, element: elements.Rule) -> float:
        x, y = float(element.at[0]), self._y(element.at[1])
        thick = max(1, round(element.thickness * self.d))
        if element.down:
            x0 = round(x * self.d)
            self.page.band(
                (x0, y * self.d, x0 + thick, (y + element.length) * self.d), self.colour(element.colour), 0.8
            )
            return y + element.length
        self.page.rule(x * self.d, y * self.d, (x + element.length) * self.d, self.colour(element.colour), thick)
        return y

    def _frame(self, element: elements.Frame) -> float:
        x0, y0, x1, y1 = self._rect(element.box, element.fixed)
        thick, colour = max(1, round(element.thickness * self.d)), self.colour(element.colour)
        for box in (
            (x0, y0, x1, y0 + thick),
            (x0, y1 - thick, x1, y1),
            (x0, y0, x0 + thick, y1),
            (x1 - thick, y0, x1, y1),
        ):
            self.page.band(box, colour, 0.8)
        return y1 / self.d

    def _text(self, element: elements.Text) -> float:
        style = self.style(element.type, "small")
        x, y = float(element.at[0]), self._y(element.at[1])
        if (
            self.look.arrangement.mirrored
            and not element.fixed
            and element.room is not None
            and element.align == "left"
        ):
            x = self._wide - x - element.room
        pitch = (element.leading or 1.28) * self._em(style)
        for text in [element.text] if isinstance(element.text, str) else element.text:
            said = self.say(text)
            if not said.text.strip():
                continue
            if element.down:
                for index, char in enumerate(said.text):
                    self.page.write(char, style.at(x * self.d, (y + index * pitch) * self.d), align="center")
                y += pitch * len(said.text)
                continue
            fit = style
            if element.room is not None:
                fit = self.fitted(said, style, element.room * self.d, element.squeeze, text)
            self.page.write(
                said, fit.at(x * self.d, y * self.d), align="center" if element.align == "centre" else element.align
            )
            y += pitch
        return y - pitch + 0.25 * self._em(style)

    # --- fields ----------------------------------------------------------------------------------------------------

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

    def _field(self, element: elements.Put) -> float:
        style, small = self.style(element.type, "value"), self.style(element.label_type, "label")
        said = self.value(element.field)
        label = element.label_text if element.label_text is not None else self.label(element.field)
        label = self.say(label).text if "{" in label else label
        x, y = float(element.at[0]) * self.d, self._y(element.at[1]) * self.d
        if self.look.arrangement.mirrored and not element.fixed and element.room is not None:
            x = self.page.width - x - element.room * self.d
        room = element.room * self.d if element.room is not None else None
        align = "center" if element.align == "centre" else element.align
        gap = element.gap * self.d
        shown = ""
        if element.label_at is not None and label:
            there = small.at(float(element.label_at[0]) * self.d, self._y(element.label_at[1]) * self.d)
            self.page.write(label, there)
            shown = label
        elif element.label == "above" and label:
            self.page.write(label, small.at(x, y + 0.74 * small.size), align=align)
            y += small.size + 0.9 * style.size + 0.25 * gap
            shown = label
        elif element.label == "left" and label:
            line = self.page.write(label, small.at(x, y))
            used = line.boxes[-1][2] - x + gap
            x, room = x + used, None if room is None else room - used
            shown = label
        elif element.label == "below" and label:
            self.page.write(label, small.at(x, y + small.size + 0.5 * gap), align=align)
            shown = label
        before, after = self.say(element.before), self.say(element.after)
        around = measure(before.text, style) + measure(after.text, style)
        if room is not None:
            style = self.fitted(said, style, room - around, element.squeeze, element.field)
        width = measure(said.text, style)
        left = x - width - measure(after.text, style) if align == "right" else x + measure(before.text, style)
        if align == "center":
            left = x - width / 2
        if before.text:
            self.page.write(before, style.at(left, y), align="right")
        self.put(element.field, shown, said, style.at(left, y))
        if after.text:
            self.page.write(after, style.at(left + width, y))
        return y / self.d + (
            0.25 * self._em(style) if element.label != "below" else self._em(small) * 1.25 + 0.5 * element.gap
        )

    def _rows(self, element: elements.Rows) -> float:
        given = element.rows if element.rows is not None else self.look.arrangement.rows
        rows = [row for row in ([name for name in row if name not in element.without] for row in given) if row]
        small = self.style(element.label_type, "label")
        style = self.style(element.type, "value")
        x, y, w, h = self._box([*element.box[:3], element.box[3] if len(element.box) > 3 else 0], element.fixed)
        labels = {name: self.label(name) for row in rows for name in row}
        if element.flush:
            return self._flush(element, rows, labels, style, small, x, y, w)
        h = element.pitch * len(rows) if element.pitch is not None else h
        area = (x * self.d, y * self.d, (x + w) * self.d, (y + h) * self.d)
        mode = element.labels or self.look.arrangement.labels
        label_widths = {name: measure(label, small) if label else 0.0 for name, label in labels.items()}
        cells: dict[str, Cell] = {}
        for size in np.linspace(style.size, style.size * element.squeeze, 8):
            style = replace(style, size=round(float(size), 2))
            widths = {name: measure(self._sample(name), style) for row in rows for name in row}
            cells = lay_cells(area, rows, mode, label_widths, widths, style.size, small.size, element.gap * self.d)
            if all(widths[name] <= cell.max_width for name, cell in cells.items()):
                break
        for row in rows:
            for name in row:
                cell, said = cells[name], self.value(name)
                if labels[name]:
                    self.page.write(labels[name], small.at(cell.label_x, cell.label_baseline))
                asked = self.template.fields[name].ask is not None
                squeeze = (1.0 if self.layout.unit == "px" else 0.82) if asked else 0.5
                fit = self.fitted(said, style, cell.max_width, squeeze, name)
                self.put(name, labels[name], said, fit.at(cell.value_x, cell.value_baseline))
        return y + h

    def _sample(self, name: str) -> str:
        sample = self.template.fields[name].sample
        return sample if sample is not None else SAMPLES.get(name, "AAAAAA")

    def _flush(
        self, element: elements.Rows, rows: list[list[str]], labels: dict[str, str], style: TextStyle, small: TextStyle,
        x: float, y: float, w: float,
    ) -> float:  # fmt: skip
        """Labels at the left edge and values at the right one."""
        pitch = element.pitch or 1.5 * self._em(style)
        after = self.say(element.after)
        for row in rows:
            for name in row:
                y += pitch
                baseline, said = (y - 0.28 * pitch) * self.d, self.value(name)
                used = 0.0
                if labels[name]:
                    line = self.page.write(labels[name], small.at(x * self.d, baseline))
                    used = line.boxes[-1][2] - x * self.d + element.gap * self.d
                behind = measure(after.text, style) if after.text else 0.0
                fit = self.fitted(
                    said, style, w * self.d - used - behind, 0.82 if self.layout.unit == "mm" else 1.0, name
                )
                right = (x + w) * self.d - behind
                self.put(name, labels[name], said, fit.at(right - measure(said.text, fit), baseline))
                if after.text:
                    self.page.write(after, style.at(right, baseline))
        return y

    def _zone(self, element: elements.Zone) -> float:
        x, y, w, h = self._box(element.box, element.fixed)
        lines = zone(self.subject, element.kind, element.code)
        role = "ocr_b" if self.layout.unit == "mm" else "mono"
        style = self.style(Type(face=role, size=element.size or 10.0), role)  # type: ignore[arg-type]
        wide, characters = w * self.d, len(lines[0].text)
        if element.size is None:
            style = replace(style, size=round(10.0 * wide / measure("0" * characters, replace(style, size=10.0)), 2))
            pitch = h * self.d / len(lines)
            style = replace(style, size=min(style.size, round(pitch * 0.92, 2)))
        spread = (wide - measure("0" * characters, style)) / characters
        style = replace(style, tracking=round(max(0.0, spread), 2))
        for index, said in enumerate(lines):
            baseline = (y + h * (index + 0.68) / len(lines)) * self.d
            at = style.at(x * self.d, baseline)
            if element.lines:
                name = element.lines[index]
                ask = self.template.fields[name].ask
                assert ask is not None
                self.page.field(name, ask, said, "", at)
            else:
                self.page.write(said, at)
        return y + h

    # --- bills -----------------------------------------------------------------------------------------------------

    def _table(self, element: elements.Table) -> float:
        items = self.subject.tables["items"]
        style, head = self.style(element.type, "small"), self.style(element.head_type, "label")
        x0, y = float(element.at[0]), self._y(element.at[1])
        edges = [x0, *(x0 + column.to * element.width for column in element.columns)]
        accent, line = self.colour("accent"), self.colour("line")
        thick, x1 = max(1, round(0.2 * self.d)), x0 + element.width
        top, pitch = y, element.pitch
        if any(column.head for column in element.columns):
            if element.head_fill:
                self.page.band((x0 * self.d, y * self.d, x1 * self.d, (y + pitch) * self.d), accent, 0.92)
                head = replace(head, colour=COLOURS["white"], opaque=True)
            self._cells(element, [self.say(column.head) for column in element.columns], head, edges, y, pitch)
            y += pitch
            if element.rules in ("lines", "grid", "ends") and not element.head_fill:
                self.page.rule(x0 * self.d, y * self.d, x1 * self.d, accent, thick)
        for index, item in enumerate(items):
            if element.rules == "bands" and index % 2:
                depth = pitch * (1.7 if element.second else 1.0)
                self.page.band((x0 * self.d, y * self.d, x1 * self.d, (y + depth) * self.d), line, 0.3)
            self._cells(element, [self.say(column.says, item) for column in element.columns], style, edges, y, pitch)
            if element.second:
                second = replace(style, size=round(style.size * 0.85, 2), colour=self.colour("label"))
                said = self.say(element.second, item)
                self.page.write(said, second.at(edges[0] * self.d + 0.8 * self.d, (y + 1.3 * pitch) * self.d))
                y += 0.7 * pitch
            y += pitch
            if element.rules in ("lines", "grid") and (element.rules == "grid" or index + 1 == len(items)):
                self.page.rule(x0 * self.d, y * self.d, x1 * self.d, accent if element.rules == "grid" else line, thick)
        y = max(y, top + element.least)
        if element.rules in ("grid", "ends"):
            self.page.rule(x0 * self.d, y * self.d, x1 * self.d, accent, thick)
            if element.rules == "grid":
                self.page.rule(x0 * self.d, top * self.d, x1 * self.d, accent, thick)
                for edge in (*edges[:-1], x1):
                    self.page.band((edge * self.d, top * self.d, edge * self.d + thick, y * self.d), accent, 0.8)
        return y

    def _cells(
        self, element: elements.Table, cells: list[Said], style: TextStyle, edges: list[float], y: float, pitch: float
    ) -> None:
        inset = (
            (0.8 if self.layout.unit == "mm" else 1.0)
            if element.rules in ("grid", "bands") or element.head_fill
            else 0.0
        )
        baseline = (y + pitch * 0.5) * self.d + style.size * 0.35
        for column, said, left, right in zip(element.columns, cells, edges, edges[1:], strict=False):
            if not said.text:
                continue
            fit = self.fitted(said, style, (right - left - inset) * self.d, 0.6, column.says)
            x = {"left": left + inset, "right": right - inset, "centre": (left + right) / 2}[column.align]
            self.page.write(
                said, fit.at(x * self.d, baseline), align="center" if column.align == "centre" else column.align
            )

    def _roll(self, element: elements.Roll) -> float:
        x0, y = float(element.at[0]) * self.d, self._y(element.at[1]) * self.d
        x1 = x0 + element.width * self.d
        base = self.style(element.type, "value")
        for line in element.lines:
            if line.chance < 1 and self.rng.random() >= line.chance:
                continue
            rows: list[Mapping[str, Fact] | None] = [None]
            if line.repeat is not None:
                rows = list(self.subject.tables[line.repeat])
            for row in rows:
                if line.only and row is not None and (self.say("{quantity}", row).text == "1") == (line.only == "many"):
                    continue
                y += element.pitch * self.d * (0.42 + 0.58 * line.size) + line.gap * self.d
                self._roll_line(line, row, base, x0, x1, y, element)
        return (y + 0.25 * base.size) / self.d

    def _roll_line(
        self, line: elements.Line, row: Mapping[str, Fact] | None, base: TextStyle, x0: float, x1: float, y: float,
        element: elements.Roll,
    ) -> None:  # fmt: skip
        style = replace(base, size=round(base.size * line.size, 2), weight=700 if line.bold else base.weight)
        if line.fill:
            count = int((x1 - x0) / measure(line.fill, style))
            self.page.write(line.fill * count, style.at(x0, y))
            return
        label = self.say(line.left, row) if line.left else dumb("")
        if line.field is not None:
            label = dumb(self.say(line.label).text if line.label is not None else self.label(line.field))
            value = self.value(line.field)
            at = x0
            if label.text:
                at = self.page.write(label, style.at(x0, y), max_width=x1 - x0).boxes[-1][2] + 0.6 * style.size
            fit = self.fitted(value, style, x1 - at - measure(line.after, style), 0.8, line.field)
            after = measure(line.after, style) if line.after else 0.0
            left = at if line.inline else x1 - measure(value.text, fit) - after
            self.put(line.field, label.text, value, fit.at(left, y))
            if line.after:
                self.page.write(line.after, fit.at(left + measure(value.text, fit), y))
            return
        right = self.say(line.right, row) if line.right else dumb("")
        room = x1 - x0 - (measure(right.text, style) + 0.5 * style.size if right.text else 0)
        if label.text.strip():
            self.page.write(label, self.fitted(label, style, room, 0.55, line.left).at(x0, y))
        if right.text:
            self.page.write(right, style.at(x1, y), align="right")
        if line.centre:
            said = self.say(line.centre, row)
            if said.text.strip():
                fit = self.fitted(said, style, x1 - x0, 0.55, line.centre)
                self.page.write(said, fit.at((x0 + x1) / 2, y), align="center")

    # --- pictures --------------------------------------------------------------------------------------------------

    def _portrait(self, element: elements.Portrait) -> float:
        x0, y0, x1, y1 = self._rect(element.box, element.fixed)
        assert self.sitter is not None, "a bill has no holder"
        picture = portraits.portrait(x1 - x0, y1 - y0, self.sitter, element.tone)
        self.picture = picture
        region = self.page.image[y0:y1, x0:x1]
        if element.shape == "cut":
            mask = portraits.cut_out(x1 - x0, y1 - y0, self.sitter)
        else:
            mask = np.full(picture.shape[:2], 255, np.uint8)
            if element.shape == "oval":
                mask[...] = 0
                centre = ((x1 - x0) // 2, (y1 - y0) // 2)
                cv2.ellipse(mask, centre, centre, 0, 0, 360, 255, -1, cv2.LINE_AA)
        if element.shape == "rect" and element.opacity >= 1:
            region[...] = picture[: region.shape[0], : region.shape[1]]
        else:
            decor.stain(self.page.image, mask, x0, y0, picture.astype(np.float32), element.opacity)
        return y1 / self.d

    def _art(self, element: elements.Art) -> float:
        box = self._rect(element.box, element.fixed)
        decor.draw(
            element.kind, self.page.image, self.rng, box, self.colour(element.colour), element.opacity, self.picture,
            variant=self.subject.country.code,
        )  # fmt: skip
        return box[3] / self.d
