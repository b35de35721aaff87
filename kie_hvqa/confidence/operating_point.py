"""An operating point: the threshold on one signal of one reader, and the risk that it promises.

    point = OperatingPoint.load(Path("operating_point.json"))
    point.check(reader.identity, told(reader), settings(reader))  # another reader, prompt or signal: InputError
    kept = point.apply(parsed.reading, answer.signals)            # characters below the threshold are marks now

``kie-hvqa calibrate`` makes it; ``eval``, ``score`` and ``read`` take it. The promise is about the reader that it was made for,
told what it was told then, and about documents like those it was made on (docs/confidence.md says where that ends).

A point scores a symbol by its ``signal`` (or by several, ``combination``), and gives 0 where a signal named in ``vetoes`` (a check that fails) says 0. Symbols
without a number score 0. A threshold above 1 asserts nothing: that is what an infeasible risk comes to.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from kie_hvqa.answers.answer import MARK, REFUSAL, Reading
from kie_hvqa.confidence.marks import keep
from kie_hvqa.confidence.signals.checks import CHECKS, check_signal, checks_of
from kie_hvqa.confidence.signals.combination import scores, signals_in
from kie_hvqa.confidence.symbols import Signals
from kie_hvqa.data.files import read_json, write_json
from kie_hvqa.errors import InputError

SCHEMA = "kie-hvqa-operating-point-1"
Unit = Literal["character", "field"]
Steps = tuple[tuple[float, float], ...]
"""A monotone map: (score, probability) pairs, both rising; between two of them it is a straight line."""


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """``threshold`` is on the score of a character, or, with the unit ``field``, on the product over a field's characters.

    ``risk`` in (0, 1) is promised with ``confidence``. ``reader``, ``reader_identity`` and ``asks`` (a hash of what it is told beside the
    image) say whose it is, ``probability`` and ``field_probability`` map scores to calibrated probabilities, and ``evidence`` is what the
    promise rests on, for people.
    """

    reader: str
    reader_identity: str
    asks: str
    signal: str
    unit: Unit
    risk: float
    confidence: float
    threshold: float
    probability: Steps
    field_probability: Steps
    vetoes: tuple[str, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    """Of a combination of signals; none for a single one."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Each signal that it takes → how it was made, as text; "" for what comes with an answer."""
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> OperatingPoint:
        """InputError naming file and key for a file that is no operating point of this version."""
        data = read_json(path)
        remedy = "Make it with `kie-hvqa calibrate`."
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise InputError("not an operating point of this version", file=path, field="schema", remedy=remedy)
        known = {each.name for each in fields(cls)}
        for key in data.keys() - known - {"schema"}:
            raise InputError("unknown key", file=path, field=str(key), remedy=remedy)
        for key, wrong in _faults(data):
            raise InputError(wrong, file=path, field=key, remedy=remedy)
        steps = {key: tuple((float(x), float(y)) for x, y in data[key]) for key in ("probability", "field_probability")}
        rest = {key: value for key, value in data.items() if key != "schema"}
        return cls(**(rest | steps | {"vetoes": tuple(data["vetoes"])}))

    def save(self, path: Path) -> None:
        write_json(path, {"schema": SCHEMA, **asdict(self)})

    @property
    def needs(self) -> tuple[str, ...]:
        """The signals without which it cannot be applied."""
        return (*(signals_in(self.weights) if self.weights else (self.signal,)), *self.vetoes)

    def named(self) -> dict[str, Any]:
        """What a table says of it."""
        told = {key: getattr(self, key) for key in ("signal", "unit", "risk", "confidence", "threshold", "vetoes")}
        return told | {"vetoes": list(self.vetoes)}

    @property
    def infeasible(self) -> bool:
        """Whether its risk could not be had: it asserts nothing."""
        return self.threshold > 1

    def check(self, reader_identity: str, asks: str, signals: Iterable[str], *, file: Path | None = None) -> None:
        """InputError, naming the key of ``file`` that differs, for another reader, one that is told something else, and one without
        the signals or (where ``signals`` maps them to how they are made) with other ones.

        ``asks`` is ``readers.told(reader)``, ``signals`` ``readers.asked.settings(reader)``. ``checks`` need no reader.
        """
        anew = "Calibrate anew with this reader: `kie-hvqa calibrate RUN --risk …`."
        if reader_identity != self.reader_identity:
            what = f"made for another reader ({self.reader}), or for other weights or options of it"
            raise InputError(what, file=file, field="reader_identity", remedy=anew)
        if asks != self.asks:
            what = f"{self.reader} was told something else then (another prompt or pixel budget)"
            raise InputError(what, file=file, field="asks", remedy=f"Ask as then, or: {anew}")
        missing = sorted(set(self.needs) - {CHECKS} - set(signals))
        if missing:
            raise InputError(
                f"the reader does not give {', '.join(missing)} here",
                file=file,
                field="signal",
                remedy=f"Ask for it: --signals {','.join(missing)}.",
            )
        made = signals if isinstance(signals, Mapping) else self.settings
        for name in self.needs:
            then, now = self.settings.get(name, ""), made.get(name, "")
            if then != now:
                what = f"{name} was made otherwise then ({then or 'with the answer'}), not {now or 'with the answer'}"
                raise InputError(what, file=file, field="settings", remedy=f"Make it as then, or: {anew}")

    def scores(self, signals: Signals | None) -> tuple[float, ...]:
        """The score in [0, 1] of every symbol; none without the signal."""
        if signals is None or any(name not in signals for name in self.needs if name not in self.vetoes):
            return ()
        if self.weights:
            found = scores(self.weights, {name: signals[name].symbols for name in signals_in(self.weights)})
        else:
            found = [0.0 if value is None else value for value in signals[self.signal].symbols]
        for name in self.vetoes:
            if name in signals:
                said = signals[name].symbols
                found = [0.0 if veto == 0 else value for value, veto in zip(found, said, strict=True)]
        return tuple(found)

    def calibrated(self, signals: Signals | None) -> tuple[float, ...]:
        """The calibrated probability, a symbol, that it is right."""
        return tuple(mapped(self.probability, own) for own in self.scores(signals))

    def field_score(self, reading: Reading, signals: Signals | None) -> float:
        """The product of the scores of what is asserted, in [0, 1]; 1 where nothing is, 0 where there are no scores."""
        scores = self._fitting(reading, signals)
        return math.prod(own for char, own in zip(reading.final, scores, strict=True) if char != MARK)

    def field_calibrated(self, reading: Reading, signals: Signals | None) -> float:
        """The calibrated probability that nothing asserted in the field is wrong; 1 where nothing is asserted."""
        if reading.refused:
            return 1.0
        return mapped(self.field_probability, self.field_score(reading, signals))

    def apply(self, reading: Reading, signals: Signals | None) -> Reading:
        """``reading`` with all that is below the threshold taken back; never asserts more than before.

        Scores that do not fit the reading (none, or of another length) are all 0: an answer whose confidence is not known
        keeps nothing, unless the threshold is 0.
        """
        if reading.refused:
            return reading
        if self.unit == "field":
            return reading if self.field_score(reading, signals) >= self.threshold else REFUSAL
        scores = self._fitting(reading, signals)
        if not reading.final.strip(MARK):  # characters in the lists alone have no score
            return reading if self.threshold <= 0 else REFUSAL
        return keep(reading, [own >= self.threshold for own in scores])

    def _fitting(self, reading: Reading, signals: Signals | None) -> Sequence[float]:
        if CHECKS in self.vetoes and signals is not None and CHECKS not in signals:
            alone = checks_of({"": reading})[""]  # whoever knows the document's other fields brings the signal along
            signals = {**signals, CHECKS: check_signal(reading, alone)}
        scores = self.scores(signals)
        return scores if len(scores) == len(reading.final) else (0.0,) * len(reading.final)


def mapped(steps: Steps, score: float) -> float:
    """``score`` through a monotone map; flat beyond its ends, the score itself where there is no map."""
    if not steps:
        return score
    place = bisect_right(steps, (score, math.inf))
    if place == 0:
        return steps[0][1]
    if place == len(steps):
        return steps[-1][1]
    (x0, y0), (x1, y1) = steps[place - 1], steps[place]
    return y0 + (y1 - y0) * (score - x0) / (x1 - x0) if x1 > x0 else y1


def _faults(data: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """(key, what is wrong with it)."""
    for key in ("reader", "reader_identity", "asks", "signal"):
        if not isinstance(data.get(key), str):
            yield key, "must be text"
    if data.get("unit") not in get_args(Unit):
        yield "unit", f"must be one of {', '.join(get_args(Unit))}"
    for key, low, high in (("risk", 0.0, 1.0), ("confidence", 0.0, 1.0), ("threshold", 0.0, 2.0)):
        value = data.get(key)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not low <= value <= high:
            yield key, f"must be a number from {low:g} to {high:g}"
    for key in ("probability", "field_probability"):
        steps = data.get(key)
        if not isinstance(steps, list) or not all(map(_is_step, steps)):
            yield key, "must be a list of [score, probability]"
        elif any(b[0] < a[0] or b[1] < a[1] for a, b in itertools.pairwise(steps)):
            yield key, "must rise"
    vetoes = data.get("vetoes")
    if not isinstance(vetoes, list) or not all(isinstance(name, str) for name in vetoes):
        yield "vetoes", "must be a list of names"
    for key, kind in (("evidence", object), ("weights", (int, float)), ("settings", str)):
        own = data.get(key)
        if not isinstance(own, dict) or not all(isinstance(value, kind) for value in own.values()):
            yield (
                key,
                f"must be an object{' of numbers' if key == 'weights' else ' of texts' if key == 'settings' else ''}",
            )


def _is_step(step: Any) -> bool:
    return (
        isinstance(step, list)
        and len(step) == 2
        and all(isinstance(x, (int, float)) and not isinstance(x, bool) and 0 <= x <= 1 for x in step)
    )
