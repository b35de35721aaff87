"""Drawing what a document says: natural values, and random strings of the same shape.

Random values are for training a reader that must look: a surname is any letters, an amount any digits, so that
nothing but the pixels tells what is printed.
"""

from __future__ import annotations

import inspect
import re
import string
from collections.abc import Sequence
from datetime import date, timedelta
from functools import cache
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from degradations.documents.subjects import names
from kie_hvqa.errors import InputError

if TYPE_CHECKING:
    from faker import Faker

T = TypeVar("T")
VALUES = ("natural", "random")
ATTEMPTS = 60
PLACES = ("en_US", "en_GB", "de_DE", "fr_FR", "it_IT", "nl_NL", "pl_PL")  # languages of towns
LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"  # issuers keep I, O and Q out of document numbers, where they read as digits


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    return options[int(rng.integers(len(options)))]


def characters(rng: np.random.Generator, alphabet: str, length: int) -> str:
    return "".join(alphabet[i] for i in rng.integers(len(alphabet), size=length))


def day(rng: np.random.Generator, first: date, last: date) -> date:
    return first + timedelta(days=int(rng.integers((last - first).days + 1)))


def jitter(rng: np.random.Generator, colour: tuple[int, int, int], amount: int) -> tuple[int, int, int]:
    """The colour, each channel up to ``amount`` levels off."""
    shift = rng.integers(-amount, amount + 1, 3)
    return tuple(min(max(c + int(s), 0), 255) for c, s in zip(colour, shift, strict=True))  # type: ignore[return-value]


def pattern(rng: np.random.Generator, template: str) -> str:
    """``A`` becomes a letter and ``9`` a digit; the rest stays, and what follows a backslash."""
    result, kept = "", False
    for char in template:
        if char == "\\" and not kept:
            kept = True
            continue
        if kept or char not in "A9":
            result += char
        else:
            result += characters(rng, LETTERS if char == "A" else string.digits, 1)
        kept = False
    return result


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
    from faker import Faker  # here: what a template says can be read without it

    fake = Faker(locale, use_weighting=False)
    for provider in fake.factories[0].get_providers():
        for name, value in inspect.getmembers_static(type(provider)):
            if isinstance(value, list | tuple | set | frozenset) and all(isinstance(item, str) for item in value):
                setattr(provider, name, sorted(value))
    return fake


def invented(rng: np.random.Generator, kind: str, longest: int, locale: str | None = None) -> str:
    """A ``city`` or ``street_address`` from Faker, seeded from ``rng``, in A-Z and at most ``longest`` characters.

    In the manner of ``locale``, or of any of ``PLACES`` (streets: English ones).
    """
    fake = faker(locale or (pick(rng, PLACES) if kind != "street_address" else "en_US"))
    for _ in range(ATTEMPTS):
        fake.seed_instance(int(rng.integers(2**62)))
        text = names.transliterate(getattr(fake, kind)())
        if 3 <= len(text) <= longest:
            return text
    raise InputError(f"no {kind} of at most {longest} characters", remedy="allow a longer one", field=kind)
