"""The same page with other values in some of its fields: same ground, faces, ink and places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from degradations.documents.model import Document
from degradations.documents.typeset import ink, measure, typeset
from kie_hvqa.errors import InputError

_ROOM = 0.75  # pixels by which a value may always be wider than the one it replaces
_WIDER = 0.25  # and em where nothing stands beside it


def room(document: Document, name: str) -> float:
    """Pixels by which another value of field ``name`` may be wider: half of what is free beside it, and at most a quarter em."""
    field = document.fields[name]
    top, right, bottom = field.boxes[0][1], field.boxes[-1][2], field.boxes[0][3]
    free = document.image.shape[1] - right
    for line in document.lines:
        for x0, y0, _, y1 in line.boxes:
            if x0 >= right and y0 < bottom and y1 > top:
                free = min(free, x0 - right)
    return max(_ROOM, min(_WIDER * field.style.size, 0.5 * free))


def reprinted(document: Document, values: Mapping[str, str]) -> Document:
    """``document`` with ``values`` (field name to text) printed where those fields' values were.

    A value starts where the old one did; it is a copy of nothing and nothing follows from it. Raises InputError for a field
    that is not there, a glyph that its face lacks, an empty text, and one that is wider than the old one by more than its
    ``room``: what stands beside it would have to move.
    """
    fields = dict(document.fields)
    for name, value in values.items():
        if name not in fields:
            raise InputError(f"there is no field {name!r} on this page", field=name, remedy=f"Use {', '.join(fields)}.")
        field = fields[name]
        over = measure(value, field.style) - measure(field.value, field.style)
        if not value.strip() or over > room(document, name):
            what = f"is {over:.1f} pixels wider than the box of {field.value!r}" if value.strip() else "is empty"
            raise InputError(f"text {value!r} {what}", field=name, remedy="use a text that fits")
        line = typeset(value, field.style)
        if value != field.value:
            fields[name] = replace(field, value=value, boxes=line.boxes, copies=(), derivations=())
    image = document.ground.copy()
    lines = list(document.lines)
    for number, line_ in enumerate(
        lines
    ):  # values were printed last and in the order of the fields (``Page.document``)
        if line_.field is not None:
            field = fields[line_.field]
            line = typeset(field.value, field.style)
            ink(image, line, field.style.colour, opaque=field.style.opaque)
            lines[number] = replace(line_, text=field.value, boxes=line.boxes)
    identity = {**document.identity, **{name: value for name, value in values.items() if name in document.identity}}
    return replace(document, image=image, fields=fields, lines=tuple(lines), identity=identity)
