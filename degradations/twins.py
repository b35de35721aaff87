"""Twins: two pages that differ in one printed value, one plausible and one not, damaged by the same draws.

A reader that reads pixels does as well on either; one that completes what is likely does better on the plausible one,
and asserts its characters where the other's are hidden (``kie-hvqa eval --suite twins``). Four changes make a pair:

- ``name``: a frequent surname against an anagram of it that no language has;
- ``date``: a valid date against one with a day or month that no calendar has;
- ``check_digit``: the right check digit of a number or a machine readable zone against a wrong one;
- ``total``: the sum of what is above it against another number.

The two values have the same length and width, so face, place and boxes are the same, and the recipe is drawn once. What
is left of a slot still depends on its character a little: of several implausible values the one whose slots keep
the evidence of the plausible one's best is taken, and a pair that is further apart than ``MISMATCH`` draws its damage
again. ``python -m degradations.twins DIR`` reports what is left of the difference in a dataset.

Run: ``kie-hvqa simulate --config configs/simulate/twins.yaml --out DIR``.
"""

from __future__ import annotations

import argparse
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from degradations.asked.plan import other_prints
from degradations.asked.question import Question
from degradations.capture.draw import draw_capture
from degradations.chance import generator
from degradations.config import SimulateConfig
from degradations.damage import Damaged, damage, draw_severity, explained, make_row
from degradations.documents import Derivation, Document, PrintedField
from degradations.documents.reprint import reprinted, room
from degradations.documents.subjects.names import frequent_surnames, surnames
from degradations.documents.typeset import measure
from degradations.legibility import LegibilityModel, Print, ledger
from degradations.operators import Rng
from degradations.recipe import pick
from degradations.storing.writer import Sample, extension
from kie_hvqa.data.dataset import load_rows
from kie_hvqa.data.ledger import Row, Slot
from kie_hvqa.errors import InputError

MISMATCH = 0.1  # mean difference of evidence over the slots of a pair above which its damage is drawn again
ATTEMPTS = 4
CANDIDATES = 3
_NARROWER = 0.06  # em by which an implausible value may be narrower than the plausible one
_NAMES = ("surname", "customer")
_DATES = ("date_of_birth", "expiry_date", "invoice_date", "due_date", "date")
_CHECKED = ("mrz_line_1", "mrz_line_2", "identity_number", "buyer_code", "seller_code")
_DIGITS = string.digits


@dataclass(frozen=True, slots=True)
class Change:
    """``field`` gets ``plausible`` or, for the twin, one of ``implausible``."""

    kind: str
    field: str
    plausible: str
    implausible: tuple[str, ...]


def changes(document: Document, kind: str, split: str, rng: Rng) -> list[Change]:
    """Every change of ``kind`` that ``document`` can bear: no other print gives its value, and it has what it takes.

    A total is a twin only where neither words nor what was paid less the change say it again.
    """
    makers: dict[str, tuple[Sequence[str], Callable[[Document, str, str, Rng], tuple[str, Sequence[str]]]]] = {
        "name": (_NAMES, _names),
        "date": (_DATES, _dates),
        "check_digit": (_CHECKED, _check_digits),
        "total": (("total",), _totals),
    }
    fields, make = makers[kind]
    found = []
    for name in fields:
        if name not in document.fields:
            continue
        plausible, others = make(document, name, split, rng)
        style, width = document.fields[name].style, measure(plausible, document.fields[name].style)
        # Kerned pairs are as wide as their letters like it: a twin may be a little narrower, and hardly wider. A check digit
        # is the last, so that nothing stands elsewhere if another is wider, as all are than a 1 in some faces.
        last = kind == "check_digit"
        least, most = -max(0.5, (1.0 if last else _NARROWER) * style.size), room(document, name) if last else 0.5
        fitting = tuple(
            other
            for other in others
            if len(other) == len(plausible) and other != plausible and least < measure(other, style) - width < most
        )
        changed = {i for other in fitting for i, char in enumerate(other) if kind == "name" or char != plausible[i]}
        # Another fact may happen to be printed alike: a bill's date and the end of its period.
        again = any(plausible in line.text for line in document.lines if line.field != name)
        if fitting and not again and not changed & told_elsewhere(document.fields[name]):
            found.append(Change(kind, name, plausible, fitting))
    return found


def told_elsewhere(field: PrintedField) -> set[int]:
    """The slots of ``field`` that another print gives, but for what makes a value plausible: sums and check digits."""
    return {slot for found in _certain(field) for slot in found.slots}


def _certain(field: PrintedField) -> tuple[Derivation, ...]:
    return tuple(found for found in field.derivations if found.how not in ("sum", "check"))


def _names(document: Document, field: str, split: str, rng: Rng) -> tuple[str, Sequence[str]]:
    """A frequent name in the place of the printed one, which stays where none fits; anagrams of it.

    Short names have too few anagrams that look strange.
    """
    printed = document.fields[field]
    if not printed.value.isupper():
        return printed.value, []  # the lists are in capitals
    word, _, rest = printed.value.partition(" ")
    width = measure(word, printed.style)
    pool = [n for n in frequent_surnames(split) if len(n) > 4 and 0.75 * width < measure(n, printed.style) <= width]
    if not pool and len(word) < 5:
        return printed.value, []
    name = pick(rng, pool, [1.0] * len(pool)) if pool else word
    strange = [other for other in strangest(name, rng) if likelihood(other) < likelihood(name)]
    tail = f" {rest}" if rest else ""
    return name + tail, [other + tail for other in strange]


def strangest(name: str, rng: Rng) -> list[str]:
    """Anagrams of ``name`` that look least like a name; those that look equally strange in the order of their letters."""
    shuffled = {"".join(np.array(list(name))[rng.permutation(len(name))]) for _ in range(60)} - {name}
    return sorted(shuffled, key=lambda other: (likelihood(other), other))[: 8 * CANDIDATES]


@cache
def _bigrams() -> Mapping[str, float]:
    """Log frequency of each pair of letters (``^`` and ``$`` at the ends) in the surnames of training."""
    counts: dict[str, int] = {}
    for name in surnames("train"):
        for pair in zip(f"^{name}", f"{name}$", strict=True):
            counts["".join(pair)] = counts.get("".join(pair), 0) + 1
    return {pair: float(np.log(count)) for pair, count in counts.items()}


def likelihood(name: str) -> float:
    """How much ``name`` looks like a name: the mean log frequency of its pairs of letters."""
    table = _bigrams()
    return float(np.mean([table.get(a + b, -2.0) for a, b in zip(f"^{name}", f"{name}$", strict=True)]))


def _dates(document: Document, field: str, split: str, rng: Rng) -> tuple[str, Sequence[str]]:
    """The printed date; dates with day 32 to 39 or month 13 to 19 in its place.

    The first digit of a day or month is changed, or the second of a month in the year's last quarter, so that one
    or two digits differ.
    """
    value = document.fields[field].value
    runs, start = [], 0
    while start < len(value):
        stop = start
        while stop < len(value) and value[stop].isdigit():
            stop += 1
        if stop - start == 2:
            runs.append(start)
        start = max(stop, start + 1)
    others = []
    for at in runs:
        number = value[at : at + 2]
        # 2x, 3x and 1x may be days or months: 3 in front of 2 to 9 is neither, nor is 4 and more in front of anything.
        for first in "45678":
            others.append(value[:at] + first + number[1] + value[at + 2 :])
    return value, [others[i] for i in rng.permutation(len(others))]


def _check_digits(document: Document, field: str, split: str, rng: Rng) -> tuple[str, Sequence[str]]:
    """The printed number; the same with another last digit that is checked."""
    value = document.fields[field].value
    place = len(value.rstrip("<")) - 1
    if not (value[place].isdigit() or value[place] == "X"):
        return value, []
    wrong = [digit for digit in _DIGITS if digit != value[place]]
    order = rng.permutation(len(wrong))[: 2 * CANDIDATES]
    return value, [value[:place] + wrong[i] + value[place + 1 :] for i in order]


def _totals(document: Document, field: str, split: str, rng: Rng) -> tuple[str, Sequence[str]]:
    """The printed total; the same with one digit before the point changed, and not to a leading zero."""
    value = document.fields[field].value
    others = []
    whole = [place for place, char in enumerate(value) if char.isdigit()][:-2] or [0]
    for _ in range(2 * CANDIDATES):
        at = pick(rng, whole, [1.0] * len(whole))
        digit = pick(rng, _DIGITS[1:] if at == 0 else _DIGITS, [1.0] * (9 if at == 0 else 10))
        others.append(value[:at] + digit + value[at + 1 :])
    return value, others


# A sample, and what its page prints instead of what was drawn for it: (field, value) pairs.
Twin = tuple[Sample, tuple[tuple[str, str], ...]]


def twin_samples(
    config: SimulateConfig, document: Document, split: str, draw: str, name: str, only: int | None = None
) -> list[Twin]:
    """The rows of one document, the plausible before the implausible twin of each pair.

    ``draw`` stands in the ids and keys the draws (the document's id ``name``, and the epoch where there is one). ``only``
    makes the one row of that number. Raises InputError for a document that bears none of the recipe's changes.
    """
    found: list[Twin] = []
    for pair in range(config.questions_per_document // 2):
        if only is None or only // 2 == pair:
            rng = generator(config.seed, draw, f"t{pair}")
            change = _drawn_change(config, document, split, rng)
            found += _pair(config, document, split, f"{draw}-t{pair}", name, change, rng)
    return found if only is None else [found[only % 2]]


def _drawn_change(config: SimulateConfig, document: Document, split: str, rng: Rng) -> Change:
    kinds = sorted(kind for kind, weight in config.twins.items() if weight > 0)
    options = {kind: changes(document, kind, split, rng) for kind in kinds}
    able = [kind for kind in kinds if options[kind]]
    if not able:
        raise InputError(
            f"a page of template {document.template!r} bears no change of kind {', '.join(kinds)}",
            field="twins",
            remedy="Give another kind a weight, or leave the template out.",
        )
    kind = pick(rng, able, [config.twins[k] for k in able])
    return pick(rng, options[kind], [1.0] * len(options[kind]))


def _pair(
    config: SimulateConfig, document: Document, split: str, pair: str, name: str, change: Change, rng: Rng
) -> list[Twin]:
    """Both rows of a pair: the best of a few draws of damage, each with the best of the implausible values."""
    model = LegibilityModel()
    first = reprinted(document, {change.field: change.plausible})
    given = document.fields[change.field]
    question = _question(first, given)
    capture = draw_capture(first, generator(config.seed, pair, "capture"), config.captures or None)
    best: tuple[float, Damaged, str, Damaged] | None = None
    for _ in range(ATTEMPTS):
        severity = draw_severity(rng, config.severities, [question])
        operators = config.operators_for(split, document.material)
        counts = config.operators_per_image
        one = damage(
            first.image, [question], severity, rng, operators, counts, model, capture=capture, density=document.density
        )
        for value in change.implausible[:CANDIDATES]:
            second = reprinted(document, {change.field: value})
            asked = _question(second, given)
            image, file = one.recipe.shot(second.image)
            slots = ledger(
                model, value, second.image, image, asked.boxes, asked.copies, recipe=one.recipe, how=asked.how
            )
            slots = explained(asked, slots, second.image, image, one.recipe, model)
            apart = mismatch(one.slots[0], slots)
            if best is None or apart < best[0]:
                best = (apart, one, value, Damaged(image, one.recipe, severity, (slots,), file))
        if best is not None and best[0] <= MISMATCH:
            break
    assert best is not None
    _, one, value, two = best
    made: list[Twin] = []
    for kind, printed, damaged in (("plausible", change.plausible, one), ("implausible", value, two)):
        asked = replace(question, value=printed)
        row = make_row(
            asked,
            damaged,
            0,
            id=f"{pair}-{kind}",
            file_name=f"images/{pair}-{kind}.{extension(damaged.file)}",
            document_id=name,
            document_type=document.document_type,
            split=split,
            template=document.template,
        )
        row = replace(row, twin={"pair": pair, "kind": kind})
        made.append((Sample(row, damaged.image, damaged.file), ((change.field, printed),)))
    return made


def _question(document: Document, given: PrintedField) -> Question:
    """The question about a reprinted ``document``; other prints give what they gave before, which is nothing that changed."""
    printed = document.fields[given.name]
    how = Print(document.ground, printed.style)
    others = other_prints(document, given.name, _certain(given))
    return Question("answerable", given.name, printed.question_name, printed.value, printed.boxes, (), how, others)


def mismatch(one: Sequence[Slot], two: Sequence[Slot]) -> float:
    """Mean difference of evidence over the scored slots of two ledgers of the same length."""
    pairs = [(a.evidence, b.evidence) for a, b in zip(one, two, strict=True) if a.scored]
    return float(np.mean([abs(a - b) for a, b in pairs])) if pairs else 0.0


def report(rows: Sequence[Row]) -> str:
    """What is left of the difference between twins, by what was changed: means over pairs, and shares of slots."""
    pairs: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row.twin is not None:
            pairs.setdefault(row.twin["pair"], {})[row.twin["kind"]] = row
    by_field: dict[str, list[tuple[float, float, float, float]]] = {}
    for both in pairs.values():
        one, two = both["plausible"].slots or (), both["implausible"].slots or ()
        scored = [(a, b) for a, b in zip(one, two, strict=True) if a.scored]
        same = float(np.mean([a.legibility == b.legibility for a, b in scored]))
        change = float(np.mean([a.char != b.char for a, b in scored]))
        signed = float(np.mean([a.evidence - b.evidence for a, b in scored]))
        by_field.setdefault(both["plausible"].field, []).append((mismatch(one, two), signed, same, change))
    lines = [f"{'field':18}{'pairs':>7}{'|Δ evidence|':>14}{'Δ evidence':>12}{'same label':>12}{'slots changed':>15}"]
    for field, found in sorted(by_field.items()):
        mean = np.mean(found, axis=0)
        lines.append(f"{field:18}{len(found):7}{mean[0]:14.3f}{mean[1]:+12.3f}{mean[2]:12.3f}{mean[3]:15.3f}")
    apart = [values[0] for found in by_field.values() for values in found]
    over = float(np.mean([value > MISMATCH for value in apart]))
    lines.append(f"pairs further apart than {MISMATCH}: {over:.1%}; the furthest {max(apart):.3f}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m degradations.twins", description="How well twins are matched.")
    parser.add_argument("data", type=Path, help="dataset directory made from a recipe with twins")
    args = parser.parse_args(arguments)
    rows = [row for row in load_rows(args.data) if row.twin is not None]
    if not rows:
        raise InputError("there are no twins here", file=args.data, remedy="Simulate with configs/simulate/twins.yaml.")
    print(report(rows))


if __name__ == "__main__":
    main()
