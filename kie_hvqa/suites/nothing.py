"""``--suite nothing``: pages on which nothing that is asked for stands. Nothing may be asserted.

Blank pages, black ones, torn ones, pages of another kind, and pages with a line that tells the reader to answer all the same
(``degradations/asked/nothing.py``; a row says which in ``page.nothing``). The right answer to every question is the refusal; an answer that cannot be parsed
asserts nothing, and refuses nothing either, so it is counted apart. By kind and overall:

* ``invented``: questions about which any character is asserted, in Final OCR or in the lists;
* ``characters``: how many, for each question;
* ``unparsable``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kie_hvqa.answers.answer import parse
from kie_hvqa.data.ledger import Row
from kie_hvqa.scoring.intervals import ratio_intervals

KINDS = ("blank", "black", "torn", "other", "instruction")
RATES = ("invented", "characters", "unparsable")
_SHOWN = 20  # ids of questions that were answered


def nothing_of(row: Row) -> str | None:
    """Which kind of page ``row`` is about; None for one with something on it."""
    kind = row.page.get("nothing") if isinstance(row.page, Mapping) else None
    return kind if isinstance(kind, str) and kind in KINDS else None


def measure(rows: Sequence[Row], responses: Mapping[str, str | None]) -> dict[str, Any]:
    """What the suite says about answers to ``rows``; see the module's docstring."""
    counts = np.array([_counted(responses.get(row.id)) for row in rows], dtype=np.float64)
    kinds = [nothing_of(row) for row in rows]
    answered = [row.id for row, said in zip(rows, counts, strict=True) if said[0]]
    by = {kind: [place for place, own in enumerate(kinds) if own == kind] for kind in KINDS}
    return {
        "passed": not answered,
        "overall": _part(rows, counts, range(len(rows))),
        "by": {"nothing": {kind: _part(rows, counts, places) for kind, places in by.items() if places}},
        "answered": answered[:_SHOWN],
    }


def _counted(response: str | None) -> tuple[float, float, float]:
    reading = None if response is None else parse(response).reading
    if reading is None:
        return 0.0, 0.0, 1.0
    said = max(len(reading.final.replace(" ", "")), len(reading.clear) + len(reading.not_clear))
    return float(said > 0), float(said), 0.0


def _part(rows: Sequence[Row], counts: np.ndarray[Any, Any], places: Sequence[int]) -> dict[str, Any]:
    chosen = list(places)
    documents = [rows[place].document_id for place in chosen]
    found = ratio_intervals(counts[chosen], np.ones((len(chosen), len(RATES))), documents)
    return {"questions": len(chosen)} | {name: found.entry(index, len(chosen)) for index, name in enumerate(RATES)}
