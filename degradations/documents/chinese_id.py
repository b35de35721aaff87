"""``chinese_id``: a card in the manner of a Chinese resident identity card, with a check character that is right.

Nobody's: the region code of its number (99…) was never given out, and its provinces and counties do not exist
(``chinese.py``).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np

from degradations.documents import chinese, decor
from degradations.documents.backgrounds import Palette, ground
from degradations.documents.cards import PORTRAITS
from degradations.documents.looks import Arrangement, Choices, Drawing, Template, jitter
from degradations.documents.model import Document, TextStyle
from degradations.documents.page import Page
from degradations.documents.portraits import cut_out, portrait
from degradations.documents.typeset import measure
from degradations.documents.values import Values, day, pick, randomised

LABELS = {
    "name": "姓名", "sex": "性别", "ethnicity": "民族", "date_of_birth": "出生", "address": "住址",
    "identity_number": "公民身份号码",
}  # fmt: skip
QUESTIONS = {
    "name": "name (姓名)",
    "sex": "sex (性别)",
    "ethnicity": "ethnicity (民族)",
    "date_of_birth": "date of birth (出生)",
    "address": "address (住址)",
    "identity_number": "citizen identity number (公民身份号码)",
}
VALUE, LABEL, NUMBER = 37.0, 27.0, 41.0
MARGIN, TOP, PITCH, FOOT = 62.0, 104.0, 88.0, 574.0
PICTURE = (300, 384)


def _draw(drawing: Drawing) -> Document:
    rng, look = drawing.rng, drawing.look
    width, height = drawing.size
    image = ground(look.background, look.palette, width, height, look.ground_seed)
    flip = int(rng.integers(4))
    page = Page(image[:: -1 if flip & 1 else 1, :: -1 if flip & 2 else 1].copy())
    right = look.arrangement.portrait == "right"
    left = MARGIN + float(rng.integers(-6, 7)) if right else PICTURE[0] + 1.6 * MARGIN
    label = TextStyle(*look.label_face, LABEL, jitter(rng, look.palette.label, 8))
    value = TextStyle(*look.value_face, VALUE, jitter(rng, look.palette.ink, 8))
    column = 110.0
    room = width - PICTURE[0] - 2.3 * MARGIN - column
    values = Values(rng, drawing.split, drawing.values, lambda _, text: measure(text, value) <= room)
    sex, born = pick(rng, "MF"), day(rng, date(1945, 1, 1), date(2012, 12, 31))
    found = _said(values, sex, born, drawing.split)

    _picture(drawing, page, right)
    rows = [[c for c in row if c != "identity_number"] for row in look.arrangement.rows]
    for index, row in enumerate(row for row in rows if row):
        baseline = TOP + PITCH * index + float(rng.uniform(-2, 2))
        x = left
        for concept in row:
            page.write(LABELS[concept], label.at(x, baseline))
            style = value
            if concept == "address":  # the longest: smaller type, as the printer of such cards chooses it
                fit = room / max(measure(found[concept], value), 1.0)
                style = replace(value, size=round(VALUE * min(0.86, fit), 2))
            page.field(concept, QUESTIONS[concept], found[concept], LABELS[concept], style.at(x + column, baseline))
            x += column + max(measure(found[concept], value), 70.0) + 50.0
    label_end = MARGIN + measure(LABELS["identity_number"], label) + 40
    page.write(LABELS["identity_number"], label.at(MARGIN, FOOT))
    number = replace(value, size=NUMBER, tracking=4.0)
    concept = "identity_number"
    page.field(
        concept, QUESTIONS[concept], found[concept], LABELS[concept], number.at(label_end, FOOT + 2), max_width=620.0
    )
    return page.document(
        document_type="id_card",
        template="chinese_id",
        identity={**found},
        drawing=drawing.description,
    )


def _said(values: Values, sex: str, born: date, split: str) -> dict[str, str]:
    rng = values.rng
    found = {
        "name": chinese.name(rng, split),
        "sex": "男" if sex == "M" else "女",
        "ethnicity": pick(rng, chinese.ETHNICITIES),
        "date_of_birth": chinese.long_date(born),
        "address": chinese.address(rng),
        "identity_number": chinese.identity_number(rng, born, sex),
    }
    if values.random:
        for concept in ("name", "sex", "ethnicity", "address"):
            found[concept] = chinese.scrambled(rng, len(found[concept]))
        for concept in ("date_of_birth", "identity_number"):
            found[concept] = randomised(rng, found[concept][:17], longest=17) if concept == "identity_number" else (
                randomised(rng, found[concept])
            )  # fmt: skip
    return found


def _picture(drawing: Drawing, page: Page, right: bool) -> None:
    """The holder, cut out: on these cards no frame and no backdrop surround the portrait."""
    rng = drawing.rng
    wide, high = PICTURE
    x = page.width - wide - round(0.9 * MARGIN) if right else round(0.9 * MARGIN)
    seed = int(rng.integers(PORTRAITS)) + (1000 if drawing.split == "test" else 0)
    picture = portrait(wide, high, seed, "colour")
    decor.stain(page.image, cut_out(wide, high, seed), x, 78, picture.astype(np.float32), 0.97)
    decor.hologram(page.image, rng, x + wide // 2 + int(rng.integers(-90, 90)), 380, 120, 0.10)


_USUAL = (("name",), ("sex", "ethnicity"), ("date_of_birth",), ("address",), ("identity_number",))
_BIRTH_UP = (("date_of_birth",), ("name",), ("ethnicity", "sex"), ("address",), ("identity_number",))
_ADDRESS_UP = (("name",), ("address",), ("date_of_birth",), ("sex", "ethnicity"), ("identity_number",))

TEMPLATE = Template(
    name="chinese_id",
    document_type="id_card",
    questions=QUESTIONS,
    sizes={"full": (1013, 638)},
    material="plastic",
    millimetres=85.6,
    corner=3.18,
    seen=Choices(
        palettes=(
            Palette.of("porcelain", "f0f6f8 dcecf0 a8ccd8 2e6e96 14161a 2c6c9a"),
            Palette.of("plum-blossom", "f8f2f4 eee0e8 d4b0c4 7a4a78 161418 3a6a9a"),
            Palette.of("jade", "f0f7f2 dcece2 a6ccb4 2c7458 121614 2a6e8a"),
        ),
        backgrounds=("guilloche", "waves"),
        faces=(("Noto Sans SC", 400),),
        arrangements=(Arrangement("usual", _USUAL, portrait="right", fixed=1),),
    ),
    held=Choices(
        palettes=(Palette.of("rice", "f8f6ec eee8d4 d0c498 7c6c2c 16150f 5a6a3a"),),
        backgrounds=("rosettes", "mesh"),
        faces=(("Noto Serif SC", 400),),
        arrangements=(
            Arrangement("birth-up", _BIRTH_UP, portrait="right", fixed=1),
            Arrangement("address-up-left", _ADDRESS_UP, portrait="left", fixed=1),
        ),
    ),
    draw=_draw,
)
