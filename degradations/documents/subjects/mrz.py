"""Machine readable zones: TD3 of passports, TD1 of cards and MRV-A of visas, with their check digits.

Source: ICAO Doc 9303, parts 3 (section 4.9, check digits: weights 7, 3, 1 over values 0-9, A=10 … Z=35, < = 0, modulo
10), 4 (section 4.2.2, TD3: two lines of 44 characters), 5 (section 4.2.2, TD1: three lines of 30) and 7 (section 4.2.2, MRV-A).
"""

from __future__ import annotations

import re

from degradations.documents.subjects.said import Rule, Said, dumb
from kie_hvqa.errors import InputError

LENGTH = 44
CARD_LENGTH = 30
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_VALUES = {char: value for value, char in enumerate(ALPHABET)} | {"<": 0}


def check_digit(text: str) -> str:
    """One digit '0'..'9'. Raises InputError for a character that a zone cannot hold."""
    try:
        return str(sum(_VALUES[char] * (7, 3, 1)[index % 3] for index, char in enumerate(text)) % 10)
    except KeyError as error:
        raise InputError(
            f"{error.args[0]!r} cannot stand in a machine readable zone", remedy="use A-Z, 0-9 and <", field="mrz"
        ) from error


def filler(said: Said, length: int) -> Said:
    """``said`` with everything but A-Z and 0-9 as fillers, cut or padded to ``length``."""
    plain = _plain(said)[:length]
    return plain + dumb("<" * (length - len(plain.text)))


def _plain(said: Said) -> Said:
    """Apostrophes are left out, all else that is no letter and no digit becomes a filler (part 3, section 4.6)."""
    result = dumb("")
    for char, atom in zip(said.text.upper(), said.atoms, strict=True):
        if char != "'":
            result += Said(char if re.match(r"[A-Z0-9]", char) else "<", (atom,))
    return result


class _Zone:
    """Collects check digits, and that each follows from what it checks."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []

    def checked(self, said: Said, name: str) -> Said:
        return said + self.check(said, name)

    def check(self, said: Said, name: str) -> Said:
        own = f"check_{name}:0"
        sources = tuple(dict.fromkeys(atom for atom in said.atoms if atom is not None))
        if sources:
            self.rules.append(Rule((own,), sources, "check"))
        return Said(check_digit(said.text), (own,))


def zone(
    kind: str,
    code: str,
    *,
    issuer: Said,
    surname: Said,
    given_names: Said,
    number: Said,
    nationality: Said,
    birth: Said,
    sex: Said,
    expiry: Said,
    personal: Said | None = None,
) -> tuple[tuple[Said, ...], tuple[Rule, ...]]:
    """The lines of a zone of ``kind`` td1 (three of 30), td3 (two of 44) or visa (MRV-A, two of 44), and what follows from what.

    ``code`` is the document's type (``ID``, ``P``, ``V``), ``issuer`` and ``nationality`` are up to three letters; ``birth`` and
    ``expiry`` six digits; ``sex`` M or F, anything else is a filler. ``number`` has up to 9 characters and ``personal`` (a personal
    number) up to 14; what is longer is cut.
    """
    made = _Zone()
    number, issuer, nationality = filler(number, 9), filler(issuer, 3), filler(nationality, 3)
    numbered = made.checked(number, "number")
    born, expires = made.checked(birth, "birth"), made.checked(expiry, "expires")
    letter = sex if sex.text in ("M", "F") else dumb("<")
    names = _plain(surname) + dumb("<<") + _plain(given_names)
    kind_code = filler(dumb(code), 2)
    if kind == "td1":
        upper = filler(kind_code + issuer + numbered, CARD_LENGTH)
        optional = dumb("<" * 11)
        composite = made.check(upper[5:] + born + expires + optional, "all")
        middle = born + letter + expires + nationality + optional + composite
        return (upper, middle, filler(names, CARD_LENGTH)), tuple(made.rules)
    upper = filler(kind_code + issuer + names, LENGTH)
    if kind == "visa":
        return (upper, filler(numbered + nationality + born + letter + expires, LENGTH)), tuple(made.rules)
    # Issuers may leave the check digit of an empty personal number out; most do.
    own = filler(personal or dumb(""), 14)
    own += made.check(own, "personal") if personal else dumb("<")
    composite = made.check(numbered + born + expires + own, "all")
    return (upper, numbered + nationality + born + letter + expires + own + composite), tuple(made.rules)
