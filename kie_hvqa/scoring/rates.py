"""The ledger scores that are one share of something: counts of ``kie_hvqa.answers.verdicts`` over counts.

One table for the evaluator, the rewards' log and the training runs. ``parts`` gives numerators and denominators that several
processes, or several batches, can add up; ``rates`` divides them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kie_hvqa.answers.verdicts import Counts

SCORE = "hallucination_free_accuracy"
HEADLINE = "balanced"
"""The mean of ``SCORE`` over three strata (``kie_hvqa.scoring.sums``): no share itself, and what a run is chosen by."""

RATES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    SCORE: (("free",), ("questions",)),
    "reading_recall": (("clear_right",), ("clear",)),
    "refusal_recall": (("hidden_marked",), ("hidden",)),
    "refusal_precision": (("hidden_marked",), ("hidden_marked", "clear_marked")),
    "invented_rate": (("invented",), ("hidden",)),
    "lucky_rate": (("lucky",), ("hidden",)),
    "misread_rate": (("misread",), ("legible_asserted",)),
    "over_refusal_rate": (("over_refused",), ("clear",)),
    "dropped_rate": (("dropped",), ("scored",)),
    "coverage": (("asserted",), ("scored",)),
    "flag_rate": (("flagged",), ("partial_right",)),
    "inserted": (("inserted", "listed"), ("questions",)),
    "surplus_marks": (("surplus_marks",), ("questions",)),
    "missing_recall": (("missing_said",), ("missing",)),
    "missing_precision": (("missing_said",), ("missing_said", "missing_said_wrongly")),
    "missing_f1": (("missing_said", "missing_said"), ("missing_said", "missing_said_wrongly", "missing")),
    "false_answer_rate": (("false_answers",), ("absent",)),
}
"""Score → the columns (or ``SUMS``) of ``Counts`` that its numerator and its denominator add up, one named twice twice."""

IN_TRAINING = (SCORE, "reading_recall", "refusal_recall", "invented_rate", "misread_rate", "over_refusal_rate")

Parts = dict[str, tuple[int, int]]


def parts(counted: Iterable[Counts], names: Iterable[str] = IN_TRAINING) -> Parts:
    """(numerator, denominator) of each rate over these questions."""
    total = Counts.total(counted)
    return {name: (_sum(total, RATES[name][0]), _sum(total, RATES[name][1])) for name in names}


def rates(found: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """The shares; a rate over nothing is left out."""
    return {name: part / whole for name, (part, whole) in found.items() if whole}


def _sum(total: Counts, names: Iterable[str]) -> int:
    return sum(total[name] for name in names)
