"""Drawing what a document says: natural values, and random strings of the same shape.

Random values are for training a reader that must look: a surname is any letters, an amount any digits, so that
nothing but the pixels tells what is printed.
"""

from __future__ import annotations

import inspect
import re
import string
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from functools import cache
from typing import TypeVar

import numpy as np
from faker import Faker

from degradations.documents import names
from kie_hvqa.errors import InputError

T = TypeVar("T")
VALUES = ("natural", "random")
ATTEMPTS = 60
PLACES = ("en_US", "en_GB", "de_DE", "fr_FR", "it_IT", "nl_NL", "pl_PL")  # languages of towns
COUNTRIES = (
    "USA", "GBR", "DEU", "FRA", "ESP", "ITA", "NLD", "POL", "CZE", "SWE", "FIN", "HRV", "PRT", "ROU", "HUN", "TUR",
    "NOR", "SVN", "EST", "LTU", "AUT", "BEL", "CHE", "IRL", "DNK", "GRC", "LVA", "SVK", "UKR", "BGR",
)  # fmt: skip
LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"  # issuers keep I, O and Q out of document numbers, where they read as digits
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    return options[int(rng.integers(len(options)))]


def characters(rng: np.random.Generator, alphabet: str, length: int) -> str:
    return "".join(alphabet[i] for i in rng.integers(len(alphabet), size=length))


def day(rng: np.random.Generator, first: date, last: date) -> date:
    return first + timedelta(days=int(rng.integers((last - first).days + 1)))


def pattern(rng: np.random.Generator, template: str) -> str:
    """``A`` becomes a letter and ``9`` a digit; the rest stays."""
    return "".join(
        characters(rng, LETTERS, 1) if c == "A" else characters(rng, string.digits, 1) if c == "9" else c
        for c in template
    )


def write_date(value: date, style: str) -> str:
    """``style`` is one of mdy (03/12/1987), dmy (12.03.1987), iso (1987-03-12), month (12 MAR 1987)."""
    day_, month, year = f"{value.day:02d}", f"{value.month:02d}", f"{value.year:04d}"
    match style:
        case "mdy":
            return f"{month}/{day_}/{year}"
        case "dmy":
            return f"{day_}.{month}.{year}"
        case "iso":
            return f"{year}-{month}-{day_}"
        case "month":
            return f"{day_} {MONTHS[value.month - 1]} {year}"
    raise InputError(f"unknown date style {style!r}", remedy="use mdy, dmy, iso or month")


def randomised(rng: np.random.Generator, value: str, *, longest: int = 12) -> str:
    """A random string of ``value``'s shape: letters stay letters, digits digits, separators stay; lengths vary.

    Values with separators (dates, amounts) keep the length of every run but the first, so that they still look like
    what they are; a single word of letters gets any length from 2 to ``longest``, now and then in two words. Words in other
    scripts stay: their digits alone are drawn anew.
    """
    if not value.isascii() and value.isalpha():
        return value  # what stands for a letter there is the caller's to know
    if value.replace(" ", "").replace("-", "").isalpha() and len(value) > 3:
        text = characters(rng, string.ascii_uppercase, int(rng.integers(2, longest + 1)))
        cut = int(rng.integers(1, len(text))) if len(text) > 5 and rng.random() < 0.3 else 0
        return text[:cut] + pick(rng, (" ", "-")) + text[cut + 1 :] if 1 < cut < len(text) - 2 else text
    whole = value.isalnum()
    numbered = any(char.isdigit() for char in value)

    def run(match: re.Match[str]) -> str:
        alphabet = string.digits if match[0].isdigit() else LETTERS if numbered else string.ascii_uppercase
        change = int(rng.integers(-1, 2)) if whole and len(match[0]) > 2 else 0
        return characters(rng, alphabet, len(match[0]) + change)

    return re.sub(r"[0-9]+|[A-Z]+", run, value)


@cache
def faker(locale: str) -> Faker:
    """Faker for one language, every list of texts in order: it makes some of them (Italy's towns) out of sets.

    The order of a set hangs on the process's hash seed, and a page must not.
    """
    fake = Faker(locale, use_weighting=False)
    for provider in fake.factories[0].get_providers():
        for name, value in inspect.getmembers_static(type(provider)):
            if isinstance(value, list | tuple | set | frozenset) and all(isinstance(item, str) for item in value):
                setattr(provider, name, sorted(value))
    return fake


def invented(rng: np.random.Generator, kind: str, longest: int) -> str:
    """A ``city`` or ``street_address`` from Faker, seeded from ``rng``, in A-Z and at most ``longest`` characters."""
    locales = PLACES if kind != "street_address" else ("en_US",)
    fake = faker(pick(rng, locales))
    fake.seed_instance(int(rng.integers(2**62)))
    for _ in range(ATTEMPTS):
        text = names.transliterate(getattr(fake, kind)())
        if 3 <= len(text) <= longest:
            return text
    raise InputError(f"no {kind} of at most {longest} characters", remedy="allow a longer one", field=kind)


class Values:
    """Draws the values of one document until each fits the box that the layout gives it.

    ``fits(concept, text)`` says whether a text can be printed there; a concept that no attempt makes fit raises
    InputError naming it and the last text tried.
    """

    def __init__(
        self, rng: np.random.Generator, split: str, values: str, fits: Callable[[str, str], bool] = lambda *_: True
    ) -> None:
        if values not in VALUES:
            raise InputError(f"unknown kind of values {values!r}", remedy=f"use one of {', '.join(VALUES)}")
        self.rng, self.split, self.random, self.fits = rng, split, values == "random", fits

    def value(self, concept: str, make: Callable[[], str], *, longest: int = 12) -> str:
        text = ""
        for _ in range(ATTEMPTS):
            text = make()
            if self.random:
                text = randomised(self.rng, text, longest=longest)
            if self.fits(concept, text):
                return text
        raise InputError(
            f"text {text!r} does not fit its box", remedy="widen the box or make the font smaller", field=concept
        )

    def plain(self, concept: str, make: Callable[[], str]) -> str:
        """A value that no question asks for: natural even where the asked ones are random."""
        asked, self.random = self.random, False
        try:
            return self.value(concept, make)
        finally:
            self.random = asked

    def surname(self, concept: str = "surname") -> str:
        return self.value(concept, lambda: pick(self.rng, names.surnames(self.split)))

    def given_names(self, sex: str) -> str:
        def make() -> str:
            first = pick(self.rng, names.given_names(sex))
            if self.rng.random() < 0.25:
                both = f"{first} {pick(self.rng, names.given_names(sex))}"
                if len(both) <= names.MAX_LENGTH:
                    return both
            return first

        return self.value("given_names", make)
