"""``eu_card``: a European national identity card with its labels in English."""

from __future__ import annotations

from datetime import date

import cv2

from degradations.documents import decor
from degradations.documents.backgrounds import Palette
from degradations.documents.cards import Card, CardPlan, Geometry, draw_card
from degradations.documents.looks import HELD_FACES, SEEN_FACES, Arrangement, Choices, Drawing, Template
from degradations.documents.model import Document
from degradations.documents.values import COUNTRIES, Values, day, invented, pattern, pick, write_date

QUESTIONS = {
    "surname": "surname",
    "given_names": "given names",
    "nationality": "nationality",
    "sex": "sex",
    "date_of_birth": "date of birth",
    "document_number": "document number",
    "expiry_date": "date of expiry",  # printed at full scale only
}
LABELS = (
    {"surname": "Surname", "given_names": "Given names", "nationality": "Nationality", "sex": "Sex",
     "date_of_birth": "Date of birth", "document_number": "Document no."},
    {"surname": "Surname", "given_names": "Given name", "nationality": "Nationality", "sex": "Sex",
     "date_of_birth": "Birth date", "document_number": "Card no."},
)  # fmt: skip
NUMBERS = ("AAA999999", "A9999999", "999999999", "99AA99999", "AA9999999")
EXTRA_LABELS = {"expiry_date": "Date of expiry", "birthplace": "Place of birth"}
EXTRA_ROWS = (("birthplace",), ("expiry_date",))
TITLES = ("IDENTITY CARD", "NATIONAL IDENTITY CARD")
SUBTITLES = ("CARTE D'IDENTITE / PERSONALAUSWEIS", "DOCUMENTO DE IDENTIDAD", "CARTA D'IDENTITA / DOWOD OSOBISTY")
TINY = Geometry(15, 4, (42, 54), (12.0, 12.5, 13.0), 10.5, 8.0, 0, 5)
FULL = Geometry(88, 38, (250, 322), (31.0, 32.0, 33.0), 20.0, 20.0, 34, 26)


def _draw(drawing: Drawing) -> Document:
    rng = drawing.rng
    labels = {**pick(rng, LABELS), **EXTRA_LABELS}
    title = TITLES[0] if drawing.tiny else pick(rng, TITLES)
    subtitle = "EUROPEAN UNION" if drawing.tiny else pick(rng, SUBTITLES)
    plan = CardPlan(
        labels, title, subtitle, "grey", EXTRA_ROWS, reserve=170, indent=118, samples={"birthplace": "FRANKFURT"}
    )
    card = draw_card(drawing, plan, TINY if drawing.tiny else FULL)
    values = Values(rng, drawing.split, drawing.values, card.fits)
    sex = pick(rng, "MF")
    born = day(rng, date(1940, 1, 1), date(2008, 12, 31))
    expires = day(rng, date(2024, 1, 1), date(2034, 12, 31))
    style = pick(rng, ("dmy", "dmy", "iso"))
    form = pick(rng, NUMBERS)
    found = {
        "surname": values.surname(),
        "given_names": values.given_names(sex),
        "nationality": values.value("nationality", lambda: pick(rng, COUNTRIES)),
        "sex": values.value("sex", lambda: sex),
        "date_of_birth": values.value("date_of_birth", lambda: write_date(born, style)),
        "document_number": values.value("document_number", lambda: pattern(rng, form)),
    }
    if not drawing.tiny:
        _decorate(drawing, card)
        found["expiry_date"] = values.value("expiry_date", lambda: write_date(expires, style))
        card.tell("birthplace", values.plain("birthplace", lambda: invented(rng, "city", 14)))
    for concept, value in found.items():
        card.put(concept, QUESTIONS[concept], value)
    return card.page.document(
        document_type="id_card",
        template="eu_card",
        identity=found,
        drawing=drawing.description,
    )


def _decorate(drawing: Drawing, card: Card) -> None:
    """Flag in the header, chip, second portrait, foil, signature."""
    rng, image = drawing.rng, card.page.image
    top = 0 if drawing.look.arrangement.header == "top" else drawing.size[1] - FULL.footer - FULL.header
    decor.star_flag(image, (38, top + 12, 134, top + 76))
    x0, _, x1, y1 = card.portrait_box
    decor.signature(image, rng, (x0, y1 + 10, x1, y1 + 100), (20, 22, 26))
    right = int(card.area[2]) + 160
    if rng.random() < 0.6:
        decor.chip(image, rng, right - 136, int(card.area[1]) + 40, 130, 104)
    small = cv2.resize(card.picture, (124, 160), interpolation=cv2.INTER_AREA)
    decor.ghost(image, small, right - 130, int(card.area[3]) - 190, 0.6)
    decor.hologram(image, rng, int(rng.uniform(x0, x1)), int(y1 - 50), 110, 0.25)
    card.page.write(pattern(rng, "999999"), card.small_style.at(right - 100, drawing.size[1] - 22))


_LIST = tuple((c,) for c in ("surname", "given_names", "nationality", "sex", "date_of_birth", "document_number"))
_PAIRS = (("surname",), ("given_names",), ("nationality", "sex"), ("date_of_birth", "document_number"))
_NUMBER_TOP = tuple((c,) for c in ("document_number", "given_names", "surname", "date_of_birth", "sex", "nationality"))
_BIRTH_PAIRS = (("date_of_birth", "document_number"), ("given_names",), ("surname",), ("sex", "nationality"))

TEMPLATE = Template(
    name="eu_card",
    document_type="id_card",
    questions=QUESTIONS,
    sizes={"tiny": (224, 128), "full": (1013, 638)},
    material="plastic",
    millimetres=85.6,
    corner=3.18,
    seen=Choices(
        palettes=(
            Palette.of("euro-blue", "eef2fa dce6f6 96acdc 1c368c 101222 283c82"),
            Palette.of("blush", "faf0f0 f0dee4 d8a4b2 882842 1e1216 782c42"),
            Palette.of("sea", "eaf6f6 d2eaec 88c0c6 10606c 0e1a1c 125460"),
            Palette.of("ash", "f4f4f2 e4e6e6 b4babe 464e58 141416 424850"),
        ),
        backgrounds=("rosettes", "guilloche", "mesh"),
        faces=SEEN_FACES,
        arrangements=(
            Arrangement("list", _LIST),
            Arrangement("pairs-above", _PAIRS, "above"),
            Arrangement("list-right", _LIST, portrait="right"),
        ),
    ),
    held=Choices(
        palettes=(
            Palette.of("lime", "f4faea e4f0d0 b0cc7c 4a6e16 161a0e 466414"),
            Palette.of("copper", "faf2ea f0decc d6a882 8c4e1e 1e1610 80461a"),
        ),
        backgrounds=("waves", "dots"),
        faces=HELD_FACES,
        arrangements=(
            Arrangement("number-top", _NUMBER_TOP),
            Arrangement("pairs-birth-above", _BIRTH_PAIRS, "above", portrait="right"),
        ),
    ),
    draw=_draw,
    also=("place_of_birth",),
)
