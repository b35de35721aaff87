"""What an invoice says: line items that add up, dates in order, a customer and a seller.

All money is counted in cents, so subtotal, tax and total agree to the last digit of what is printed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from degradations.documents.values import Values, day, pattern, pick, write_date

GOODS = (
    "PAPER A4", "TONER", "CABLE 2M", "BOLTS M6", "FILTER", "PAINT 5L", "GLOVES", "LAMP LED", "HOSE", "BATTERY", "VALVE",
    "LABELS", "DELIVERY", "LABOUR", "SENSOR", "BRACKET", "SWITCH", "ADAPTER", "PUMP", "FUSE 10A", "TAPE", "SEALANT",
)  # fmt: skip
DETAILS = (
    "standard grade", "pack of 10", "zinc plated", "incl. mounting", "type B", "per metre", "spare part", "on site",
    "recycled", "reinforced", "heavy duty", "series 200",
)  # fmt: skip
FORMS = ("LTD", "INC", "GMBH", "SA", "AB", "BV", "LLC", "CO")
TAXES = (500, 700, 1000, 1900, 2000, 2100, 2500)  # in hundredths of a percent
NUMBERS = ("999999", "INV-9999", "AA-99999", "99-9999", "A999999", "2026/9999")
SELLERS = (("ALPINE", "NORDIC", "HARBOUR", "CITY", "UNION", "PRIME"), ("SUPPLY", "TOOLS", "PAPER", "TRADE", "PARTS"))


@dataclass(frozen=True, slots=True)
class Item:
    name: str
    quantity: int
    price: int  # cents

    @property
    def amount(self) -> int:
        return self.quantity * self.price


@dataclass(frozen=True, slots=True)
class Bill:
    """``printed`` holds the asked values as printed, by concept."""

    printed: dict[str, str]
    items: tuple[Item, ...]
    rate: int  # tax, in hundredths of a percent
    seller: str

    @property
    def identity(self) -> dict[str, str]:
        lines = (f"{i.quantity} x {i.name} @ {money(i.price)} = {money(i.amount)}" for i in self.items)
        return {**self.printed, "seller": self.seller, "tax_rate": f"{self.rate / 100:g}", "items": "; ".join(lines)}


def money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def draw_bill(rng: np.random.Generator, values: Values, concepts: tuple[str, ...], count: int) -> Bill:
    """A bill with ``count`` line items and a printed value for every one of ``concepts``."""
    chosen = rng.choice(len(GOODS), size=count, replace=False)
    items = tuple(Item(GOODS[i], int(rng.integers(1, 13)), int(rng.integers(95, 20000))) for i in chosen)
    subtotal = sum(item.amount for item in items)
    rate = pick(rng, TAXES)
    tax = (subtotal * rate + 5000) // 10000  # half a cent rounds up
    issued = day(rng, date(2019, 1, 1), date(2027, 12, 31))
    due = issued + timedelta(days=int(pick(rng, (7, 14, 30, 60))))
    style, form, legal = pick(rng, ("dmy", "mdy", "iso")), pick(rng, NUMBERS), pick(rng, FORMS)
    makers = {
        "invoice_number": lambda: pattern(rng, form),
        "invoice_date": lambda: write_date(issued, style),
        "due_date": lambda: write_date(due, style),
        "subtotal": lambda: money(subtotal),
        "tax": lambda: money(tax),
        "total": lambda: money(subtotal + tax),
    }
    printed = {concept: values.value(concept, makers[concept]) for concept in concepts if concept != "customer"}
    customer = values.surname("customer")
    if len(customer) + len(legal) < 14 and values.fits("customer", f"{customer} {legal}") and rng.random() < 0.7:
        customer = f"{customer} {legal}"
    printed["customer"] = customer
    return Bill(printed, items, rate, f"{pick(rng, SELLERS[0])} {pick(rng, SELLERS[1])}")
