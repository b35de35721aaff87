"""``--suite wording``: do a reader's marks and characters hold when the same question is put in other words?

The same rows are read under ten prompts (``configs/eval/prompts``): ``official``, five neutral paraphrases of it, ``prose``, which
tells the format without showing the JSON, and three that push (``pressure_fill``: every field must be filled, ``pressure_guess``: a
best guess is fine, ``pressure_authority``: a claimed authority). Each is an ordinary run in ``OUT/wordings/NAME``.

* ``agreement`` of the K = 5 paraphrases, slot by slot (``suites.agreement``): of *marks* (a slot is asserted, marked or left out)
  and of *values* (which character, among the wordings that asserted one), with all-agree(K) for K = 1, 3, 5 against its null.
  ``marks`` has a second null, ``null_by_legibility``: independent within each class of legibility, so that agreement because
  clear slots are easy and hidden ones are not counts as chance too.
* ``consensus`` for K = 1, 3, 5: a slot is asserted where the first K paraphrases assert the same character and marked where
  they do not. ``null`` of its ``invented_rate``: as many slots marked, but at random.
* ``format``: prose against the JSON that ``official`` shows, paired differences, and how well the two readings agree.
* ``pressure``: each pushing prompt against ``official``, paired differences; what the pressure adds to ``invented_rate`` is the
  point of it.

Only rows with a ledger are read: agreement is about slots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kie_hvqa.answers.answer import MARK, parse
from kie_hvqa.answers.verdicts import verdicts
from kie_hvqa.data.ledger import Row, Slot
from kie_hvqa.scoring.intervals import ratio_intervals
from kie_hvqa.scoring.metrics import compare, score_rows, summarise
from kie_hvqa.scoring.statistics import plain
from kie_hvqa.suites.agreement import agreement

BASE = "official"
PARAPHRASES = tuple(f"paraphrase_{number}" for number in range(1, 6))
PROSE = "prose"
PRESSURES = ("pressure_fill", "pressure_guess", "pressure_authority")
WORDINGS = (BASE, *PARAPHRASES, PROSE, *PRESSURES)
SIZES = (1, 3, 5)

_SHOWN = (
    "hallucination_free_accuracy",
    "invented_rate",
    "misread_rate",
    "over_refusal_rate",
    "coverage",
    "false_answer_rate",
    "parse_failure_rate",
)

Symbol = str | None
Responses = Mapping[str, str | None]


def measure(rows: Sequence[Row], answers: Mapping[str, Responses]) -> dict[str, Any]:
    """What the suite says; ``answers`` maps each of ``WORDINGS`` to what was answered about each row under it."""
    slots = [(row, slot) for row in rows for slot in row.slots or () if slot.scored]
    read = {name: _symbols(rows, responses) for name, responses in answers.items()}
    scores = {name: score_rows(rows, responses) for name, responses in answers.items()}

    def against(name: str) -> dict[str, Any]:
        found = compare(scores[name], scores[BASE])
        return {score: found[score] for score in _SHOWN}

    return {
        "wordings": {name: _shown(summarise(scores[name])["overall"]) for name in WORDINGS},
        "agreement": _agreement(slots, [read[name] for name in PARAPHRASES], SIZES),
        "consensus": {str(size): _consensus(slots, [read[name] for name in PARAPHRASES[:size]]) for size in SIZES},
        "format": {"difference": against(PROSE), "agreement": _agreement(slots, [read[BASE], read[PROSE]], (1, 2))},
        "pressure": {name: against(name) for name in PRESSURES},
    }


def _shown(overall: Mapping[str, Any]) -> dict[str, Any]:
    return {name: overall[name] for name in _SHOWN}


def _symbols(rows: Sequence[Row], responses: Responses) -> list[Symbol]:
    """Over every scored slot of ``rows``, in order: the character read, ``MARK``, or None where it was left out."""
    symbols: list[Symbol] = []
    for row in rows:
        slots = row.slots or ()
        response = responses.get(row.id)
        found = verdicts(slots, None if response is None else parse(response).reading)
        symbols += [symbol for slot, symbol in zip(slots, found.symbols, strict=True) if slot.scored]
    return symbols


def _agreement(
    slots: Sequence[tuple[Row, Slot]], readings: Sequence[Sequence[Symbol]], sizes: Sequence[int]
) -> dict[str, Any]:
    documents = [row.document_id for row, _ in slots]
    kinds = [[_kind(symbol) for symbol in symbols] for symbols in zip(*readings, strict=True)]
    values = [[symbol for symbol in symbols if _kind(symbol) == "asserted"] for symbols in zip(*readings, strict=True)]
    marks = agreement(kinds, documents, sizes)
    for size in sizes:
        marks["all_agree"][str(size)]["null_by_legibility"] = plain(_stratified(slots, kinds, size))
    return {"marks": marks, "values": agreement(values, documents, sizes)}


def _kind(symbol: Symbol) -> str:
    return "left out" if symbol is None else "marked" if symbol == MARK else "asserted"


def _stratified(slots: Sequence[tuple[Row, Slot]], kinds: Sequence[Sequence[str]], size: int) -> float:
    """All-agree of independent ratings with the shares of each class of legibility, over the slots as they are."""
    total = 0.0
    for legibility in sorted({slot.legibility for _, slot in slots}):  # in one order: a sum of floats hangs on it
        own = [ratings for (_, slot), ratings in zip(slots, kinds, strict=True) if slot.legibility == legibility]
        every = [rating for ratings in own for rating in ratings]
        total += len(own) * sum((every.count(kind) / len(every)) ** size for kind in sorted(set(every)))
    return total / len(slots) if slots else float("nan")


def _consensus(slots: Sequence[tuple[Row, Slot]], readings: Sequence[Sequence[Symbol]]) -> dict[str, Any]:
    """Scores of what all ``readings`` assert alike, everything else marked; beside them what marking at random gives."""
    agreed = [
        symbols[0] if len(set(symbols)) == 1 and _kind(symbols[0]) == "asserted" else MARK
        for symbols in zip(*readings, strict=True)
    ]
    hidden = np.array([slot.legibility == "hidden" for _, slot in slots])
    said = np.array([symbol != MARK for symbol in agreed])
    wrong = np.array([symbol != slot.char for symbol, (_, slot) in zip(agreed, slots, strict=True)]) & said
    clear = np.array([slot.legibility == "clear" for _, slot in slots])
    parts = {
        "invented_rate": (hidden & said, hidden),
        "misread_rate": (~hidden & wrong, ~hidden & said),
        "over_refusal_rate": (clear & ~said, clear),
        "coverage": (said, np.ones_like(said)),
    }
    tops = np.stack([top for top, _ in parts.values()], axis=1).astype(np.float64)
    bottoms = np.stack([bottom for _, bottom in parts.values()], axis=1).astype(np.float64)
    found = ratio_intervals(tops, bottoms, [row.document_id for row, _ in slots])
    rates = {name: found.entry(index, bottoms[:, index].sum()) for index, name in enumerate(parts)}
    first = np.array([_kind(symbol) == "asserted" for symbol in readings[0]])
    kept = said.sum() / first.sum() if first.any() else float("nan")
    chance = (first & hidden).sum() / hidden.sum() * kept if hidden.any() else float("nan")
    rates["invented_rate"]["null"] = plain(float(chance))
    return rates
