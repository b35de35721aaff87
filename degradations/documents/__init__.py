"""Clean documents: identity cards, passports and invoices, drawn with every character's place known.

``render(template, rng, split=…, scale=…)`` draws one. It is a pure function of the generator passed in: the same
seed gives the same bytes in any process. ``scale="tiny"`` is what the tiny reader can read; ``scale="full"`` is an ID-1
card at 300 dpi (1013 x 638), a passport page (1476 x 1039) or an A4 page at 150 dpi (1240 x 1754).
"""

from __future__ import annotations

import difflib

import numpy as np

from degradations.documents import eu_card, invoices, licence, passport
from degradations.documents.looks import Template
from degradations.documents.model import Document, PrintedChar, PrintedField, TextStyle
from degradations.documents.text_block import render_text_block
from kie_hvqa.errors import InputError

__all__ = [
    "TEMPLATES", "Document", "PrintedChar", "PrintedField", "Template", "TextStyle", "question_names", "render",
    "render_text_block",
]  # fmt: skip

TEMPLATES: dict[str, Template] = {
    template.name: template
    for template in (licence.TEMPLATE, eu_card.TEMPLATE, passport.TEMPLATE, invoices.CLASSIC, invoices.MODERN)
}


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


def question_names() -> dict[str, dict[str, str]]:
    """Template -> {concept: what a question calls it}, for every concept that the template prints at any scale."""
    return {name: dict(template.questions) for name, template in TEMPLATES.items()}
