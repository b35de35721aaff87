"""What each signal of a run is worth, over the same answers: of characters, of whole answers, and as a probability.

* ``characters``: every asserted character of Final OCR is kept or not by its own confidence; its loss is 1 where it is wrong
  (``confidence.losses``). The curve, the areas, the coverage at 1, 2 and 5 % risk.
* ``answers``: an answer is kept or not by the product over what it asserts (its refusal's, where it refuses); its loss is 1 unless it is
  hallucination-free, as in ``metrics.json``'s ``risk``.
* ``probability``: Brier score and calibration error of the characters' numbers as they are, and after a monotone map fitted on other
  documents (two halves, each mapped by the other).

Those that have to be fitted (``combined``, and the α of ``answer_calibration``) are fitted on other documents likewise
(``fitted``). Each area of a signal comes with its paired difference from the run's first signal, over documents. Definitions:
``kie_hvqa.scoring.risk`` and ``kie_hvqa.confidence.monotone``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from kie_hvqa.answers.answer import MARK, Reading, parse
from kie_hvqa.answers.verdicts import Ledger
from kie_hvqa.confidence import monotone
from kie_hvqa.confidence.losses import Judged, asserted_of
from kie_hvqa.confidence.operating_point import mapped
from kie_hvqa.confidence.signals.checks import CHECKS
from kie_hvqa.confidence.symbols import Signals, SymbolConfidence
from kie_hvqa.confidence.thresholds import learning
from kie_hvqa.data.ledger import Row
from kie_hvqa.scoring import selective
from kie_hvqa.scoring.fitted import with_fitted
from kie_hvqa.scoring.scores import SampleScore
from kie_hvqa.scoring.selective import Asserted
from kie_hvqa.scoring.statistics import PLACES

FIRST = ("token_probability", "character_confidence", "agreement")
"""The signals that others are compared with, the first that a run has."""


def signal_metrics(
    rows: Sequence[Row],
    responses: Mapping[str, str],
    signals: Mapping[str, Signals],
    scores: Sequence[SampleScore],
) -> dict[str, Any] | None:
    """``metrics.json``'s ``signals``: signal → what it is worth, and ``compared_with``; None without ledgers or signals.

    ``signals`` by row id, ``scores`` one a row.
    """
    names = ordered({name for own in signals.values() for name in own})
    if not any(name != CHECKS for name in names) or any(row.slots is None for row in rows):
        return None
    readings = {row.id: parse(responses[row.id]).reading for row in rows if row.id in responses}
    judged = [
        Judged(
            row.document_id,
            Ledger.of(row.slots or (), row.question_kind),
            readings.get(row.id),
            signals.get(row.id, {}),
        )
        for row in rows
    ]
    fitted, alphas = with_fitted(judged, names)
    judged = [replace(answer, signals=own) for answer, own in zip(judged, fitted, strict=True)]
    names = ordered({name for own in fitted for name in own})
    characters = characters_of(judged, names)
    answers = {
        name: selective.asserted(
            [
                replace(score, confidence=answer_confidence(answer.reading, answer.signals.get(name)))
                for answer, score in zip(judged, scores, strict=True)
            ]
        )
        for name in names
    }
    found: dict[str, Any] = {}
    for name in names:
        own = {
            "characters": _worth(characters[name], characters[names[0]]),
            "answers": _worth(answers[name], answers[names[0]]),
            "probability": _probability(characters[name]),
        }
        found[name] = own
    return {"compared_with": names[0], "alphas": alphas, "of": found}


def ordered(names: set[str]) -> list[str]:
    """The one that others are compared with first, the rest by name."""
    return sorted(names, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))


def answer_confidence(reading: Reading | None, said: SymbolConfidence | None) -> float | None:
    """The product over what is asserted, the refusal's own number where nothing is; None where the signal does not say."""
    if reading is None or said is None:
        return None
    if reading.refused:
        return said.refusal
    if len(said.symbols) != len(reading.final):
        return None
    kept = [value for char, value in zip(reading.final, said.symbols, strict=True) if char != MARK]
    return None if any(value is None for value in kept) else math.prod(value for value in kept if value is not None)


def characters_of(answers: Sequence[Judged], names: Sequence[str]) -> dict[str, Asserted]:
    """The asserted characters of ``answers`` by each signal of ``names``, all in one order."""
    loss: list[float] = []
    documents: list[str] = []
    confidence: dict[str, list[float | None]] = {name: [] for name in names}
    for answer, right, said in asserted_of(answers, names):
        loss += [float(not good) for good in right.values()]
        documents += [answer.document] * len(right)
        for name in names:
            confidence[name] += [said[name][place] for place in right]
    return {name: Asserted(tuple(loss), tuple(confidence[name]), tuple(documents)) for name in names}


def _worth(own: Asserted, first: Asserted) -> dict[str, Any] | None:
    """The areas of a signal, each with its difference from the first signal's, and what stands beside them."""
    areas = selective.areas_of(own)
    beside = selective.beside_of(own, places=PLACES)
    if areas is None or beside is None:
        return None
    apart = None if own is first else selective.difference_of(own, first)
    named = {name: areas[0].entry(index, areas[1]) for index, name in enumerate(selective.AREAS)}
    if apart is not None:
        for index, name in enumerate(selective.AREAS):
            named[name]["difference"] = apart[0].difference(index, apart[1])
    return {**named, **{key: beside[key] for key in ("coverage_at", "random", "best", "without_confidence", "curve")}}


def _probability(own: Asserted) -> dict[str, Any] | None:
    """Brier score and calibration error before and after a map that other documents made; None without numbers."""
    known = [
        (value, loss == 0, document)
        for value, loss, document in zip(own.confidence, own.loss, own.documents, strict=True)
        if value is not None
    ]
    names = sorted({document for _, _, document in known})
    if len(names) < 2:
        return None
    half = {name: bool(first) for name, first in zip(names, learning(names, 0.5), strict=True)}
    before, after, right = [], [], []
    for side in (True, False):
        made = [(value, good) for value, good, document in known if half[document] != side]
        held = [(value, good) for value, good, document in known if half[document] == side]
        steps = monotone.fit([value for value, _ in made], [good for _, good in made])
        before += [value for value, _ in held]
        after += [mapped(steps, value) for value, _ in held]
        right += [good for _, good in held]

    def said(values: Sequence[float]) -> dict[str, Any]:
        bins = [[round(part, PLACES) for part in group] for group in monotone.reliability(values, right)]
        return {
            "brier": round(monotone.brier(values, right), PLACES),
            "ece": round(monotone.ece(values, right), PLACES),
            "reliability": bins,
        }

    return {"n": len(right), "before": said(before), "after": said(after)}
