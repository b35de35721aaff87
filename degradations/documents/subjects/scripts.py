"""Names in Cyrillic and Greek with the Latin form that a document prints beside them.

Source of the tables: ICAO Doc 9303, part 3, section 6 (B: Cyrillic, with its national exceptions), and ELOT 743 for Greek
(as Greek passports use it; without its vowel-dependent readings of αυ and ευ).
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache

from degradations.documents.subjects.names import MAX_LENGTH, SPLITS, listed, split_of
from kie_hvqa.errors import InputError

_CYRILLIC = {
    "А": "A", "Б": "B", "В": "V", "Г": "G", "Ґ": "G", "Д": "D", "Е": "E", "Ё": "E", "Є": "IE", "Ж": "ZH", "З": "Z",
    "И": "I", "І": "I", "Ї": "I", "Й": "I", "К": "K", "Л": "L", "М": "M", "Н": "N", "О": "O", "П": "P", "Р": "R",
    "С": "S", "Т": "T", "У": "U", "Ф": "F", "Х": "KH", "Ц": "TS", "Ч": "CH", "Ш": "SH", "Щ": "SHCH", "Ъ": "IE", "Ы": "Y",
    "Ь": "", "Э": "E", "Ю": "IU", "Я": "IA",
}  # fmt: skip
_GREEK = {
    "ΟΥ": "OU", "Α": "A", "Β": "V", "Γ": "G", "Δ": "D", "Ε": "E", "Ζ": "Z", "Η": "I", "Θ": "TH", "Ι": "I", "Κ": "K",
    "Λ": "L", "Μ": "M", "Ν": "N", "Ξ": "X", "Ο": "O", "Π": "P", "Ρ": "R", "Σ": "S", "Τ": "T", "Υ": "Y", "Φ": "F", "Χ": "CH",
    "Ψ": "PS", "Ω": "O",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Script:
    """Where names come from (a Faker locale), how they are written in Latin, and the labels in that language."""

    locale: str
    table: dict[str, str]
    labels: dict[str, str]
    title: str


SCRIPTS = {
    "ukrainian": Script(
        "uk_UA",
        {**_CYRILLIC, "Г": "H", "И": "Y"},
        {"surname": "Прізвище", "given_names": "Ім'я", "sex": "Стать", "nationality": "Громадянство",
         "date_of_birth": "Дата народження", "document_number": "Документ", "expiry_date": "Дійсний до"},
        "ПОСВІДЧЕННЯ ОСОБИ",
    ),
    "bulgarian": Script(
        "bg_BG",
        {**_CYRILLIC, "Щ": "SHT", "Ъ": "A", "Ь": "Y", "Ю": "YU", "Я": "YA", "Х": "H", "Й": "Y"},
        {"surname": "Фамилия", "given_names": "Име", "sex": "Пол", "nationality": "Гражданство",
         "date_of_birth": "Дата на раждане", "document_number": "Документ", "expiry_date": "Валидност"},
        "ЛИЧНА КАРТА",
    ),
    "greek": Script(
        "el_GR",
        _GREEK,
        {"surname": "Επώνυμο", "given_names": "Όνομα", "sex": "Φύλο", "nationality": "Ιθαγένεια",
         "date_of_birth": "Ημ. γέννησης", "document_number": "Αριθμός", "expiry_date": "Ημ. λήξης"},
        "ΔΕΛΤΙΟ ΤΑΥΤΟΤΗΤΑΣ",
    ),
}  # fmt: skip


def capitals(text: str) -> str:
    """Upper case without accents: й and ї are letters of their own and keep their marks."""
    kept = {"Й", "Ї"}
    found = []
    for char in unicodedata.normalize("NFC", text.upper()):
        found.append(char if char in kept else unicodedata.normalize("NFD", char)[0])
    return "".join(found)


def latin(text: str, script: str) -> str:
    """``text`` in capitals A-Z; what the table does not have (spaces, hyphens) stays."""
    table, plain = SCRIPTS[script].table, capitals(text)
    for source in sorted(table, key=len, reverse=True):  # digraphs first
        plain = plain.replace(source, table[source])
    return plain


def aligned(native: str, script: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Which characters of ``native`` (start, stop) stand for which of its Latin form (start, stop), in order."""
    table, plain = SCRIPTS[script].table, capitals(native)
    digraphs = sorted(table, key=len, reverse=True)
    found, here, there = [], 0, 0
    while here < len(plain):
        source = next((s for s in digraphs if plain.startswith(s, here)), plain[here])
        target = table.get(source, source)
        if target:
            found.append(((here, here + len(source)), (there, there + len(target))))
        here, there = here + len(source), there + len(target)
    return found


def _pairs(script: str, *attributes: str) -> list[tuple[str, str]]:
    """(native capitals, Latin) of every name that is printable in both."""
    pairs = {(capitals(name), latin(name, script)) for name in listed(SCRIPTS[script].locale, *attributes)}
    usable = (p for p in pairs if p[1].isascii() and p[1].isalpha() and p[0].isalpha() and 2 < len(p[1]) <= MAX_LENGTH)
    return sorted(usable)


@cache
def surnames(script: str, sex: str, split: str) -> tuple[tuple[str, str], ...]:
    """(native, Latin) surnames for ``sex`` M or F; no Latin form is in two splits."""
    if split not in SPLITS:
        raise InputError(f"unknown split {split!r}", remedy=f"use one of {', '.join(SPLITS)}")
    found = _pairs(script, "last_names_male" if sex == "M" else "last_names_female") or _pairs(script, "last_names")
    if script == "bulgarian" and sex == "F":  # few are listed: the rest is formed from the men's
        men = _pairs(script, "last_names_male")
        found = sorted({(f"{own}А", f"{other}A") for own, other in men if own.endswith("В")} | {*found})
    return tuple(pair for pair in found if split_of(pair[1]) == split)


@cache
def given_names(script: str, sex: str) -> tuple[tuple[str, str], ...]:
    return tuple(_pairs(script, "first_names_male" if sex == "M" else "first_names_female"))
