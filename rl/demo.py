"""``kie-hvqa demo``: the whole path on one small machine: simulate, warm start, GRPO, evaluate, compare, report.

It runs what a large run runs, by the recipes in ``configs/``, from the embedded reader. Interrupted, the same
command goes on where it stopped: every stage knows what it has finished.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import Any

from degradations.replay import picture
from degradations.simulate import SimulateConfig, write_dataset
from kie_hvqa.config import load
from kie_hvqa.console import quiet, say
from kie_hvqa.data.files import building, read_json
from kie_hvqa.readers import embedded_directory
from kie_hvqa.report import write_report
from kie_hvqa.runs.evaluator import evaluate
from kie_hvqa.scoring.comparison import write_comparison
from kie_hvqa.scoring.tables import comparison_table, strata_table

RECIPES = Path(__file__).resolve().parents[1] / "configs"
STAGES = ("base", "warm_start", "grpo")
BATCH_SIZE = 64


def run(out: Path, *, long: bool = False) -> dict[str, Any]:
    """Everything under ``out`` (DESIGN contract 4); prints the table and the paths, returns the comparison.

    ``long`` takes longer recipes and documents of its own to train on (``out/train``); the test questions are the same.
    """
    from rl import grpo, sft

    started = time.monotonic()
    _title(1, "simulate damaged cards and invoices, with a ledger for each")
    data = out / "data"
    _simulate("tiny", data)
    recipe, learnt = ("tiny_long", out / "train") if long else ("tiny", data)
    if long:
        _simulate(recipe, learnt)

    _title(2, "the base reader: reads what it can, and writes a plausible character where it cannot")
    _copy_base(out / "base" / "model")
    _evaluate(data, out / "base")

    _title(3, "warm start: supervised fine-tuning on ledger answers")
    where = [f"data.path={learnt}", f"model={out / 'base' / 'model'}", f"output_dir={out / 'warm_start'}"]
    sft.run(RECIPES / "sft" / f"{recipe}.yaml", where)
    _evaluate(data, out / "warm_start")

    _title(4, "GRPO: paid for what the pixels support")
    where = [f"data.path={learnt}", f"model={out / 'warm_start' / 'model'}", f"output_dir={out / 'grpo'}"]
    grpo.run(RECIPES / "grpo" / f"{recipe}.yaml", where)
    _evaluate(data, out / "grpo")

    runs = {name: out / name for name in STAGES}
    comparison = write_comparison(runs, out / "comparison.json")
    write_report(list(runs.values()), out / "report.html", replay=picture)
    say(
        f"\nHeld-out documents: other identities, other drawings, one operator never trained on.\n\n{table(comparison, runs)}"
    )
    say(f"\n{(time.monotonic() - started) / 60:.1f} minutes. Written:")
    for path in (data, *runs.values(), out / "comparison.json", out / "report.html"):
        say(f"  {path}")
    return comparison


def table(comparison: dict[str, Any], runs: dict[str, Path]) -> str:
    """Accuracy by stratum beside the reference readers, the comparison, and accuracy on undamaged documents alone."""
    scored = {name: read_json(path / "metrics.json") for name, path in runs.items()}
    clean = [metrics["by"]["severity"]["0"]["hallucination_free_accuracy"] for metrics in scored.values()]
    values = ", ".join(f"{name} {score['value']:.1%}" for name, score in zip(runs, clean, strict=True))
    return f"{strata_table(scored)}\n\n{comparison_table(comparison, list(runs))}\n\nundamaged documents (severity 0), hallucination-free: {values}"


def _simulate(recipe: str, out: Path) -> None:
    write_dataset(load(RECIPES / "simulate" / f"{recipe}.yaml", SimulateConfig), out, workers=2, progress=True)


def _evaluate(data: Path, directory: Path) -> None:
    evaluate(data, str(directory / "model"), directory, split="test", batch_size=BATCH_SIZE, max_new_tokens=96)


def _copy_base(model: Path) -> None:
    if not model.exists():
        with building(model) as part:
            shutil.copytree(embedded_directory(), part, dirs_exist_ok=True)


def _title(number: int, text: str) -> None:
    if not quiet():
        print(f"\n[{number}/4] {text}", file=sys.stderr, flush=True)
