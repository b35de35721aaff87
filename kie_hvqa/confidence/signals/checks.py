"""Checks: what no document prints. They may veto and never fill.

``date``       a date that no calendar has
``zone``       a line of a machine readable zone whose check digit is not that of what it checks (ICAO Doc 9303, part 3, 4.9)
``iban``       an account number that is not 1 modulo 97 (ISO 13616)
``total``      subtotal and tax that do not add up to the total
``pattern``    a value that the field's own pattern does not match (a schema's; none by default)

A check says nothing about what holds a mark where it would look. One that fails vetoes every character that it looked at, because
it cannot know which is the wrong one: those have confidence 0, all others 1. What a failing check would have to be to pass is never
worked out. A random string can look like a date or a total and be printed so: the simulator's ``values: random`` prints
impossible dates on purpose, so vetoes cost coverage there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation

from kie_hvqa.answers.answer import MARK, Reading
from kie_hvqa.confidence.symbols import SymbolConfidence

CHECKS = "checks"
CENTURIES = range(1850, 2150)  # years that a document may name


@dataclass(frozen=True, slots=True)
class Check:
    """One check of one field: its ``name``, whether it ``passed``, and the places (indices into Final OCR) that it looked at."""

    name: str
    passed: bool
    places: tuple[int, ...]


def checks_of(fields: Mapping[str, Reading], patterns: Mapping[str, str] | None = None) -> dict[str, tuple[Check, ...]]:
    """The checks that apply to each of a document's ``fields`` (name → reading); ``patterns`` are regular expressions of some."""
    found: dict[str, list[Check]] = {}
    for name, reading in fields.items():
        own = [check for of in (_dates, _zones, _ibans) for check in of(reading.final)]
        if patterns and name in patterns and not reading.refused:
            own += _pattern(reading.final, patterns[name])
        found[name] = own
    for name, check in _totals(fields):
        found[name].append(check)
    return {name: tuple(own) for name, own in found.items()}


def check_signal(reading: Reading, checks: Iterable[Check]) -> SymbolConfidence:
    """0 for every symbol that a failing check looked at, 1 for all others."""
    vetoed = {place for check in checks if not check.passed for place in check.places}
    return SymbolConfidence(
        tuple(0.0 if place in vetoed else 1.0 for place in range(len(reading.final))),
        1.0 if reading.refused else None,
    )


_DATES = (
    (re.compile(r"(?<![\d.])(\d\d)[./ -](\d\d)[./ -](\d{4})(?![\d])"), ("dmy", "mdy")),
    (re.compile(r"(?<!\d)(\d{4})[./-](\d\d)[./-](\d\d)(?!\d)"), ("ymd",)),
    (re.compile(r"(?<!\d)(\d{4})年(\d{1,2})月(\d{1,2})日"), ("ymd",)),
)


def _dates(final: str) -> list[Check]:
    found = []
    for pattern, orders in _DATES:
        for match in pattern.finditer(final):
            parts = [int(group) for group in match.groups()]
            passed = any(_possible(dict(zip(order, parts, strict=True))) for order in orders)
            found.append(Check("date", passed, _digits(match)))
    return found


def _digits(match: re.Match[str]) -> tuple[int, ...]:
    return tuple(
        place for group in range(1, match.re.groups + 1) for place in range(match.start(group), match.end(group))
    )


def _possible(parts: Mapping[str, int]) -> bool:
    try:
        date(parts["y"], parts["m"], parts["d"])
    except ValueError:
        return False
    return parts["y"] in CENTURIES


_WEIGHTS = (7, 3, 1)
_VALUE = {char: value for value, char in enumerate("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")} | {"<": 0}
_ZONES: dict[tuple[int, str], tuple[tuple[int, int], ...]] = {
    # (length, what the line begins like): from where to where is checked, by the digit behind it. TD3 and MRV-A line 2, TD1
    # lines 1 and 2.
    (44, r"[A-Z0-9<]{9}\d[A-Z<]{3}\d{7}[MFX<]\d{7}"): ((0, 9), (13, 19), (21, 27)),
    (30, r"[ACI][A-Z<][A-Z<]{3}[A-Z0-9<]{9}\d"): ((5, 14),),
    (30, r"\d{7}[MFX<]\d{7}[A-Z<]{3}"): ((0, 6), (8, 14)),
}


def _zones(final: str) -> list[Check]:
    found = []
    # Marks may stand anywhere: what a line begins like is asked of what is read of it.
    for (length, begins), digits in _ZONES.items():
        if len(final) != length or not _begins(begins, final):
            continue
        for start, end in digits:
            places = tuple(range(start, end + 1))
            text = "".join(final[index] for index in places)
            if all(char in _VALUE for char in text[:-1]) and text[-1].isdigit():
                found.append(Check("zone", _check_digit(text[:-1]) == text[-1], places))
    return found


def _begins(pattern: str, final: str) -> bool:
    """Whether ``final`` begins like ``pattern``, a mark standing for anything: each class of the pattern also takes a mark."""
    loose = re.sub(r"\[([^\]]*)\]", r"[\1 ]", pattern).replace(r"\d", "[0-9 ]")
    return re.match(loose, final) is not None


def _check_digit(text: str) -> str:
    return str(sum(_VALUE[char] * _WEIGHTS[index % 3] for index, char in enumerate(text)) % 10)


_IBAN = re.compile(r"(?<![A-Z0-9])[A-Z]{2}\d\d(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?(?![A-Z0-9])")


def _ibans(final: str) -> list[Check]:
    found = []
    for match in _IBAN.finditer(final):
        plain = match[0].replace(MARK, "")
        if 15 <= len(plain) <= 34:
            turned = "".join(str(int(char, 36)) for char in plain[4:] + plain[:4])
            places = tuple(place for place in range(*match.span()) if final[place] != MARK)
            found.append(Check("iban", int(turned) % 97 == 1, places))
    return found


def _pattern(final: str, pattern: str) -> list[Check]:
    """Of a value without marks: what stands where is open otherwise."""
    if MARK in final.strip(MARK) or not final.strip(MARK):
        return []
    passed = re.fullmatch(pattern, final.strip(MARK)) is not None
    return [Check("pattern", passed, tuple(place for place, char in enumerate(final) if char != MARK))]


_SUMS = {
    "total": re.compile(r"(?:^|\b)(?:total|grand total|amount due|total due)$", re.IGNORECASE),
    "part": re.compile(r"(?:^|\b)(?:sub-?total|net(?: amount)?)$", re.IGNORECASE),
    "tax": re.compile(r"(?:^|\b)(?:tax|vat|sales tax|gst)$", re.IGNORECASE),
}


def _totals(fields: Mapping[str, Reading]) -> list[tuple[str, Check]]:
    named: dict[str, list[str]] = {kind: [] for kind in _SUMS}
    for name in fields:
        plain = name.replace("_", " ").strip()
        kind = "part" if _SUMS["part"].search(plain) else next((k for k, p in _SUMS.items() if p.search(plain)), None)
        if kind is not None:
            named[kind].append(name)
    if any(len(names) != 1 for names in named.values()):
        return []
    names = {kind: found[0] for kind, found in named.items()}
    amounts = {kind: amount(fields[name].final) for kind, name in names.items()}
    if any(value is None for value in amounts.values()):
        return []
    passed = amounts["part"] + amounts["tax"] == amounts["total"]  # type: ignore[operator]
    return [
        (name, Check("total", passed, tuple(i for i, char in enumerate(fields[name].final) if char.isdigit())))
        for name in names.values()
    ]


def amount(text: str) -> Decimal | None:
    """An amount of money in any of the usual spellings ("1,234.50", "1.234,50 €"); None for what is none, or holds a mark
    between its digits."""
    match = re.fullmatch(r"[^\d-]*(-?\d[\d.,']*)[^\d]*", text.strip(MARK))
    if match is None:
        return None
    digits = match[1].rstrip(".,'")
    head, mark, tail = digits[:-3], digits[-3:-2], digits[-2:]
    if mark in (".", ",") and mark and head:
        plain = re.sub(r"[.,']", "", head) + "." + tail
    else:
        plain = re.sub(r"[.,']", "", digits)
    try:
        return Decimal(plain)
    except InvalidOperation:
        return None
