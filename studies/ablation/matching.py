"""Two readers compared at equal over-refusal, with nothing assumed that could not be done.

Whoever marks more invents less, so two rewards can only be compared where their readers refuse equally often. No two
trained readers do. There are two honest ways to move one of them, and both end in a reader that one could build:

**Mixture** (``mixture``). Of two readers a and b, let each question be answered by a with probability s and by b otherwise.
Every ledger count, and since all readers are asked about the same slots every rate, is then s times a's plus (1 - s)
times b's: a straight line between two measured points is a reader, and not a model of one. So a family of cells (one
reward at several confidence targets) is moved *to the over-refusal of the reference* along the line through its points,
ordered by over-refusal. Where the reference refuses less or more than all of them there is no such reader, and no number.

**Withdrawal** (``withdrawal``). The reader that refuses less withdraws its answers, the least confident first (its own
mean log-probability of the tokens), until it refuses as much as the other: a withdrawn answer marks every slot. It needs
one cell of each, but it can only move a reader to more refusal, and a whole answer is a coarse thing to withdraw: it is
unkind to the reader that has to move, which is said beside the number.

A clear slot counts as refused when it is marked *or left out*: the ledger's ``over_refusal_rate`` counts marks alone, and a
reader that drops what it does not know would pass for one that refuses nothing.

Intervals are from a bootstrap over documents, the same for both readers, and over seeds, drawn for each cell by itself;
the matching is done anew in every resample. Three seeds bound what a bootstrap can know of them: the spread is
understated by a factor of about sqrt(2/3), which is why the page shows each seed as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kie_hvqa.scoring.scores import SampleScore

Matrix = NDArray[np.float64]

REFUSED, CLEAR, INVENTED, HIDDEN = range(4)
COLUMNS = 4
CONFIDENCE = 0.95
_CHUNK = 1 << 22


@dataclass(frozen=True)
class Outcomes:
    """One cell's answers: ``counts`` [seeds, questions, 4] (clear slots refused, clear slots, hidden slots asserted, hidden
    slots), ``confidence`` [seeds, questions] or None, ``document`` [questions], numbers from 0."""

    counts: Matrix
    confidence: Matrix | None
    document: NDArray[np.intp]

    @classmethod
    def of(cls, seeds: Sequence[Sequence[SampleScore]], confidence: Sequence[Sequence[float | None]]) -> Outcomes:
        """From the scores of each seed about the same questions in the same order; those without a ledger do not count."""
        names = sorted({score.document_id for score in seeds[0]})
        number = {name: index for index, name in enumerate(names)}
        counts = [[_counted(score) for score in scores] for scores in seeds]
        sure = None if any(c is None for seed in confidence for c in seed) else np.array(confidence, dtype=np.float64)
        return cls(np.array(counts, dtype=np.float64), sure, np.array([number[s.document_id] for s in seeds[0]]))


def _counted(score: SampleScore) -> tuple[int, int, int, int]:
    c = score.counts
    return (
        (0, 0, 0, 0) if c is None else (c["clear_marked"] + c["clear_dropped"], c["clear"], c["invented"], c["hidden"])
    )


@dataclass(frozen=True)
class Draws:
    """Bootstrap weights; row 0 is the sample itself. ``documents`` [1 + resamples, documents]; seeds are drawn by cell."""

    documents: Matrix
    rng: np.random.Generator

    @classmethod
    def of(cls, documents: int, rng: np.random.Generator, resamples: int) -> Draws:
        drawn = rng.multinomial(documents, np.full(documents, 1 / documents), size=resamples)
        return cls(np.vstack([np.ones(documents), drawn]), rng)

    def seeds(self, count: int) -> Matrix:
        """[1 + resamples, seeds]."""
        drawn = self.rng.multinomial(count, np.full(count, 1 / count), size=len(self.documents) - 1)
        return np.vstack([np.ones(count), drawn])


@dataclass(frozen=True)
class Matched:
    """First − second in ``invented_rate`` at equal over-refusal.

    ``over_refusal`` is where they were compared, ``invented`` the two rates there, ``outside`` the share of resamples
    in which they could only be brought near each other.
    """

    kind: str
    over_refusal: float
    invented: tuple[float, float]
    difference: float
    low: float
    high: float
    outside: float
    note: str

    def to_json(self) -> dict[str, Any]:
        numbers = ("over_refusal", "difference", "low", "high", "outside")
        return {
            "kind": self.kind,
            **{name: round(float(getattr(self, name)), 6) for name in numbers},
            "invented": [round(float(value), 6) for value in self.invented],
            "note": self.note,
        }


def rates(cell: Outcomes, documents: Matrix, seeds: Matrix) -> tuple[Matrix, Matrix]:
    """(over-refusal, invented) in every resample, each [1 + resamples]; NaN where a resample has no such slot."""
    totals = _totals(cell, documents, seeds)
    with np.errstate(invalid="ignore"):
        return totals[:, REFUSED] / totals[:, CLEAR], totals[:, INVENTED] / totals[:, HIDDEN]


def _totals(cell: Outcomes, documents: Matrix, seeds: Matrix) -> Matrix:
    sums = np.zeros((cell.counts.shape[0], documents.shape[1], COLUMNS))
    for seed, counts in enumerate(cell.counts):
        np.add.at(sums[seed], cell.document, counts)
    return np.einsum("bs,bd,sdk->bk", seeds, documents, sums, optimize=True)


def mixture(cells: Sequence[Outcomes], names: Sequence[str], reference: Outcomes, draws: Draws) -> Matched | None:
    """The family ``cells`` at the reference's own over-refusal; None where it is outside all of theirs."""
    target, theirs = rates(reference, draws.documents, draws.seeds(len(reference.counts)))
    points = [rates(cell, draws.documents, draws.seeds(len(cell.counts))) for cell in cells]
    over, invented = (np.stack(part, axis=1) for part in zip(*points, strict=True))
    if len(cells) < 2 or not over[0].min() <= target[0] <= over[0].max():
        return None
    order = np.argsort(over, axis=1)
    over, invented = (np.take_along_axis(part, order, axis=1) for part in (over, invented))
    ours = np.array([np.interp(x, xs, ys) for x, xs, ys in zip(target, over, invented, strict=True)])
    outside = (target < over[:, 0]) | (target > over[:, -1])
    right = min(max(int(np.searchsorted(over[0], target[0])), 1), len(cells) - 1)
    a, b = (names[order[0][right - 1]], names[order[0][right]])
    gap = over[0][right] - over[0][right - 1]
    share = 1.0 if gap == 0 else float((over[0][right] - target[0]) / gap)
    note = f"{share:.0%} of the questions to {a}, the others to {b}"
    return _matched("mixture", target[0], ours, theirs, outside, note)


def withdrawal(cell: Outcomes, name: str, reference: Outcomes, other: str, draws: Draws) -> Matched | None:
    """One cell against the reference, the less refusing of the two withdrawing answers; None without confidences."""
    seeds = {id(part): draws.seeds(len(part.counts)) for part in (cell, reference)}
    found = {id(part): rates(part, draws.documents, seeds[id(part)]) for part in (cell, reference)}
    ours_moves = bool(found[id(cell)][0][0] < found[id(reference)][0][0])
    mover, still = (cell, reference) if ours_moves else (reference, cell)
    target = found[id(still)][0]
    if mover.confidence is None or not np.isfinite([rate[0] for pair in found.values() for rate in pair]).all():
        return None
    moved, share = _withdraw(mover, draws.documents, seeds[id(mover)], target)
    ours, theirs = (moved, found[id(reference)][1]) if ours_moves else (found[id(cell)][1], moved)
    note = f"{name if ours_moves else other} withdraws {share:.0%} of its answers"
    return _matched("withdrawal", target[0], ours, theirs, found[id(mover)][0] > target, note)


def _withdraw(cell: Outcomes, documents: Matrix, seeds: Matrix, target: Matrix) -> tuple[Matrix, float]:
    """The invented rate [1 + resamples] after withdrawing until over-refusal is ``target``, and the share withdrawn."""
    assert cell.confidence is not None
    order = np.argsort(cell.confidence, axis=None, kind="stable")
    counts = cell.counts.reshape(-1, COLUMNS)[order]
    document = np.tile(cell.document, len(cell.counts))[order]
    seed = np.repeat(np.arange(len(cell.counts)), cell.counts.shape[1])[order]
    moved, share = np.empty(len(target)), 0.0
    step = max(1, _CHUNK // len(counts))
    for start in range(0, len(target), step):
        part = slice(start, start + step)
        weight = documents[part][:, document] * seeds[part][:, seed]
        clear, hidden = weight @ counts[:, CLEAR], weight @ counts[:, HIDDEN]
        refused = weight @ counts[:, REFUSED]
        gained = np.cumsum(weight * (counts[:, CLEAR] - counts[:, REFUSED]), axis=1)
        lost = np.cumsum(weight * counts[:, INVENTED], axis=1)
        wanted = target[part] * clear - refused
        for row in range(len(weight)):
            # The last answer is withdrawn in part, as a coin would: between two answers the line is a mixture too.
            taken = float(np.interp(max(wanted[row], 0.0), np.r_[0.0, gained[row]], np.r_[0.0, lost[row]]))
            total = lost[row, -1] - taken
            moved[start + row] = total / hidden[row] if hidden[row] else np.nan
        if start == 0:
            share = float(np.searchsorted(gained[0], max(wanted[0], 0.0)) / len(counts))
    return moved, share


def _matched(kind: str, target: float, ours: Matrix, theirs: Matrix, outside: NDArray[np.bool_], note: str) -> Matched:
    difference = ours - theirs
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.nanpercentile(difference[1:], (tail, 100 - tail))
    return Matched(
        kind,
        float(target),
        (float(ours[0]), float(theirs[0])),
        float(difference[0]),
        float(low),
        float(high),
        float(np.mean(outside[1:])),
        note,
    )
