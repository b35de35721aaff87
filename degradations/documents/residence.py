"""``residence_permit``: a residence permit card with a three-line machine readable zone (TD1) and valid check digits.

Source of the fields: Council Regulation (EC) 1030/2002, annex (uniform format for residence permits), as a single side.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import cv2

from degradations.documents import decor, mrz
from degradations.documents.backgrounds import Palette
from degradations.documents.cards import Card, CardPlan, Geometry, draw_card
from degradations.documents.looks import HELD_FACES, SEEN_FACES, Arrangement, Choices, Drawing, Template
from degradations.documents.model import Document, TextStyle
from degradations.documents.typeset import measure
from degradations.documents.values import COUNTRIES, Values, day, pattern, pick, write_date

QUESTIONS = {
    "surname": "surname",
    "given_names": "given names",
    "nationality": "nationality",
    "date_of_birth": "date of birth",
    "permit_type": "type of permit",
    "document_number": "document number",
    "expiry_date": "date of expiry",
    "mrz_line_1": "first line of the machine readable zone",
    "mrz_line_2": "second line of the machine readable zone",
    "mrz_line_3": "third line of the machine readable zone",
}
LABELS = {
    "surname": "Surname", "given_names": "Given names", "nationality": "Nationality", "date_of_birth": "Date of birth",
    "permit_type": "Type of permit", "document_number": "Card no.", "expiry_date": "Valid until", "sex": "Sex",
}  # fmt: skip
KINDS = ("TEMPORARY", "PERMANENT", "STUDENT", "WORK", "FAMILY", "LONG-TERM", "RESEARCHER", "SEASONAL")
NUMBERS = ("AA9999999", "A99999999", "999999999", "AAA999999")
SUBTITLES = ("TITRE DE SEJOUR", "AUFENTHALTSTITEL", "PERMISO DE RESIDENCIA", "ZEZWOLENIE NA POBYT")
FULL = Geometry(78, 36, (228, 292), (30.0, 31.0, 32.0), 19.0, 20.0, 150, 24)


def _draw(drawing: Drawing) -> Document:
    rng = drawing.rng
    issuer = pick(rng, COUNTRIES)
    plan = CardPlan(
        LABELS,
        "RESIDENCE PERMIT",
        f"{pick(rng, SUBTITLES)}   {issuer}",
        "any",
        reserve=150,
        samples={"permit_type": "RESEARCHER"},
    )
    card = draw_card(drawing, plan, FULL)
    values = Values(rng, drawing.split, drawing.values, card.fits)
    sex = pick(rng, "MF")
    born = day(rng, date(1945, 1, 1), date(2008, 12, 31))
    expires = day(rng, date(2024, 1, 1), date(2034, 12, 31))
    style, form = pick(rng, ("dmy", "month", "iso")), pick(rng, NUMBERS)
    nationality = pick(rng, tuple(c for c in COUNTRIES if c != issuer))
    _decorate(drawing, card)
    found = {
        "surname": values.surname(),
        "given_names": values.given_names(sex),
        "nationality": values.value("nationality", lambda: nationality),
        "date_of_birth": values.value("date_of_birth", lambda: write_date(born, style)),
        "permit_type": values.value("permit_type", lambda: pick(rng, KINDS)),
        "document_number": values.value("document_number", lambda: pattern(rng, form)),
        "expiry_date": values.value("expiry_date", lambda: write_date(expires, style)),
    }
    for concept, value in found.items():
        card.put(concept, QUESTIONS[concept], value)
    lines = mrz.td1(
        code="IR",
        issuer=issuer,
        surname=found["surname"],
        given_names=found["given_names"],
        number=found["document_number"],
        nationality=found["nationality"],
        birth=born,
        sex=sex,
        expiry=expires,
    )
    page, left = card.page, 44.0
    face = TextStyle("Roboto Mono" if drawing.split != "test" else "IBM Plex Mono", 500, 10.0, card.value_style.colour)
    room = page.width - 2 * left
    face = replace(face, size=round(10.0 * room / measure("0" * mrz.CARD_LENGTH, face), 2))
    # Three lines have less room below them than across: type as high as its pitch would touch.
    face = replace(face, size=min(face.size, 38.0))
    spread = (room - measure("0" * mrz.CARD_LENGTH, face)) / mrz.CARD_LENGTH
    face = replace(face, tracking=round(max(0.0, spread), 2))
    top = page.height - FULL.footer
    page.band((0, top, page.width, page.height), (250, 250, 248), 0.55)
    for index, text in enumerate(lines):
        name = f"mrz_line_{index + 1}"
        page.field(name, QUESTIONS[name], text, "", face.at(left, top + FULL.footer * (0.31 + 0.28 * index)))
    zone = {f"mrz_line_{index + 1}": text for index, text in enumerate(lines)}
    return page.document(
        document_type="id_card",
        template="residence_permit",
        identity={"sex": sex, **found, "issuer": issuer, **zone},
        drawing=drawing.description,
    )


def _decorate(drawing: Drawing, card: Card) -> None:
    """A chip, a second portrait, foil across the corner of the first, a signature where there is room."""
    rng, image = drawing.rng, card.page.image
    x0, _, x1, y1 = card.portrait_box
    right = int(card.area[2]) + 140
    decor.chip(image, rng, right - 118, int(card.area[1]) + 26, 112, 92)
    small = cv2.resize(card.picture, (112, 144), interpolation=cv2.INTER_AREA)
    decor.ghost(image, small, right - 118, int(card.area[3]) - 170, 0.55)
    decor.hologram(image, rng, int(rng.uniform(x0 + 20, x1)), int(y1 - 30), 96, 0.24)
    decor.hologram(image, rng, int(rng.uniform(card.area[0] + 120, right - 160)), int(card.area[3] - 90), 120, 0.10)
    decor.signature(image, rng, (x0 + 6, y1 + 2, x1 - 6, y1 + 62), (22, 24, 34))


def _rows(*concepts: str) -> tuple[tuple[str, ...], ...]:
    return tuple((concept,) for concept in concepts)


_LIST = _rows(
    "surname", "given_names", "nationality", "date_of_birth", "permit_type", "document_number", "expiry_date"
)  # fmt: skip
_PAIRS = (
    ("surname",),
    ("given_names",),
    ("date_of_birth", "nationality"),
    ("permit_type",),
    ("document_number", "expiry_date"),
)
_TYPE_FIRST = _rows(
    "permit_type", "document_number", "surname", "given_names", "date_of_birth", "nationality", "expiry_date"
)  # fmt: skip
_NUMBER_PAIRS = (
    ("document_number", "expiry_date"),
    ("surname",),
    ("given_names",),
    ("permit_type",),
    ("nationality", "date_of_birth"),
)

TEMPLATE = Template(
    name="residence_permit",
    document_type="id_card",
    questions=QUESTIONS,
    sizes={"full": (1013, 638)},
    material="plastic",
    millimetres=85.6,
    corner=3.18,
    seen=Choices(
        palettes=(
            Palette.of("salmon", "fbf1ee f3dcd8 d8a09a 8e2f3a 1c1214 7c3038"),
            Palette.of("glacier", "eef5f8 d8e8f0 92b8ca 1f5870 101a20 22566c"),
            Palette.of("heather", "f4f1f8 e2dcee aca0cc 4a3f82 161422 443c78"),
        ),
        backgrounds=("guilloche", "contours", "mesh"),
        faces=SEEN_FACES,
        arrangements=(
            Arrangement("list", _LIST),
            Arrangement("pairs-above", _PAIRS, "above"),
            Arrangement("list-right", _LIST, portrait="right"),
        ),
    ),
    held=Choices(
        palettes=(
            Palette.of("straw", "f9f6e8 efe8c8 ccc088 6c6420 18180e 62581c"),
            Palette.of("slate", "f1f3f5 dee3e8 a6b2be 38485a 12161a 3a4a5c"),
        ),
        backgrounds=("rosettes", "waves"),
        faces=HELD_FACES,
        arrangements=(
            Arrangement("type-first", _TYPE_FIRST),
            Arrangement("number-pairs-above", _NUMBER_PAIRS, "above", portrait="right"),
        ),
    ),
    draw=_draw,
    also=("sex",),
)
