"""The rules of countries: how money, dates and tax identifiers look there, and bank accounts whose check digits are right.

The table is ``countries.yaml``. Sources: SWIFT's IBAN register and ISO 13616 (MOD 97-10); VAT identification numbers with their
check digits as the European Commission's VIES describes them, GSTIN of India's GST Network (modulus 36), the Swiss UID
(eCH-0097). A number that passes its check belongs to nobody that is known here: it is drawn at random.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import yaml

from degradations.documents.subjects.values import LETTERS, characters, pattern
from kie_hvqa.config import nearest
from kie_hvqa.errors import InputError

_BASE36 = string.digits + string.ascii_uppercase


@dataclass(frozen=True)
class Country:
    """A row of ``countries.yaml``; ``code`` and ``mrz`` are its three letters as print and zones have them."""

    code: str
    two: str
    language: str
    faker: str
    currency: str
    sign: str
    point: str
    group: str
    date: str
    rates: tuple[float, ...]
    tax: str
    tax_id: str
    phone: str
    iban: str = ""
    places: int = 2
    mrz: str = ""
    units: str = "metric"

    @property
    def zone(self) -> str:
        return self.mrz or self.code


@cache
def _table() -> dict[str, Country]:
    data = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return {code: Country(code, **{**row, "rates": tuple(row["rates"])}) for code, row in data.items()}


def codes() -> tuple[str, ...]:
    return tuple(_table())


def country(code: str) -> Country:
    """Raises InputError for a country that the table lacks."""
    try:
        return _table()[code]
    except KeyError:
        raise InputError(f"unknown country {code!r}", field="country", remedy=nearest(code, _table())) from None


def _digits(rng: np.random.Generator, count: int, first: str = string.digits) -> str:
    return characters(rng, first, 1) + characters(rng, string.digits, count - 1)


def iban(rng: np.random.Generator, where: Country) -> str:
    """An account number of ``where``, without spaces, its two check digits right. '' where there are none."""
    if not where.iban:
        return ""
    if where.iban == "{rib}":
        body = _digits(rng, 5, "123") + _digits(rng, 5) + characters(rng, string.digits, 11)
        # The key of a French account: 97 - (89 bank + 15 branch + 3 account) mod 97.
        key = 97 - (89 * int(body[:5]) + 15 * int(body[5:10]) + 3 * int(body[10:])) % 97
        body += f"{key:02d}"
    else:
        alphabets = {"n": string.digits, "a": string.ascii_uppercase, "c": string.digits}
        body = "".join(
            characters(rng, alphabets[kind], int(count)) for count, kind in re.findall(r"(\d+)([nac])", where.iban)
        )
    return f"{where.two}{98 - _mod97(body + where.two + '00'):02d}{body}"


def _mod97(text: str) -> int:
    return int("".join(str(_BASE36.index(char)) for char in text)) % 97


def valid_iban(text: str) -> bool:
    """Whether the check digits of an account number are right (ISO 13616)."""
    plain = text.replace(" ", "")
    return bool(re.fullmatch(r"[A-Z]{2}\d{2}[A-Z0-9]+", plain)) and _mod97(plain[4:] + plain[:4]) == 1


def _weighted(body: str, weights: tuple[int, ...]) -> int:
    return sum(int(char) * weight for char, weight in zip(body, weights, strict=True))


def luhn(body: str) -> str:
    """The digit that makes ``body`` divisible by 10 with every second digit doubled (ISO/IEC 7812-1, annex B)."""
    total = 0
    for index, char in enumerate(reversed(body)):
        digit = int(char) * (2 if index % 2 == 0 else 1)
        total += digit - 9 if digit > 9 else digit
    return str(-total % 10)


def german_check(body: str) -> str:
    """The ninth digit of a German VAT number (ISO 7064 MOD 11,10)."""
    product = 10
    for char in body:
        total = (int(char) + product) % 10 or 10
        product = 2 * total % 11
    return str((11 - product) % 10)


def gst_check(body: str) -> str:
    """The 15th character of a GSTIN from its first 14."""
    total = 0
    for index, char in enumerate(body):
        product = _BASE36.index(char) * (2 if index % 2 else 1)
        total += product // 36 + product % 36
    return _BASE36[-total % 36]


def _modulus(rng: np.random.Generator, weights: tuple[int, ...], count: int, *, ten_is_zero: bool = False) -> str:
    """Digits with a check digit of modulus 11: sums that leave none are drawn again."""
    while True:
        body = _digits(rng, count, "123456789")
        check = _weighted(body, weights) % 11
        if ten_is_zero:  # Portugal, Switzerland, Norway count down from 11
            check = (11 - check) % 11
        if check < 10:
            return f"{body}{check}"


def _check(rng: np.random.Generator, kind: str) -> str:
    match kind:
        case "de":
            body = _digits(rng, 8, "123456789")
            return body + german_check(body)
        case "gb":
            body = _digits(rng, 7, "123456789")
            total = _weighted(body, (8, 7, 6, 5, 4, 3, 2)) % 97
            return f"{body}{97 - total:02d}" if total else f"{body}97"
        case "fr":
            siren = _digits(rng, 8, "345678")
            siren += luhn(siren)
            return f"{(12 + 3 * (int(siren) % 97)) % 97:02d}{siren}"
        case "be":
            body = _digits(rng, 7, "4567")
            return f"{body}{97 - int(body) % 97:02d}"
        case "it":
            body = "0" + _digits(rng, 9)
            return body + luhn(body)
        case "nl":
            return _modulus(rng, (9, 8, 7, 6, 5, 4, 3, 2), 8)
        case "pl":
            number = _modulus(rng, (6, 5, 7, 2, 3, 4, 5, 6, 7), 9)
            return f"{number[:3]}-{number[3:6]}-{number[6:8]}-{number[8:]}"
        case "pt":
            return "5" + _modulus_after("5", rng, (9, 8, 7, 6, 5, 4, 3, 2))
        case "ch":
            number = _modulus(rng, (5, 4, 3, 2, 7, 6, 5, 4), 8, ten_is_zero=True)
            return f"{number[:3]}.{number[3:6]}.{number[6:]}"
        case "no":
            number = _modulus(rng, (3, 2, 7, 6, 5, 4, 3, 2), 8, ten_is_zero=True)
            return f"{number[:3]} {number[3:6]} {number[6:]}"
        case "se":
            body = "55" + _digits(rng, 7, "6789")
            return body + luhn(body)
        case "gst":
            body = f"{int(rng.integers(1, 38)):02d}{pattern(rng, 'AAA')}{'C'}{pattern(rng, 'A9999A')}1Z"
            return body + gst_check(body)
    raise InputError(f"unknown checksum {kind!r}", field="tax_id", remedy="use one that countries.py knows")


def _modulus_after(first: str, rng: np.random.Generator, weights: tuple[int, ...]) -> str:
    while True:
        body = characters(rng, string.digits, len(weights) - len(first))
        check = (11 - _weighted(first + body, weights) % 11) % 11
        if check < 10:
            return f"{body}{check}"


def tax_id(rng: np.random.Generator, where: Country) -> str:
    """A tax identifier of ``where`` in the form that invoices print, check digits included."""
    text = re.sub(r"\{(\w+)\}", lambda match: f"\0{match[1]}\0", where.tax_id)
    parts = text.split("\0")
    return "".join(_check(rng, part) if index % 2 else pattern(rng, part) for index, part in enumerate(parts))


def bic(rng: np.random.Generator, where: Country) -> str:
    return f"{characters(rng, LETTERS, 4)}{where.two}{characters(rng, LETTERS, 2)}"
