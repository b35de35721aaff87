"""Bills: a table of what was bought, and the roll of a till."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from degradations.documents import elements
from degradations.documents.model import TextStyle
from degradations.documents.setting.setter import COLOURS, Setter
from degradations.documents.subjects.said import Said, dumb
from degradations.documents.subjects.subject import Fact
from degradations.documents.typeset import measure


def table(setter: Setter, element: elements.Table) -> float:
    items = setter.subject.tables["items"]
    style, head = setter.style(element.type, "small"), setter.style(element.head_type, "label")
    x0, y = float(element.at[0]), setter.y(element.at[1])
    edges = [x0, *(x0 + column.to * element.width for column in element.columns)]
    accent, line = setter.colour("accent"), setter.colour("line")
    thick, x1 = max(1, round(0.2 * setter.d)), x0 + element.width
    top, pitch = y, element.pitch
    if any(column.head for column in element.columns):
        if element.head_fill:
            setter.page.band((x0 * setter.d, y * setter.d, x1 * setter.d, (y + pitch) * setter.d), accent, 0.92)
            head = replace(head, colour=COLOURS["white"], opaque=True)
        _cells(setter, element, [setter.say(column.head) for column in element.columns], head, edges, y, pitch)
        y += pitch
        if element.rules in ("lines", "grid", "ends") and not element.head_fill:
            setter.page.rule(x0 * setter.d, y * setter.d, x1 * setter.d, accent, thick)
    for index, item in enumerate(items):
        if element.rules == "bands" and index % 2:
            depth = pitch * (1.7 if element.second else 1.0)
            setter.page.band((x0 * setter.d, y * setter.d, x1 * setter.d, (y + depth) * setter.d), line, 0.3)
        _cells(setter, element, [setter.say(column.says, item) for column in element.columns], style, edges, y, pitch)
        if element.second:
            second = replace(style, size=round(style.size * 0.85, 2), colour=setter.colour("label"))
            said = setter.say(element.second, item)
            setter.page.write(said, second.at(edges[0] * setter.d + 0.8 * setter.d, (y + 1.3 * pitch) * setter.d))
            y += 0.7 * pitch
        y += pitch
        if element.rules in ("lines", "grid") and (element.rules == "grid" or index + 1 == len(items)):
            setter.page.rule(
                x0 * setter.d, y * setter.d, x1 * setter.d, accent if element.rules == "grid" else line, thick
            )
    y = max(y, top + element.least)
    if element.rules in ("grid", "ends"):
        setter.page.rule(x0 * setter.d, y * setter.d, x1 * setter.d, accent, thick)
        if element.rules == "grid":
            setter.page.rule(x0 * setter.d, top * setter.d, x1 * setter.d, accent, thick)
            for edge in (*edges[:-1], x1):
                setter.page.band((edge * setter.d, top * setter.d, edge * setter.d + thick, y * setter.d), accent, 0.8)
    return y


def _cells(
    setter: Setter,
    element: elements.Table,
    cells: list[Said],
    style: TextStyle,
    edges: list[float],
    y: float,
    pitch: float,
) -> None:
    inset = (
        (0.8 if setter.layout.unit == "mm" else 1.0) if element.rules in ("grid", "bands") or element.head_fill else 0.0
    )
    baseline = (y + pitch * 0.5) * setter.d + style.size * 0.35
    for column, said, left, right in zip(element.columns, cells, edges, edges[1:], strict=False):
        if not said.text:
            continue
        fit = setter.fitted(said, style, (right - left - inset) * setter.d, 0.6, column.says)
        x = {"left": left + inset, "right": right - inset, "centre": (left + right) / 2}[column.align]
        setter.page.write(
            said, fit.at(x * setter.d, baseline), align="center" if column.align == "centre" else column.align
        )


def roll(setter: Setter, element: elements.Roll) -> float:
    x0, y = float(element.at[0]) * setter.d, setter.y(element.at[1]) * setter.d
    x1 = x0 + element.width * setter.d
    base = setter.style(element.type, "value")
    for line in element.lines:
        if line.chance < 1 and setter.rng.random() >= line.chance:
            continue
        rows: list[Mapping[str, Fact] | None] = [None]
        if line.repeat is not None:
            rows = list(setter.subject.tables[line.repeat])
        for row in rows:
            if line.only and row is not None and (setter.say("{quantity}", row).text == "1") == (line.only == "many"):
                continue
            y += element.pitch * setter.d * (0.42 + 0.58 * line.size) + line.gap * setter.d
            _roll_line(setter, line, row, base, x0, x1, y, element)
    return (y + 0.25 * base.size) / setter.d


def _roll_line(setter: Setter, line: elements.Line, row: Mapping[str, Fact] | None, base: TextStyle, x0: float, x1: float, y: float,
    element: elements.Roll,
) -> None:  # fmt: skip
    style = replace(base, size=round(base.size * line.size, 2), weight=700 if line.bold else base.weight)
    if line.fill:
        count = int((x1 - x0) / measure(line.fill, style))
        setter.page.write(line.fill * count, style.at(x0, y))
        return
    label = setter.say(line.left, row) if line.left else dumb("")
    if line.field is not None:
        label = dumb(setter.say(line.label).text if line.label is not None else setter.label(line.field))
        value = setter.value(line.field)
        at = x0
        if label.text:
            at = setter.page.write(label, style.at(x0, y), max_width=x1 - x0).boxes[-1][2] + 0.6 * style.size
        fit = setter.fitted(value, style, x1 - at - measure(line.after, style), 0.8, line.field)
        after = measure(line.after, style) if line.after else 0.0
        left = at if line.inline else x1 - measure(value.text, fit) - after
        setter.put(line.field, label.text, value, fit.at(left, y))
        if line.after:
            setter.page.write(line.after, fit.at(left + measure(value.text, fit), y))
        return
    right = setter.say(line.right, row) if line.right else dumb("")
    room = x1 - x0 - (measure(right.text, style) + 0.5 * style.size if right.text else 0)
    if label.text.strip():
        setter.page.write(label, setter.fitted(label, style, room, 0.55, line.left).at(x0, y))
    if right.text:
        setter.page.write(right, style.at(x1, y), align="right")
    if line.centre:
        said = setter.say(line.centre, row)
        if said.text.strip():
            fit = setter.fitted(said, style, x1 - x0, 0.55, line.centre)
            setter.page.write(said, fit.at((x0 + x1) / 2, y), align="center")
