"""Sets the elements of a template on a page: where each goes, and what is printed there.

``setter.py`` knows places, colours and type; each other file draws some kinds of element with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from degradations.documents.setting import bills, fields, pictures, plain
from degradations.documents.setting.setter import Setter

__all__ = ["Setter", "draw_all"]

# ``draw`` of an element -> what draws it; each returns where its element ends, in the layout's unit.
_DRAW: Mapping[str, Callable[[Setter, Any], float]] = {
    "band": plain.band,
    "rule": plain.rule,
    "frame": plain.frame,
    "text": plain.text,
    "field": fields.field,
    "rows": fields.rows,
    "zone": fields.zone,
    "table": bills.table,
    "roll": bills.roll,
    "portrait": pictures.portrait,
    "art": pictures.art,
}


def draw_all(setter: Setter) -> None:
    """Draws every element of the layout in its turn, those that stand there by chance if they are drawn."""
    for element in setter.layout.elements:
        if element.chance < 1 and setter.rng.random() >= element.chance:
            continue
        setter.last = _DRAW[element.draw](setter, element)
        setter.bottom = max(setter.bottom, setter.last * setter.d)
        if element.name:
            setter.marks[element.name] = setter.last
