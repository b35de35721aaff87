"""What was read in a document: one value a field, its marks visible, and what it is worth.

``status`` of a field:

``read``        every character of what the reader saw is asserted
``partly``      some places are marked (▯) as not legible
``unreadable``  nothing is asserted: hidden, too damaged, a black page, or not on it, which a reader that refuses does not say; or the
                answer is none that can be understood
``absent``      the page is blank, or the reader said in words that there is no such field
``failed``      the page could not be opened, or the reader could not answer; the next run tries again

In the official format a mark and a word space are one symbol. A single space between two characters is taken for a word space
unless the field's pattern says that none can be there; all others are marks. What is taken back by an operating point is a mark
wherever it stood.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from kie_hvqa.answers.answer import EXPLICIT_MARK, MARK, Reading, parse
from kie_hvqa.confidence.operating_point import OperatingPoint
from kie_hvqa.confidence.signals.checks import CHECKS, Check, check_signal, checks_of
from kie_hvqa.confidence.symbols import Signals
from kie_hvqa.data.ledger import Box
from kie_hvqa.reading.checks import complaint, failing
from kie_hvqa.reading.fields import KINDS, Field
from kie_hvqa.runs.predictions import Prediction

Status = Literal["read", "partly", "unreadable", "absent", "failed"]
BEST_FIRST: tuple[Status, ...] = ("read", "partly", "unreadable", "absent", "failed")
WORST_FIRST: tuple[Status, ...] = ("failed", "unreadable", "partly", "absent", "read")
SCHEMA = "kie-hvqa-reading-1"


@dataclass(frozen=True, slots=True)
class Character:
    """One symbol of a value, ``▯`` for a mark, and the probability that it is right; None where nobody says."""

    char: str
    probability: float | None


@dataclass(frozen=True, slots=True)
class FieldResult:
    """One field of a document.

    ``confidence`` is the probability that nothing asserted is wrong: ``calibrated`` by an operating point, or else the product of
    what the reader's signal gives its characters; None where there is no signal or nothing is asserted. ``box`` is
    (x0, y0, x1, y1) in pixels of the page as it was read, None where the reader gives none.
    """

    name: str
    value: str
    status: Status
    page: int | None = None
    confidence: float | None = None
    calibrated: bool = False
    characters: tuple[Character, ...] = ()
    box: Box | None = None
    reasons: tuple[str, ...] = ()
    group: str | None = None

    def to_json(self) -> dict[str, Any]:
        data = asdict(self)
        del data["name"]
        data["characters"] = [[each.char, each.probability] for each in self.characters]
        data["box"] = None if self.box is None else [round(value, 1) for value in self.box]
        data["reasons"] = list(self.reasons)
        return data


@dataclass(frozen=True, slots=True)
class DocumentResult:
    """One document: a file, or a picture that was handed over. ``hint`` says what a person could do about it."""

    document: str
    pages: int
    fields: tuple[FieldResult, ...]
    reader: str
    operating_point: Mapping[str, Any] | None = None
    hint: str | None = None
    error: str | None = None

    def __getitem__(self, name: str) -> FieldResult:
        """The field of that name. KeyError where none was asked for."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(name)

    @property
    def status(self) -> Status:
        """The worst of its fields'."""
        if self.error is not None:
            return "failed"
        return min((field.status for field in self.fields), key=WORST_FIRST.index)

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "document": self.document,
            "pages": self.pages,
            "status": self.status,
            "reader": self.reader,
            "operating_point": None if self.operating_point is None else dict(self.operating_point),
            "hint": self.hint,
            "error": self.error,
            "fields": {field.name: field.to_json() for field in self.fields},
        }


def of_json(data: Mapping[str, Any]) -> DocumentResult:
    """What ``DocumentResult.to_json`` wrote."""
    fields = []
    for name, said in data["fields"].items():
        rest = {key: value for key, value in said.items() if key not in ("characters", "box", "reasons")}
        characters = tuple(Character(char, probability) for char, probability in said["characters"])
        box = None if said["box"] is None else tuple(said["box"])
        fields.append(FieldResult(name, characters=characters, box=box, reasons=tuple(said["reasons"]), **rest))
    keys = ("document", "pages", "reader", "operating_point", "hint", "error")
    return DocumentResult(fields=tuple(fields), **{key: data[key] for key in keys})


def nothing(field: Field, status: Status, reason: str, page: int | None = None) -> FieldResult:
    """A field that nobody was asked about, or that nobody could be asked about."""
    return FieldResult(field.name, "", status, page, reasons=(reason,), group=field.group)


def of_empty_page(field: Field, empty: str, page: int) -> FieldResult:
    """A field of a page without print (``looks.emptiness``): not there on a blank one, unknown on a black one."""
    return nothing(field, "absent" if empty == "blank" else "unreadable", f"the page is {empty}", page)


def page_results(
    asked: Sequence[tuple[Field, Prediction]], page: int, point: OperatingPoint | None = None
) -> list[FieldResult]:
    """What the answers about one page come to, each checked against what the others say."""
    readings = {field.name: parse(kept.response).reading for field, kept in asked if kept.error is None}
    patterns = {field.name: field.pattern for field, _ in asked if field.pattern and field.pattern not in KINDS}
    checks = checks_of({name: reading for name, reading in readings.items() if reading is not None}, patterns)
    return [field_result(field, kept, page, point, checks.get(field.name, ())) for field, kept in asked]


def field_result(
    field: Field, kept: Prediction, page: int, point: OperatingPoint | None = None, checks: Sequence[Check] = ()
) -> FieldResult:
    """What the answer ``kept`` about ``field`` on ``page`` comes to, under ``point`` if there is one."""
    if kept.error is not None:
        return nothing(field, "failed", kept.error, page)
    parsed = parse(kept.response)
    reading, signals = parsed.reading, kept.signals
    reasons = ["the answer was cut off at the token limit (--max-new-tokens)"] if kept.cut else []
    if reading is None:
        reasons.append(f"the answer holds no reading ({', '.join(parsed.repairs)})")
        return FieldResult(field.name, "", "unreadable", page, reasons=tuple(reasons), group=field.group)
    if point is not None:  # a point may let a failing check veto
        signals = {**(signals or {}), CHECKS: check_signal(reading, checks)}
    left = reading if point is None else point.apply(reading, signals)
    if not left.final.strip(MARK):
        return _unread(field, kept, reading, parsed.repairs, page, reasons)
    value = _printed(reading.final, left.final, field.pattern)
    marks = value.count(EXPLICIT_MARK)
    if marks:
        reasons.append(f"{marks} of {len(value.replace(MARK, ''))} characters cannot be read")
    if taken := sum(a != b for a, b in zip(reading.final, left.final, strict=True)):
        reasons.append(f"{taken} of them were below the operating point")
    if left.not_clear:
        reasons.append(f"not clear enough: {' '.join(left.not_clear)}")
    wrong = complaint(field.pattern, value)
    reasons += dict.fromkeys([*([] if wrong is None else [wrong]), *failing(checks)])
    probabilities = _probabilities(signals, point, len(value))
    return FieldResult(
        field.name,
        value,
        "partly" if marks else "read",
        page,
        _confidence(left, signals, point, probabilities, value),
        point is not None,
        tuple(map(Character, value, probabilities)),
        kept.box,
        tuple(reasons),
        field.group,
    )


def _unread(
    field: Field, kept: Prediction, reading: Reading, repairs: Sequence[str], page: int, reasons: list[str]
) -> FieldResult:
    status: Status = "unreadable"
    if reading.final.strip(MARK):
        reasons.append("what was read is below the operating point")
    elif not reading.refused:
        reasons.append("characters are listed, and none is put in a place")
    elif reading.final:
        reasons.append("every character is marked as not legible")
    elif "refusal in words" in repairs and any(
        word in kept.response.lower() for word in ("not present", "n/a", "null")
    ):
        status = "absent"
        reasons.append("the reader says that there is no such field")
    else:
        reasons.append("the reader refuses: hidden, or not on this page")
    return FieldResult(field.name, "", status, page, box=kept.box, reasons=tuple(reasons), group=field.group)


def _printed(final: str, left: str, pattern: str | None) -> str:
    """``left`` (``final``, or part of it) with ``▯`` in place of every mark, word spaces kept."""
    words = [
        char == MARK and 0 < place < len(final) - 1 and MARK not in (final[place - 1], final[place + 1])
        for place, char in enumerate(final)
    ]

    def shown(spaced: bool) -> str:
        return "".join(
            char if char != MARK else MARK if spaced and words[place] and final[place] == MARK else EXPLICIT_MARK
            for place, char in enumerate(left)
        )

    value = shown(True)
    if any(words) and pattern is not None and complaint(pattern, value) is not None:
        return shown(False)
    return value


def _probabilities(signals: Signals | None, point: OperatingPoint | None, length: int) -> tuple[float | None, ...]:
    found: Sequence[float | None] = ()
    if signals:
        found = point.calibrated(signals) if point is not None else _first(signals)
    return tuple(found) if len(found) == length else (None,) * length


def _first(signals: Signals) -> Sequence[float | None]:
    """The signal that stands for a reader where no operating point says which."""
    return signals["token_probability" if "token_probability" in signals else min(signals)].symbols


def _confidence(
    left: Reading,
    signals: Signals | None,
    point: OperatingPoint | None,
    probabilities: Sequence[float | None],
    value: str,
) -> float | None:
    if point is not None:
        return round(point.field_calibrated(left, signals), 6)
    asserted = [p for char, p in zip(value, probabilities, strict=True) if char not in (MARK, EXPLICIT_MARK)]
    known = [p for p in asserted if p is not None]
    return round(math.prod(known), 6) if known and len(known) == len(asserted) else None


def best(found: Sequence[FieldResult]) -> FieldResult:
    """The one of several pages' results that a document's field is: the most read, then the surest, then the first."""
    first = min(found, key=lambda one: (BEST_FIRST.index(one.status), -(one.confidence or 0.0)))
    others = sorted({one.page for one in found if one.value and one.value != first.value and one.page is not None})
    if first.value and others:
        pages = ", ".join(map(str, others[:5])) + (" …" if len(others) > 5 else "")
        data = {name: getattr(first, name) for name in first.__slots__}
        return FieldResult(**(data | {"reasons": (*first.reasons, f"something else is read on page {pages}")}))
    return first
