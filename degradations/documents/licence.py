"""``us_licence``: a driving licence in the manner of the United States, its labels printed as LN, FN, DOB, DL, EXP.

Source of the labels: AAMVA DL/ID Card Design Standard (2020), annex A, abbreviated as most states print them.
"""

from __future__ import annotations

from datetime import date, timedelta

import cv2

from degradations.documents import decor
from degradations.documents.backgrounds import Palette
from degradations.documents.cards import Card, CardPlan, Geometry, draw_card
from degradations.documents.looks import HELD_FACES, SEEN_FACES, Arrangement, Choices, Drawing, Template
from degradations.documents.model import Document
from degradations.documents.values import Values, day, invented, pattern, pick, write_date

SEEN_STATES = ("CALDERA", "NORTHMOOR", "NEW HALDEN", "WEST LAKES", "MERIDIAN", "OKANOGA", "TEJON", "SAVARRA")
HELD_STATES = ("EAST VERMILLION", "ALTAMONT", "LAKELAND", "PORT SALUS")
LABELS = {"surname": "LN", "given_names": "FN", "date_of_birth": "DOB", "document_number": "DL", "expiry_date": "EXP"}
QUESTIONS = {**LABELS, "sex": "SEX"}  # sex is printed at full scale only
NUMBERS = ("A9999999", "999999999", "A99-999-999", "AA999999", "99 999 999", "A9999-99999")
EXTRA_LABELS = {"address": "ADD", "sex": "SEX", "height": "HGT", "eyes": "EYES", "class": "CLASS", "issued": "ISS"}
EXTRA_ROWS = (("address",), ("sex", "height", "eyes"), ("class", "issued"))
SAMPLES = {"address": "1234 WASHINGTON AVE", "height": "5-10", "eyes": "BRN", "class": "C", "issued": "00/00/0000"}
EYES = ("BRN", "BLU", "GRN", "HZL", "GRY")
TINY = Geometry(17, 5, (46, 58), (12.0, 12.5, 13.0), 12.0, 8.0, 0, 6)
FULL = Geometry(92, 38, (250, 320), (32.0, 33.0, 34.0), 23.0, 22.0, 34, 26)


def _draw(drawing: Drawing) -> Document:
    rng = drawing.rng
    state = pick(rng, HELD_STATES if drawing.split == "test" else SEEN_STATES)
    plan = CardPlan(
        {**LABELS, **EXTRA_LABELS}, state, "DRIVER LICENSE", extra_rows=EXTRA_ROWS, reserve=90, samples=SAMPLES
    )
    card = draw_card(drawing, plan, TINY if drawing.tiny else FULL)
    values = Values(rng, drawing.split, drawing.values, card.fits)
    sex = pick(rng, "MF")
    born = day(rng, date(1940, 1, 1), date(2006, 12, 31))
    expires = day(rng, date(2024, 1, 1), date(2033, 12, 31))
    form = pick(rng, NUMBERS)
    found = {
        "surname": values.surname(),
        "given_names": values.given_names(sex),
        "date_of_birth": values.value("date_of_birth", lambda: write_date(born, "mdy")),
        "document_number": values.value("document_number", lambda: pattern(rng, form)),
        "expiry_date": values.value("expiry_date", lambda: write_date(expires, "mdy")),
    }
    if not drawing.tiny:
        _decorate(drawing, card)
        found["sex"] = values.value("sex", lambda: sex)
        card.tell("address", values.plain("address", lambda: invented(rng, "street_address", 22)))
        card.tell("height", f"{int(rng.integers(5, 7))}-{int(rng.integers(0, 12)):02d}")
        card.tell("eyes", pick(rng, EYES))
        card.tell("class", pick(rng, "CDM"))
        card.tell("issued", write_date(expires - timedelta(days=int(rng.integers(1400, 2900))), "mdy"))
    for concept, value in found.items():
        card.put(concept, QUESTIONS[concept], value)
    return card.page.document(
        document_type="id_card",
        template="us_licence",
        identity={"sex": sex, **found, "state": state},
        drawing=drawing.description,
    )


def _decorate(drawing: Drawing, card: Card) -> None:
    """Signature, second portrait, gold star and foil."""
    rng, image = drawing.rng, card.page.image
    x0, _, x1, y1 = card.portrait_box
    decor.signature(image, rng, (x0 - 6, y1 + 8, x1 + 6, y1 + 104))
    small = cv2.resize(card.picture, (120, 154), interpolation=cv2.INTER_AREA)
    right, bottom = int(card.area[2]) + 84, int(card.area[3])
    decor.ghost(image, small, right - 124, bottom - 170, 0.55)
    decor.star_badge(image, right - 62, int(card.area[1]) + 22, 26)
    decor.hologram(image, rng, int(rng.uniform(x1 - 60, x1 + 60)), int(y1 - 40), 105, 0.22)
    footer = f"DD {pattern(rng, '99999999AA9999999')}"
    card.page.write(footer, card.small_style.at(card.area[0], drawing.size[1] - 18))


_ORDER = ("document_number", "expiry_date", "surname", "given_names", "date_of_birth")
_ROWS = tuple((concept,) for concept in _ORDER)
_NAMES_FIRST = tuple(
    (concept,) for concept in ("surname", "given_names", "document_number", "date_of_birth", "expiry_date")
)
_BIRTH_FIRST = tuple(
    (concept,) for concept in ("date_of_birth", "surname", "given_names", "expiry_date", "document_number")
)
_EXPIRY_LAST = tuple(
    (concept,) for concept in ("given_names", "surname", "date_of_birth", "document_number", "expiry_date")
)

TEMPLATE = Template(
    name="us_licence",
    document_type="id_card",
    questions=QUESTIONS,
    sizes={"tiny": (224, 128), "full": (1013, 638)},
    material="plastic",
    millimetres=85.6,
    corner=3.18,
    seen=Choices(
        palettes=(
            Palette.of("sky", "ecf3fa d6e5f4 96b4d6 20488a 12141e 2c4e8c"),
            Palette.of("peach", "fcf2e6 f6e0ce deaa8a 963e28 1c1412 923424"),
            Palette.of("mint", "ecf8f0 d4ecde 8cc6a4 18684a 101816 165c42"),
            Palette.of("lilac", "f4f0fa e2d8f2 b29cd4 54388a 181220 543282"),
        ),
        backgrounds=("guilloche", "waves", "contours"),
        faces=SEEN_FACES,
        arrangements=(
            Arrangement("number-first", _ROWS),
            Arrangement("names-first", _NAMES_FIRST),
            Arrangement("number-first-right", _ROWS, portrait="right"),
        ),
    ),
    held=Choices(
        palettes=(
            Palette.of("sand", "f9f5e4 ece2c4 ccb678 705c1e 1a1810 6e5414"),
            Palette.of("rose", "faeef2 f0d6e0 d696ae 942250 1e1016 8c1e4a"),
        ),
        backgrounds=("rosettes", "mesh"),
        faces=HELD_FACES,
        arrangements=(
            Arrangement("birth-first", _BIRTH_FIRST),
            Arrangement("expiry-last", _EXPIRY_LAST, portrait="right"),
        ),
    ),
    draw=_draw,
    also=("address",),
)
