"""``till_receipt``: a receipt from a thermal printer, 80 mm wide, on which items, tax, total and change add up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from degradations.documents import decor
from degradations.documents.backgrounds import Palette, ground
from degradations.documents.billing import money
from degradations.documents.looks import Arrangement, Choices, Drawing, Face, Template, jitter
from degradations.documents.model import Document, TextStyle
from degradations.documents.page import Page
from degradations.documents.typeset import measure
from degradations.documents.values import Values, characters, day, invented, pattern, pick, write_date

LABELS = (
    {"receipt_number": "RECEIPT", "date": "DATE", "time": "TIME", "subtotal": "SUBTOTAL", "tax": "TAX", "total": "TOTAL",
     "paid": "CASH", "change": "CHANGE"},
    {"receipt_number": "Receipt no.", "date": "Date", "time": "Time", "subtotal": "Sub-total", "tax": "VAT",
     "total": "TOTAL", "paid": "Cash tendered", "change": "Change due"},
    {"receipt_number": "TXN", "date": "DATE", "time": "TIME", "subtotal": "NET", "tax": "SALES TAX", "total": "AMOUNT DUE",
     "paid": "CASH", "change": "CHANGE"},
)  # fmt: skip
QUESTIONS = {
    "receipt_number": "receipt number",
    "date": "date",
    "time": "time",
    "subtotal": "subtotal",
    "tax": "tax",
    "total": "total",
    "paid": "amount paid in cash",
    "change": "change",
}
SUMS = ("subtotal", "tax", "total", "paid", "change")
GROCERIES = (
    "MILK 1L", "BREAD WHT", "EGGS 12", "BUTTER", "APPLES KG", "COFFEE 250", "RICE 1KG", "SOAP", "PASTA", "TOMATO", "JUICE",
    "YOGURT", "CHEESE", "TEA BAGS", "SUGAR", "HAM SLICED", "BANANA KG", "WATER 6PK", "SALT", "OLIVE OIL", "NAPKINS", "BATTERY AA",
)  # fmt: skip
STORES = (("GREEN", "CORNER", "CITY", "FAMILY", "LAKE", "VALUE"), ("MARKET", "FOODS", "STORE", "GROCER", "SHOP"))
RATES = (500, 600, 700, 825, 1000, 2000)
SEEN_FACES: tuple[Face, ...] = (("Roboto Mono", 400), ("Roboto Mono", 500), ("Roboto Condensed", 500))
HELD_FACES: tuple[Face, ...] = (("IBM Plex Mono", 500), ("IBM Plex Mono", 400))
EDGE, SIZE, PITCH = 34.0, 27.0, 36.0  # paper's margin within the picture, em and line pitch in pixels (203 dpi)


@dataclass(frozen=True, slots=True)
class _Bought:
    name: str
    quantity: int
    price: int  # cents

    @property
    def amount(self) -> int:
        return self.quantity * self.price


def _basket(drawing: Drawing) -> tuple[_Bought, ...]:
    rng = drawing.rng
    chosen = rng.choice(len(GROCERIES), size=int(rng.integers(4, 10)), replace=False)
    return tuple(
        _Bought(GROCERIES[i], int(rng.choice((1, 1, 1, 2, 3, 4))), int(rng.integers(59, 1900))) for i in chosen
    )


def _draw(drawing: Drawing) -> Document:
    rng, look = drawing.rng, drawing.look
    width, height = drawing.size
    page = Page(ground(look.background, look.palette, width, height, look.ground_seed, 0.25).copy())
    ink = jitter(rng, look.palette.ink, 10)
    text = TextStyle(*look.label_face, SIZE, ink)
    value = TextStyle(*look.label_face, SIZE, ink)  # one printer, one face
    labels = pick(rng, LABELS)
    basket = _basket(drawing)
    rate = pick(rng, RATES)
    subtotal = sum(item.amount for item in basket)
    tax = (subtotal * rate + 5000) // 10000
    total = subtotal + tax
    note = pick(rng, (100, 500, 1000, 2000, 5000))
    paid = -(-total // note) * note  # in whole notes, rounded up
    bought = day(rng, date(2019, 1, 1), date(2027, 12, 31))
    style, form = pick(rng, ("mdy", "dmy", "iso")), pick(rng, ("999999", "9999-99999", "A99999", "99/9999"))
    left, right = EDGE + 36, width - EDGE - 36
    values = Values(rng, drawing.split, drawing.values, lambda _, t: measure(t, value) <= (right - left) * 0.6)
    makers = {
        "receipt_number": lambda: pattern(rng, form),
        "date": lambda: write_date(bought, style),
        "time": lambda: f"{int(rng.integers(7, 22)):02d}:{int(rng.integers(60)):02d}",
        "subtotal": lambda: money(subtotal),
        "tax": lambda: money(tax),
        "total": lambda: money(total),
        "paid": lambda: money(paid),
        "change": lambda: money(paid - total),
    }
    found = {concept: values.value(concept, maker) for concept, maker in makers.items()}

    def row(concept: str, y: float, *, size: float = 1.0) -> None:
        big = replace(value, size=value.size * size, weight=700 if size > 1 else value.weight)
        page.write(labels[concept], big.at(left, y))
        page.field(concept, QUESTIONS[concept], found[concept], labels[concept], big.at(right, y), align="right")

    y = _head(drawing, page, text)
    flush = look.arrangement.labels == "right"
    for concept in (c for (c,) in look.arrangement.rows if c not in SUMS):
        y += PITCH
        if flush:
            row(concept, y)
        else:
            page.write(labels[concept], text.at(left, y))
            x = left + max(measure(labels[c], text) for c in labels) + 24
            page.field(concept, QUESTIONS[concept], found[concept], labels[concept], value.at(x, y))
    y = _items(page, text, basket, left, right, y + 0.4 * PITCH)
    for concept in SUMS:
        y += PITCH * (1.25 if concept == "total" else 1.0)
        row(concept, y, size=1.28 if concept == "total" else 1.0)
        if concept == "tax":
            y += 0.15 * PITCH
    end = _foot(drawing, page, text, y)
    lines = "; ".join(f"{i.quantity} x {i.name} @ {money(i.price)} = {money(i.amount)}" for i in basket)
    return page.document(
        document_type="receipt",
        template="till_receipt",
        identity={**found, "items": lines, "tax_rate": f"{rate / 100:g}"},
        drawing=drawing.description,
        cut=(round(0.6 * EDGE), 10, round(width - 0.6 * EDGE), round(end)),
    )


def _head(drawing: Drawing, page: Page, text: TextStyle) -> float:
    rng, middle = drawing.rng, page.width / 2
    name = replace(text, size=SIZE * 1.6, weight=700)
    page.write(f"{pick(rng, STORES[0])} {pick(rng, STORES[1])}", name.at(middle, 88), align="center")
    small = replace(text, size=SIZE * 0.88)
    page.write(invented(rng, "street_address", 26), small.at(middle, 126), align="center")
    page.write(f"TEL {pattern(rng, '999-999-9999')}", small.at(middle, 158), align="center")
    clerk = f"TILL {int(rng.integers(1, 9))}   CLERK {characters(rng, '0123456789', 3)}"
    page.write(clerk, small.at(middle, 190), align="center")
    return 198.0


def _dashes(page: Page, text: TextStyle, left: float, right: float, y: float) -> None:
    count = int((right - left) / measure("-", text))
    page.write("-" * count, text.at(left, y))


def _items(page: Page, text: TextStyle, basket: Sequence[_Bought], left: float, right: float, y: float) -> float:
    _dashes(page, text, left, right, y + 0.7 * PITCH)
    y += 0.8 * PITCH
    for item in basket:
        y += PITCH
        page.write(item.name, text.at(left, y))
        page.write(money(item.amount), text.at(right, y), align="right")
        if item.quantity > 1:
            y += 0.9 * PITCH
            page.write(f"  {item.quantity} @ {money(item.price)}", replace(text, size=SIZE * 0.9).at(left, y))
    _dashes(page, text, left, right, y + 0.8 * PITCH)
    return y + 0.8 * PITCH


def _foot(drawing: Drawing, page: Page, text: TextStyle, y: float) -> float:
    """Thanks and a bar code, if there is room; returns where the paper is torn off."""
    rng, middle = drawing.rng, page.width / 2
    y += 1.7 * PITCH
    thanks = pick(rng, ("THANK YOU", "PLEASE COME AGAIN", "KEEP YOUR RECEIPT", "HAVE A NICE DAY"))
    if y + 1.5 * PITCH < page.height - EDGE:
        page.write(thanks, text.at(middle, y), align="center")
        y += 0.5 * PITCH
    if y + 4.5 * PITCH < page.height - EDGE:
        decor.barcode(page.image, rng, (int(middle) - 170, int(y + 6), int(middle) + 170, int(y + 84)), text.colour)
        y += 84
    return min(page.height - 10.0, y + PITCH * float(rng.uniform(1.2, 3.0)))


def _rows(*concepts: str) -> tuple[tuple[str, ...], ...]:
    return tuple((concept,) for concept in (*concepts, *SUMS))


TEMPLATE = Template(
    name="till_receipt",
    document_type="receipt",
    questions=QUESTIONS,
    sizes={"full": (640, 1240)},
    material="thermal",
    millimetres=75.0,
    seen=Choices(
        palettes=(
            Palette.of("roll-white", "f6f6f4 eeeeec dcdcda 3a3a3c 2e2c30 3a3a3c"),
            Palette.of("roll-blue", "f2f4f6 e8ecf0 d8dee4 34384a 2a2c3a 34384a"),
        ),
        backgrounds=("plain", "contours"),
        faces=SEEN_FACES,
        arrangements=(
            Arrangement("number-first", _rows("receipt_number", "date", "time"), "right", fixed=len(SUMS)),
            Arrangement("date-first-left", _rows("date", "time", "receipt_number"), fixed=len(SUMS)),
        ),
    ),
    held=Choices(
        palettes=(Palette.of("roll-cream", "f6f2e6 eeead8 dcd8c4 423c30 302a24 423c30"),),
        backgrounds=("waves",),
        faces=HELD_FACES,
        arrangements=(
            Arrangement("time-first", _rows("time", "date", "receipt_number"), "right", fixed=len(SUMS)),
            Arrangement("time-middle-left", _rows("date", "receipt_number", "time"), fixed=len(SUMS)),
        ),
    ),
    draw=_draw,
    also=("address", "seller_name"),
)
