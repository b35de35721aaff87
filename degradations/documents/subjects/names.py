"""Names of people from Faker's lists in many languages, transliterated to A-Z, with surnames kept apart by split.

A stable hash of the surname decides its split, so no surname of ``test`` occurs in ``train`` or ``validation``,
in any process and whatever the seed.
"""

from __future__ import annotations

import hashlib
import importlib
import re
import unicodedata
from collections.abc import Iterable
from functools import cache

from kie_hvqa.errors import InputError

SPLITS = ("train", "validation", "test")
MAX_LENGTH = 12
_FEW = 25  # a language with fewer names of a kind would repeat itself

LOCALES = (
    "en_US", "en_GB", "de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL", "pl_PL", "cs_CZ", "sv_SE", "fi_FI", "hr_HR",
    "pt_PT", "ro_RO", "hu_HU", "tr_TR", "no_NO", "sl_SI", "et_EE", "lt_LT",
)  # fmt: skip
_LETTERS = str.maketrans(
    {"ß": "SS", "Ø": "OE", "ø": "OE", "Æ": "AE", "æ": "AE", "Ł": "L", "ł": "L", "Đ": "D", "đ": "D", "Œ": "OE",
     "œ": "OE", "Þ": "TH", "þ": "TH", "ı": "I", "Ð": "D", "ð": "D"}
)  # fmt: skip


def transliterate(text: str) -> str:
    """Upper case A-Z, digits, space and - . / , only; what has no such form is left out."""
    plain = unicodedata.normalize("NFKD", text.translate(_LETTERS)).upper()
    return " ".join(re.sub(r"[^A-Z0-9 \-./,]", "", plain).split())


def split_of(surname: str) -> str:
    """Eight tenths of all surnames are for training, one for validation, one for the test."""
    bucket = hashlib.blake2b(surname.encode(), digest_size=8).digest()[0] % 10
    return {0: "test", 1: "validation"}.get(bucket, "train")


def listed(locale: str, *attributes: str) -> Iterable[str]:
    provider = importlib.import_module(f"faker.providers.person.{locale}").Provider
    for attribute in attributes:
        yield from getattr(provider, attribute, ())


def _usable(names: Iterable[str], longest: int) -> set[str]:
    plain = {transliterate(name) for name in names}
    return {name for name in plain if 2 <= len(name) <= longest and re.fullmatch(r"[A-Z]+([ -][A-Z]+)*", name)}


def _near(locale: str | None) -> tuple[str, ...]:
    """``locale``, or a list of its language, or all lists."""
    if locale is None or locale in LOCALES:
        return LOCALES if locale is None else (locale,)
    return tuple(each for each in LOCALES if each[:2] == locale[:2])[:1] or LOCALES


@cache
def surnames(split: str, locale: str | None = None, longest: int = MAX_LENGTH) -> tuple[str, ...]:
    """The surnames of a split, sorted: those of ``locale``, or of all languages where it has too few or is None.

    Raises InputError for an unknown split.
    """
    if split not in SPLITS:
        raise InputError(f"unknown split {split!r}", remedy=f"use one of {', '.join(SPLITS)}")
    names: set[str] = set()
    for each in _near(locale):
        names |= _usable(listed(each, "last_names", "last_names_male", "last_names_female"), longest)
    found = tuple(sorted(name for name in names if split_of(name) == split))
    return found if len(found) >= _FEW or locale is None else surnames(split, None, longest)


@cache
def frequent_surnames(split: str) -> tuple[str, ...]:
    """The surnames of ``split`` that many people bear (the United States' census of 2010, from Faker), most first."""
    weights = importlib.import_module("faker.providers.person.en_US").Provider.last_names
    pool = set(surnames(split))
    order = sorted(((-float(weight), transliterate(name)) for name, weight in weights.items()))
    return tuple(name for _, name in order if name in pool)


@cache
def given_names(sex: str, locale: str | None = None) -> tuple[str, ...]:
    """First names for ``sex`` M or F (both for anything else), sorted; of ``locale`` where it has enough."""
    attributes = {"M": ("first_names_male",), "F": ("first_names_female",)}.get(
        sex, ("first_names_male", "first_names_female")
    )
    names: set[str] = set()
    for each in _near(locale):
        names |= _usable(listed(each, *attributes), 9)
    return tuple(sorted(names)) if len(names) >= _FEW or locale is None else given_names(sex)
