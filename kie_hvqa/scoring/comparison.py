"""``comparison.json``: several runs over the same rows, each score side by side with its paired differences.

    write_comparison({"base": Path("runs/demo/base"), "grpo": Path("runs/demo/grpo")}, Path("runs/demo/comparison.json"))

For every score: the value of each run, and for every later run against every earlier one ``"later-earlier":
{"mean", "low", "high", "n", "detectable"}``, paired over documents (``kie_hvqa.scoring.metrics.compare``).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kie_hvqa.data.files import write_json
from kie_hvqa.errors import InputError
from kie_hvqa.runs.run_directory import Run, load_run, shared_rows
from kie_hvqa.scoring.metrics import OVERALL_SCORES, compare


def write_comparison(runs: Mapping[str, Path], out: Path) -> dict[str, dict[str, Any]]:
    """Compare the run directories ``runs`` (name → directory, in their order) and write ``out``; returns its content.

    Raises InputError for fewer than two runs and for runs over different rows.
    """
    comparison = compare_runs([load_run(Path(directory), name=name) for name, directory in runs.items()])
    write_json(out, comparison)
    return comparison


def compare_runs(runs: list[Run]) -> dict[str, dict[str, Any]]:
    """Score → {run name: value, …, "later-earlier": paired difference, …}."""
    if len(runs) < 2:
        raise InputError("a comparison needs two runs", remedy="Name another run directory.")
    rows = shared_rows(runs)
    for run in runs:
        if len(run.rows) != len(rows):
            raise InputError(
                f"this run answered {len(run.rows)} rows, of which the others share {len(rows)}",
                file=run.directory,
                remedy="Evaluate all of them with the same --split and --limit.",
            )
    scores = {run.name: run.scores(run.rows) for run in runs}
    comparison: dict[str, dict[str, Any]] = {
        # Runs that were scored by an earlier version lack the later scores.
        name: {run.name: run.metrics["overall"].get(name, {}).get("value") for run in runs}
        for name in OVERALL_SCORES
    }
    for earlier, later in pairs(runs):
        found = compare(scores[later.name], scores[earlier.name])
        for name in OVERALL_SCORES:
            comparison[name][f"{later.name}-{earlier.name}"] = found[name]
    return comparison


def pairs(runs: Sequence[Run]) -> list[tuple[Run, Run]]:
    """(earlier, later): each against the one before it first, then the longer strides, the order in which people ask."""
    numbers = itertools.combinations(range(len(runs)), 2)
    return [(runs[one], runs[other]) for one, other in sorted(numbers, key=lambda pair: (pair[1] - pair[0], pair))]
