"""``national_id``: a national identity card whose holder's name stands in Cyrillic or Greek and in Latin letters.

Labels are bilingual. Questions ask for the Latin form; the native one stands above it in the same type.
"""

from __future__ import annotations

from datetime import date

import cv2

from degradations.documents import decor, scripts
from degradations.documents.backgrounds import Palette
from degradations.documents.cards import Card, CardPlan, Geometry, draw_card
from degradations.documents.looks import Arrangement, Choices, Drawing, Template
from degradations.documents.model import Document
from degradations.documents.values import Values, day, pattern, pick, write_date

QUESTIONS = {
    "surname": "surname in Latin letters",
    "given_names": "given name in Latin letters",
    "nationality": "nationality",
    "date_of_birth": "date of birth",
    "personal_number": "personal number",
    "document_number": "document number",
    "expiry_date": "date of expiry",
}
ENGLISH = {
    "surname": "Surname", "given_names": "Given name", "nationality": "Nationality", "date_of_birth": "Date of birth",
    "document_number": "Document No.", "expiry_date": "Date of expiry",
}  # fmt: skip
NATIONS = {"ukrainian": "UKR", "bulgarian": "BGR", "greek": "GRC"}
NUMBERS = ("999999999", "AA999999", "AA9999999")
# Faces with Cyrillic and Greek; HELD_FACES and SEEN_FACES have some without.
SEEN: tuple[tuple[str, int], ...] = (
    ("Roboto", 500), ("Roboto", 700), ("Arimo", 400), ("Inter", 500), ("Open Sans", 500), ("Roboto Condensed", 600),
)  # fmt: skip
HELD: tuple[tuple[str, int], ...] = (("Source Sans 3", 600), ("Arimo", 500))
FULL = Geometry(84, 38, (248, 318), (30.0, 31.0, 32.0), 17.0, 19.0, 30, 26)


def _draw(drawing: Drawing) -> Document:
    rng = drawing.rng
    script = pick(rng, tuple(scripts.SCRIPTS))
    native = scripts.SCRIPTS[script]
    labels = {concept: f"{native.labels[concept]} / {label}" for concept, label in ENGLISH.items()}
    labels |= {
        "native_surname": native.labels["surname"],
        "native_given": native.labels["given_names"],
        # The Latin form follows its native one and has no label of its own.
        "surname": "Surname",
        "given_names": "Given name",
        "personal_number": "РНОКПП / Personal No." if script == "ukrainian" else
        "ЕГН / Personal No." if script == "bulgarian" else "Α.Μ. / Personal No.",
    }  # fmt: skip
    samples = {
        "native_surname": "WWWWWWWWW",
        "surname": "WWWWWWWWW",
        "native_given": "WWWWWWW",
        "personal_number": "0000000000",
    }
    plan = CardPlan(labels, native.title, "IDENTITY CARD", "any", reserve=150, samples=samples)
    card = draw_card(drawing, plan, FULL)
    values = Values(rng, drawing.split, drawing.values, card.fits)
    sex = pick(rng, "MF")
    born = day(rng, date(1942, 1, 1), date(2008, 12, 31))
    expires = day(rng, date(2024, 1, 1), date(2034, 12, 31))
    form = pick(rng, NUMBERS)
    pair = _fitting(drawing, card, "surname", scripts.surnames(script, sex, drawing.split))
    given = _fitting(drawing, card, "given_names", scripts.given_names(script, sex))
    _decorate(drawing, card)
    found = {
        "surname": values.value("surname", lambda: pair[1]),
        "given_names": values.value("given_names", lambda: given[1]),
        "nationality": values.value("nationality", lambda: NATIONS[script]),
        "date_of_birth": values.value("date_of_birth", lambda: write_date(born, "dmy")),
        "personal_number": values.value("personal_number", lambda: f"{born:%y%m%d}{pattern(rng, '9999')}"),
        "document_number": values.value("document_number", lambda: pattern(rng, form)),
        "expiry_date": values.value("expiry_date", lambda: write_date(expires, "dmy")),
    }
    # A random Latin form has no native one: the holder's own stays above it, as on a card with a married name.
    card.tell("native_surname", pair[0])
    card.tell("native_given", given[0])
    for concept, value in found.items():
        card.put(concept, QUESTIONS[concept], value)
    return card.page.document(
        document_type="id_card",
        template="national_id",
        identity={"sex": sex, **found, "script": script, "native_surname": pair[0], "native_given_names": given[0]},
        drawing={**drawing.description, "script": script},
    )


def _fitting(drawing: Drawing, card: Card, concept: str, names: tuple[tuple[str, str], ...]) -> tuple[str, str]:
    """A name that fits its cell in Latin; the native print may be made smaller."""
    short = tuple(pair for pair in names if card.fits(concept, pair[1]))
    return pick(drawing.rng, short or names)


def _decorate(drawing: Drawing, card: Card) -> None:
    """A rosette for a coat of arms, a second portrait, foil and a signature."""
    rng, image = drawing.rng, card.page.image
    x0, _, x1, y1 = card.portrait_box
    decor.signature(image, rng, (x0 - 4, y1 + 8, x1 + 4, y1 + 96), (20, 24, 58))
    right = int(card.area[2]) + 142
    decor.coat_of_arms(image, right - 60, int(card.area[1]) + 56, 46, drawing.look.palette.accent)
    small = cv2.resize(card.picture, (116, 150), interpolation=cv2.INTER_AREA)
    decor.ghost(image, small, right - 122, int(card.area[3]) - 176, 0.55)
    decor.hologram(image, rng, int(rng.uniform(x0 + 10, x1)), int(y1 - 46), 104, 0.24)
    card.page.write(pattern(rng, "AA 999999"), card.small_style.at(right - 140, drawing.size[1] - 20))


_NAMES = (("native_surname", "surname"), ("native_given", "given_names"))
_LIST = (*_NAMES, ("nationality", "personal_number"), ("date_of_birth",), ("document_number",), ("expiry_date",))
_PAIRS = (*_NAMES, ("date_of_birth", "nationality"), ("personal_number",), ("document_number", "expiry_date"))
_NUMBER_TOP = (("document_number", "expiry_date"), *_NAMES, ("date_of_birth",), ("personal_number", "nationality"))
_BIRTH_TOP = (("date_of_birth", "nationality"), *_NAMES, ("document_number",), ("personal_number",), ("expiry_date",))

TEMPLATE = Template(
    name="national_id",
    document_type="id_card",
    questions=QUESTIONS,
    sizes={"full": (1013, 638)},
    material="plastic",
    millimetres=85.6,
    corner=3.18,
    seen=Choices(
        palettes=(
            Palette.of("wheat", "faf6ea f0e6c8 d2bc84 7c5a1c 1a160e 6c4e18"),
            Palette.of("aegean", "eef4fb d6e4f4 8eb0dc 1c4c94 10161e 204a8a"),
            Palette.of("thyme", "f1f6ee dce8d4 a2be92 3a6430 121812 38602e"),
        ),
        backgrounds=("rosettes", "waves", "contours"),
        faces=SEEN,
        arrangements=(
            Arrangement("list-above", _LIST, "above"),
            Arrangement("pairs-above", _PAIRS, "above"),
            Arrangement("pairs-above-right", _PAIRS, "above", portrait="right"),
        ),
    ),
    held=Choices(
        palettes=(
            Palette.of("cherry", "fbf0f1 f2d9dc d69aa2 92202f 1c1012 862030"),
            Palette.of("steel", "f2f4f6 e0e5ea aab4c0 40506a 12151a 3e4e66"),
        ),
        backgrounds=("guilloche", "mesh"),
        faces=HELD,
        arrangements=(
            Arrangement("number-top-above", _NUMBER_TOP, "above"),
            Arrangement("birth-top-above", _BIRTH_TOP, "above", portrait="right"),
        ),
    ),
    draw=_draw,
)
