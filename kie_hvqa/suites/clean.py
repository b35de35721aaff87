"""``--suite clean``: documents that nobody damaged. Nothing may be marked.

A reader can look honest by marking freely. On an undamaged page every slot is clear, so every mark is over-refusal, and so
is the refusal of a field that is there; leaving characters out is no way around it and is counted beside the marks. A
field that is *not* there must still be refused whole.

``marked_documents`` counts documents, whatever happens inside of them, and has an exact bound to one side: the
largest share of documents with a mark that would still show none among n with probability 0.05, 1 − 0.05^(1/n), nearly 3/n.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kie_hvqa.data.ledger import Row
from kie_hvqa.scoring.intervals import ratio_intervals
from kie_hvqa.scoring.scores import SampleScore, score

_SHOWN = 20  # ids of marked questions that are named

_RATES: dict[str, tuple[str, str]] = {
    "marked": ("clear_marked", "clear"),
    "dropped": ("clear_dropped", "clear"),
    "misread": ("clear_wrong", "clear"),
    "right": ("clear_right", "clear"),
    "false_answers": ("false_answers", "absent"),
    "hallucination_free": ("free", "questions"),
}


def measure(rows: Sequence[Row], responses: Mapping[str, str | None]) -> dict[str, Any]:
    """What the suite says about answers to ``rows`` (severity 0, with ledgers); see the module's docstring."""
    scores = [score(row, responses.get(row.id)) for row in rows]
    documents = [sample.document_id for sample in scores]
    asked = np.array([[float(sample.counts is not None and sample.counts["clear"] > 0)] for sample in scores])
    marked = np.array([[float(_marks(sample) > 0)] for sample in scores])
    tops = [_column(scores, top) for top, _ in _RATES.values()]
    bottoms = [_column(scores, bottom) for _, bottom in _RATES.values()]
    found = ratio_intervals(np.hstack([*tops, marked]), np.hstack([*bottoms, asked]), documents)
    sizes = [int(column.sum()) for column in (*bottoms, asked)]
    names = (*_RATES, "questions_with_a_mark")
    guilty = {sample.document_id for sample in scores if _marks(sample)}
    count = len(set(documents))
    return {
        "passed": not guilty,
        "rates": {name: found.entry(index, sizes[index]) for index, name in enumerate(names)},
        "marked_documents": {"count": len(guilty), "of": count, "at_most": round(at_most(len(guilty), count), 6)},
        "marked_questions": [sample.id for sample in scores if _marks(sample)][:_SHOWN],
    }


def at_most(count: int, of: int, doubt: float = 0.05) -> float:
    """The largest rate under which ``count`` or fewer of ``of`` still come with probability ``doubt`` (Clopper and Pearson 1934,
    one-sided). By bisection on the binomial tail."""
    if count >= of:
        return 1.0
    if count == 0:
        return float(1 - doubt ** (1 / of))
    low, high = count / of, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _tail(count, of, middle) > doubt else (low, middle)
    return high


def _tail(count: int, of: int, rate: float) -> float:
    """The probability of ``count`` or fewer of ``of`` at ``rate`` in (0, 1)."""
    k = np.arange(count + 1)
    steps = np.log(np.maximum(of - k[:-1], 1)) - np.log(k[:-1] + 1)
    logs = np.concatenate([[0.0], np.cumsum(steps)]) + k * np.log(rate) + (of - k) * np.log1p(-rate)
    return float(np.exp(logs).sum())


def _marks(sample: SampleScore) -> int:
    return 0 if sample.counts is None else sample.counts["clear_marked"]


def _column(scores: Sequence[SampleScore], name: str) -> np.ndarray:
    return np.array([[float(0 if sample.counts is None else sample.counts[name])] for sample in scores])
