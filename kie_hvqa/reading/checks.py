"""What a value must look like: checks that may cast doubt on what was read, and never fill a gap.

``date``, ``amount`` and ``mrz`` are known by name; any other pattern is a regular expression for the whole value. A value
with marks passes where some characters in their places would: a gap is no fault of the value's form.
"""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Callable

from kie_hvqa.confidence.marks import PRINTED

_NUMERIC = re.compile(r"\s*([\d▯]{1,4})\s*([./\- ]|年)\s*([\d▯]{1,2})\s*([./\- ]|月)\s*([\d▯]{1,4})\s*[.日]?\s*")
_WORDED = re.compile(r"\s*(?:([\d▯]{1,2})[. -]*)?([^\W\d_]{3,12})[., /-]*(?:([\d▯]{1,2})[, ]+)?([\d▯]{2,4})\s*")
_COMPACT = re.compile(r"[\d▯]{6}|[\d▯]{8}")
_AMOUNT = re.compile(r"[^\d▯]{0,8}[-−(]?[\d▯][\d▯., '’\u00a0\u202f]*[-−)]?[^\d▯]{0,8}")
_MRZ = re.compile(r"[A-Z0-9<▯ ]{30,90}")
_WEIGHTS = (7, 3, 1)
_LONGEST = 400  # characters that a pattern is tried on


def complaint(pattern: str | None, value: str) -> str | None:
    """What speaks against ``value`` (marks as ▯) under ``pattern``; None where nothing does."""
    if pattern is None or not value or len(value) > _LONGEST:
        return None
    if pattern in _NAMED:
        return _NAMED[pattern](value)
    if PRINTED in value:
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
    return None if PRINTED in value else "does not have the form of a date"


def _exists(day: str, month: str, year: str) -> bool:
    if len(day) > 2 or len(month) > 2 or len(year) not in (2, 4):
        return False
    if PRINTED in year:
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
    places = [range(10) if char == PRINTED else [int(char)] for char in text]
    return [int("".join(map(str, digits))) for digits in itertools.product(*places)]


def _amount(value: str) -> str | None:
    return None if _AMOUNT.fullmatch(value) else "does not have the form of an amount"


def _mrz(value: str) -> str | None:
    """Check digits of the two forms that stand in fixed places (ICAO Doc 9303-4 and -5)."""
    line = value.replace(" ", "")
    if not _MRZ.fullmatch(value):
        return "does not have the form of a machine-readable line"
    if not any(char.isdigit() for char in line):
        return None  # a line of names has no check digits
    places = _NUMBERED if len(line) == 30 and not line[0].isdigit() else _CHECKED.get(len(line), ())
    wrong = [name for name, start, stop, digit in places if not _holds(line[start:stop], line[digit])]
    return f"the check digit of the {wrong[0]} is another one" if wrong else None


_Places = tuple[tuple[str, int, int, int], ...]
_TWO_LINES: _Places = (("number", 0, 9, 9), ("date of birth", 13, 19, 19), ("date of expiry", 21, 27, 27))
_CHECKED: dict[int, _Places] = {
    44: _TWO_LINES,
    36: _TWO_LINES,
    30: (("date of birth", 0, 6, 6), ("date of expiry", 8, 14, 14)),
}
_NUMBERED: _Places = (("number", 5, 14, 14),)  # the first of a card's three lines


def _holds(text: str, digit: str) -> bool:
    if PRINTED in text + digit or not digit.isdigit():
        return True
    values = (0 if char == "<" else int(char, 36) if char.isascii() and char.isalnum() else 0 for char in text)
    return sum(value * _WEIGHTS[place % 3] for place, value in enumerate(values)) % 10 == int(digit)


_NAMED: dict[str, Callable[[str], str | None]] = {"date": _date, "amount": _amount, "mrz": _mrz}
