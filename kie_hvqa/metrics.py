"""``metrics.json``: every score of a run with its interval, overall and by kind, and the comparison of two runs.

Each score is a ratio of two sums over samples. Official scores are means over samples × 100; ledger scores are
fractions, over slots where they speak of slots:

===========================  ===========================================  ==========================================
score                        numerator                                    denominator
===========================  ===========================================  ==========================================
clear, not_clear, final      similarity × 100                             samples with a readable truth
average                      plain mean of the three × 100                the same
char_accuracy_*              character accuracy × 100                     the same
hallucination_free_accuracy  questions answered without hallucination     questions with a ledger
clear_accuracy               clear slots read right                       clear slots
invented_rate                hidden slots asserted                        hidden slots
lucky_rate                   hidden slots asserted, equal to the truth    hidden slots
misread_rate                 clear and partial slots asserted wrongly     clear and partial slots asserted
over_refusal_rate            clear slots marked                           clear slots
omitted_rate                 clear slots left out without a mark          clear slots
coverage                     scored slots asserted, rightly or wrongly    scored slots (clear, partial, hidden)
false_answer_rate            absent fields about which it asserts         questions about absent fields
parse_failure_rate           answers unparsable or missing                samples
===========================  ===========================================  ==========================================

Unparsable answers assert nothing and mark nothing, so they lower ``coverage`` and raise ``omitted_rate``; read the slot
rates beside ``parse_failure_rate``. Absent fields have no slots and enter only the scores that count questions. ``n`` is
the denominator. Where it is 0 (no ledger, or no such slot) the score is null, never 0; an interval is null where
fewer than two documents have a say in it. Slots: ``kie_hvqa.scores`` has the table of what happens to them.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from kie_hvqa.errors import InputError
from kie_hvqa.ledger import QUESTION_KINDS, Row
from kie_hvqa.scores import COUNT_NAMES, Official, SampleScore, score
from kie_hvqa.statistics import CONFIDENCE, RESAMPLES, Intervals, Matrix, bootstrap, paired_bootstrap

SCHEMA = "kie-hvqa-metrics-1"

OFFICIAL_SCORES: tuple[str, ...] = (*Official._fields[:3], "average", *Official._fields[3:], "char_accuracy_average")

_LEGIBLE_ASSERTED = ("right_clear", "right_partial", "misread_clear", "misread_partial")
_LEDGER: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "hallucination_free_accuracy": (("hallucination_free",), ("questions",)),
    "clear_accuracy": (("right_clear",), ("clear",)),
    "invented_rate": (("invented",), ("hidden",)),
    "lucky_rate": (("lucky",), ("hidden",)),
    "misread_rate": (("misread_clear", "misread_partial"), _LEGIBLE_ASSERTED),
    "over_refusal_rate": (("marked_clear",), ("clear",)),
    "omitted_rate": (("omitted_clear",), ("clear",)),
    "coverage": ((*_LEGIBLE_ASSERTED, "invented"), ("clear", "partial", "hidden")),
    "false_answer_rate": (("false_answers",), ("absent",)),
}
LEDGER_SCORES: tuple[str, ...] = tuple(_LEDGER)
SCORES: tuple[str, ...] = (*OFFICIAL_SCORES, *LEDGER_SCORES, "parse_failure_rate")
_PLACES = 6  # sums in another order differ after the 12th place; metrics.json must not


def score_rows(rows: Iterable[Row], responses: Mapping[str, str | None]) -> list[SampleScore]:
    """One score a row, in order; a row without a response is scored as missing."""
    return [score(row, responses.get(row.id)) for row in rows]


def summarise(scores: Sequence[SampleScore], *, seed: int = 0, resamples: int = RESAMPLES) -> dict[str, Any]:
    """The content of ``metrics.json``. Raises InputError without samples.

    ``overall`` and each ``by.<column>.<value>`` hold ``{"value", "low", "high", "n"}`` for every name in ``SCORES``.
    """
    if not scores:
        raise InputError("there is nothing to score", remedy="Check --limit and the dataset.")
    numerators, denominators = _matrices(scores)
    documents = [sample.document_id for sample in scores]

    def part(name: str, keep: Sequence[int]) -> dict[str, Any]:
        chosen = [documents[i] for i in keep]
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        top, bottom = numerators[keep], denominators[keep]
        return _named(bootstrap(top, bottom, chosen, rng, resamples=resamples), "value", bottom.sum(axis=0))

    columns: dict[str, list[Any]] = {
        "document_type": [sample.document_type for sample in scores],
        "severity": [sample.severity for sample in scores],
        "question_kind": [sample.question_kind for sample in scores],
    }
    return {
        "schema": SCHEMA,
        "samples": len(scores),
        "documents": len(set(documents)),
        "missing": sum(sample.missing for sample in scores),
        "unparsable": sum(sample.unparsable and not sample.missing for sample in scores),
        "unreadable_truths": sum(sample.official is None for sample in scores),
        "repairs": dict(sorted(Counter(name for sample in scores for name in sample.repairs).items())),
        "bootstrap": {"over": "documents", "resamples": resamples, "confidence": CONFIDENCE, "seed": seed},
        "overall": part("overall", range(len(scores))),
        "by": {
            column: {
                str(value): part(f"{column}={value}", [i for i, other in enumerate(values) if other == value])
                for value in _ordered(values)
            }
            for column, values in columns.items()
        },
    }


def compare(
    first: Sequence[SampleScore], second: Sequence[SampleScore], *, seed: int = 0, resamples: int = RESAMPLES
) -> dict[str, dict[str, Any]]:
    """Paired differences first − second, per score ``{"mean", "low", "high", "n"}``; ``n`` counts shared samples.

    Only samples whose ids are in both runs enter; where one of the two runs has no such number, it is null and n is 0.
    Raises InputError if the runs share no sample, or if an id names different questions.
    """
    others = {sample.id: sample for sample in second}
    pairs = [(sample, others[sample.id]) for sample in first if sample.id in others]
    if not pairs:
        raise InputError("the two runs share no sample", remedy="Compare runs over the same dataset.")
    for one, other in pairs:
        if (one.document_id, one.question_kind) != (other.document_id, other.question_kind):
            raise InputError(
                f"the id {one.id!r} names different questions in the two runs",
                remedy="Compare runs over the same dataset.",
            )
    a, b = _matrices([one for one, _ in pairs]), _matrices([other for _, other in pairs])
    rng = np.random.default_rng([seed, zlib.crc32(b"compare")])
    found = paired_bootstrap(a, b, [one.document_id for one, _ in pairs], rng, resamples=resamples)
    shared = np.where((a[1].sum(axis=0) != 0) & (b[1].sum(axis=0) != 0), len(pairs), 0)
    return _named(found, "mean", shared)


def _matrices(scores: Sequence[SampleScore]) -> tuple[Matrix, Matrix]:
    """(numerators, denominators), each [samples, scores] in the order of ``SCORES``."""
    nothing = (0.0,) * len(Official._fields)
    parts = np.array([nothing if sample.official is None else sample.official for sample in scores])
    has_truth = np.array([[sample.official is not None] for sample in scores], dtype=np.float64)
    parts = np.hstack(
        [parts[:, :3], parts[:, :3].mean(axis=1)[:, None], parts[:, 3:], parts[:, 3:].mean(axis=1)[:, None]]
    )

    blank = [0] * len(COUNT_NAMES)
    counts = np.array(
        [blank if c is None else [getattr(c, name) for name in COUNT_NAMES] for c in (s.counts for s in scores)],
        dtype=np.float64,
    )
    column = {name: index for index, name in enumerate(COUNT_NAMES)}
    tops = [counts[:, [column[name] for name in top]].sum(axis=1) for top, _ in _LEDGER.values()]
    bottoms = [counts[:, [column[name] for name in bottom]].sum(axis=1) for _, bottom in _LEDGER.values()]

    failed = np.array([[sample.unparsable] for sample in scores], dtype=np.float64)
    numerators = np.hstack([100 * parts, np.stack(tops, axis=1), failed])
    denominators = np.hstack(
        [np.repeat(has_truth, parts.shape[1], axis=1), np.stack(bottoms, axis=1), np.ones_like(failed)]
    )
    return numerators, denominators


def _named(found: Intervals, middle: str, sizes: Matrix) -> dict[str, dict[str, Any]]:
    return {
        name: {middle: _plain(value), "low": _plain(low), "high": _plain(high), "n": int(size)}
        for name, value, low, high, size in zip(SCORES, found.value, found.low, found.high, sizes, strict=True)
    }


def _plain(number: float) -> float | None:
    return None if np.isnan(number) else round(float(number), _PLACES) + 0.0  # + 0.0 turns -0.0 into 0.0


def _ordered(values: Sequence[Any]) -> list[Any]:
    """The distinct values that are there: question kinds in their own order, others sorted."""
    distinct = {value for value in values if value is not None}
    if distinct <= set(QUESTION_KINDS):
        return [kind for kind in QUESTION_KINDS if kind in distinct]
    return sorted(distinct)
