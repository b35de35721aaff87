"""``passport``: a passport data page with a two-line machine readable zone (TD3) and valid check digits."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import cv2

from degradations.documents import decor, mrz
from degradations.documents.backgrounds import Palette
from degradations.documents.cards import Card, CardPlan, Geometry, draw_card
from degradations.documents.looks import HELD_FACES, SEEN_FACES, Arrangement, Choices, Drawing, Template
from degradations.documents.model import Document, TextStyle
from degradations.documents.typeset import measure
from degradations.documents.values import COUNTRIES, Values, day, invented, pattern, pick, write_date

QUESTIONS = {
    "surname": "surname",
    "given_names": "given names",
    "nationality": "nationality",
    "date_of_birth": "date of birth",
    "document_number": "passport number",
    "expiry_date": "date of expiry",
    "sex": "sex",  # this and the two lines are askable at full scale only
    "mrz_line_1": "first line of the machine readable zone",
    "mrz_line_2": "second line of the machine readable zone",
}
LABELS = {
    "surname": "Surname",
    "given_names": "Given names",
    "nationality": "Nationality",
    "date_of_birth": "Date of birth",
    "document_number": "Passport no.",
    "expiry_date": "Date of expiry",
}
NUMBERS = ("999999999", "A99999999", "AA9999999", "A9999999", "99AA99999")
EXTRA_LABELS = {
    "type": "Type", "code": "Code", "sex": "Sex", "birthplace": "Place of birth", "issued": "Date of issue",
    "authority": "Authority",
}  # fmt: skip
EXTRA_ROWS = (("sex", "birthplace"), ("issued", "authority"))
SAMPLES = {"birthplace": "FRANKFURT", "issued": "00 MAR 0000", "authority": "MOI 00000"}
SUBTITLES = ("PASSEPORT / PASAPORTE / REISEPASS", "PASSEPORT", "REISEPASS / PASZPORT", "PASAPORTE / PASSAPORTO")
TINY = Geometry(14, 4, (42, 54), (12.0, 12.5, 13.0), 10.5, 8.0, 25, 5)
FULL = Geometry(110, 56, (372, 478), (37.0, 38.0, 39.0), 23.0, 24.0, 220, 44)


def _draw(drawing: Drawing) -> Document:
    rng = drawing.rng
    g = TINY if drawing.tiny else FULL
    country = pick(rng, COUNTRIES)
    subtitle = country if drawing.tiny else f"{pick(rng, SUBTITLES)}     P     {country}"
    plan = CardPlan({**LABELS, **EXTRA_LABELS}, "PASSPORT", subtitle, "any", EXTRA_ROWS, reserve=150, samples=SAMPLES)
    card = draw_card(drawing, plan, g)
    values = Values(rng, drawing.split, drawing.values, card.fits)
    sex = pick(rng, "MF")
    born = day(rng, date(1940, 1, 1), date(2012, 12, 31))
    expires = day(rng, date(2024, 1, 1), date(2034, 12, 31))
    style = pick(rng, ("month", "dmy"))
    form = pick(rng, NUMBERS)
    found = {
        "surname": values.surname(),
        "given_names": values.given_names(sex),
        "nationality": values.value("nationality", lambda: country),
        "date_of_birth": values.value("date_of_birth", lambda: write_date(born, style)),
        "document_number": values.value("document_number", lambda: pattern(rng, form)),
        "expiry_date": values.value("expiry_date", lambda: write_date(expires, style)),
    }
    if not drawing.tiny:
        _decorate(drawing, card)
        if card.fits("sex", sex):  # wide faces leave its narrow cell no room: then only the zone below says it
            found["sex"] = values.value("sex", lambda: sex)
        card.tell("birthplace", values.plain("birthplace", lambda: invented(rng, "city", 14)))
        card.tell("issued", write_date(expires - timedelta(days=3652), style))
        card.tell("authority", pattern(rng, "MOI 99999"))
    for concept, value in found.items():
        card.put(concept, QUESTIONS[concept], value)
    lines = mrz.td3(
        issuer=country,
        surname=found["surname"],
        given_names=found["given_names"],
        number=found["document_number"],
        nationality=found["nationality"],
        birth=born,
        sex=found.get("sex", sex),
        expiry=expires,
    )
    page = card.page
    face = TextStyle("Roboto Mono" if drawing.split != "test" else "IBM Plex Mono", 500, 10.0, card.value_style.colour)
    room = page.width - 2 * (2 if drawing.tiny else g.margin)
    size = round(10.0 * room / measure("0" * mrz.LENGTH, face), 2)
    face = replace(face, size=size)
    x = (page.width - measure("0" * mrz.LENGTH, face)) / 2
    top = page.height - g.footer
    page.band((0, top, page.width, page.height), (250, 250, 248), 0.6)
    for index, text in enumerate(lines):
        style_at = face.at(x, top + g.footer * (0.42 + 0.42 * index))
        if drawing.tiny:
            page.write(text, style_at)
        else:
            name = f"mrz_line_{index + 1}"
            page.field(name, QUESTIONS[name], text, "", style_at)
    return page.document(
        document_type="id_card",
        template="passport",
        identity={"sex": sex, **found, "issuer": country, "mrz_line_1": lines[0], "mrz_line_2": lines[1]},
        drawing=drawing.description,
    )


def _decorate(drawing: Drawing, card: Card) -> None:
    """Second portrait, foil over the corner of the first, signature."""
    rng, image = drawing.rng, card.page.image
    x0, _, x1, y1 = card.portrait_box
    decor.signature(image, rng, (x0, y1 + 10, x1, y1 + 130), (18, 20, 30))
    small = cv2.resize(card.picture, (190, 244), interpolation=cv2.INTER_AREA)
    right = int(card.area[2]) + 140
    decor.ghost(image, small, right - 190, int(card.area[1]) + 60, 0.45)
    decor.hologram(image, rng, int(rng.uniform(x0 + 60, x1 + 40)), int(y1 - 90), 170, 0.22)
    decor.hologram(image, rng, int(rng.uniform(card.area[0] + 200, right)), int(card.area[3] - 140), 200, 0.10)


_LIST = tuple(
    (c,) for c in ("surname", "given_names", "nationality", "date_of_birth", "document_number", "expiry_date")
)
_PAIRS = (("surname",), ("given_names",), ("nationality", "document_number"), ("date_of_birth", "expiry_date"))
_NUMBER_TOP = tuple(
    (c,) for c in ("document_number", "given_names", "surname", "expiry_date", "date_of_birth", "nationality")
)
_NUMBER_PAIRS = (("document_number", "nationality"), ("surname",), ("given_names",), ("date_of_birth", "expiry_date"))

TEMPLATE = Template(
    name="passport",
    document_type="id_card",
    questions=QUESTIONS,
    sizes={"tiny": (224, 144), "full": (1476, 1039)},
    material="plastic",
    millimetres=125.0,
    corner=3.18,
    seen=Choices(
        palettes=(
            Palette.of("burgundy", "faf4f0 f0e2de cea4a0 701a2c 161214 6e2432"),
            Palette.of("navy", "f0f4fa dee6f2 9cb2d2 16265c 10121c 20326a"),
            Palette.of("forest", "f0f7f0 daeadc 96be9e 124e30 101612 184c32"),
        ),
        backgrounds=("contours", "guilloche", "dots"),
        faces=SEEN_FACES,
        arrangements=(Arrangement("list", _LIST), Arrangement("pairs-above", _PAIRS, "above")),
    ),
    held=Choices(
        palettes=(
            Palette.of("plum", "f7f0f9 e8daee be9ccc 541c64 1a101c 542462"),
            Palette.of("amber", "fcf6e6 f4e4c4 dcb46e 88540a 1e180e 7c4c0a"),
        ),
        backgrounds=("waves", "mesh"),
        faces=HELD_FACES,
        arrangements=(
            Arrangement("number-top", _NUMBER_TOP),
            Arrangement("pairs-number-above", _NUMBER_PAIRS, "above"),
        ),
    ),
    draw=_draw,
    also=("place_of_birth",),
)
