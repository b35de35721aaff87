"""Fields with their labels: alone, in rows, and the machine readable zone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from degradations.documents import elements
from degradations.documents.elements import Type
from degradations.documents.model import TextStyle
from degradations.documents.setting.rows import Cell, lay_cells
from degradations.documents.setting.setter import Setter
from degradations.documents.subjects import identities
from degradations.documents.typeset import measure

SAMPLES = {
    "sex": "M", "nationality": "GBR", "date_of_birth": "00.00.0000", "expiry_date": "00.00.0000", "document_number": "AA0000000",
    "surname": "", "given_names": "",
}  # fmt: skip


def field(setter: Setter, element: elements.Put) -> float:
    style, small = setter.style(element.type, "value"), setter.style(element.label_type, "label")
    said = setter.value(element.field)
    label = element.label_text if element.label_text is not None else setter.label(element.field)
    label = setter.say(label).text if "{" in label else label
    x, y = float(element.at[0]) * setter.d, setter.y(element.at[1]) * setter.d
    if setter.look.arrangement.mirrored and not element.fixed and element.room is not None:
        x = setter.page.width - x - element.room * setter.d
    room = element.room * setter.d if element.room is not None else None
    align = "center" if element.align == "centre" else element.align
    gap = element.gap * setter.d
    shown = ""
    if element.label_at is not None and label:
        there = small.at(float(element.label_at[0]) * setter.d, setter.y(element.label_at[1]) * setter.d)
        setter.page.write(label, there)
        shown = label
    elif element.label == "above" and label:
        setter.page.write(label, small.at(x, y + 0.74 * small.size), align=align)
        y += small.size + 0.9 * style.size + 0.25 * gap
        shown = label
    elif element.label == "left" and label:
        line = setter.page.write(label, small.at(x, y))
        used = line.boxes[-1][2] - x + gap
        x, room = x + used, None if room is None else room - used
        shown = label
    elif element.label == "below" and label:
        setter.page.write(label, small.at(x, y + small.size + 0.5 * gap), align=align)
        shown = label
    before, after = setter.say(element.before), setter.say(element.after)
    around = measure(before.text, style) + measure(after.text, style)
    if room is not None:
        style = setter.fitted(said, style, room - around, element.squeeze, element.field)
    width = measure(said.text, style)
    left = x - width - measure(after.text, style) if align == "right" else x + measure(before.text, style)
    if align == "center":
        left = x - width / 2
    if before.text:
        setter.page.write(before, style.at(left, y), align="right")
    setter.put(element.field, shown, said, style.at(left, y))
    if after.text:
        setter.page.write(after, style.at(left + width, y))
    return y / setter.d + (
        0.25 * setter.em(style) if element.label != "below" else setter.em(small) * 1.25 + 0.5 * element.gap
    )


def rows(setter: Setter, element: elements.Rows) -> float:
    given = element.rows if element.rows is not None else setter.look.arrangement.rows
    rows = [row for row in ([name for name in row if name not in element.without] for row in given) if row]
    small = setter.style(element.label_type, "label")
    style = setter.style(element.type, "value")
    x, y, w, h = setter.box([*element.box[:3], element.box[3] if len(element.box) > 3 else 0], element.fixed)
    labels = {name: setter.label(name) for row in rows for name in row}
    if element.flush:
        return _flush(setter, element, rows, labels, style, small, x, y, w)
    h = element.pitch * len(rows) if element.pitch is not None else h
    area = (x * setter.d, y * setter.d, (x + w) * setter.d, (y + h) * setter.d)
    mode = element.labels or setter.look.arrangement.labels
    label_widths = {name: measure(label, small) if label else 0.0 for name, label in labels.items()}
    cells: dict[str, Cell] = {}
    for size in np.linspace(style.size, style.size * element.squeeze, 8):
        style = replace(style, size=round(float(size), 2))
        widths = {name: measure(_sample(setter, name), style) for row in rows for name in row}
        cells = lay_cells(area, rows, mode, label_widths, widths, style.size, small.size, element.gap * setter.d)
        if all(widths[name] <= cell.max_width for name, cell in cells.items()):
            break
    for row in rows:
        for name in row:
            cell, said = cells[name], setter.value(name)
            if labels[name]:
                setter.page.write(labels[name], small.at(cell.label_x, cell.label_baseline))
            asked = setter.template.fields[name].ask is not None
            squeeze = (1.0 if setter.layout.unit == "px" else 0.82) if asked else 0.5
            fit = setter.fitted(said, style, cell.max_width, squeeze, name)
            setter.put(name, labels[name], said, fit.at(cell.value_x, cell.value_baseline))
    return y + h


def _sample(setter: Setter, name: str) -> str:
    sample = setter.template.fields[name].sample
    return sample if sample is not None else SAMPLES.get(name, "AAAAAA")


def _flush(setter: Setter, element: elements.Rows, rows: list[list[str]], labels: dict[str, str], style: TextStyle, small: TextStyle,
    x: float, y: float, w: float,
) -> float:  # fmt: skip
    """Labels at the left edge and values at the right one."""
    pitch = element.pitch or 1.5 * setter.em(style)
    after = setter.say(element.after)
    for row in rows:
        for name in row:
            y += pitch
            baseline, said = (y - 0.28 * pitch) * setter.d, setter.value(name)
            used = 0.0
            if labels[name]:
                line = setter.page.write(labels[name], small.at(x * setter.d, baseline))
                used = line.boxes[-1][2] - x * setter.d + element.gap * setter.d
            behind = measure(after.text, style) if after.text else 0.0
            fit = setter.fitted(
                said, style, w * setter.d - used - behind, 0.82 if setter.layout.unit == "mm" else 1.0, name
            )
            right = (x + w) * setter.d - behind
            setter.put(name, labels[name], said, fit.at(right - measure(said.text, fit), baseline))
            if after.text:
                setter.page.write(after, style.at(right, baseline))
    return y


def zone(setter: Setter, element: elements.Zone) -> float:
    x, y, w, h = setter.box(element.box, element.fixed)
    lines = identities.zone(setter.subject, element.kind, element.code)
    role = "ocr_b" if setter.layout.unit == "mm" else "mono"
    style = setter.style(Type(face=role, size=element.size or 10.0), role)  # type: ignore[arg-type]
    wide, characters = w * setter.d, len(lines[0].text)
    if element.size is None:
        style = replace(style, size=round(10.0 * wide / measure("0" * characters, replace(style, size=10.0)), 2))
        pitch = h * setter.d / len(lines)
        style = replace(style, size=min(style.size, round(pitch * 0.92, 2)))
    spread = (wide - measure("0" * characters, style)) / characters
    style = replace(style, tracking=round(max(0.0, spread), 2))
    for index, said in enumerate(lines):
        baseline = (y + h * (index + 0.68) / len(lines)) * setter.d
        at = style.at(x * setter.d, baseline)
        if element.lines:
            name = element.lines[index]
            ask = setter.template.fields[name].ask
            assert ask is not None
            setter.page.field(name, ask, said, "", at)
        else:
            setter.page.write(said, at)
    return y + h
