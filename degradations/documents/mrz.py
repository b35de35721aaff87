"""Machine readable zones: TD3 of passports and TD1 of cards, with their check digits.

Source: ICAO Doc 9303, parts 3 (section 4.9, check digits: weights 7, 3, 1 over values 0-9, A=10 … Z=35, < = 0, modulo
10), 4 (section 4.2.2, TD3: two lines of 44 characters) and 5 (section 4.2.2, TD1: three lines of 30).
"""

from __future__ import annotations

import re
from datetime import date

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


def filler(text: str, length: int) -> str:
    """``text`` with everything but A-Z and 0-9 as fillers, cut or padded to ``length``."""
    return _plain(text)[:length].ljust(length, "<")


def _plain(text: str) -> str:
    """Apostrophes are left out, all else that is no letter and no digit becomes a filler (part 3, section 4.6)."""
    return re.sub(r"[^A-Z0-9]", "<", text.upper().replace("'", ""))


def td3(
    *,
    issuer: str,
    surname: str,
    given_names: str,
    number: str,
    nationality: str,
    birth: date,
    sex: str,
    expiry: date,
    personal: str = "",
) -> tuple[str, str]:
    """The two lines. ``issuer`` and ``nationality`` are three letters; ``sex`` is M or F, anything else is a filler.

    ``number`` has up to 9 characters and ``personal`` (a personal number) up to 14; what is longer is cut.
    """
    names = f"{_plain(surname)}<<{_plain(given_names)}"
    upper = f"P<{filler(issuer, 3)}{names}"[:LENGTH].ljust(LENGTH, "<")
    number = filler(number, 9)
    born, expires = birth.strftime("%y%m%d"), expiry.strftime("%y%m%d")
    # Issuers may leave the check digit of an empty personal number out; most do.
    own = filler(personal, 14)
    own += check_digit(own) if personal else "<"
    dated = (number + check_digit(number), born + check_digit(born), expires + check_digit(expires))
    composite = check_digit("".join(dated) + own)
    lower = f"{dated[0]}{filler(nationality, 3)}{dated[1]}{sex if sex in ('M', 'F') else '<'}{dated[2]}{own}{composite}"
    return upper, lower


def td1(
    *,
    code: str,
    issuer: str,
    surname: str,
    given_names: str,
    number: str,
    nationality: str,
    birth: date,
    sex: str,
    expiry: date,
) -> tuple[str, str, str]:
    """The three lines of a card. ``code`` is its type (``ID``, ``IR``); the rest as for ``td3``, optional data left empty."""
    number = filler(number, 9)
    born, expires = birth.strftime("%y%m%d"), expiry.strftime("%y%m%d")
    upper = f"{filler(code, 2)}{filler(issuer, 3)}{number}{check_digit(number)}".ljust(CARD_LENGTH, "<")
    born, expires = born + check_digit(born), expires + check_digit(expires)
    optional = "<" * 11
    composite = check_digit(upper[5:] + born + expires + optional)
    middle = f"{born}{sex if sex in ('M', 'F') else '<'}{expires}{filler(nationality, 3)}{optional}{composite}"
    names = f"{_plain(surname)}<<{_plain(given_names)}"
    return upper, middle, names[:CARD_LENGTH].ljust(CARD_LENGTH, "<")
