"""Is the promise kept? An operating point made on some documents, judged on others, again and again.

``splits``     the run's documents are parted at random, half to calibrate on, half to judge: what a user does. A held-out half has
               chance of its own, so it may show more than the risk where the promise holds.
``redrawn``    documents are drawn from the run's with replacement, as many as are asked for, and the point is judged on all of
               them: the world that they were drawn from, whose risk at every threshold is known. Here the theorem speaks exactly.
``elsewhere``  calibrated without one operator (or template), judged on what has it: documents that are not exchangeable.

A promise is broken where the share of wrong among what is asserted is above the risk. How often that may happen is asked with a
one-sided binomial test against 1 − confidence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest

from kie_hvqa.confidence.calibrating import available, judged, score_all
from kie_hvqa.confidence.losses import Scored, at_thresholds, columns_of
from kie_hvqa.confidence.operating_point import OperatingPoint
from kie_hvqa.confidence.signals import combination
from kie_hvqa.confidence.signals.combination import COMBINED
from kie_hvqa.confidence.thresholds import LEARNING, NOTHING, best_with_hindsight, choose, grid, learning
from kie_hvqa.runs.run_directory import Run
from kie_hvqa.scoring.scores import operators

RISKS = (0.01, 0.02, 0.05, 0.1)
SPLITS, CONFIDENCE = 200, 0.95
REDRAWN = (400, 1000)
FITTING = 0.25


Part = Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]
"""Rows to make a point on, and rows to judge it on."""


@dataclass(frozen=True, slots=True)
class Table:
    """[documents, thresholds] of what a run asserts and what of it is wrong, under one signal."""

    asserted: np.ndarray
    wrong: np.ndarray
    documents: tuple[str, ...]

    def risk(self, rows: np.ndarray, column: int | None) -> tuple[float, float]:
        """(share wrong, coverage) of ``rows`` at a threshold; nothing asserted is nothing wrong."""
        if column is None:
            return 0.0, 0.0
        kept, everything = float(self.asserted[rows, column].sum()), float(self.asserted[rows, -1].sum())
        return (float(self.wrong[rows, column].sum()) / kept if kept else 0.0), (
            kept / everything if everything else 0.0
        )


def scored(run: Run, signal: str, of: Run | None = None) -> list[Scored]:
    """The answers of ``of`` (None: of ``run``) with their scores. A combination is fitted on a quarter of ``run``'s documents, and its
    answers are without those."""
    answers = judged(run)
    if signal != COMBINED:
        return score_all(_scorer(signal, {}), answers if of is None else judged(of))
    documents = sorted({answer.document for answer in answers})
    fits = dict(zip(documents, learning(documents, FITTING), strict=True))
    names = [name for name in available(answers) if name in (run.record.signals or {})]
    weights = combination.fit(*columns_of([answer for answer in answers if fits[answer.document]], names))
    held = [answer for answer in answers if not fits[answer.document]] if of is None else judged(of)
    return score_all(_scorer(signal, weights), held)


def table(answers: Sequence[Scored], unit: str) -> Table:
    asserted, wrong, documents = at_thresholds(answers, grid(), unit)
    return Table(asserted, wrong, tuple(documents))


def guarantee(
    run: Run,
    signal: str,
    *,
    unit: str = "character",
    splits: int = SPLITS,
    bound: str = "betting",
    seed: int = 0,
    sizes: Sequence[int] = REDRAWN,
) -> dict[str, Any]:
    """What became of ``splits`` promises at each risk, by split and redrawn in each of ``sizes``."""
    own = table(scored(run, signal), unit)
    count = len(own.documents)
    error = own.risk(np.arange(count), len(grid()) - 1)[0]
    found: dict[str, Any] = {"documents": count, "unit": unit, "signal": signal, "error": round(error, 4), "of": {}}

    def halves(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        order = rng.permutation(count)
        return order[: count // 2], order[count // 2 :]

    def drawn(size: int) -> Part:
        return lambda rng: (rng.integers(0, count, size), np.arange(count))

    for risk in RISKS:
        parted = _tried(own, risk, splits, bound, seed, halves)
        redrawn = {str(size): _tried(own, risk, splits, bound, seed, drawn(size)) for size in sizes}
        found["of"][f"{risk:g}"] = {"splits": parted, "redrawn": redrawn}
    return found


def _tried(
    own: Table,
    risk: float,
    times: int,
    bound: str,
    seed: int,
    part: Part,
) -> dict[str, Any]:
    """``times`` promises: made on the first of ``part``'s two sets of rows, judged on the second."""
    risks, coverages, hindsight, feasible = [], [], [], 0
    for number in range(times):
        rng = np.random.default_rng([seed, number])
        made, held = part(rng)
        learns = rng.random(len(made)) < LEARNING
        learns[:2] = True, False
        chosen = choose(own.asserted[made], own.wrong[made], learns, risk=risk, confidence=CONFIDENCE, bound=bound)
        feasible += chosen.index is not None
        value, coverage = own.risk(held, chosen.index)
        risks.append(value)
        coverages.append(coverage)
        hindsight.append(own.risk(held, best_with_hindsight(own.asserted[held], own.wrong[held], risk))[1])
    broken = sum(value > risk for value in risks)
    return {
        "promises": times,
        "feasible": feasible,
        "broken": broken,
        "p": round(float(binomtest(broken, times, 1 - CONFIDENCE, alternative="greater").pvalue), 4),
        "risk": round(float(np.mean(risks)), 5),
        "coverage": round(float(np.mean(coverages)), 4),
        "coverage_with_hindsight": round(float(np.mean(hindsight)), 4),
    }


def elsewhere(
    run: Run, signal: str, *, unit: str = "character", risk: float = 0.1, times: int = 40, bound: str = "effective"
) -> dict[str, Any]:
    """Kind → value → what a promise of ``risk`` made without it is worth on it: mean risk, mean coverage, how often it was broken."""
    answers = scored(run, signal)
    kept = {answer.document for answer in answers}
    rows = [row for row in run.rows if row.document_id in kept]  # in the order of the answers
    kinds: dict[str, list[set[str]]] = {
        "operator": [set(operators(row)) for row in rows],
        "template": [{row.template or row.document_type} for row in rows],
    }
    found: dict[str, Any] = {}
    for kind, values in kinds.items():
        found[kind] = {
            value: _apart(answers, [value in own for own in values], unit, risk, times, bound)
            for value in sorted(set().union(*values))
        }
    return found


def _apart(
    answers: Sequence[Scored], has: Sequence[bool], unit: str, risk: float, times: int, bound: str
) -> dict[str, Any]:
    inside = table([answer for answer, own in zip(answers, has, strict=True) if own], unit)
    outside = table([answer for answer, own in zip(answers, has, strict=True) if not own], unit)
    names = sorted({*inside.documents, *outside.documents})
    risks, coverages = [], []
    for number in range(times):
        rng = np.random.default_rng([1, number])
        chosen = set(rng.permutation(names)[: len(names) // 2].tolist())
        made = np.array([row for row, name in enumerate(outside.documents) if name in chosen], dtype=int)
        held = np.array([row for row, name in enumerate(inside.documents) if name not in chosen], dtype=int)
        if not len(held) or len(made) < 4:
            continue
        learns = rng.random(len(made)) < LEARNING
        learns[:2] = True, False
        point = choose(
            outside.asserted[made], outside.wrong[made], learns, risk=risk, confidence=CONFIDENCE, bound=bound
        )
        value, coverage = inside.risk(held, point.index)
        risks.append(value)
        coverages.append(coverage)
    if not risks:
        return {"documents": len(inside.documents), "risk": None, "coverage": None, "broken": None}
    return {
        "documents": len(inside.documents),
        "risk": round(float(np.mean(risks)), 4),
        "coverage": round(float(np.mean(coverages)), 4),
        "broken": round(float(np.mean([value > risk for value in risks])), 3),
    }


def carried(run: Run, other: Run, signal: str, *, unit: str = "character", bound: str = "effective") -> dict[str, Any]:
    """Risk → what points made on all of ``run`` are worth on ``other``'s documents."""
    made, held = table(scored(run, signal), unit), table(scored(run, signal, other), unit)
    learns = np.random.default_rng(0).random(len(made.documents)) < LEARNING
    rows = np.arange(len(held.documents))
    found = {}
    for risk in RISKS:
        point = choose(made.asserted, made.wrong, learns, risk=risk, confidence=CONFIDENCE, bound=bound)
        value, coverage = held.risk(rows, point.index)
        found[f"{risk:g}"] = {
            "feasible": point.index is not None,
            "risk": round(value, 4),
            "coverage": round(coverage, 4),
            "documents": len(rows),
        }
    return found


def _scorer(signal: str, weights: Mapping[str, float]) -> OperatingPoint:
    return OperatingPoint("", "", "", signal, "character", 0.5, CONFIDENCE, NOTHING, (), (), weights=weights)
