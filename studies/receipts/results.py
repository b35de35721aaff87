"""What came out: the tables of ``docs/receipts.md`` and the numbers behind them, from the run directories alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kie_hvqa.data.files import read_json, write_json, write_text
from kie_hvqa.runs.run_directory import load_run
from kie_hvqa.scoring.comparison import compare_runs
from kie_hvqa.scoring.tables import LABELS, difference, strata_lines, with_interval

SCORES = (
    "balanced", "hallucination_free_accuracy", "informedness", "reading_recall", "refusal_recall", "invented_rate",
    "dropped_rate", "misread_rate", "over_refusal_rate", "flag_rate",
)  # fmt: skip
STAGES = ("base", "warm_start", "grpo")
TITLES = {"base": "base", "warm_start": "warm start", "grpo": "GRPO", "rapidocr": "RapidOCR", "tesseract": "Tesseract"}
SETS = {
    "test_clean": "undamaged lines of held-out companies",
    "test_damaged": "damaged by all operators",
    "test_held_out": "damaged by the operator that no training row had",
}


def results(out: Path, seconds: Mapping[str, float], plan: Mapping[str, Any]) -> dict[str, Any]:
    """Collect everything under ``out`` into ``results.json`` and ``results.md`` there; returns the former."""
    found: dict[str, Any] = {"plan": plan, "seconds": dict(seconds), "sets": {}}
    text = []
    for name, title in SETS.items():
        runs = runs_of(out, name)
        if len(runs) < 2:
            continue
        scored = {run: read_json(path / "metrics.json") for run, path in runs.items()}
        first = next(iter(scored.values()))
        loaded = {run: load_run(path, name=run) for run, path in runs.items()}
        compared = {(a, b): compare_runs([loaded[b], loaded[a]]) for a, b in _pairs(runs)}
        found["sets"][name] = {
            "questions": first["samples"],
            "documents": first["documents"],
            "scores": {run: {score: m["overall"][score] for score in SCORES} for run, m in scored.items()},
            "differences": {
                f"{a} − {b}": {score: pair[score][f"{a}-{b}"] for score in SCORES} for (a, b), pair in compared.items()
            },
        }
        text += [f"### {title[0].upper()}{title[1:]} ({first['samples']} lines, {first['documents']} receipts)", ""]
        if name != "test_clean":
            text += [_table(strata_lines({_titled(run): m for run, m in scored.items()})), ""]
        text += [_table(_scores(scored, name)), ""]
        if compared:
            text += [_table(_differences(compared, name)), ""]
    write_json(out / "results.json", found)
    write_text(out / "results.md", "\n".join(text))
    return found


def runs_of(out: Path, dataset: str) -> dict[str, Path]:
    """Run name (``real/grpo``, ``rapidocr``, …) → its directory, of what has been scored on ``dataset``."""
    names = [*(f"{arm}/{stage}" for arm in ("rendered", "real") for stage in STAGES), "rapidocr", "tesseract"]
    places = {name: out / "runs" / dataset / name.replace("/", "_") for name in names}
    return {name: path for name, path in places.items() if (path / "metrics.json").is_file()}


def _pairs(runs: Mapping[str, Path]) -> list[tuple[str, str]]:
    """(later, earlier) of the differences that the study is about."""
    wanted = [
        ("real/warm_start", "real/base"), ("real/grpo", "real/base"), ("real/grpo", "real/warm_start"),
        ("real/base", "rendered/base"), ("real/grpo", "rendered/grpo"),
    ]  # fmt: skip
    return [pair for pair in wanted if all(run in runs for run in pair)]


def _titled(run: str) -> str:
    arm, _, stage = run.partition("/")
    if not stage:
        return TITLES[arm]
    return f"{TITLES[stage]}, {'rendered lines alone' if arm == 'rendered' else 'real lines too'}"


def _scores(scored: Mapping[str, Mapping[str, Any]], name: str) -> list[tuple[str, ...]]:
    shown = [score for score in SCORES if name != "test_clean" or score in ("hallucination_free_accuracy", "reading_recall", "over_refusal_rate", "dropped_rate")]  # fmt: skip
    lines = [("%", *(_titled(run) for run in scored))]
    for score in shown:
        lines.append(
            (LABELS[score].title, *(with_interval(m["overall"][score], LABELS[score]) for m in scored.values()))
        )
    return lines


def _differences(compared: Mapping[tuple[str, str], Mapping[str, Any]], name: str) -> list[tuple[str, ...]]:
    shown = SCORES if name != "test_clean" else ("hallucination_free_accuracy", "reading_recall", "over_refusal_rate")
    lines = [("points", *(f"{_titled(a)} − {_titled(b)}" for a, b in compared))]
    for score in shown:
        cells = (difference(pair[score][f"{a}-{b}"], LABELS[score]) for (a, b), pair in compared.items())
        lines.append((LABELS[score].title, *cells))
    return lines


def _table(lines: Sequence[Sequence[str]]) -> str:
    head, *rest = ["| " + " | ".join(cell.strip() for cell in line) + " |" for line in lines]
    return "\n".join([head, "|" + "---|" * len(lines[0]), *rest])
