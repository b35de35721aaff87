"""Sums of money in words, as cheques and invoices of some countries have them beside the figures."""

from __future__ import annotations

from kie_hvqa.errors import InputError

_SMALL = (
    "Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten", "Eleven", "Twelve", "Thirteen", "Fourteen",
    "Fifteen", "Sixteen", "Seventeen", "Eighteen", "Nineteen",
)  # fmt: skip
_TENS = ("", "", "Twenty", "Thirty", "Forty", "Fifty", "Sixty", "Seventy", "Eighty", "Ninety")
_UNITS = {"USD": "Dollars", "INR": "Rupees", "GBP": "Pounds", "EUR": "Euros", "AUD": "Dollars", "CAD": "Dollars"}


def _whole(number: int) -> str:
    if number < 20:
        return _SMALL[number]
    if number < 100:
        return _TENS[number // 10] + (f" {_SMALL[number % 10]}" if number % 10 else "")
    for size, name in ((10**6, "Million"), (10**3, "Thousand"), (10**2, "Hundred")):
        if number >= size:
            rest = f" {_whole(number % size)}" if number % size else ""
            return f"{_whole(number // size)} {name}{rest}"
    raise AssertionError(number)


def in_words(cents: int, language: str, currency: str) -> str:
    """``cents`` (0 to 10^11) in English words: Twelve Hundred … and 34/100 Dollars. Raises InputError for other languages."""
    if language != "en" or not 0 <= cents < 10**11:
        raise InputError(
            f"no words for {cents} in {language!r}", field="total_in_words", remedy="use an English issuer"
        )
    return f"{_whole(cents // 100)} and {cents % 100:02d}/100 {_UNITS.get(currency, currency)}"
