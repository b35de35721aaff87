"""Clean documents: identity cards, passports, invoices and receipts, drawn with every character's place and meaning known.

``render(template, rng, split=…, scale=…)`` draws one. It is a pure function of the generator passed in: the same seed gives the
same bytes in any process. Templates are data (``templates/*/*.yaml``; ``docs/templates.md`` says how to write one): ``template.py``
reads them, ``renderer.py`` draws them, ``subjects/`` says what they say. ``scale="full"`` is an ID-1 card at 300 dpi (1013 x 638),
an A4 page at 150 dpi (1240 x 1754), a till's roll at 203 dpi; ``scale="tiny"`` is what the tiny reader can read, and only the
templates of ``templates("tiny")`` are drawn at it.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from degradations.documents.model import (
    Derivation,
    Document,
    PrintedChar,
    PrintedField,
    PrintedLine,
    Source,
    TextStyle,
)
from degradations.documents.template import Template, names, template

__all__ = [
    "Derivation", "Document", "PrintedChar", "PrintedField", "PrintedLine", "Source", "Template", "TextStyle", "names",
    "question_names", "render", "template", "templates",
]  # fmt: skip


def templates(scale: str) -> tuple[str, ...]:
    """The names of the shipped templates that can be drawn at ``scale``."""
    return tuple(name for name in names() if scale in template(name).layouts)


def render(
    name: str,
    rng: np.random.Generator,
    *,
    split: str = "train",
    scale: str = "tiny",
    values: str = "natural",
    rows: str = "issuer",
) -> Document:
    """Draws one document of the template of that ``name``, or of the file whose path it is.

    Raises InputError for an unknown template, split, scale, kind of values or order of rows.
    """
    from degradations.documents.renderer import (
        render_template,
    )  # faces, which nobody needs who only asks what templates say

    return render_template(template(name), rng, split=split, scale=scale, values=values, rows=rows, called=name)


@cache
def question_names(scale: str | None = None) -> dict[str, dict[str, str]]:
    """Template -> {concept: what a question calls it}, of the shipped templates drawn at ``scale`` (all, if None).

    A template's concepts are those that it prints at any scale.
    """
    return {name: dict(template(name).questions) for name in (names() if scale is None else templates(scale))}
