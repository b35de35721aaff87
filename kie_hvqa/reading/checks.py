"""What a value must look like: checks that may cast doubt on what was read, and never fill a gap.

``date``, ``amount`` and ``mrz`` are known by name; any other pattern is a regular expression for the whole value. A value
with marks passes where some characters in their places would: a gap is no fault of the value's form. What no document prints,
whatever a field's pattern (check digits, totals that do not add up), is ``confidence.signals.checks``' business: ``failing`` puts it in words.
"""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Callable, Iterable

from kie_hvqa.answers.answer import EXPLICIT_MARK
from kie_hvqa.confidence.signals.checks import Check

_NUMERIC = re.compile(r"\s*([\d▯]{1,4})\s*([./\- ]|年)\s*([\d▯]{1,2})\s*([./\- ]|月)\s*([\d▯]{1,4})\s*[.日]?\s*")
_WORDED = re.compile(r"\s*(?:([\d▯]{1,2})[. -]*)?([^\W\d_]{3,12})[., /-]*(?:([\d▯]{1,2})[, ]+)?([\d▯]{2,4})\s*")
_COMPACT = re.compile(r"[\d▯]{6}|[\d▯]{8}")
_AMOUNT = re.compile(r"[^\d▯]{0,8}[-−(]?[\d▯][\d▯., '’\u00a0\u202f]*[-−)]?[^\d▯]{0,8}")
_MRZ = re.compile(r"[A-Z0-9<▯ ]{30,90}")
_LONGEST = 400  # characters that a pattern is tried on


_SAID = {
    "date": "no such date",
    "zone": "a check digit of the machine-readable line is another one",
    "iban": "the check digits of the account number are others",
    "total": "subtotal and tax do not add up to the total",
}


def failing(checks: Iterable[Check]) -> list[str]:
    """The checks that failed, in words; patterns are ``complaint``'s."""
    return [_SAID[check.name] for check in checks if not check.passed and check.name in _SAID]


def complaint(pattern: str | None, value: str) -> str | None:
    """What speaks against ``value`` (marks as ▯) under ``pattern``; None where nothing does."""
    if pattern is None or not value or len(value) > _LONGEST:
        return None
    if pattern in _NAMED:
        return _NAMED[pattern](value)
    if EXPLICIT_MARK in value:
        return None  # what stands in a gap is not known, and an expression cannot be asked whether it may fit
    return None if re.fullmatch(pattern, value) else f"does not have the form {pattern}"


def _date(value: str) -> str | None:
    if (found := _NUMERIC.fullmatch(value)) is not None:
        parts = found[1], found[3], found[5]
        orders = ((0, 1, 2), (1, 0, 2), (2, 1, 0))  # day first, month first, year first
        if any(_exists(*(parts[place] for place in order)) for order in orders):
            return None
        return "no such date"
    if _COMPACT.fullmatch(value):
        cuts = ((0, 2, 4), (4, 2, 0)) if len(value) == 6 else ((0, 2, 4), (2, 0, 4), (6, 4, 0))
        for day, month, year in cuts:
            long = len(value) - 4
            if _exists(value[day : day + 2], value[month : month + 2], value[year : year + long]):
                return None
        return "no such date"
    if (found := _WORDED.fullmatch(value)) is not None:
        named = found[1] or found[3]
        # A month's name in any language is a month: which one it is cannot be said here.
        possible = named is None or any(1 <= number <= 31 for number in _numbers(named))
        return None if possible else "no such date"
    return None if EXPLICIT_MARK in value else "does not have the form of a date"


def _exists(day: str, month: str, year: str) -> bool:
    if len(day) > 2 or len(month) > 2 or len(year) not in (2, 4):
        return False
    if EXPLICIT_MARK in year:
        years = [2000, 2001]  # a leap year and another one
    else:
        years = [int(year)] if len(year) == 4 else [1900 + int(year), 2000 + int(year)]
    for one in itertools.product(_numbers(day), _numbers(month), years):
        try:
            datetime.date(one[2], one[1], one[0])
        except ValueError:
            continue
        return True
    return False


def _numbers(text: str) -> list[int]:
    places = [range(10) if char == EXPLICIT_MARK else [int(char)] for char in text]
    return [int("".join(map(str, digits))) for digits in itertools.product(*places)]


def _amount(value: str) -> str | None:
    return None if _AMOUNT.fullmatch(value) else "does not have the form of an amount"


def _mrz(value: str) -> str | None:
    return None if _MRZ.fullmatch(value) else "does not have the form of a machine-readable line"


_NAMED: dict[str, Callable[[str], str | None]] = {"date": _date, "amount": _amount, "mrz": _mrz}
