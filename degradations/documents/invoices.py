"""``invoice_classic`` and ``invoice_modern``: invoices whose line items add up to their totals.

The two share their blocks: head, particulars, table, sums. A tiny page is one column of them; an A4 page sets the
particulars beside an address, the sums at the right, and adds terms, bank details and a foot.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from degradations.documents import decor
from degradations.documents.backgrounds import Palette, ground
from degradations.documents.billing import DETAILS, Bill, draw_bill, money
from degradations.documents.looks import HELD_FACES, SEEN_FACES, Arrangement, Choices, Drawing, Template, jitter
from degradations.documents.model import Document, TextStyle
from degradations.documents.page import Page
from degradations.documents.typeset import measure
from degradations.documents.values import Values, invented, pattern, pick

LABELS = {
    "invoice_classic": (
        {"invoice_number": "Invoice no.", "invoice_date": "Date", "customer": "Bill to", "subtotal": "Subtotal",
         "tax": "Tax", "total": "Total"},
        {"invoice_number": "Invoice #", "invoice_date": "Invoice date", "customer": "Customer", "subtotal": "Subtotal",
         "tax": "Tax", "total": "Total"},
    ),
    "invoice_modern": (
        {"invoice_number": "Invoice", "invoice_date": "Issued", "due_date": "Due date", "customer": "Customer",
         "tax": "VAT", "total": "Total"},
        {"invoice_number": "Invoice no.", "invoice_date": "Invoice date", "due_date": "Due", "customer": "Billed to",
         "tax": "VAT", "total": "Total due"},
    ),
}  # fmt: skip
QUESTIONS = {
    "invoice_classic": {
        "invoice_number": "invoice number", "invoice_date": "invoice date", "customer": "customer",
        "subtotal": "subtotal", "tax": "tax", "total": "total",
    },
    "invoice_modern": {
        "invoice_number": "invoice number", "invoice_date": "invoice date", "due_date": "due date",
        "customer": "customer", "tax": "tax", "total": "total",
    },
}  # fmt: skip
SUMS = ("subtotal", "tax", "total")


@dataclass(frozen=True, slots=True)
class Geometry:
    """Pixels at one scale; ``items`` is the range of the number of line items."""

    margin: int
    header: int
    title_size: float
    value_sizes: tuple[float, ...]
    label_size: float
    small_size: float
    pitch: float
    item_pitch: float
    items: tuple[int, int]
    jitter: int


TINY = Geometry(7, 26, 15.0, (12.0, 12.5, 13.0), 11.0, 8.5, 16.5, 11.0, (2, 4), 2)
FULL = Geometry(96, 210, 58.0, (25.0, 26.0, 27.0), 23.0, 21.0, 46.0, 42.0, (5, 12), 10)


@dataclass(frozen=True, slots=True)
class _Sheet:
    """A page under way and what its blocks share."""

    page: Page
    drawing: Drawing
    g: Geometry
    bill: Bill
    labels: dict[str, str]
    questions: dict[str, str]
    value: TextStyle
    label: TextStyle
    small: TextStyle
    left: float
    right: float
    column: float

    def rows(self, concepts: Iterable[str], x0: float, x1: float, y: float, flush: bool) -> float:
        """Labelled values one below the other between x0 and x1, values ``flush`` right or in a column; returns y."""
        for concept in concepts:
            y += self.g.pitch
            baseline = y - self.g.pitch * 0.28
            label, value = self.labels[concept], self.bill.printed[concept]
            self.page.write(label, self.label.at(x0, baseline))
            style = self.value.at(x1 if flush else x0 + self.column, baseline)
            align = "right" if flush else "left"
            self.page.field(
                concept, self.questions[concept], value, label, style, max_width=x1 - x0 - self.column, align=align
            )
        return y

    def write(
        self, text: str, x: float, y: float, *, bold: bool = False, align: str = "left", size: float = 1.0
    ) -> None:
        style = replace(self.small, weight=700 if bold else 400, size=self.small.size * size)
        self.page.write(text, style.at(x, y), align=align)


def _draw(name: str, drawing: Drawing) -> Document:
    rng, look = drawing.rng, drawing.look
    g = TINY if drawing.tiny else FULL
    width, height = drawing.size
    palette, arrangement = look.palette, look.arrangement
    strength = 1.0 if drawing.tiny else 0.4
    page = Page(ground(look.background, palette, width, height, look.ground_seed, strength).copy())
    modern = name == "invoice_modern"
    labels, questions = pick(rng, LABELS[name]), QUESTIONS[name]
    dx, dy = (int(v) for v in rng.integers(-g.jitter, g.jitter + 1, 2))
    left, right = float(g.margin + dx), float(width - g.margin + dx)
    if modern:
        page.band((0, 0, width, g.header), palette.accent, 0.92)
    small = TextStyle("Roboto Condensed", 400, g.small_size, jitter(rng, palette.ink, 12))
    value = TextStyle(*look.value_face, float(pick(rng, g.value_sizes)), jitter(rng, palette.ink, 10))
    label = TextStyle(*look.label_face, g.label_size, jitter(rng, palette.label, 8))
    column = max(measure(text, label) for text in labels.values()) + g.margin * (1 if drawing.tiny else 0.3)

    # On A4 each block has one half of the page, or 0.42 of it for the sums.
    room = right - left if drawing.tiny else (right - left) * 0.42
    values = Values(rng, drawing.split, drawing.values, lambda _, text: measure(text, value) <= room - column)
    bill = draw_bill(rng, values, tuple(questions), int(rng.integers(g.items[0], g.items[1] + 1)))
    sheet = _Sheet(page, drawing, g, bill, labels, questions, value, label, small, left, right, column)
    concepts = [concept for (concept,) in arrangement.rows]
    particulars = [concept for concept in concepts if concept not in SUMS]
    sums = [concept for concept in concepts if concept in SUMS]
    flush = arrangement.labels == "right"
    if drawing.tiny:
        _head(sheet, modern, dy)
        y = sheet.rows(particulars, left, right, g.header + dy + 2.0, flush)
        y += g.item_pitch * float(rng.uniform(0.4, 1.0))
        _table(sheet, y)
        y += g.item_pitch * (len(bill.items) + float(rng.uniform(1.4, 2.1)))
        sheet.rows(sums, left, right, y, True)
    else:
        _letterhead(sheet, modern)
        top = g.header + (90.0 if modern else 150.0)
        x0, x1 = (left, left + room) if not flush else (right - room, right)
        bottom = sheet.rows(particulars, x0, x1, top, flush)
        _address(sheet, right - room if not flush else left, top + g.pitch * 0.72)
        y = bottom + float(rng.uniform(60, 120))
        _table(sheet, y)
        y += g.item_pitch * (len(bill.items) + 1.6)
        y = sheet.rows(sums, right - room, right, y, True)
        page.rule(right - room, y - g.pitch * 0.98, right, palette.accent, 2)
        _terms(sheet, y + 110)
    return page.document(
        document_type="invoice",
        template=name,
        identity=bill.identity,
        drawing=drawing.description,
    )


def _head(sheet: _Sheet, modern: bool, dy: int) -> None:
    """Title and seller on one line."""
    g, look = sheet.g, sheet.drawing.look
    colour = (250, 250, 250) if modern else look.palette.accent
    title = TextStyle(look.label_face[0], 700, g.title_size, colour, opaque=True)
    seller = replace(sheet.small, colour=(240, 240, 240), opaque=True) if modern else sheet.small
    drop = 0 if modern else dy
    sheet.page.write("INVOICE", title.at(sheet.left, g.header * 0.68 + drop))
    sheet.page.write(sheet.bill.seller, seller.at(sheet.right, g.header * 0.66 + drop), align="right")


def _letterhead(sheet: _Sheet, modern: bool) -> None:
    """Logo, seller and where to reach it; the title at the right."""
    drawing, page, g = sheet.drawing, sheet.page, sheet.g
    rng, palette = drawing.rng, drawing.look.palette
    light = (250, 250, 250)
    title = TextStyle(drawing.look.label_face[0], 700, g.title_size, light if modern else palette.accent, opaque=True)
    page.write("INVOICE", title.at(sheet.right, g.header * 0.62), align="right")
    decor.logo(page.image, rng, int(sheet.left), int(g.header * 0.28), 96, light if modern else palette.accent)
    x = sheet.left + 122
    name = replace(title, size=34.0, colour=light if modern else palette.ink)
    lines = replace(sheet.small, colour=(236, 236, 236), opaque=True) if modern else sheet.small
    page.write(sheet.bill.seller, name.at(x, g.header * 0.28 + 32))
    page.write(invented(rng, "street_address", 28), lines.at(x, g.header * 0.28 + 62))
    place = f"{pattern(rng, '99999')} {invented(rng, 'city', 18)}"
    page.write(place, lines.at(x, g.header * 0.28 + 90))


def _address(sheet: _Sheet, x: float, y: float) -> None:
    """Where the goods went; the customer's name is not repeated."""
    rng = sheet.drawing.rng
    sheet.write(pick(rng, ("Delivery address", "Ship to", "Delivered to")), x, y, bold=True)
    sheet.write(invented(rng, "street_address", 28), x, y + 34)
    sheet.write(f"{pattern(rng, '99999')} {invented(rng, 'city', 18)}", x, y + 64)
    sheet.write(f"Order ref. {pattern(rng, 'AA 99999')}", x, y + 112)


def _table(sheet: _Sheet, y: float) -> None:
    """Line items: name, quantity, price, amount."""
    page, g, palette = sheet.page, sheet.g, sheet.drawing.look.palette
    tiny, rng = sheet.drawing.tiny, sheet.drawing.rng
    left, right = sheet.left, sheet.right
    room = right - left
    columns = (left, left + room * (0.52 if tiny else 0.60), left + room * (0.74 if tiny else 0.78), right)
    thick = 1 if tiny else 2
    page.rule(left, y, right, palette.accent, thick)
    rows = [("Item", "Qty", "Price", "Amount")]
    rows += [(i.name, str(i.quantity), money(i.price), money(i.amount)) for i in sheet.bill.items]
    banded = not tiny and rng.random() < 0.5
    for index, row in enumerate(rows):
        top = y + g.item_pitch * index
        if banded and index and index % 2 == 0:
            page.band((left, top, right, top + g.item_pitch), palette.line, 0.25)
        baseline = top + g.item_pitch * (0.8 if tiny else 0.68)
        for k, text in enumerate(row):
            style = replace(sheet.small, weight=700) if not tiny and index == 0 else sheet.small
            line = page.write(text, style.at(columns[k], baseline), align="left" if k == 0 else "right")
            if k == 0 and index and not tiny:
                end = line.boxes[-1][2]
                sheet.write(pick(rng, DETAILS), end + 14, baseline)
        if index == 0:
            page.rule(left, y + g.item_pitch, right, palette.label, 1)
    page.rule(left, y + g.item_pitch * len(rows) + 1, right, palette.accent, thick)


def _terms(sheet: _Sheet, y: float) -> None:
    """Terms of payment, bank details, a bar code and the foot of the page."""
    page, rng, palette = sheet.page, sheet.drawing.rng, sheet.drawing.look.palette
    terms = ("Payment by bank transfer, without deduction.", "Please quote the invoice number with your payment.")
    sheet.write("Terms of payment", sheet.left, y, bold=True)
    for index, text in enumerate(terms):
        sheet.write(text, sheet.left, y + 32 * (index + 1))
    account = f"{pattern(rng, 'AA99')} {' '.join(pattern(rng, '9999') for _ in range(4))}"
    sheet.write(f"IBAN {account}", sheet.left, y + 128)
    sheet.write(f"BIC {pattern(rng, 'AAAAAAAA')}", sheet.left, y + 160)
    sheet.write(f"Rate of {sheet.labels['tax']}: {sheet.bill.rate / 100:g} %", sheet.left, y + 208)
    if rng.random() < 0.5:
        x = int(sheet.right)
        decor.barcode(page.image, rng, (x - 300, int(y) + 60, x, int(y) + 140))
    foot = page.height - 110.0
    page.rule(sheet.left, foot, sheet.right, palette.accent, 1)
    page.write(f"{sheet.bill.seller}  -  Reg. no. {pattern(rng, '999999')}", sheet.small.at(sheet.left, foot + 36))
    phone = f"Tel. {pattern(rng, '999 999 9999')}"
    page.write(phone, sheet.small.at((sheet.left + sheet.right) / 2, foot + 36), align="center")
    page.write("Page 1 of 1", sheet.small.at(sheet.right, foot + 36), align="right")


def _rows(*concepts: str) -> tuple[tuple[str, ...], ...]:
    return tuple((concept,) for concept in concepts)


CLASSIC = Template(
    name="invoice_classic",
    document_type="invoice",
    questions=QUESTIONS["invoice_classic"],
    sizes={"tiny": (192, 224), "full": (1240, 1754)},
    seen=Choices(
        palettes=(
            Palette.of("white", "fcfcfa f6f6f4 e2e2e2 282c34 101012 46484e"),
            Palette.of("cream", "fcf9f0 f6f0e2 e2d8c4 60421e 181410 60482c"),
            Palette.of("office-blue", "f8fafd eef3fa cedaec 184080 10121c 2c4878"),
        ),
        backgrounds=("plain", "waves"),
        faces=(*SEEN_FACES, ("PT Serif", 400)),
        arrangements=(
            Arrangement("columns", _rows("invoice_number", "invoice_date", "customer", *SUMS), fixed=3),
            Arrangement("columns-right", _rows("customer", "invoice_number", "invoice_date", *SUMS), "right", fixed=3),
        ),
    ),
    held=Choices(
        palettes=(
            Palette.of("pale-green", "f8fcf6 ecf5e8 cee2c6 225c2e 101610 2c5832"),
            Palette.of("grey", "f0f0f0 e6e6e8 d2d2d6 3c3c46 141416 4c4c54"),
        ),
        backgrounds=("guilloche", "dots"),
        faces=HELD_FACES,
        arrangements=(
            Arrangement("date-first", _rows("invoice_date", "customer", "invoice_number", *SUMS), fixed=3),
            Arrangement(
                "date-first-right", _rows("invoice_date", "invoice_number", "customer", *SUMS), "right", fixed=3
            ),
        ),
    ),
    draw=lambda drawing: _draw("invoice_classic", drawing),
    also=("iban", "address", "seller_name"),
)

MODERN = Template(
    name="invoice_modern",
    document_type="invoice",
    questions=QUESTIONS["invoice_modern"],
    sizes={"tiny": (192, 224), "full": (1240, 1754)},
    seen=Choices(
        palettes=(
            Palette.of("teal-head", "fcfdfd f2f8f8 d4e8e8 0e747c 12181a 1e646a"),
            Palette.of("indigo-head", "fcfcfe f4f4fb d8d8ee 3e3a96 161422 4a468c"),
            Palette.of("coral-head", "fefbfa faf2ef f0d8d0 c64a34 201412 a04230"),
        ),
        backgrounds=("plain", "contours"),
        faces=SEEN_FACES,
        arrangements=(
            Arrangement(
                "stack-right",
                _rows("invoice_number", "invoice_date", "due_date", "customer", "tax", "total"),
                "right",
                fixed=2,
            ),
            Arrangement(
                "stack", _rows("customer", "invoice_number", "invoice_date", "due_date", "tax", "total"), fixed=2
            ),
        ),
    ),
    held=Choices(
        palettes=(
            Palette.of("olive-head", "fdfdf8 f6f7ec e2e4c8 626a14 181a10 5a6018"),
            Palette.of("wine-head", "fefafc f8eef3 ead0dc 7a1442 1e1016 741c42"),
        ),
        backgrounds=("mesh", "waves"),
        faces=HELD_FACES,
        arrangements=(
            Arrangement(
                "due-first", _rows("due_date", "invoice_number", "customer", "invoice_date", "tax", "total"), fixed=2
            ),
            Arrangement(
                "customer-last-right",
                _rows("invoice_date", "due_date", "invoice_number", "customer", "tax", "total"),
                "right",
                fixed=2,
            ),
        ),
    ),
    draw=lambda drawing: _draw("invoice_modern", drawing),
    also=("iban", "address", "seller_name"),
)
