"""Signals that have to be fitted, each on other documents than those that it is judged on: two halves, each fitted by the other.

``combined``            logistic regression over all of a run's signals (``signals.combination``)
``answer_calibration``  D with the α of the smallest area of the other half (``signals.answer_calibration``)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kie_hvqa.confidence.losses import Judged, columns_of, right_symbols
from kie_hvqa.confidence.signals import combination
from kie_hvqa.confidence.signals.agreement import AGREEMENT, JITTER
from kie_hvqa.confidence.signals.answer_calibration import ANSWER_CALIBRATION, VERIFIED, best_alpha, combined
from kie_hvqa.confidence.signals.combination import COMBINED
from kie_hvqa.confidence.symbols import SymbolConfidence
from kie_hvqa.confidence.thresholds import learning
from kie_hvqa.scoring import risk

_DERIVED = {VERIFIED, ANSWER_CALIBRATION, COMBINED}


def with_fitted(
    answers: Sequence[Judged], names: Sequence[str]
) -> tuple[list[dict[str, SymbolConfidence]], list[float]]:
    """The signals of each answer with the fitted ones, and the α of the two halves (none without votes)."""
    own = [name for name in names if name not in _DERIVED]
    documents = sorted({answer.document for answer in answers})
    found = [dict(answer.signals) for answer in answers]
    if len(documents) < 2 or not any(answer.reading is not None and not answer.reading.refused for answer in answers):
        return found, []
    half = {name: bool(first) for name, first in zip(documents, learning(documents, 0.5), strict=True)}
    votes = next((name for name in (AGREEMENT, JITTER) if name in names), None)
    alphas = []
    for side in (True, False):
        made = [answer for answer in answers if half[answer.document] != side]
        weights = combination.fit(*columns_of(made, own))
        alpha = None if votes is None else best_alpha(_Areas(made, votes))
        alphas += [] if alpha is None else [alpha]
        for answer, signals in zip(answers, found, strict=True):
            if half[answer.document] != side or answer.reading is None:
                continue
            length = len(answer.reading.final)
            said = {name: signals[name].symbols if name in signals else (None,) * length for name in own}
            if all(len(symbols) == length for symbols in said.values()):
                refusal = next((signals[name].refusal for name in own if name in signals), None)
                signals[COMBINED] = SymbolConfidence.of(combination.scores(weights, said), refusal)
            if alpha is not None and votes in signals:
                signals[ANSWER_CALIBRATION] = combined(signals[votes], _share(signals), alpha)
    return found, alphas


def _share(signals: Mapping[str, SymbolConfidence]) -> float:
    """m / M, which is the same for all symbols of a field."""
    said = signals[VERIFIED]
    value = said.refusal if not said.symbols else said.symbols[0]
    return 0.0 if value is None else value


class _Areas:
    """α → the area under risk over coverage of the characters of ``answers`` by D."""

    def __init__(self, answers: Sequence[Judged], votes: str) -> None:
        self._loss: list[float] = []
        self._parts: list[tuple[float, float]] = []
        for answer in answers:
            if answer.reading is None or answer.reading.refused or votes not in answer.signals:
                continue
            right = right_symbols(answer.about, answer.reading)
            share = _share(answer.signals)
            for good, vote in zip(right, answer.signals[votes].symbols, strict=True):
                if good is not None:
                    self._loss.append(float(not good))
                    self._parts.append((vote or 0.0, share))

    def __call__(self, alpha: float) -> float:
        if not self._loss:
            return 0.0
        return risk.area(risk.rank(self._loss, [alpha * vote + (1 - alpha) * share for vote, share in self._parts]))
