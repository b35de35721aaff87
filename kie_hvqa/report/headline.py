"""The report's tables of scores: values with intervals, paired differences, and what these data can tell apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from kie_hvqa.report.markup import ARROWS, fill
from kie_hvqa.runs.run_directory import Run
from kie_hvqa.scoring.metrics import compare
from kie_hvqa.scoring.scores import SampleScore
from kie_hvqa.scoring.tables import LABELS, LEDGER, OFFICIAL, READERS, ScoreLabel, difference, interval, number, verdict

_STRONG = ("balanced", "average")
_TILES = ("balanced", "informedness", "invented_rate", "dropped_rate", "misread_rate", "over_refusal_rate")

Differences = Sequence[Mapping[str, Any] | None]


def paired(scores: Sequence[Sequence[SampleScore]]) -> Differences:
    """Per run, given its scores of the rows that all runs share, its paired differences from the first; None for the first."""
    return [None, *(compare(other, scores[0]) for other in scores[1:])]


def tiles(runs: Sequence[Run], differences: Differences) -> Markup:
    """The last run at a glance: a few large numbers, and how far each is from the first run."""
    last, found = runs[-1], differences[-1]
    shown = []
    for name in _TILES:
        score, label = last.metrics["overall"].get(name), LABELS[name]
        if score is None or score["value"] is None:
            continue
        title = label.title if name in LEDGER else f"official {label.title}"
        tile = {
            "title": title + ARROWS[label.better],
            "value": number(score["value"], label),
            "delta": "",
            "verdict": "",
        }
        if found is not None and found[name]["mean"] is not None:
            tile |= {"delta": difference(found[name], label, alone=True), "verdict": verdict(found[name], label)}
        shown.append(tile | {"spread": interval(score, label)})
    against = runs[0].name if len(runs) > 1 else None
    return fill("tiles.html", number=len(runs) - 1, name=last.name, against=against, tiles=shown)


def ledger_section(runs: Sequence[Run], questions: int, differences: Differences) -> Markup:
    """The table of ledger scores; ``questions`` is how many all runs share."""
    known = any(run.metrics["overall"].get("hallucination_free_accuracy", {}).get("value") is not None for run in runs)
    return fill("ledger.html", table=_table(runs, differences, LEDGER), known=known, questions=questions)


def official_section(runs: Sequence[Run], differences: Differences) -> Markup:
    """The table of the benchmark's own scores."""
    return fill("official.html", table=_table(runs, differences, OFFICIAL))


def _table(runs: Sequence[Run], differences: Differences, labels: Mapping[str, ScoreLabel]) -> dict[str, Any]:
    """What ``scores.html`` shows; a row about which no run says anything (no ledger, no such slot) is left out."""
    references = runs[0].metrics.get("references", {})
    rows = [
        {
            "title": label.title + ARROWS[label.better],
            "meaning": label.meaning,
            "strong": name in _STRONG,
            "cells": [_cell(run, found, name, label) for run, found in zip(runs, differences, strict=True)],
            "seen": _seen(runs, differences, name, label),
            "references": [number(part["overall"].get(name), label) for part in references.values()],
        }
        for name, label in labels.items()
        if any(run.metrics["overall"].get(name, {}).get("value") is not None for run in runs)
    ]
    readers = [READERS[name] for name in references]
    return {"names": [run.name for run in runs], "readers": readers, "rows": rows}


def _cell(run: Run, found: Mapping[str, Any] | None, name: str, label: ScoreLabel) -> dict[str, Any]:
    score = run.metrics["overall"].get(name)
    cell = {"n": score["n"] if score else None, "value": "", "spread": "", "delta": "", "verdict": ""}
    if score is not None and score["value"] is not None:
        cell |= {"value": number(score["value"], label), "spread": interval(score, label).removeprefix("–")}
    if found is not None and found[name]["mean"] is not None:
        cell |= {"delta": difference(found[name], label), "verdict": verdict(found[name], label)}
    return cell


def _seen(runs: Sequence[Run], differences: Differences, name: str, label: ScoreLabel) -> str:
    """The smallest difference that shows: from the spread of the paired differences, else the run's own upper bound."""
    if len(runs) > 1:
        bounds = [found[name].get("detectable") for found in differences if found is not None]
    else:
        bounds = [runs[0].metrics.get("detectable", {}).get("scores", {}).get(name)]
    known = [bound for bound in bounds if bound is not None]
    return number(max(known), label) if known else ""
