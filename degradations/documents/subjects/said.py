"""Text that knows what it says: every character of it names the *atom* of a fact that it is a sign of.

``12.03.1987`` and ``870312`` in a machine readable zone are other strings and the same date: both carry ``birth:d0``,
``birth:m1``, ``birth:y3``. An M in a sex field carries ``sex:0``, one in CLASS M ``class:0``. What is a copy of what, and
what follows from what, is read off the atoms (``documents.meaning``), never off the characters.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kie_hvqa.errors import InputError

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
LONG_MONTHS = {
    "en": "January February March April May June July August September October November December",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "nl": "januari februari maart april mei juni juli augustus september oktober november december",
}
DATE_STYLES = ("mdy", "dmy", "iso", "month", "slash", "dash", "zone", "short", "long", "chinese", "plain", "my")


@dataclass(frozen=True, slots=True)
class Said:
    """``atoms`` holds one name a character of ``text``, None for what says nothing (a separator, a label)."""

    text: str
    atoms: tuple[str | None, ...]

    def __add__(self, other: Said) -> Said:
        return Said(self.text + other.text, self.atoms + other.atoms)

    def __getitem__(self, part: slice) -> Said:
        return Said(self.text[part], self.atoms[part])

    def mapped(self, text: str) -> Said:
        """Other characters for the same atoms, one for one."""
        if len(text) != len(self.text):
            raise ValueError(f"{text!r} is not as long as {self.text!r}")
        return Said(text, self.atoms)


@dataclass(frozen=True, slots=True)
class Rule:
    """Whoever reads all of ``sources`` knows ``targets``: atoms of a fact told in another way (``how``)."""

    targets: tuple[str, ...]
    sources: tuple[str, ...]
    how: str


def dumb(text: str) -> Said:
    """Text that says no fact."""
    return Said(text, (None,) * len(text))


def fact(name: str, text: str) -> Said:
    """``text`` as the fact ``name``: its characters are the atoms ``name:0``, ``name:1`` …"""
    return Said(text, tuple(f"{name}:{i}" for i in range(len(text))))


def joined(parts: Iterable[Said], between: str = "") -> Said:
    result = dumb("")
    for index, part in enumerate(parts):
        result += (dumb(between) if index else dumb("")) + part
    return result


@dataclass(frozen=True, slots=True)
class Day:
    """A date as digits: ``year`` has four, ``month`` and ``day`` two. A random one is in no calendar."""

    name: str
    year: str
    month: str
    day: str

    def said(self, style: str, language: str = "en") -> Said:
        """``style``: mdy 03/12/1987, dmy 12.03.1987, iso 1987-03-12, slash 12/03/1987, dash 12-03-1987, month 12 MAR 1987,
        short 12.03.87, zone 870312, long 12 March 1987 in ``language``, chinese 1987年03月12日, plain 19870312, my 03/1987.
        """
        y, m, d = (
            Said(text, tuple(f"{self.name}:{letter}{i}" for i in range(len(text))))
            for text, letter in ((self.year, "y"), (self.month, "m"), (self.day, "d"))
        )
        match style:
            case "mdy":
                return joined((m, d, y), "/")
            case "dmy":
                return joined((d, m, y), ".")
            case "iso":
                return joined((y, m, d), "-")
            case "slash":
                return joined((d, m, y), "/")
            case "dash":
                return joined((d, m, y), "-")
            case "short":
                return joined((d, m, y[2:]), ".")
            case "zone":
                return y[2:] + m + d
            case "plain":
                return y + m + d
            case "my":
                return joined((m, y), "/")
            case "chinese":
                return y + dumb("年") + m + dumb("月") + d + dumb("日")
            case "month":
                return joined((d, self._month(MONTHS), y), " ")
            case "long":
                names = LONG_MONTHS.get(language, LONG_MONTHS["en"]).split()
                dot = "." if language == "de" else ""
                return d + dumb(f"{dot} ") + self._month(names) + dumb(" ") + y
        raise InputError(f"unknown date style {style!r}", remedy=f"use one of {', '.join(DATE_STYLES)}")

    def _month(self, names: Iterable[str]) -> Said:
        name = tuple(names)[(int(self.month) - 1) % 12]  # a random month is in no calendar, and still has a name
        return Said(name, tuple(f"{self.name}:n{i}" for i in range(len(name))))

    def rules(self, length: int) -> tuple[Rule, ...]:
        """A month's name of ``length`` letters and its number say each other."""
        if not 1 <= int(self.month) <= 12:
            return ()
        digits = (f"{self.name}:m0", f"{self.name}:m1")
        letters = tuple(f"{self.name}:n{i}" for i in range(length))
        return Rule(digits, letters, "date"), Rule(letters, digits, "date")


@dataclass(frozen=True, slots=True)
class Money:
    """``cents`` in the smallest unit of a currency with ``places`` decimals; ``point`` and ``group`` are its separators."""

    name: str
    cents: int
    places: int = 2
    point: str = "."
    group: str = ""

    def said(self) -> Said:
        sign, digits = "-" if self.cents < 0 else "", f"{abs(self.cents):0{self.places + 1}d}"
        whole, part = (digits[: -self.places], digits[-self.places :]) if self.places else (digits, "")
        # Atoms count from the right, so that 1,234.50 and 1234.50 say the same.
        atoms = [f"{self.name}:{len(digits) - 1 - i}" for i in range(len(digits))]
        result = dumb(sign)
        for index, char in enumerate(whole):
            left = len(whole) - index
            if index and left % 3 == 0 and self.group:
                result += dumb(self.group)
            result += Said(char, (atoms[index],))
        if part:
            result += dumb(self.point) + Said(part, tuple(atoms[len(whole) :]))
        return result

    @property
    def atoms(self) -> tuple[str, ...]:
        return tuple(atom for atom in self.said().atoms if atom)
