"""A wall of random text: what the vision tower is trained on before it ever sees a document.

Every line has its own face, size, colour and position below the pixel grid of the patches, so the tower learns
characters and not places.
"""

from __future__ import annotations

import string

import numpy as np

from degradations.documents.art.backgrounds import ground
from degradations.documents.art.palette import Palette
from degradations.documents.model import Document, TextStyle
from degradations.documents.page import Page
from degradations.documents.subjects.values import LETTERS as NUMBER_LETTERS
from degradations.documents.subjects.values import characters, jitter, pick
from degradations.documents.template import template
from degradations.documents.typeset import measure
from kie_hvqa.errors import InputError

LETTERS = string.ascii_uppercase
SIZES = {"tiny": (12.0, 12.5, 13.0), "full": (25.0, 30.0, 35.0)}
_TEMPLATES = ("us_licence", "eu_card", "passport", "invoice_classic", "invoice_modern")


def _word(rng: np.random.Generator) -> str:
    kind = rng.random()
    if kind < 0.45:
        return characters(rng, LETTERS, int(rng.integers(2, 11)))
    if kind < 0.75:
        return characters(rng, string.digits, int(rng.integers(2, 10)))
    if kind < 0.92:
        return characters(rng, NUMBER_LETTERS + string.digits + "-./,", int(rng.integers(3, 12)))
    return characters(rng, string.ascii_lowercase, int(rng.integers(2, 10))).capitalize()


def render_text_block(rng: np.random.Generator, *, size: tuple[int, int] = (224, 128), scale: str = "tiny") -> Document:
    """A page of ``size`` (width, height) pixels, filled with lines; it has no fields. Only seen looks are used."""
    if scale not in SIZES:
        raise InputError(f"unknown scale {scale!r}", remedy=f"use one of {', '.join(SIZES)}")
    width, height = size
    choices = template(pick(rng, _TEMPLATES)).looks["train"]
    palette_name = pick(rng, sorted(choices.palettes))
    palette = Palette.of(palette_name, choices.palettes[palette_name])
    page = Page(ground(pick(rng, choices.backgrounds), palette, width, height, int(rng.integers(6))).copy())
    y = float(rng.uniform(1, 5))
    while True:
        font_size = float(pick(rng, SIZES[scale])) if rng.random() < 0.8 else float(pick(rng, SIZES[scale])) - 2.0
        y += font_size * float(rng.uniform(0.95, 1.35))
        if y + font_size * 0.3 > height:
            break
        colour = jitter(rng, palette.ink if rng.random() < 0.7 else palette.label, 12)
        style = TextStyle(*pick(rng, choices.face_list()), font_size, colour)
        x = float(rng.uniform(1, 0.25 * width if rng.random() < 0.25 else 8))
        text = _word(rng)
        while x + measure(text, style) < width - 1:
            text = f"{text} {_word(rng)}"
        while text and x + measure(text, style) >= width - 1:
            text = text[:-1]
        page.write(text, style.at(x, y))
    return page.document(
        document_type="text_block", template="text_block", identity={}, drawing={"palette": palette.name}
    )
