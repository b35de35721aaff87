"""What one document speaks of: facts by name, how they are printed, and what follows from what.

A template says ``{birth|dmy}`` or ``{total}``; ``Subject.say`` turns it into text with its atoms. Facts that cost
something (towns, streets) are drawn when they are first asked for, in the order in which the template asks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from degradations.documents.subjects.countries import Country
from degradations.documents.subjects.said import DATE_STYLES, Day, Money, Rule, Said, dumb, fact
from kie_hvqa.config import nearest
from kie_hvqa.errors import InputError

Fact = Said | Day | Money
_EXPRESSION = re.compile(r"\{([^{}]*)\}")


@dataclass
class Subject:
    """``facts`` by name and ``makers`` of those that are drawn when asked for; ``tables`` are lists of rows of facts.

    ``words`` are the template's own words in the issuer's language; ``nights`` a guest stayed. ``random`` says that every asked text is any text.
    """

    rng: np.random.Generator
    country: Country
    language: str
    date: str
    random: bool = False
    facts: dict[str, Fact] = field(default_factory=dict)
    makers: dict[str, Callable[[], Fact | str]] = field(default_factory=dict)
    tables: dict[str, list[dict[str, Fact]]] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)
    told: set[str] = field(default_factory=set)
    nights: int = 1

    def fact(self, name: str) -> Fact:
        """Raises InputError naming a fact that this subject does not have."""
        if name not in self.facts:
            if name not in self.makers:
                known = {*self.facts, *self.makers}
                raise InputError(f"there is no fact {name!r} to print", field=name, remedy=nearest(name, known))
            made = self.makers[name]()
            self.facts[name] = fact(name, made) if isinstance(made, str) else made
        self.told.add(name)
        return self.facts[name]

    def say(self, text: str, row: Mapping[str, Fact] | None = None) -> Said:
        """``text`` with every ``{fact|form|form}`` in it said; ``{=word}`` is one of the template's words."""
        result, end = dumb(""), 0
        for match in _EXPRESSION.finditer(text):
            result += dumb(text[end : match.start()]) + self._expression(match[1], row)
            end = match.end()
        return result + dumb(text[end:])

    def _expression(self, expression: str, row: Mapping[str, Fact] | None) -> Said:
        name, *forms = expression.split("|")
        if name.startswith("="):
            if name[1:] not in self.words:
                raise InputError(f"there is no word {name[1:]!r}", field=name[1:], remedy=nearest(name[1:], self.words))
            said = dumb(self.words[name[1:]])
            return _formed(said, forms)
        found = row[name] if row is not None and name in row else self.fact(name)
        if isinstance(found, Day):
            style = next((f for f in forms if f in DATE_STYLES), self.date)
            said = found.said(style, self.language)
            if style in ("month", "long"):
                self.rules += found.rules(sum(1 for a in said.atoms if a and a.startswith(f"{found.name}:n")))
            return _formed(said, [f for f in forms if f not in DATE_STYLES])
        return _formed(found.said() if isinstance(found, Money) else found, forms)

    def plain(self, names: Iterable[str]) -> dict[str, str]:
        """What the facts say, as strings: dates as ISO has them."""
        result = {}
        for name in names:
            found = self.facts[name]
            said = found.said("iso") if isinstance(found, Day) else found.said() if isinstance(found, Money) else found
            result[name] = said.text
        return result


def _formed(said: Said, forms: Iterable[str]) -> Said:
    """``upper``, ``title`` (one capital a word), ``groups4`` (a space after every fourth character), ``initial``,
    ``last4``."""
    for form in forms:
        match form:
            case "upper":
                said = said.mapped(said.text.upper())
            case "title":
                said = said.mapped(re.sub(r"[^\W\d_]+", lambda m: m[0][0] + m[0][1:].lower(), said.text))
            case "initial":
                said = said[:1]
            case "last4":
                said = said[-4:]
            case "groups4" | "groups3" | "groups2":
                step, parts = int(form[-1]), dumb("")
                for start in range(0, len(said.text), step):
                    parts += (dumb(" ") if start else dumb("")) + said[start : start + step]
                said = parts
            case _:
                known = ("upper", "title", "initial", "last4", "groups2", "groups3", "groups4", *DATE_STYLES)
                raise InputError(f"unknown form {form!r}", field="says", remedy=nearest(form, known))
    return said
