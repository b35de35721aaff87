"""What is a copy of what on a page, and what follows from what: read off the atoms of the printed lines.

A covered M in a sex field is not saved by the M of CLASS M: the two are signs of different facts. It is by the one in the
machine readable zone, which says the same fact.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from degradations.documents.model import Derivation, Source
from degradations.documents.subjects.said import Rule, Said

Index = Mapping[str, Sequence[tuple[int, int]]]  # atom → (line, place) of all its prints


def indexed(lines: Sequence[Said]) -> Index:
    found: dict[str, list[tuple[int, int]]] = {}
    for number, said in enumerate(lines):
        for place, atom in enumerate(said.atoms):
            if atom is not None:
                found.setdefault(atom, []).append((number, place))
    return found


def copies(lines: Sequence[Said], own: int) -> tuple[Source, ...]:
    """Every other run of characters that says all of line ``own`` in the same characters: a space may be a filler there."""
    value, found = lines[own], []
    named = [atom for atom in value.atoms if atom is not None]
    if not named:
        return ()
    length = len(value.text)
    for number, other in enumerate(lines):
        if number == own:
            continue
        for start in range(len(other.text) - length + 1):
            part = other[start : start + length]
            if part.atoms == value.atoms and all(
                a == b or (a == " " and b == "<") for a, b in zip(value.text, part.text, strict=True)
            ):
                found.append(Source(number, tuple(range(start, start + length))))
    return tuple(found)


def derivations(lines: Sequence[Said], own: int, index: Index, rules: Iterable[Rule]) -> tuple[Derivation, ...]:
    """Which characters of line ``own`` can be had from print on other lines (or elsewhere on its own)."""
    value, found = lines[own], []
    places: dict[str, list[int]] = {}
    for place, (char, atom) in enumerate(zip(value.text, value.atoms, strict=True)):
        if atom is None or char.isspace():
            continue
        places.setdefault(atom, []).append(place)
        for line, there in index[atom]:
            if (line, there) != (own, place) and lines[line].text[there] == char:
                found.append(Derivation((place,), (Source(line, (there,)),), "same"))
    for rule in dict.fromkeys(rules):
        slots = tuple(place for atom in rule.targets for place in places.get(atom, ()))
        # A sign that stands for two letters says each of them; what is not printed here cannot be asked for.
        if slots and (sources := _sources(rule, own, index)):
            found.append(Derivation(slots, sources, rule.how))
    return tuple(found)


def _sources(rule: Rule, own: int, index: Index) -> tuple[Source, ...]:
    """Where the rule's sources stand outside line ``own``: on as few lines as possible; () where one stands nowhere.

    Atoms count from the right of a sum, so every one that a sum has is printed wherever the sum is.
    """
    wanted = list(rule.sources)
    chosen: dict[int, list[int]] = {}
    options = [{line: place for line, place in index.get(atom, ()) if line != own} for atom in wanted]
    if not all(options):
        return ()
    while any(options):
        counts: dict[int, int] = {}
        for option in options:
            for line in option:
                counts[line] = counts.get(line, 0) + 1
        best = min(counts, key=lambda line: (-counts[line], line))
        for number, option in enumerate(options):
            if best in option:
                chosen.setdefault(best, []).append(option[best])
                options[number] = {}
    return tuple(Source(line, tuple(sorted(there))) for line, there in sorted(chosen.items()))
