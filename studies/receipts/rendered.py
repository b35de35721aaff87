"""Rendered receipts as if somebody had scanned and annotated them: what the simulator can teach about lines of real ones.

A page is a receipt of the simulator's own templates in any of the plan's faces, or a strip of random text: words, numbers, prices
and codes that no reader can guess. It goes through a capture, is stretched as roll printers stretch, and reduced to the size that
print has on the scans. Then it is one more annotated page, so the same code damages it, judges it and cuts its lines out.
Values are written in capitals whatever is printed, because that is how the annotators of the real ones write.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from degradations.asked.question import Question
from degradations.capture.draw import draw_capture
from degradations.chance import generator
from degradations.degrade import AnnotatedPage
from degradations.documents import Document, names, template
from degradations.documents.model import PrintedLine, TextStyle
from degradations.documents.page import Page
from degradations.documents.renderer import render_template
from degradations.documents.typeset import measure
from degradations.operators import Rng
from degradations.recipe import Recipe, pick
from kie_hvqa.data.ledger import Box
from studies.receipts.config import LineChoice, Rendered
from studies.receipts.lines import ASKED

_LETTERS, _DIGITS = string.ascii_uppercase, string.digits
_SIZES = (0.8, 1.0, 1.0, 1.0, 1.5)  # of the strip's em: small print, print, and a heading now and then
_DENSITY = 8.0  # dots a millimetre of a roll printer


def thermal_templates() -> list[str]:
    return [name for name in names() if template(name).material == "thermal"]


def rendered_page(settings: Rendered, choice: LineChoice, seed: int, index: int) -> AnnotatedPage:
    """Page ``index`` with its asked lines, a pure function of the arguments."""
    name = f"rendered-{index:05d}"
    rng = generator(seed, name, "page")
    document = _receipt(settings, rng) if rng.random() < settings.templates else _strip(settings, rng)
    recipe = Recipe((), draw_capture(document, rng, dict(settings.captures)))
    image = recipe.apply(document.image)
    em = float(np.median([line.style.size for line in document.lines])) * float(
        np.sqrt(np.prod(image.shape[:2]) / np.prod(document.image.shape[:2]))
    )
    scale = min(1.0, float(rng.uniform(settings.em[0], settings.em[1])) / em)
    across = scale * float(rng.uniform(settings.stretch[0], settings.stretch[1]))
    image = cv2.resize(
        image, None, fx=across, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    )
    boxes = {number: _scaled(recipe.map_boxes(line.boxes), across, scale) for number, line in enumerate(document.lines)}
    return AnnotatedPage(name, document.document_type, image, _questions(document.lines, boxes, choice, rng), ())


def _scaled(boxes: Sequence[Box], across: float, down: float) -> tuple[Box, ...]:
    return tuple((x0 * across, y0 * down, x1 * across, y1 * down) for x0, y0, x1, y1 in boxes)


def _questions(
    lines: Sequence[PrintedLine], boxes: dict[int, tuple[Box, ...]], choice: LineChoice, rng: Rng
) -> tuple[Question, ...]:
    able = [
        number
        for number, line in enumerate(lines)
        if choice.shortest <= len(line.text) <= choice.longest
        and line.text.isascii()
        and line.text == " ".join(line.text.split())
        and sum(char.isalnum() for char in line.text) >= choice.shortest - 1
    ]
    chosen = sorted(int(n) for n in rng.permutation(able)[: choice.per_document])
    alike: dict[str, list[int]] = {}
    for number, line in enumerate(lines):
        alike.setdefault(line.text.upper(), []).append(number)
    return tuple(
        Question(
            "answerable",
            f"line_{number:03d}",
            ASKED,
            lines[number].text.upper(),
            boxes[number],
            tuple(boxes[other] for other in alike[lines[number].text.upper()] if other != number),
        )
        for number in chosen
    )


def _face(settings: Rendered, rng: Rng) -> tuple[str, int]:
    faces = [(family, weight) for family, weights in settings.faces.items() for weight in weights]
    return pick(rng, faces, [1.0] * len(faces))


def _receipt(settings: Rendered, rng: Rng) -> Document:
    """One of the simulator's thermal receipts, its rows in one of the plan's faces."""
    own = template(pick(rng, options := thermal_templates(), [1.0] * len(options)))
    face = _face(settings, rng)
    looks = {
        split: look.model_copy(update={"faces": (face,), "label_faces": None}) for split, look in own.looks.items()
    }
    values = "random" if rng.random() < 0.5 else "natural"
    return render_template(own.model_copy(update={"looks": looks}), rng, split="train", scale="full", values=values)


def _strip(settings: Rendered, rng: Rng) -> Document:
    """A strip of lines that mean nothing, set as receipts are: one text on the left or in the middle, perhaps one on the right."""
    width, em = int(rng.integers(440, 660)), float(rng.uniform(20, 30))
    family, weight = _face(settings, rng)
    paper = int(rng.integers(225, 252))
    page = Page(np.full((int(em * 34), width, 3), paper, np.uint8) - rng.integers(0, 6, 3).astype(np.uint8))
    colour = tuple(int(v) for v in rng.integers(20, 80) + rng.integers(0, 12, 3))
    y, pitch = 1.5 * em, float(rng.uniform(1.05, 1.6))
    while True:
        size = em * pick(rng, _SIZES, [1.0] * len(_SIZES))
        y += size * pitch
        if y + size / 2 > page.height:
            break
        style = TextStyle(family, weight, size, colour, tracking=float(rng.uniform(0, 0.08)) * size)  # type: ignore[arg-type]
        text = _fitting(_text(rng), style, width - 2 * em)
        wide = measure(text, style)
        x = em if rng.random() < 0.6 else (width - wide) / 2
        page.write(text, style.at(x, y))
        price = _price(rng)
        left = width - em - measure(price, style)
        if rng.random() < 0.5 and left > x + wide + 1.5 * em:
            page.write(price, style.at(left, y))
    document = page.document(document_type="receipt", template="strip", identity={}, drawing={"scale": "full"})
    return replace(document, material="thermal", millimetres=width / _DENSITY)


def _fitting(text: str, style: TextStyle, room: float) -> str:
    while len(text) > 1 and measure(text, style) > room:
        text = text[:-1].rstrip()
    return text


def _letters(rng: Rng, low: int, high: int, alphabet: str = _LETTERS) -> str:
    return "".join(alphabet[int(i)] for i in rng.integers(0, len(alphabet), int(rng.integers(low, high))))


def _price(rng: Rng) -> str:
    amount = f"{float(rng.uniform(0, 10 ** rng.integers(1, 5))):.2f}"
    return pick(
        rng, (amount, f"RM {amount}", f"-{amount}", f"{amount} SR", f"RM{amount}", f"*{amount}"), (6, 1, 1, 1, 1, 1)
    )


def _text(rng: Rng) -> str:
    """Random words and numbers as they stand on receipts; a third of the words in small letters."""
    kind = int(rng.integers(8))
    if kind < 3:
        words = [_letters(rng, 2, 9) for _ in range(int(rng.integers(1, 4)))]
        text = " ".join(words)
        return text.lower() if rng.random() < 0.25 else text.title() if rng.random() < 0.2 else text
    if kind == 3:
        return _price(rng)
    if kind == 4:
        a, b, c = (int(v) for v in rng.integers([1, 1, 1], [32, 13, 30]))
        date = pick(rng, (f"{a:02d}/{b:02d}/20{c:02d}", f"{a:02d}-{b:02d}-{c:02d}", f"{a}.{b}.20{c:02d}"), (1, 1, 1))
        return f"{date} {int(rng.integers(24)):02d}:{int(rng.integers(60)):02d}" if rng.random() < 0.4 else date
    if kind == 5:
        label = f"{_letters(rng, 3, 8)}{pick(rng, (' :', ':', ' NO:', ' #', ' (RM)', '.'), (1, 1, 1, 1, 1, 1))}"
        return label if rng.random() < 0.3 else f"{label} {_letters(rng, 3, 9, _DIGITS)}"
    if kind == 6:
        return _letters(rng, 4, 13, _DIGITS)
    return _letters(rng, 4, 12, _LETTERS + _DIGITS * 2 + "-./,:()&%@*'")
