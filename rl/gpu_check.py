"""``make gpu-check``: a reader of about 100 M parameters from nothing to GRPO on this machine's GPUs, held against the plan.

    python -m rl.gpu_check --out runs/gpu_check              some hours on one GPU; interrupted, it goes on
    python -m rl.gpu_check --out runs/gpu_check --dry-run    the preflight of both stages, without a GPU too

The base reader is trained in bfloat16 on one GPU by its own loop; warm start and GRPO run as every large run does, through
launch.sh under DeepSpeed. ``OUT/gpu_check.json`` records, for each stage, its scores, how long a step took and what the
driver counted as its memory, and beside them what the preflight had planned.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from kie_hvqa.config import load
from kie_hvqa.data.files import read_json, write_json
from kie_hvqa.errors import InputError, WorkError
from rl.launch.gpus import visible_gpus

ROOT = Path(__file__).resolve().parents[1]
BASE = ROOT / "configs" / "base" / "hundred_million.yaml"
PLANNED_FOR = "h100"  # a dry run without a GPU plans for one
GIB = 1 << 30


def stages(out: Path) -> dict[str, list[str]]:
    """Each trained stage's recipe and overrides, as launch.sh takes them."""
    data = f"data.path={out / 'data'}"
    return {
        "sft": [
            str(ROOT / "configs" / "sft" / "hundred_million.yaml"),
            data,
            f"model={out / 'base' / 'model'}",
            f"output_dir={out / 'warm_start'}",
        ],
        "grpo": [
            str(ROOT / "configs" / "grpo" / "hundred_million.yaml"),
            data,
            f"model={out / 'warm_start' / 'model'}",
            f"output_dir={out / 'grpo'}",
        ],
    }


def dry_run(out: Path) -> None:
    """The preflight of both stages over a small dataset and a model with random weights, under ``out``/dry."""
    from rl.preflight.measure import write_model
    from rl.tiny.base_config import BaseReaderConfig

    home = out / "dry"
    _kie_hvqa("simulate", "--config", _simulate(), "--out", home / "data", "--count", "120")
    architecture = load(BASE, BaseReaderConfig).architecture
    for stage in ("base", "warm_start"):
        if not (home / stage / "model").exists():
            write_model(architecture, home / "data", home / stage / "model")
    gpu = [] if visible_gpus(os.environ) else ["--gpu", PLANNED_FOR]
    for stage, recipe in stages(home).items():
        _run([str(ROOT / "launch.sh"), stage, *recipe, "--dry-run", *gpu])


def check(out: Path) -> dict[str, Any]:
    """Everything, from where it stopped; returns what ``gpu_check.json`` holds. Raises InputError without a GPU."""
    gpus = visible_gpus(os.environ)
    if not gpus:
        raise InputError("this machine shows no GPU", remedy="Run it where nvidia-smi lists one, or add --dry-run.")
    from rl.preflight.planned.devices import device  # it brings torch and TRL: not needed to say that there is no GPU

    report = out / "gpu_check.json"
    found: dict[str, Any] = read_json(report) if report.exists() else {"gpu": device(None, 1).name, "gpus": len(gpus)}
    if not (out / "data" / "dataset.json").exists():
        _kie_hvqa("simulate", "--config", _simulate(), "--out", out / "data")

    def once(name: str, work: Callable[[], dict[str, Any]]) -> None:
        if name not in found:
            found[name] = work()
            write_json(report, found)

    once("base", lambda: _base(out))
    recipes = stages(out)
    once("warm_start", lambda: _trained("sft", recipes["sft"], out / "warm_start", len(gpus)))
    once("grpo", lambda: _trained("grpo", recipes["grpo"], out / "grpo", len(gpus)))
    for name in ("base", "warm_start", "grpo"):
        once(f"{name}_scores", partial(_scores, out / "data", out / name))
    return found


def _base(out: Path) -> dict[str, Any]:
    line = [sys.executable, "-m", "rl.tiny.base_reader", "--config", str(BASE), "--out", str(out / "base")]
    started = time.monotonic()
    with _Sampled() as memory:
        _run([*line, "--device", "cuda"])
    return {"seconds": time.monotonic() - started, "peak_bytes": memory.peak}


def _trained(stage: str, recipe: Sequence[str], directory: Path, gpus: int) -> dict[str, Any]:
    """Train ``stage`` by launch.sh; its speed and memory, measured and planned."""
    from rl.preflight.checks import plan_of

    plan = plan_of(stage, Path(recipe[0]), recipe[1:], world_size=gpus)
    planned, took = plan.memory(), plan.duration()
    with _Sampled() as memory:
        _run([str(ROOT / "launch.sh"), stage, *recipe])
    history = read_json(directory / "history.json")
    whole: dict[str, Any] = next((entry for entry in reversed(history["log"]) if "train_runtime" in entry), {})
    return {
        "steps": history["steps"],
        "seconds_a_step": whole.get("train_runtime", 0.0) / max(1, history["steps"]),
        "planned_seconds_a_step": None if took is None else took.step,
        "samples_per_second": whole.get("train_samples_per_second"),
        "peak_bytes": memory.peak,
        "planned_bytes": {"peak": planned.peak, **asdict(planned)},
        "log": history["log"],
    }


def _scores(data: Path, directory: Path) -> dict[str, Any]:
    model, device = directory / "model", ["--split", "test"]
    _kie_hvqa("eval", "--data", data, "--reader", model, "--out", directory / "eval", *device)
    return read_json(directory / "eval" / "metrics.json")["overall"]


class _Sampled:
    """The most memory that the driver counted on any GPU while the block ran, in bytes.

    Asked ten times a second; the allocator's cache and CUDA's context are in it.
    """

    def __init__(self) -> None:
        self.peak = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> _Sampled:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        line = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
        while not self._over.wait(0.1):
            said = subprocess.run(line, capture_output=True, text=True, check=False).stdout
            self.peak = max([self.peak, *(int(mib) << 20 for mib in said.split() if mib.isdecimal())])


def _simulate() -> Path:
    return ROOT / "configs" / "simulate" / "tiny.yaml"


def _kie_hvqa(*arguments: object) -> None:
    _run([sys.executable, "-m", "kie_hvqa", *map(str, arguments)])


def _run(line: Sequence[str]) -> None:
    environment = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}
    status = subprocess.run(line, env=environment, check=False).returncode
    if status == InputError.exit_status:
        raise InputError(f"{Path(line[0]).name} refused to start", remedy="See what it printed above.")
    if status:
        raise WorkError(f"{' '.join(line)} ended with status {status}; run the same command again to go on from there")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/gpu_check"))
    parser.add_argument("--dry-run", action="store_true", help="the preflight of both stages only")
    arguments = parser.parse_args(argv)
    try:
        if arguments.dry_run:
            dry_run(arguments.out)
            return 0
        found = check(arguments.out)
    except (InputError, WorkError) as error:
        print(f"gpu-check: {error}", file=sys.stderr)
        return error.exit_status
    for stage in ("warm_start", "grpo"):
        one = found[stage]
        print(
            f"{stage}: {one['seconds_a_step']:.2f} s a step (planned {one['planned_seconds_a_step'] or 0:.2f}), "
            f"{one['peak_bytes'] / GIB:.1f} GiB (planned {one['planned_bytes']['peak'] / GIB:.1f} and CUDA's context)"
        )
    print(f"{len(visible_gpus(os.environ))} GPU(s); {arguments.out / 'gpu_check.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
