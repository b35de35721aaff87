"""The signals of a run's answers: those that the reader gave, and those that follow from the answers alone.

Checks take no reader: they look at what the answers about one document say together. ``answer_calibration`` puts the agreement of samples
and the checks together where there were samples.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from kie_hvqa.answers.answer import Parsed, parse, render
from kie_hvqa.confidence.signals.agreement import AGREEMENT, JITTER
from kie_hvqa.confidence.signals.answer_calibration import ANSWER_CALIBRATION, VERIFIED, combined, verified
from kie_hvqa.confidence.signals.checks import CHECKS, check_signal, checks_of
from kie_hvqa.confidence.signals.gates import of_field
from kie_hvqa.confidence.operating_point import OperatingPoint
from kie_hvqa.confidence.symbols import SymbolConfidence
from kie_hvqa.data.ledger import Row
from kie_hvqa.runs.predictions import Prediction

ALPHA = 0.5  # of D where nobody chose one


def signals_of(
    rows: Sequence[Row], predictions: Mapping[str, Prediction], *, alpha: float = ALPHA
) -> dict[str, dict[str, SymbolConfidence]]:
    """Row id → signal → what it says, for every answer that can be parsed.

    A field that is asked for more than once of one document (other damage, other picture) is checked with the first of the others.
    """
    parsed: dict[str, Parsed] = {
        row.id: parse(predictions[row.id].response) for row in rows if row.id in predictions
    }
    of_document: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.id in parsed and parsed[row.id].reading is not None:
            of_document[row.document_id].append(row)
    found: dict[str, dict[str, SymbolConfidence]] = {}
    for together in of_document.values():
        first = {row.field: row for row in reversed(together)}
        for row in together:
            reading = parsed[row.id].reading
            assert reading is not None
            fields = {name: parsed[other.id].reading for name, other in first.items()} | {row.field: reading}
            checks = checks_of({name: own for name, own in fields.items() if own is not None})[row.field]
            signals = dict(predictions[row.id].signals or {})
            signals[CHECKS] = check_signal(reading, checks)
            passed, count = verified(parsed[row.id], checks)
            signals[VERIFIED] = of_field(reading, passed / count)
            votes = signals.get(AGREEMENT) or signals.get(JITTER)
            if votes is not None:
                signals[ANSWER_CALIBRATION] = combined(votes, passed / count, alpha)
            found[row.id] = signals
    return found


def applied(
    point: OperatingPoint, rows: Sequence[Row], predictions: Mapping[str, Prediction]
) -> dict[str, Prediction]:
    """``predictions`` with what ``point`` leaves of each answer about ``rows``; the others, and what cannot be parsed, as they are."""
    signals = signals_of(rows, predictions)
    found = dict(predictions)
    for name, own in signals.items():
        reading = parse(predictions[name].response).reading
        assert reading is not None
        kept = point.apply(reading, own)
        if kept != reading:
            found[name] = replace(predictions[name], response=render(kept, tags=True))
    return found
