"""Bands, rules, frames and text that nobody asks about."""

from __future__ import annotations

from degradations.documents import elements
from degradations.documents.setting.setter import Setter


def band(setter: Setter, element: elements.Band) -> float:
    box = setter.rect(element.box, element.fixed)
    setter.page.band(box, setter.colour(element.colour), element.opacity)
    return box[3] / setter.d


def rule(setter: Setter, element: elements.Rule) -> float:
    x, y = float(element.at[0]), setter.y(element.at[1])
    thick = max(1, round(element.thickness * setter.d))
    if element.down:
        x0 = round(x * setter.d)
        setter.page.band(
            (x0, y * setter.d, x0 + thick, (y + element.length) * setter.d), setter.colour(element.colour), 0.8
        )
        return y + element.length
    setter.page.rule(x * setter.d, y * setter.d, (x + element.length) * setter.d, setter.colour(element.colour), thick)
    return y


def frame(setter: Setter, element: elements.Frame) -> float:
    x0, y0, x1, y1 = setter.rect(element.box, element.fixed)
    thick, colour = max(1, round(element.thickness * setter.d)), setter.colour(element.colour)
    for box in (
        (x0, y0, x1, y0 + thick),
        (x0, y1 - thick, x1, y1),
        (x0, y0, x0 + thick, y1),
        (x1 - thick, y0, x1, y1),
    ):
        setter.page.band(box, colour, 0.8)
    return y1 / setter.d


def text(setter: Setter, element: elements.Text) -> float:
    style = setter.style(element.type, "small")
    x, y = float(element.at[0]), setter.y(element.at[1])
    if setter.look.arrangement.mirrored and not element.fixed and element.room is not None and element.align == "left":
        x = setter.wide - x - element.room
    pitch = (element.leading or 1.28) * setter.em(style)
    for text in [element.text] if isinstance(element.text, str) else element.text:
        said = setter.say(text)
        if not said.text.strip():
            continue
        if element.down:
            for index, char in enumerate(said.text):
                setter.page.write(char, style.at(x * setter.d, (y + index * pitch) * setter.d), align="center")
            y += pitch * len(said.text)
            continue
        fit = style
        if element.room is not None:
            fit = setter.fitted(said, style, element.room * setter.d, element.squeeze, text)
        setter.page.write(
            said, fit.at(x * setter.d, y * setter.d), align="center" if element.align == "centre" else element.align
        )
        y += pitch
    return y - pitch + 0.25 * setter.em(style)
