"""Runs a suite: the evaluator does the reading, the suite's module the counting, ``suite.json`` holds the result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kie_hvqa.data.files import write_json
from kie_hvqa.errors import InputError
from kie_hvqa.readers import Reader, open_reader
from kie_hvqa.runs.evaluator import evaluate
from kie_hvqa.runs.run_directory import Run, load_run
from kie_hvqa.suites import SCHEMA, SUITE, SUITES, clean, read_suite, twins, wording

WORDINGS = "wordings"


def run_suite(
    suite: str,
    data: str | Path,
    reader: str | Reader,
    out: Path,
    *,
    split: str | None = None,
    limit: int | None = None,
    progress: bool = True,
    **reader_options: Any,
) -> dict[str, Any]:
    """Read what ``suite`` asks about into ``out`` and write ``out/suite.json``; returns its content.

    Run again it goes on as ``evaluate`` does. InputError for an unknown suite, for data without anything to ask, for
    ``wording`` with a reader that is told nothing, and where ``out`` holds another suite.
    """
    if suite not in SUITES:
        raise InputError(f"there is no suite {suite!r}", field="suite", remedy=f"Use {', '.join(SUITES)}.")
    _check_out(out, suite)
    opened = open_reader(reader, **reader_options) if isinstance(reader, str) else reader
    (out / SUITE).unlink(missing_ok=True)  # it would not belong to the answers that follow
    if suite == "wording":
        runs = _read_wordings(data, opened, out, split, limit, progress)
        first = next(iter(runs.values()))
        found = wording.measure(first.rows, {name: run.responses() for name, run in runs.items()})
    else:
        evaluate(data, opened, out, split=split, limit=limit, suite=suite, progress=progress)
        first = load_run(out)
        runs = {suite: first}
        found = {"clean": clean, "twins": twins}[suite].measure(first.rows, first.responses())
    result = {
        "schema": SCHEMA,
        "suite": suite,
        "reader": opened.name,
        "data": first.record.data,
        "data_sha256": first.record.data_sha256,
        "split": split,
        "limit": limit,
        "questions": len(first.rows),
        "documents": len({row.document_id for row in first.rows}),
        "failed": sum(run.metrics.get("failed", 0) for run in runs.values()),
        **found,
    }
    write_json(out / SUITE, result)
    return result


def _read_wordings(
    data: str | Path, reader: Reader, out: Path, split: str | None, limit: int | None, progress: bool
) -> dict[str, Run]:
    """One run a wording. A reader's own prompt is set aside on purpose: the suite asks what becomes of it."""
    told = getattr(reader, "with_prompt", None)
    if told is None:
        raise InputError(
            f"the reader {reader.name} is told nothing, so there is nothing to say otherwise",
            field="suite",
            remedy="Take a checkpoint or a server for the suite `wording`.",
        )
    runs = {}
    for name in wording.WORDINGS:
        place = out / WORDINGS / name
        evaluate(data, told(name), place, split=split, limit=limit, suite="wording", progress=progress)
        runs[name] = load_run(place)
    return runs


def _check_out(out: Path, suite: str) -> None:
    held = read_suite(out)
    if held is not None and held["suite"] != suite:
        raise InputError(
            f"this directory holds the suite `{held['suite']}`", file=out / SUITE, remedy="Name another --out."
        )
