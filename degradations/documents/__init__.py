"""Clean documents: identity cards, passports and invoices, drawn with every character's place known.

``render(template, rng, split=…, scale=…)`` draws one. It is a pure function of the generator passed in: the same
seed gives the same bytes in any process. ``scale="full"`` is an ID-1 card at 300 dpi (1013 x 638), a passport page
(1476 x 1039), an A4 page at 150 dpi (1240 x 1754) or a till's roll at 203 dpi; ``scale="tiny"`` is what the tiny reader
can read, and only the templates of ``templates("tiny")`` are drawn at it.
"""

from __future__ import annotations

import difflib

import numpy as np

from degradations.documents import (
    chinese_id,
    eu_card,
    fapiao,
    invoices,
    licence,
    national_id,
    passport,
    receipt,
    residence,
)  # fmt: skip
from degradations.documents.looks import Template
from degradations.documents.model import Document, PrintedChar, PrintedField, TextStyle
from degradations.documents.text_block import render_text_block
from kie_hvqa.errors import InputError

__all__ = [
    "TEMPLATES", "Document", "PrintedChar", "PrintedField", "Template", "TextStyle", "question_names", "render",
    "render_text_block", "templates",
]  # fmt: skip

TEMPLATES: dict[str, Template] = {
    template.name: template
    for template in (
        licence.TEMPLATE, eu_card.TEMPLATE, passport.TEMPLATE, residence.TEMPLATE, national_id.TEMPLATE, chinese_id.TEMPLATE,
        invoices.CLASSIC, invoices.MODERN, receipt.TEMPLATE, fapiao.TEMPLATE,
    )
}  # fmt: skip


def templates(scale: str) -> tuple[str, ...]:
    """The names of the templates that can be drawn at ``scale``."""
    return tuple(name for name, template in TEMPLATES.items() if scale in template.sizes)


def render(
    template: str, rng: np.random.Generator, *, split: str = "train", scale: str = "tiny", values: str = "natural"
) -> Document:
    """Draws one document. Raises InputError for an unknown template, split, scale or kind of values."""
    try:
        found = TEMPLATES[template]
    except KeyError:
        near = difflib.get_close_matches(template, TEMPLATES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(TEMPLATES)}"
        raise InputError(f"unknown template {template!r}", remedy=hint) from None
    return found.render(rng, split=split, scale=scale, values=values)


def question_names(scale: str | None = None) -> dict[str, dict[str, str]]:
    """Template -> {concept: what a question calls it}, of the templates drawn at ``scale`` (all, if None).

    A template's concepts are those that it prints at any scale.
    """
    names = TEMPLATES if scale is None else templates(scale)
    return {name: dict(TEMPLATES[name].questions) for name in names}
