"""A comparison of runs for a text and for a spreadsheet: ``kie-hvqa compare``.

Markdown has a table by stratum and one of all scores, as the terminal shows them. CSV has one line a score and run, and one a
score and pair of runs, in full precision. JSON has the same numbers, nested.
"""

from __future__ import annotations

import json as standard
from collections.abc import Mapping, Sequence
from typing import Any

from kie_hvqa.report.exports.spreadsheet import spreadsheet
from kie_hvqa.runs.run_directory import Run
from kie_hvqa.scoring.comparison import compare_runs, pairs
from kie_hvqa.scoring.tables import LABELS, comparison_lines, strata_lines

_COLUMNS = ("score", "run", "minus", "value", "low", "high", "n", "detectable", "percent_per_unit")


def markdown(runs: Sequence[Run]) -> str:
    """Two tables, percent: by stratum beside the reference readers, and every score with its paired differences."""
    comparison = compare_runs(list(runs))
    by_stratum = strata_lines({run.name: run.metrics for run in runs})
    metrics = runs[0].metrics
    note = (
        f"{metrics['samples']} questions about {metrics['documents']} documents. Differences are paired, with 95 % intervals over "
        "documents, in percentage points: one whose interval is without 0 is a difference that these documents show."
    )
    parts = [_table(lines) for lines in (by_stratum, comparison_lines(comparison, [run.name for run in runs])) if lines]
    return "\n\n".join([*parts, note]) + "\n"


def csv(runs: Sequence[Run]) -> str:
    """A line for each score of each run (``minus`` is empty), and for each paired difference ``run`` − ``minus``.

    ``low`` and ``high`` are the ends of the 95 % interval, ``detectable`` the smallest difference that these documents show
    with power 0.8; ``percent_per_unit`` turns any of the three into percent. What the data cannot say is empty.
    """
    runs = list(runs)
    comparison = compare_runs(runs)
    lines: list[tuple[Any, ...]] = [_COLUMNS]
    for name, row in comparison.items():
        scale = LABELS[name].scale if name in LABELS else None
        for run in runs:
            score: Mapping[str, Any] = run.metrics["overall"].get(name, {})
            ends = (score.get(key) for key in ("value", "low", "high", "n"))
            lines.append((name, run.name, None, *ends, None, scale))
        for earlier, later in pairs(runs):
            found = row[f"{later.name}-{earlier.name}"]
            ends = (found[key] for key in ("mean", "low", "high", "n", "detectable"))
            lines.append((name, later.name, earlier.name, *ends, scale))
    return spreadsheet(lines)


def json(runs: Sequence[Run]) -> str:
    """Score → values by run and paired differences by ``later-earlier``: what ``comparison.json`` of the demo holds."""
    return standard.dumps(compare_runs(list(runs)), ensure_ascii=False, indent=2) + "\n"


def _table(lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table: the first column left-aligned, the others right-aligned."""
    # A name is text: nothing in it ends a cell, is a tag or is emphasis. Leading spaces indent, which Markdown would eat.
    written = ["| " + " | ".join(_escaped(cell) for cell in line) + " |" for line in lines]
    return "\n".join([written[0], "|" + ":--|" + "--:|" * (len(lines[0]) - 1), *written[1:]])


def _escaped(text: str) -> str:
    indent = len(text) - len(text.lstrip())
    for sign in "\\|<*_`":
        text = text.replace(sign, f"\\{sign}" if sign != "<" else "&lt;")
    return "&nbsp;" * indent + text.strip()
