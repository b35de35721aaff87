"""Answer calibration: votes of samples and verified checks in one score.

    D = α n / N + (1 − α) m / M

n of N samples agree with the answer and m of M checks of it pass (Deng, Zhang, Oo and Hooi, "Towards a unified view of answer
calibration for multi-step reasoning", 2023, arXiv 2311.09101: there votes of reasoning paths and verified steps). Here n is counted for
each symbol, and m for the field: its checks, among them that the answer parses as it is agreed and that its counts and lists are those of
its Final OCR. α is chosen by validation (``best_alpha``), by the area under risk over coverage.

Two bounds part three regimes, of N samples and at most M checks. From α₁ = N / (N + 1) on, one vote outweighs all checks: D
orders like n, and checks only break ties. Up to α₂ = 1 / (M + 1) one check outweighs all votes. Only between them do the two mix, and
whoever reports an α should say where it lies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from kie_hvqa.answers.answer import MARK, Parsed
from kie_hvqa.confidence.signals.checks import Check
from kie_hvqa.confidence.symbols import SymbolConfidence

ANSWER_CALIBRATION, VERIFIED = "answer_calibration", "verified"
ALPHAS: tuple[float, ...] = tuple(round(step / 20, 2) for step in range(21))


def verified(parsed: Parsed, checks: Iterable[Check]) -> tuple[int, int]:
    """(m, M): how many checks of an answer pass, and how many there are. The form of the answer is three of them."""
    passed = [check.passed for check in checks]
    passed.append(not parsed.repairs)
    reading = parsed.reading
    passed.append(
        reading is not None
        and reading.clear_number == len(reading.clear)
        and reading.not_clear_number == len(reading.not_clear)
    )
    passed.append(
        reading is not None and Counter(reading.clear + reading.not_clear) == Counter(reading.final.replace(MARK, ""))
    )
    return sum(passed), len(passed)


def combined(votes: SymbolConfidence, share: float, alpha: float) -> SymbolConfidence:
    """D of every symbol: ``votes`` n / N, ``share`` m / M, ``alpha`` in [0, 1]."""

    def mix(vote: float | None) -> float | None:
        return None if vote is None else alpha * vote + (1 - alpha) * share

    return SymbolConfidence.of([mix(vote) for vote in votes.symbols], mix(votes.refusal))


def regimes(samples: int, checks: int) -> tuple[float, float]:
    """(α₁, α₂): from α₁ on D orders by votes, up to α₂ by checks."""
    return samples / (samples + 1), 1 / (checks + 1)


def best_alpha(area: Callable[[float], float], alphas: Sequence[float] = ALPHAS) -> float:
    """The α with the smallest ``area`` (of risk over coverage, on validation documents); the largest of equal ones."""
    return min(reversed(alphas), key=area)
