"""Runs a suite: the evaluator does the reading, the suite's module the counting, ``suite.json`` holds the result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kie_hvqa.data.files import write_json
from kie_hvqa.data.lock import Lock
from kie_hvqa.errors import InputError
from kie_hvqa.readers import Reader, open_reader
from kie_hvqa.runs.evaluator import evaluate
from kie_hvqa.runs.run_directory import Run, RunRecord, check, load_run
from kie_hvqa.suites import SCHEMA, SUITE, SUITES, clean, nothing, read_suite, twins, wording
from kie_hvqa.suites.rows import chosen as rows_of

WORDINGS = "wordings"


def run_suite(
    suite: str,
    data: str | Path,
    reader: str | Reader,
    out: Path,
    *,
    split: str | None = None,
    limit: int | None = None,
    private: bool = False,
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
    chosen: dict[str, Any] = {"split": split, "limit": limit, "suite": suite, "private": private}
    places = (
        {out / WORDINGS / name: told for name, told in _told(opened).items()} if suite == "wording" else {out: opened}
    )
    rows_of(data, split=split, limit=limit, suite=suite)  # nothing to ask is told before anything is made
    for place, told in places.items():  # whatever is refused is refused before the result that is there goes
        check(place, RunRecord.of(told.name, told.identity, data, **chosen))
    with Lock(out, "evaluation"):
        (out / SUITE).unlink(missing_ok=True)  # it would not belong to the answers that follow
        for place, told in places.items():
            evaluate(data, told, place, progress=progress, **chosen)
        result = _measured(suite, opened, {suite if place == out else place.name: load_run(place) for place in places})
        write_json(out / SUITE, result)
    return result


def _measured(suite: str, reader: Reader, runs: Mapping[str, Run]) -> dict[str, Any]:
    first = next(iter(runs.values()))
    if suite == "wording":
        found = wording.measure(first.rows, {name: run.responses() for name, run in runs.items()})
    else:
        found = {"clean": clean, "twins": twins, "nothing": nothing}[suite].measure(first.rows, first.responses())
    return {
        "schema": SCHEMA,
        "suite": suite,
        "reader": reader.name,
        "data": first.record.data,
        "data_sha256": first.record.data_sha256,
        "split": first.record.split,
        "limit": first.record.limit,
        "questions": len(first.rows),
        "documents": len({row.document_id for row in first.rows}),
        "failed": sum(run.metrics.get("failed", 0) for run in runs.values()),
        **found,
    }


def _told(reader: Reader) -> dict[str, Reader]:
    """The reader under each wording. Its own prompt is set aside on purpose: the suite asks what becomes of it."""
    told = getattr(reader, "with_prompt", None)
    if told is None:
        raise InputError(
            f"the reader {reader.name} is told nothing, so there is nothing to say otherwise",
            field="suite",
            remedy="Take a checkpoint or a server for the suite `wording`.",
        )
    return {name: told(name) for name in wording.WORDINGS}


def _check_out(out: Path, suite: str) -> None:
    held = read_suite(out)
    if held is not None and held["suite"] != suite:
        raise InputError(
            f"this directory holds the suite `{held['suite']}`", file=out / SUITE, remedy="Name another --out."
        )
