"""What invoices and receipts say: items at prices that such things have, sums that add up, dates in order, both parties.

Money is counted in a currency's smallest unit, so that what is printed adds up to the last digit. Which print follows from
which (a total from subtotal and tax, change from what was paid) is said with the facts.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from degradations.documents.subjects import chinese, countries, names
from degradations.documents.subjects.said import Day, Money, Rule, Said, fact
from degradations.documents.subjects.subject import Fact, Subject
from degradations.documents.subjects.values import characters, day, invented, pattern, pick, randomised
from degradations.documents.subjects.words import in_words
from kie_hvqa.config import nearest
from kie_hvqa.errors import InputError

FORMS = {
    "de": ("GmbH", "AG", "KG"), "fr": ("SARL", "SAS", "SA"), "es": ("S.L.", "S.A."), "it": ("S.r.l.", "S.p.A."),
    "nl": ("B.V.", "V.O.F."), "pl": ("Sp. z o.o.", "S.A."), "sv": ("AB",), "en": ("Ltd", "Limited"), "no": ("AS",), "da": ("ApS",),
    "fi": ("Oy",), "cs": ("s.r.o.",), "pt": ("Lda.",),
}  # fmt: skip
AMERICAN = ("LLC", "Inc.", "Corp.")
TRADES = {
    "en": ("Supply", "Tools", "Trading", "Stores", "Works", "Services"), "de": ("Handel", "Technik", "Bürobedarf", "Werke", "Service"),
    "fr": ("Services", "Distribution", "Comptoir", "Ateliers"), "es": ("Suministros", "Comercial", "Servicios"),
    "it": ("Forniture", "Servizi", "Officine"), "nl": ("Handel", "Groep", "Techniek"), "pl": ("Handel", "Usługi", "Technika"),
    "sv": ("Handel", "Teknik", "Gruppen"),
}  # fmt: skip
STORES = {
    "en": (("GREEN", "CORNER", "CITY", "FAMILY", "LAKE", "VALUE", "HILL"), ("MARKET", "FOODS", "STORE", "GROCER", "SHOP")),
    "de": (("STADT", "MARKT", "NAH", "FRISCH", "HOF"), ("KAUF", "MARKT", "LADEN", "EINKAUF")),
    "fr": (("AUX", "MON", "LE BON", "CHEZ"), ("MARCHE", "PANIER", "EPICIER", "COMPTOIR")),
    "es": (("SUPER", "MERCADO", "CASA"), ("SOL", "CENTRO", "NORTE", "LUNA")),
    "nl": (("BUURT", "STADS", "VERS"), ("MARKT", "WINKEL", "HUIS")),
    "pl": (("SKLEP", "DELIKATESY", "MARKET"), ("ZIELONY", "CENTRUM", "POD LIPĄ")),
}  # fmt: skip
DETAILS = (
    "standard grade",
    "pack of 10",
    "zinc plated",
    "type B",
    "spare part",
    "recycled",
    "heavy duty",
    "series 200",
)
NUMBERS = ("999999", "INV-9999", "AA-99999", "99-9999", "A999999", "2026/9999")
UNITS = {"de": {"pc": "Stk", "box": "Pkg", "pair": "Paar", "h": "Std", "mo": "Mon", "word": "Wort", "night": "Nacht"},
         "fr": {"pc": "u", "box": "bte", "pair": "paire", "mo": "mois", "word": "mot", "night": "nuit"},
         "es": {"pc": "ud", "box": "caja", "pair": "par", "mo": "mes", "night": "noche"},
         "pl": {"pc": "szt.", "box": "op.", "h": "godz.", "mo": "mies.", "pallet": "pal."},
         "sv": {"pc": "st", "box": "fp", "h": "tim", "mo": "mån"}, "nl": {"pc": "st", "h": "uur", "mo": "mnd"},
         "it": {"pc": "pz", "box": "conf", "h": "ore", "mo": "mese"}}  # fmt: skip
GROSS = ("included", "excluded", "none")


@cache
def _goods() -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("goods.yaml").read_text(encoding="utf-8"))
    return data


def draw_bill(
    rng: np.random.Generator, split: str, issuer: Mapping[str, Any], rules: Mapping[str, Any], random: bool
) -> Subject:
    """A bill by ``rules`` (``BillRules``), some of which ``issuer`` may change; random as in ``draw_person``."""
    rules = {**rules, **{key: value for key, value in issuer.items() if key in rules}}
    where = countries.country(issuer.get("country", "USA"))
    language = issuer.get("language") or where.language
    style = issuer.get("date") or (where.date if not rules["dates"] else pick(rng, rules["dates"]))
    subject = Subject(rng, where, language, style, random)
    subject.words = {}
    _parties(subject, split, rules)
    _dates(subject, rules)
    _sums(subject, rules)
    return subject


def _money(subject: Subject, name: str, cents: int) -> Money:
    where, group = subject.country, subject.country.group
    return Money(name, cents, where.places, where.point, group)


def _asked(subject: Subject, name: str, text: str, longest: int = 12) -> Said:
    return fact(name, randomised(subject.rng, text, longest=longest) if subject.random else text)


def _parties(subject: Subject, split: str, rules: Mapping[str, Any]) -> None:
    rng, where, language = subject.rng, subject.country, subject.language
    if where.code == "CHN":
        _chinese_parties(subject)
        return
    surname = pick(rng, names.surnames(split, where.faker, rules["longest"]))
    legal = pick(rng, AMERICAN if where.code == "USA" else FORMS.get(language, FORMS["en"]))
    text = surname
    if rules["customer"] == "person":
        text = f"{pick(rng, names.given_names('MF'[int(rng.integers(2))], where.faker))} {surname}"
    elif rules["customer"] == "any" and len(surname) + len(legal) < 14 and rng.random() < 0.7 and legal.isascii():
        text = f"{surname} {legal.upper().replace('.', '')}"
    if not rules["capitals"]:
        text = text.title() if rules["customer"] == "person" else f"{surname.title()} {legal}"
    subject.facts["customer"] = _asked(subject, "customer", text)
    subject.facts["invoice_number"] = _asked(subject, "invoice_number", pattern(rng, pick(rng, rules["number"])))
    account = countries.iban(rng, where)
    subject.makers |= {
        "seller_name": lambda: _seller(subject, split, rules, legal),
        "seller_street": lambda: invented(rng, "street_address", 28, where.faker),
        "seller_city": lambda: f"{_postcode(rng, where)} {invented(rng, 'city', 18, where.faker)}",
        "seller_phone": lambda: pattern(rng, where.phone),
        "customer_street": lambda: invented(rng, "street_address", 28, where.faker),
        "customer_city": lambda: f"{_postcode(rng, where)} {invented(rng, 'city', 18, where.faker)}",
        "tax_number": lambda: _asked(subject, "tax_number", countries.tax_id(rng, where)),
        "customer_tax_number": lambda: countries.tax_id(rng, where),
        "iban": lambda: _asked(subject, "iban", account, longest=22) if account else _asked(subject, "iban", pattern(rng, "999999999")),
        "bic": lambda: countries.bic(rng, where),
        "routing": lambda: pattern(rng, "99-99-99") if where.code == "GBR" else pattern(rng, "999999999"),
        "account": lambda: pattern(rng, "99999999"),
        "register": lambda: pattern(rng, {"de": "HRB 99999", "nl": "KVK 99999999", "pl": "KRS 0000999999", "fr": "RCS 999 999 999"}.get(language, "Reg. 9999999")),
        "customer_number": lambda: _asked(subject, "customer_number", pattern(rng, "999999")),
        "order_number": lambda: _asked(subject, "order_number", pattern(rng, "AA 99999")),
        "reference": lambda: _asked(subject, "reference", _payment_reference(rng), longest=12),
        "meter": lambda: _asked(subject, "meter", pattern(rng, "9AAA99 9999 9999")),
        "room": lambda: pattern(rng, "999"),
        "guests": lambda: str(int(rng.integers(1, 4))),
        "plate": lambda: _asked(subject, "plate", pattern(rng, "AA 999 AA")),
        "table": lambda: str(int(rng.integers(1, 40))),
        "clerk": lambda: characters(rng, "0123456789", 3),
        "waiter": lambda: pick(rng, names.given_names("F", where.faker)).title(),
        "till": lambda: str(int(rng.integers(1, 9))),
        "card": lambda: characters(rng, "0123456789", 4),
        "approval": lambda: _asked(subject, "approval", pattern(rng, "999999")),
        "terminal": lambda: pattern(rng, "99999999"),
        "pump": lambda: str(int(rng.integers(1, 13))),
        "detail": lambda: pick(rng, DETAILS),
        "logo": lambda: str(int(rng.integers(4))),
        "weight": lambda: f"{int(rng.integers(200, 9000))} kg",
        "currency": lambda: where.currency,
        "container": lambda: _asked(subject, "container", pattern(rng, "AAAU 999999-9")),
        "from_city": lambda: invented(rng, "city", 14, where.faker),
        "to_city": lambda: invented(rng, "city", 14, "de_DE"),
    }  # fmt: skip


def _postcode(rng: np.random.Generator, where: countries.Country) -> str:
    forms = {"GBR": "AA9 9AA", "NLD": "9999 AA", "POL": "99-999", "SWE": "999 99", "CHE": "9999", "IND": "999999"}
    return pattern(rng, forms.get(where.code, "99999"))


def _payment_reference(rng: np.random.Generator) -> str:
    body = characters(rng, "123456789", 1) + characters(rng, "0123456789", 8)
    return body + countries.luhn(body)


def _seller(subject: Subject, split: str, rules: Mapping[str, Any], legal: str) -> str:
    rng, language = subject.rng, subject.language
    if rules["seller"] == "store":
        first, second = STORES.get(language, STORES["en"])
        return f"{pick(rng, first)} {pick(rng, second)}"
    if rules["seller"] == "house":
        return f"{pick(rng, ('Hotel', 'Casa', 'Villa', 'Maison'))} {invented(rng, 'city', 12, subject.country.faker).title()}"
    name = pick(rng, names.surnames(split, subject.country.faker, 10)).title()
    return f"{name} {pick(rng, TRADES.get(language, TRADES['en']))} {legal}"


def _chinese_parties(subject: Subject) -> None:
    rng = subject.rng

    def words(text: str) -> str:
        return chinese.scrambled(rng, len(text)) if subject.random else text

    for name in ("buyer_name", "seller_name"):
        subject.facts[name] = fact(name, words(chinese.company(rng)))
    for name in ("buyer_code", "seller_code"):
        subject.facts[name] = _asked(subject, name, chinese.credit_code(rng), longest=18)
    subject.makers |= {
        "issuer_person": lambda: chinese.name(rng, "train"),
        "note": lambda: (
            f"合同编号：{characters(rng, '0123456789', 8)}"
            if rng.random() < 0.6
            else f"收款银行账号：{characters(rng, '0123456789', 16)}"
        ),
    }


def _dates(subject: Subject, rules: Mapping[str, Any]) -> None:
    rng = subject.rng
    first = date(2022 if subject.country.code == "CHN" else 2019, 1, 1)
    issued = day(rng, first, date(2027, 12, 31))
    due = issued + timedelta(days=int(pick(rng, (7, 14, 30, 60))))
    subject.nights = int(rng.integers(1, 6))
    days = subject.nights if rules["goods"] == "hotel" else int(rng.integers(1, 20))
    delivered = issued - timedelta(days=days)
    start = (issued.replace(day=1) - timedelta(days=1)).replace(day=1)
    for name, when in (("date", issued), ("due", due), ("delivered", delivered), ("from", start), ("to", issued)):
        parts = (f"{when.year:04d}", f"{when.month:02d}", f"{when.day:02d}")
        if subject.random and name in ("date", "due"):
            parts = tuple(characters(rng, "0123456789", len(part)) for part in parts)  # type: ignore[assignment]
        subject.facts[name] = Day(name, *parts)
    hour, minute = int(rng.integers(7, 22)), int(rng.integers(60))
    subject.makers["time"] = lambda: _asked(subject, "time", f"{hour:02d}:{minute:02d}")
    longest = 45 if rules["goods"] == "taxi" else 400
    later = (hour * 60 + minute + int(rng.integers(9, longest))) % 1440
    subject.makers["until"] = lambda: f"{later // 60:02d}:{later % 60:02d}"
    if subject.country.code == "CHN":  # region 99 was never given out, so no such invoice exists
        text = f"{issued:%y}99{characters(rng, '0123456789', 16)}"
        subject.facts["invoice_number"] = _asked(subject, "invoice_number", text, longest=20)


def _sums(subject: Subject, rules: Mapping[str, Any]) -> None:
    """Items and what they add up to. Rates are in hundredths of a percent."""
    rng, where = subject.rng, subject.country
    rates = [round(100 * rate) for rate in where.rates]
    rate = pick(rng, rates) if rules["rate"] == "any" else rates[-1 if rules["rate"] == "last" else 0]
    rows = _chinese_items(subject, rules) if where.code == "CHN" else _items(subject, rules)
    amounts = [row["cents"] for row in rows]
    table: list[dict[str, Fact]] = []
    for index, row in enumerate(rows):
        key = f"item{index}"
        cells: dict[str, Fact] = {
            name: fact(f"{key}_{name}", row[name])
            for name in ("name", "quantity", "unit", "detail", "model")
            if name in row
        }
        cells |= {
            "price": _money(subject, f"{key}_price", row["price"]),
            "amount": _money(subject, f"{key}_amount", row["cents"]),
            "number": fact(f"{key}_number", str(index + 1)),
            "rate": fact(f"{key}_rate", f"{rate / 100:g}%"),
            "tax": _money(subject, f"{key}_tax", (row["cents"] * rate + 5000) // 10000),
            "letter": fact(f"{key}_letter", "A"),
        }
        table.append(cells)
    subject.tables["items"] = table
    listed = sum(amounts)
    if rules["tax"] == "included":
        total = listed
        subtotal = round(total * 10000 / (10000 + rate))
        tax = total - subtotal
    else:
        subtotal = listed
        tax = (subtotal * rate + 5000) // 10000 if rules["tax"] == "excluded" else 0
        if where.code == "CHN":
            tax = sum((cents * rate + 5000) // 10000 for cents in amounts)
        if rules["tax"] == "halves":  # two equal taxes, central and of the state
            half = (subtotal * rate + 10000) // 20000
            tax = 2 * half
            subject.facts["half_tax"] = _money(subject, "half_tax", half)
        total = subtotal + tax
    share = int(rng.integers(8, 21)) if rules["tip"] else 0
    tip = round(total * share / 100) if share else 0
    paid_total = total + tip
    note = pick(rng, (100, 500, 1000, 2000, 5000)) * (100 if where.places == 0 else 1)
    paid = -(-paid_total // note) * note
    cents = {"subtotal": subtotal, "tax": tax, "total": total, "paid": paid, "change": paid - paid_total}
    if tip:
        cents |= {"tip": tip, "sum": paid_total}
    for name, value in cents.items():
        subject.facts[name] = _money(subject, name, _any(rng, value) if subject.random else value)
    whole = [0, *rates]
    subject.makers |= {
        "rate": lambda: f"{rate / 100:g}",
        "half_rate": lambda: f"{rate / 200:g}",
        "other_rate": lambda: f"{pick(rng, whole) / 100:g}",
        "count": lambda: str(len(rows)),
        "volume": lambda: rows[0]["quantity"],
        "unit_price": lambda: table[0]["price"],
        "total_in_words": lambda: _words(subject, total),
    }
    if subject.random:
        return
    money = {name: subject.facts[name] for name in (*cents,)}
    # Digits beyond those of a short sum are none: each atom that is printed follows from all that are printed of the others.
    triples = [("total", "subtotal", "tax"), ("paid", "total", "change")]
    if tip:
        triples = [("total", "subtotal", "tax"), ("sum", "total", "tip"), ("paid", "sum", "change")]
    for triple in triples:
        how = "change" if "paid" in triple else "sum"
        for name in triple:
            others = tuple(a for other in triple if other != name for a in _atoms(money[other]))
            subject.rules.append(Rule(_atoms(money[name]), others, how))
    listed_atoms = tuple(a for row in table for a in _atoms(row["amount"]))
    subject.rules.append(
        Rule(_atoms(money["total" if rules["tax"] == "included" else "subtotal"]), listed_atoms, "sum")
    )
    if rules["tax"] == "halves":
        subject.rules.append(Rule(_atoms(money["tax"]), _atoms(subject.facts["half_tax"]), "sum"))


def _atoms(found: Fact) -> tuple[str, ...]:
    assert isinstance(found, Money)
    return found.atoms


def _any(rng: np.random.Generator, cents: int) -> int:
    """Another number with as many digits."""
    low = 10 ** (len(str(abs(cents))) - 1) if cents else 0
    return int(rng.integers(low, max(low * 10, 10)))


def _words(subject: Subject, total: int) -> Said:
    """The total in words, which and whose figures say each other."""
    if subject.country.code == "CHN":
        text = chinese.in_words(total)
        if subject.random:
            return fact("total_in_words", chinese.scrambled(subject.rng, len(text)))
    else:
        text = in_words(total, subject.language, subject.country.currency)
    if not subject.random:
        letters = tuple(f"total_in_words:{i}" for i, char in enumerate(text) if not char.isspace())
        digits = _atoms(subject.facts["total"])
        subject.rules += [Rule(digits, letters, "words"), Rule(letters, digits, "words")]
    return fact("total_in_words", text)


def _items(subject: Subject, rules: Mapping[str, Any]) -> list[dict[str, Any]]:
    rng, where, data = subject.rng, subject.country, _goods()
    if rules["goods"] not in data or rules["goods"] == "factors":
        kinds = [kind for kind in data if kind != "factors"]
        raise InputError(f"unknown goods {rules['goods']!r}", field="bill.goods", remedy=nearest(rules["goods"], kinds))
    pool, factor = data[rules["goods"]], data["factors"][where.currency]
    low, high = rules["items"]
    count = min(int(rng.integers(low, high + 1)), len(pool))
    rows: list[dict[str, Any]] = []
    chosen = sorted(int(i) for i in rng.choice(len(pool), size=count, replace=False))
    if rules["goods"] in ("hotel", "utility", "taxi", "telecom"):  # whatever else is on such a bill, its first item is
        chosen = sorted({0, *chosen[1:]})
    alike: dict[str, int] = {"night": subject.nights}  # a bill speaks of one period and one meter
    for index in chosen:
        good = pool[index]
        cheap, dear = good["price"]
        euro = float(np.exp(rng.uniform(np.log(cheap), np.log(dear))))
        price = _ending(rng, euro * factor * 10**where.places, rules["seller"] == "store")
        row: dict[str, Any] = {
            "name": good.get(subject.language, good["en"]),
            "price": price,
            "detail": pick(rng, DETAILS),
        }
        if subject.language != "en" and rules["capitals"]:
            row["name"] = row["name"].upper()
        if good.get("weigh"):
            grams = (
                int(rng.integers(*(1000 * v for v in good["litres"])))
                if "litres" in good
                else int(rng.integers(150, 2400))
            )
            row["quantity"] = f"{grams // 1000}{where.point}{grams % 1000:03d}"
            row["cents"] = (grams * price + 500) // 1000
        else:
            most = good.get("many") or good.get("few") or (4 if rules["seller"] == "store" else 12)
            number = int(rng.integers(1, most + 1)) if rules["seller"] != "store" else int(pick(rng, (1, 1, 1, 2, 3)))
            number = min(number, most)
            if good["unit"] in ("night", "kWh", "mo"):
                number = alike.setdefault(good["unit"], number)
            row["quantity"], row["cents"] = str(number), number * price
        row["unit"] = UNITS.get(subject.language, {}).get(good["unit"], good["unit"])
        rows.append(row)
    return rows


def _ending(rng: np.random.Generator, cents: float, store: bool) -> int:
    """A price as shops and suppliers write them: …9 in shops, whole tens elsewhere."""
    if cents < 100:
        return max(1, round(cents))
    if store:
        return max(int(cents) // 10 * 10 + 9, 9)
    step = 10 if cents < 1000 else 50 if cents < 10000 else 100 if cents < 1_000_000 else 10000
    return int(round(cents / step) * step) - (int(rng.random() < 0.3) if step < 100 else 0)


def _chinese_items(subject: Subject, rules: Mapping[str, Any]) -> list[dict[str, Any]]:
    rng, rows = subject.rng, []
    low, high = rules["items"]
    for index in rng.choice(len(chinese.GOODS), size=int(rng.integers(low, high + 1)), replace=False):
        name, model, unit, cheap, dear = chinese.GOODS[int(index)]
        quantity, price = int(rng.integers(1, 30)), int(rng.integers(cheap, dear)) * 10
        rows.append(
            {
                "name": name,
                "model": model,
                "unit": unit,
                "quantity": str(quantity),
                "price": price,
                "cents": quantity * price,
            }
        )
    return rows
