"""``fapiao``: a Chinese electronic invoice in the manner of the VAT invoices of 2022, its sums and its words agreeing.

Source of the fields: the digital invoice of the State Taxation Administration (2021, no. 14 and later); names, codes and
places are nobody's (``chinese.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from degradations.documents import chinese, decor
from degradations.documents.backgrounds import Palette, ground
from degradations.documents.billing import money
from degradations.documents.looks import Arrangement, Choices, Drawing, Template, jitter
from degradations.documents.model import Colour, Document, TextStyle
from degradations.documents.page import Page
from degradations.documents.typeset import measure
from degradations.documents.values import Values, characters, day, pick

QUESTIONS = {
    "invoice_number": "invoice number (发票号码)",
    "invoice_date": "date of issue (开票日期)",
    "buyer_name": "name of the buyer (购买方名称)",
    "buyer_code": "credit code of the buyer (购买方统一社会信用代码)",
    "seller_name": "name of the seller (销售方名称)",
    "seller_code": "credit code of the seller (销售方统一社会信用代码)",
    "subtotal": "sum of the amounts (合计金额)",
    "tax": "sum of the tax (合计税额)",
    "total_in_words": "total in words (价税合计大写)",
    "total": "total (价税合计小写)",
}
LABELS = {
    "invoice_number": "发票号码：", "invoice_date": "开票日期：", "buyer_name": "名称：", "seller_name": "名称：",
    "buyer_code": "统一社会信用代码/纳税人识别号：", "seller_code": "统一社会信用代码/纳税人识别号：", "subtotal": "合计", "tax": "合计",
    "total_in_words": "价税合计（大写）", "total": "（小写）",
}  # fmt: skip
TITLES = ("电子发票（普通发票）", "电子发票（增值税专用发票）")
HEADS = ("项目名称", "规格型号", "单位", "数量", "单价", "金额", "税率", "税额")
COLUMNS = (0.0, 0.235, 0.345, 0.415, 0.505, 0.635, 0.79, 0.86, 1.0)  # shares of the table's width
RATES = (100, 300, 600, 900, 1300)  # hundredths of a percent
LEFT, RIGHT, TOP, BOTTOM = 60.0, 1420.0, 206.0, 860.0
TEXT, SMALL = 26.0, 22.0


@dataclass(frozen=True, slots=True)
class _Line:
    name: str
    model: str
    unit: str
    quantity: int
    price: int  # fen
    tax: int

    @property
    def amount(self) -> int:
        return self.quantity * self.price


def _lines(drawing: Drawing, rate: int) -> tuple[_Line, ...]:
    rng = drawing.rng
    found = []
    for index in rng.choice(len(chinese.GOODS), size=int(rng.integers(1, 5)), replace=False):
        name, model, unit = chinese.GOODS[int(index)]
        quantity, price = int(rng.integers(1, 40)), int(rng.integers(200, 60000))
        found.append(_Line(name, model, unit, quantity, price, (quantity * price * rate + 5000) // 10000))
    return tuple(found)


def _draw(drawing: Drawing) -> Document:
    rng, look = drawing.rng, drawing.look
    width, height = drawing.size
    page = Page(ground(look.background, look.palette, width, height, look.ground_seed, 0.3).copy())
    rule = jitter(rng, look.palette.accent, 8)
    label = TextStyle(*look.label_face, SMALL, rule)
    value = TextStyle(*look.value_face, TEXT, jitter(rng, look.palette.ink, 8))
    rate = pick(rng, RATES)
    lines = _lines(drawing, rate)
    subtotal, tax = sum(line.amount for line in lines), sum(line.tax for line in lines)
    order = [concept for (concept,) in look.arrangement.rows]
    half = (LEFT + RIGHT) / 2
    values = Values(rng, drawing.split, drawing.values, lambda _, t: measure(t, value) <= half - LEFT - 150)
    found = _said(values, subtotal, tax)
    _title(drawing, page, label, rule)

    def field(concept: str, style: TextStyle, **place: str) -> None:
        page.field(concept, QUESTIONS[concept], found[concept], LABELS[concept], style, **place)  # type: ignore[arg-type]

    head = [concept for concept in order if concept.startswith("invoice_")]
    for index, concept in enumerate(head):
        y = 92.0 + 44 * index
        page.write(LABELS[concept], label.at(1068, y))
        field(concept, replace(value, size=23.0).at(1068 + measure(LABELS[concept], label), y))
    parties = ("buyer", "seller") if order.index("buyer_name") < order.index("seller_name") else ("seller", "buyer")
    for side, party in enumerate(parties):
        _party(page, label, rule, party, LEFT + side * (half - LEFT))
        x = LEFT + side * (half - LEFT) + 62
        field(f"{party}_name", value.at(x + measure(LABELS["buyer_name"], label), TOP + 46))
        page.write(LABELS["buyer_name"], label.at(x, TOP + 46))
        code = LABELS["buyer_code"]
        page.write(code, replace(label, size=18.0).at(x, TOP + 100))
        field(f"{party}_code", replace(value, size=22.0).at(x + measure(code, replace(label, size=18.0)), TOP + 100))
    bottom = _table(page, label, value, rule, lines, rate)
    columns = [LEFT + share * (RIGHT - LEFT) for share in COLUMNS]
    y = bottom - 22
    page.write("合　　计".replace("　", "  "), label.at(LEFT + 40, y))
    sums = replace(value, size=24.0)
    # The currency sign belongs to the print, not to the value that is asked for.
    for concept, x in (("subtotal", columns[6] - 14), ("tax", columns[8] - 14)):
        page.write("¥", sums.at(x - measure(found[concept], sums), y), align="right")
        field(concept, sums.at(x, y), align="right")
    y = bottom + 42
    page.write(LABELS["total_in_words"], label.at(LEFT + 20, y))
    field("total_in_words", replace(value, size=23.0).at(columns[1] + 60, y))
    x = columns[6] - 60
    page.write(LABELS["total"], label.at(x, y))
    x += measure(LABELS["total"], label) + 8
    page.write("¥", value.at(x, y))
    field("total", value.at(x + measure("¥", value) + 2, y))
    _frame(page, rule, bottom)
    for index, char in enumerate("备注"):
        page.write(char, label.at(LEFT + 22, bottom + 104 + 34 * index), align="center")
    note = (
        f"合同编号：{characters(rng, '0123456789', 8)}"
        if rng.random() < 0.6
        else f"收款银行账号：{characters(rng, '0123456789', 16)}"
    )
    page.write(note, replace(label, size=20.0, colour=look.palette.ink).at(LEFT + 64, bottom + 104))
    page.write(f"开票人：{chinese.name(rng, drawing.split)}", label.at(LEFT + 30, BOTTOM + 46))
    return page.document(
        document_type="invoice",
        template="fapiao",
        identity={
            **found,
            "tax_rate": f"{rate / 100:g}",
            "items": "; ".join(f"{i.quantity} x {i.name} @ {money(i.price)} = {money(i.amount)}" for i in lines),
        },
        drawing=drawing.description,
    )


def _said(values: Values, subtotal: int, tax: int) -> dict[str, str]:
    rng = values.rng
    issued = day(rng, date(2022, 1, 1), date(2027, 12, 31))

    def words(make: str) -> str:
        return chinese.scrambled(rng, len(make)) if values.random else make

    makers = {
        # Region 99 was never given out, so no such invoice exists.
        "invoice_number": lambda: f"{issued:%y}99{characters(rng, '0123456789', 16)}",
        "invoice_date": lambda: chinese.long_date(issued),
        "buyer_name": lambda: words(chinese.company(rng)),
        "buyer_code": lambda: chinese.credit_code(rng),
        "seller_name": lambda: words(chinese.company(rng)),
        "seller_code": lambda: chinese.credit_code(rng),
        "subtotal": lambda: money(subtotal),
        "tax": lambda: money(tax),
        "total_in_words": lambda: words(chinese.in_words(subtotal + tax)),
        "total": lambda: money(subtotal + tax),
    }
    return {concept: values.value(concept, maker, longest=20) for concept, maker in makers.items()}


def _title(drawing: Drawing, page: Page, label: TextStyle, rule: Colour) -> None:
    """The name of the form over a double line, the supervising seal on it, and a square code."""
    rng, middle = drawing.rng, page.width / 2
    title = pick(rng, TITLES)
    big = replace(label, size=42.0)
    page.write(title, big.at(middle, 92), align="center")
    reach = measure(title, big) / 2 + 24
    for y in (112, 118):
        page.rule(middle - reach, y, middle + reach, rule, 2)
    decor.oval_seal(page.image, (int(middle) - 92, 46, int(middle) + 92, 168), (206, 42, 48), 0.62)
    seal = TextStyle(*drawing.look.label_face, 15.0, (206, 60, 62))
    page.write("云岭省税务局", seal.at(middle, 104), align="center")
    page.write("发票监制章", seal.at(middle, 140), align="center")
    decor.square_code(page.image, rng, (int(LEFT), 44, int(LEFT) + 128, 172))


def _party(page: Page, label: TextStyle, rule: Colour, party: str, x: float) -> None:
    """A side's name, set downwards in its own narrow column."""
    small = replace(label, size=18.0)
    for index, char in enumerate("购买方信息" if party == "buyer" else "销售方信息"):
        page.write(char, small.at(x + 20, TOP + 30 + 23 * index), align="center")
    page.band((x + 40, TOP, x + 42, TOP + 132), rule, 0.8)


def _table(page: Page, label: TextStyle, value: TextStyle, rule: Colour, lines: Sequence[_Line], rate: int) -> float:
    """Heads and line items; returns where the table ends."""
    columns = [LEFT + share * (RIGHT - LEFT) for share in COLUMNS]
    y = TOP + 132 + 34.0
    small = replace(value, size=21.0)
    for index, head in enumerate(HEADS):
        right = index in (3, 4, 5, 7)
        x = columns[index + 1] - 14 if right else columns[index] + 14
        page.write(head, replace(label, size=20.0).at(x, y), align="right" if right else "left")
    for line in lines:
        y += 42
        cells = (line.name, line.model, line.unit, str(line.quantity), money(line.price), money(line.amount),
                 f"{rate / 100:g}%", money(line.tax))  # fmt: skip
        for index, text in enumerate(cells):
            right = index in (3, 4, 5, 7)
            x = columns[index + 1] - 14 if right else columns[index] + 14
            page.write(text, small.at(x, y), align="right" if right else "left")
    return max(y + 110.0, TOP + 430.0)


def _frame(page: Page, rule: Colour, bottom: float) -> None:
    for y in (TOP, TOP + 132, bottom, bottom + 64, BOTTOM):
        page.rule(LEFT, y, RIGHT, rule, 2)
    for x in (LEFT, RIGHT - 2):
        page.band((x, TOP, x + 2, BOTTOM), rule, 0.8)
    half = (LEFT + RIGHT) / 2
    page.band((half, TOP, half + 2, TOP + 132), rule, 0.8)
    page.band((LEFT + 300, bottom, LEFT + 302, bottom + 64), rule, 0.8)
    page.band((LEFT + 44, bottom + 64, LEFT + 46, BOTTOM), rule, 0.8)


def _rows(*concepts: str) -> tuple[tuple[str, ...], ...]:
    return tuple((concept,) for concept in concepts)


_SUMS = ("subtotal", "tax", "total_in_words", "total")
_USUAL = ("invoice_number", "invoice_date", "buyer_name", "buyer_code", "seller_name", "seller_code", *_SUMS)
_SELLER = ("invoice_number", "invoice_date", "seller_name", "seller_code", "buyer_name", "buyer_code", *_SUMS)
_DATE = ("invoice_date", "invoice_number", "buyer_name", "buyer_code", "seller_name", "seller_code", *_SUMS)
_DATE_SELLER = ("invoice_date", "invoice_number", "seller_name", "seller_code", "buyer_name", "buyer_code", *_SUMS)

TEMPLATE = Template(
    name="fapiao",
    document_type="invoice",
    questions=QUESTIONS,
    sizes={"full": (1480, 960)},
    millimetres=240.0,
    seen=Choices(
        palettes=(
            Palette.of("maroon-rule", "fcfbf8 f6f3ec e8dcd0 8c3a2a 16161a 8c3a2a"),
            Palette.of("brown-rule", "fbfaf6 f4efe4 e4d8c4 7c4a24 14141a 7c4a24"),
        ),
        backgrounds=("plain", "waves"),
        faces=(("Noto Sans SC", 400),),
        arrangements=(
            Arrangement("usual", _rows(*_USUAL), fixed=len(_SUMS)),
            Arrangement("seller-left", _rows(*_SELLER), fixed=len(_SUMS)),
        ),
    ),
    held=Choices(
        palettes=(Palette.of("green-rule", "f9fbf8 eef4ec d4e2d0 2c6434 141816 2c6434"),),
        backgrounds=("contours",),
        faces=(("Noto Serif SC", 400),),
        arrangements=(
            Arrangement("date-first", _rows(*_DATE), fixed=len(_SUMS)),
            Arrangement("date-first-seller-left", _rows(*_DATE_SELLER), fixed=len(_SUMS)),
        ),
    ),
    draw=_draw,
)
