"""The memory plan against what a process really takes, on the CPU: peak resident memory of a few steps of training.

Each case runs in a process of its own: it trains a minute model first, so that everything lazy is imported, then notes
what it holds, trains the case's model for two optimiser steps, and asks the kernel for the most that it ever held. The
difference is what the plan predicts. Weights are random: memory does not depend on what they say. glibc is told to
give large blocks back at once; left to itself it keeps freed ones, and a process is up to 30 % larger than its tensors.

Run: python -m rl.preflight.measure --data DIR --out FILE.json [CASE …]
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kie_hvqa.answers.prompt import question
from kie_hvqa.config import load
from kie_hvqa.data.dataset import load_rows
from kie_hvqa.data.files import read_json, write_json
from kie_hvqa.errors import InputError, WorkError
from rl.preflight.planned.devices import gib
from rl.tiny.base_config import BaseReaderConfig
from rl.tiny.build import TinyArchitecture, build_config, build_model, build_processor, save_model

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@dataclass(frozen=True)
class Case:
    """A stage with a model of ``size`` (configs/base) and so many ``rows`` a micro-batch."""

    stage: str
    size: str
    rows: int
    checkpointed: bool
    more: str = ""


_GRPO = "num_generations: 8, max_completion_length: 64, beta: 0.0"
CASES = {
    "tiny-sft": Case("sft", "tiny_reader", 32, False),
    "tiny-grpo": Case("grpo", "tiny_reader", 64, False, _GRPO),
    "100m-sft": Case("sft", "hundred_million", 8, False),
    "100m-sft-checkpointed": Case("sft", "hundred_million", 16, True),
    "100m-grpo": Case("grpo", "hundred_million", 16, True, _GRPO),
}


_GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}  # bytes


def write_model(architecture: TinyArchitecture, data: Path, out: Path) -> None:
    """A checkpoint of ``architecture`` with random weights, for the questions in ``data``."""
    processor = build_processor(architecture, {question(row) for row in load_rows(data)})
    save_model(build_model(build_config(architecture, processor), seed=0), processor, architecture, out)


def write_recipe(case: Case, model: Path, data: Path, out: Path) -> Path:
    """A recipe of ``case`` that trains ``model`` for two steps and saves nothing."""
    rewards = "rewards: [{function: format}]\nsharing: {features: false, prompts: false, generation: false}\n"
    recipe = out / f"{model.name}.yaml"
    recipe.write_text(
        f"model: {model}\ndata: {{path: {data}}}\noutput_dir: {out / f'{model.name}-run'}\ndtype: float32\n"
        f"{rewards if case.stage == 'grpo' else ''}training: {{max_steps: 2, learning_rate: 1.0e-4, "
        f"per_device_train_batch_size: {case.rows}, activation_checkpointing: {str(case.checkpointed).lower()}, "
        f"logging_steps: 1, save_strategy: 'no', report_to: [], {case.more}}}\n",
        encoding="utf-8",
    )
    return recipe


def planned(case: Case, recipe: Path) -> dict[str, Any]:
    """The plan of ``recipe`` for one process of this machine, in bytes."""
    from rl.preflight.checks import plan_of

    memory = plan_of(case.stage, recipe).memory()
    return {"peak": memory.peak, **asdict(memory)}


def trained(case: Case, recipe: Path) -> None:
    """Two steps of ``recipe``."""
    from rl import grpo, sft

    (grpo if case.stage == "grpo" else sft).run(recipe)


def measure(case: Case, data: Path) -> dict[str, Any]:
    """Planned and measured bytes of ``case``, in this process, which must have done nothing else before."""
    with tempfile.TemporaryDirectory() as home:
        out = Path(home)
        minute = TinyArchitecture(vision_depth=1, vision_hidden=32, vision_heads=1, text_layers=1, text_hidden=32)
        minute = minute.model_copy(update={"text_heads": 1, "text_kv_heads": 1, "text_intermediate": 32})
        write_model(minute, data, out / "minute")
        trained(case, write_recipe(case, out / "minute", data, out))

        architecture = load(CONFIGS / "base" / f"{case.size}.yaml", BaseReaderConfig).architecture
        write_model(architecture, data, out / "model")
        recipe = write_recipe(case, out / "model", data, out)
        plan = planned(case, recipe)
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark falls to what is held now
        before = _status("VmRSS")
        trained(case, recipe)
        return {"planned": plan, "measured": _status("VmHWM") - before, "before": before}


def _status(key: str) -> int:
    """A field of /proc/self/status in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) << 10
    raise WorkError(f"/proc/self/status has no {key}: this study needs Linux")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; all without any")
    parser.add_argument("--data", type=Path, required=True, help="a dataset directory of the tiny reader's pages")
    parser.add_argument("--out", type=Path, required=True, help="a JSON file; cases measured before stay in it")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    for name in arguments.cases:
        if name not in CASES:
            raise InputError(f"no case `{name}`", remedy=f"Use {', '.join(CASES)}.")
    if arguments.here:
        write_json(arguments.out, measure(CASES[arguments.cases[0]], arguments.data))
        return 0
    results = read_json(arguments.out) if arguments.out.exists() else {}
    for name in arguments.cases or CASES:
        with tempfile.TemporaryDirectory() as home:
            found = Path(home) / "found.json"
            line = [sys.executable, "-m", "rl.preflight.measure", name, "--here", "--data", str(arguments.data)]
            subprocess.run([*line, "--out", str(found)], check=True, env={**os.environ, **_GIVE_BACK})
            results[name] = json.loads(found.read_text())
        write_json(arguments.out, results)
        plan, real = results[name]["planned"]["peak"], results[name]["measured"]
        print(f"{name:<24} planned {gib(plan):>9}  measured {gib(real):>9}  {plan / real - 1:+.0%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
