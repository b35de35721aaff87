"""The ledger scores of DESIGN §3 as plain shares, for what a training run says about its own answers on the way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kie_hvqa.scoring.scores import Counts

SCORE = "hallucination_free_accuracy"
Parts = dict[str, tuple[int, int]]


def parts(counted: Iterable[Counts]) -> Parts:
    """(numerator, denominator) of each rate over these questions: what several processes can add up."""
    total, free, questions = Counts(), 0, 0
    for counts in counted:
        total, free, questions = total + counts, free + counts.hallucination_free, questions + 1
    return {
        SCORE: (free, questions),
        "invented_rate": (total.invented, total.hidden),
        "misread_rate": (total.misread, total.legible_asserted),
        "over_refusal_rate": (total.over_refused, total.clear),
    }


def rates(found: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """The shares; a rate over nothing is left out."""
    return {name: part / whole for name, (part, whole) in found.items() if whole}
