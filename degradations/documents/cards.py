"""What identity cards and passports have in common: ground, header, portrait, and rows of labelled values.

``draw_card`` does the page for a ``CardPlan``; the templates (``licence``, ``eu_card``, ``passport``) say which
values and labels there are and what else is printed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from degradations.documents.backgrounds import ground
from degradations.documents.looks import Drawing, jitter
from degradations.documents.model import TextStyle
from degradations.documents.page import Page
from degradations.documents.portraits import portrait
from degradations.documents.typeset import measure
from degradations.documents.values import pick

PORTRAITS = 16  # drawn once and kept; the test has sixteen others


@dataclass(frozen=True, slots=True)
class Geometry:
    """Sizes in pixels at one scale. ``value_sizes`` and ``label_size`` are em sizes."""

    header: int
    margin: int
    portrait: tuple[int, int]
    value_sizes: tuple[float, ...]
    label_size: float
    small_size: float
    footer: int
    gap: int


@dataclass(frozen=True, slots=True)
class Cell:
    """Where one labelled value goes."""

    label_x: float
    label_baseline: float
    value_x: float
    value_baseline: float
    max_width: float


@dataclass(frozen=True, slots=True)
class CardPlan:
    """``labels`` by concept; ``title`` and ``subtitle`` the words of the header.

    ``portrait_tone`` is colour, grey, engraved, or ``any`` of them. At full scale ``extra_rows`` follow the
    arrangement's rows, ``reserve`` pixels stay free at the right of the rows, and the title starts ``indent`` pixels
    further in.
    ``samples`` gives the widest ordinary value of concepts that SAMPLES does not have.
    """

    labels: dict[str, str]
    title: str
    subtitle: str = ""
    portrait_tone: str = "colour"
    extra_rows: tuple[tuple[str, ...], ...] = ()
    reserve: int = 0
    indent: int = 0
    samples: dict[str, str] = field(default_factory=dict)


@dataclass
class Card:
    """A card half drawn: the page, where each value goes and in which style.

    ``area`` is what the rows fill, ``portrait_box`` where the portrait lies, ``picture`` the portrait itself.
    """

    page: Page
    cells: dict[str, Cell]
    value_style: TextStyle
    label_style: TextStyle
    small_style: TextStyle
    area: tuple[float, float, float, float]
    labels: dict[str, str]
    portrait_box: tuple[int, int, int, int]
    picture: np.ndarray

    def fits(self, concept: str, text: str) -> bool:
        cell = self.cells.get(concept)
        return cell is None or measure(text, self.value_style) <= cell.max_width

    def put(self, concept: str, question_name: str, value: str) -> None:
        """Prints the label of ``concept`` and registers its value."""
        cell, label = self._label(concept)
        style = self.value_style.at(cell.value_x, cell.value_baseline)
        self.page.field(concept, question_name, value, label, style, max_width=cell.max_width)

    def tell(self, concept: str, value: str) -> None:
        """Prints the label and the value of something that no question asks for."""
        cell, _ = self._label(concept)
        style = self.value_style
        width = measure(value, style)
        if width > cell.max_width:  # nobody asks for it: smaller type will do
            style = replace(style, size=style.size * 0.99 * cell.max_width / width)
        self.page.write(value, style.at(cell.value_x, cell.value_baseline), max_width=cell.max_width)

    def _label(self, concept: str) -> tuple[Cell, str]:
        cell, label = self.cells[concept], self.labels[concept]
        self.page.write(label, self.label_style.at(cell.label_x, cell.label_baseline))
        return cell, label


def lay_cells(
    area: tuple[float, float, float, float],
    rows: tuple[tuple[str, ...], ...],
    mode: str,
    label_widths: dict[str, float],
    sample_widths: dict[str, float],
    value_size: float,
    label_size: float,
    gap: float,
) -> dict[str, Cell]:
    """Divides ``area`` (x0, y0, x1, y1) into equal rows and each row into its concepts, by need of width."""
    x0, y0, x1, y1 = area
    pitch = (y1 - y0) / len(rows)
    column = max((label_widths[row[0]] for row in rows), default=0.0) + gap
    cells = {}
    for index, row in enumerate(rows):
        top = y0 + index * pitch
        need = [
            sample_widths[c] + (column if k == 0 else label_widths[c] + gap) if mode == "left" else
            max(sample_widths[c], label_widths[c])
            for k, c in enumerate(row)
        ]  # fmt: skip
        shares = np.cumsum([0.0, *need])
        for k, concept in enumerate(row):
            left = x0 + (x1 - x0) * shares[k] / shares[-1]
            right = x0 + (x1 - x0) * shares[k + 1] / shares[-1] - (gap if k + 1 < len(row) else 0)
            if mode == "left":
                value_x = left + (column if k == 0 else label_widths[concept] + gap)
                baseline = top + pitch / 2 + value_size * 0.36
                cells[concept] = Cell(left, baseline, value_x, baseline, right - value_x)
            else:
                slack = max(pitch - value_size * 1.1 - label_size * 0.78, 0) / 2
                first = top + slack + label_size * 0.74
                second = min(first + value_size * 1.05, y1 - value_size * 0.28)
                cells[concept] = Cell(left, first, left, second, right - left)
    return cells


# The widest ordinary value of each concept: rows are divided by it, and the type is made to fit it.
SAMPLES = {
    "sex": "M",
    "nationality": "GBR",
    "date_of_birth": "00 MAR 0000",
    "expiry_date": "00 MAR 0000",
    "document_number": "AA0000000",
}


def draw_card(drawing: Drawing, plan: CardPlan, geometry: Geometry) -> Card:
    """Draws everything but the rows and returns where they go."""
    rng, look, g = drawing.rng, drawing.look, geometry
    width, height = drawing.size
    image = ground(look.background, look.palette, width, height, look.ground_seed)
    flip = int(rng.integers(4))
    page = Page(image[:: -1 if flip & 1 else 1, :: -1 if flip & 2 else 1].copy())
    arrangement, palette = look.arrangement, look.palette
    dx, dy = (int(v) for v in rng.integers(-1, 2, 2) * (1 if drawing.tiny else 4))

    header_y = 0 if arrangement.header == "top" else height - g.footer - g.header
    page.band((0, header_y, width, header_y + g.header), palette.accent, float(rng.uniform(0.75, 0.95)))
    body_top, body_bottom = (g.header, height - g.footer) if arrangement.header == "top" else (0, header_y)

    pw, ph = g.portrait
    left_side = arrangement.portrait == "left"
    px = g.margin + dx if left_side else width - g.margin - pw + dx
    py = (body_top + body_bottom - ph) // 2 + dy if drawing.tiny else body_top + g.gap + dy
    tone = plan.portrait_tone if plan.portrait_tone != "any" else pick(rng, ("colour", "grey", "engraved"))
    picture = portrait(pw, ph, int(rng.integers(PORTRAITS)) + (1000 if drawing.split == "test" else 0), tone)
    page.paste(picture, px, py)

    title = TextStyle("Roboto Condensed", 700, g.header * 0.62, (250, 250, 250), opaque=True)
    small = TextStyle("Roboto Condensed", 400, g.small_size, jitter(rng, palette.label, 8))
    baseline = header_y + g.header * 0.72
    line = page.write(plan.title, title.at(g.margin + (0 if drawing.tiny else plan.indent), baseline))
    if plan.subtitle and line.boxes[-1][2] + g.gap + measure(plan.subtitle, small) < width - g.margin:
        style = replace(small, colour=(235, 235, 235), opaque=True)
        page.write(plan.subtitle, style.at(width - g.margin, baseline), align="right")

    x0 = g.margin + pw + g.gap * 1.5 if left_side else g.margin + 0.0
    x1 = width - g.margin if left_side else width - g.margin - pw - g.gap
    x1 -= 0 if drawing.tiny else plan.reserve
    area = (x0 + max(dx, 0), body_top + 1.0, x1 + min(dx, 0), body_bottom - 1.0)
    rows = arrangement.rows
    value = TextStyle(*look.value_face, float(pick(rng, g.value_sizes)), jitter(rng, palette.ink, 10))
    label = TextStyle(*look.label_face, g.label_size, jitter(rng, palette.label, 8))
    if not drawing.tiny:
        rows = (*rows, *plan.extra_rows)

    samples = {**SAMPLES, **plan.samples}
    for size in np.linspace(value.size, min(g.value_sizes) * 0.8, 8):
        value = replace(value, size=round(float(size), 2))
        widths = {concept: measure(samples.get(concept, "A"), value) for row in rows for concept in row}
        cells = lay_cells(
            area,
            rows,
            arrangement.labels,
            {concept: measure(plan.labels[concept], label) for concept in widths},
            widths,
            value.size,
            g.label_size,
            g.gap,
        )
        if all(widths[concept] <= cell.max_width for concept, cell in cells.items()):
            break
    return Card(page, cells, value, label, small, area, plan.labels, (px, py, px + pw, py + ph), picture)
