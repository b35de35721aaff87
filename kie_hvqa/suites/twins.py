"""``--suite twins``: does the reader read pixels, or complete what is likely?

A twin pair is the same template, face, box, length and damage with a plausible value and an implausible one (a frequent name
against a made-up one, a valid date against an impossible one, a right check digit against a wrong one). What the pixels
support is the same in both, so a reader that reads only pixels does as well on either. Measured, by severity and
overall:

* ``visible_accuracy``: clear and partial slots read right, and the *gap* plausible − implausible, paired;
* ``invented_rate``, hidden slots asserted, and ``hallucination_free``, questions without hallucination, likewise;
* ``completion``: of the hidden slots of the implausible value at which the two values differ, the share over which the
  reader asserted the *plausible* twin's character, though nothing in the image says so. ``reverse`` is the same with the
  roles changed, which is what the reader's alphabet alone explains; ``excess`` is their paired difference.

McNemar's exact test, at the highest severity that has pairs and over all of them: pairs in which every visible slot of only one twin was read
right. It goes by documents, as the intervals do: those of the plausible twins, each with its partners.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kie_hvqa.answers.answer import parse
from kie_hvqa.answers.verdicts import Counts, verdicts
from kie_hvqa.data.ledger import Row
from kie_hvqa.scoring.intervals import difference_intervals, ratio_intervals
from kie_hvqa.scoring.statistics import Documents, Matrix, mcnemar, plain
from kie_hvqa.suites.rows import Pair, left_out, twin_pairs


@dataclass(frozen=True, slots=True)
class Half:
    """One twin, read: its counts and what stands over its slots."""

    row: Row
    counts: Counts
    symbols: Sequence[str | None]

    @classmethod
    def of(cls, row: Row, response: str | None) -> Half:
        slots = row.slots or ()
        reading = None if response is None else parse(response).reading
        found = verdicts(slots, reading, row.question_kind)
        return cls(row, found.counts, found.symbols)

    @property
    def visible_right(self) -> bool:
        """Every clear and partial slot read right."""
        counts = self.counts
        return _visible_right(counts) == _visible(counts)


def _visible(counts: Counts) -> int:
    return counts["clear"] + counts["partial"]


def _visible_right(counts: Counts) -> int:
    return counts["clear_right"] + counts["partial_right"]


Twins = tuple[Half, Half]
"""(plausible, implausible)"""

# Numerator and denominator of a score of one half.
_SCORES: dict[str, tuple[Callable[[Counts], int], Callable[[Counts], int]]] = {
    "visible_accuracy": (_visible_right, _visible),
    "invented_rate": (lambda c: c["invented"], lambda c: c["hidden"]),
    "hallucination_free": (lambda c: c["free"], lambda c: c["questions"]),
}


def measure(rows: Sequence[Row], responses: Mapping[str, str | None]) -> dict[str, Any]:
    """What the suite says about answers to ``rows``, of which those without a twin are left out and counted."""
    pairs = twin_pairs(rows)
    read = [_read(pair, responses) for pair in pairs]
    severities = sorted({pair.severity for pair in pairs if pair.severity is not None})
    by = {
        severity: [twins for pair, twins in zip(pairs, read, strict=True) if pair.severity == severity]
        for severity in severities
    }
    return {
        "pairs": len(pairs),
        "without_twin": left_out(rows),
        "evidence_difference": plain(_evidence_difference(pairs)),
        "overall": _part(read),
        "by": {"severity": {str(severity): _part(by[severity]) for severity in severities}},
        "mcnemar": {
            "overall": _mcnemar(read),
            "top_severity": {"severity": severities[-1], **_mcnemar(by[severities[-1]])} if severities else None,
        },
    }


def completed(half: Half, other: Row) -> tuple[int, int]:
    """(hidden slots of ``half`` over which the character of ``other`` was asserted, hidden slots at which the two differ)."""
    filled = differ = 0
    for slot, twin, symbol in zip(half.row.slots or (), other.slots or (), half.symbols, strict=True):
        if slot.scored and slot.legibility == twin.legibility == "hidden" and slot.char != twin.char:
            differ += 1
            filled += symbol == twin.char
    return filled, differ


def _read(pair: Pair, responses: Mapping[str, str | None]) -> Twins:
    plausible, implausible = pair.plausible, pair.implausible
    return Half.of(plausible, responses.get(plausible.id)), Half.of(implausible, responses.get(implausible.id))


def _part(twins: Sequence[Twins]) -> dict[str, Any]:
    documents = [plausible.row.document_id for plausible, _ in twins]
    sides = [_sums([half[side] for half in twins]) for side in (0, 1)]
    alone = [ratio_intervals(*sums, documents) for sums in sides]
    gaps = difference_intervals(sides[0], sides[1], documents)
    found: dict[str, Any] = {"pairs": len(twins)}
    for index, name in enumerate(_SCORES):
        found[name] = {
            kind: alone[side].entry(index, sides[side][1][:, index].sum())
            for side, kind in enumerate(("plausible", "implausible"))
        }
        found[name]["gap"] = gaps.difference(index, len(twins) if found[name]["plausible"]["n"] else 0)
    return found | _completions(twins, documents)


def _completions(twins: Sequence[Twins], documents: Sequence[str]) -> dict[str, Any]:
    forward = np.array([completed(implausible, plausible.row) for plausible, implausible in twins], dtype=np.float64)
    reverse = np.array([completed(plausible, implausible.row) for plausible, implausible in twins], dtype=np.float64)
    ways = [(way[:, :1], way[:, 1:]) for way in (forward, reverse)]
    return {
        "completion": ratio_intervals(*ways[0], documents).entry(0, forward[:, 1].sum()),
        "reverse": ratio_intervals(*ways[1], documents).entry(0, reverse[:, 1].sum()),
        "excess": difference_intervals(ways[0], ways[1], documents).difference(0, forward[:, 1].sum()),
    }


def _sums(halves: Sequence[Half]) -> tuple[Matrix, Matrix]:
    """(numerators, denominators), each [pairs, scores]."""
    sides = [[[float(score[side](half.counts)) for score in _SCORES.values()] for half in halves] for side in (0, 1)]
    return np.array(sides[0]), np.array(sides[1])


def _mcnemar(read: Sequence[Twins]) -> dict[str, Any]:
    """How many pairs both, one and none of whose twins had every visible slot right, and the exact p by documents."""
    asked = [twins for twins in read if _visible(twins[0].counts)]
    kept = [(one.visible_right, other.visible_right) for one, other in asked]
    owner = Documents.of([one.row.document_id for one, _ in asked])
    first, second = (
        np.bincount(owner.index, [float(pair == which) for pair in kept], owner.count).astype(np.float64)
        for which in ((True, False), (False, True))
    )
    return {
        "pairs": len(kept),
        "documents": owner.count,
        "both": kept.count((True, True)),
        "only_plausible": int(first.sum()),
        "only_implausible": int(second.sum()),
        "neither": kept.count((False, False)),
        "p": float(f"{mcnemar(first, second):.3g}"),
    }


def _evidence_difference(pairs: Sequence[Pair]) -> float:
    """Mean |difference| of the evidence of slots that lie over each other: how well the twins are matched."""
    differences = [
        abs(one.evidence - other.evidence)
        for pair in pairs
        for one, other in zip(pair.plausible.slots or (), pair.implausible.slots or (), strict=True)
        if one.scored
    ]
    return float(np.mean(differences)) if differences else float("nan")
