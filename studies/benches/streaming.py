"""What it costs to damage documents while a model trains: GRPO steps with ``data.simulate`` beside the same from the disk.

The two take turns, some steps each, a process a turn; the first step of a turn is warm-up and left out. With ``--workers 0``
the training process makes its own images, which is the whole cost; from 1 on they are made meanwhile, if a core is idle.

Run: python -m studies.benches.streaming [--steps 12] [--turns 2] [--workers 0 1] [key=value of the recipe …]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from degradations.simulate import SimulateConfig, write_dataset
from kie_hvqa.config import load
from kie_hvqa.data.files import read_json

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
BAR = 0.05


def turn(out: Path, steps: int, overrides: Sequence[str]) -> tuple[float, float]:
    """Seconds a step, and of those spent on waiting for data, over ``steps`` steps after one of warm-up."""
    line = [sys.executable, "-m", "kie_hvqa", "grpo", "--config", str(CONFIGS / "grpo" / "tiny.yaml")]
    fixed = ["model=embedded", f"output_dir={out}", f"training.max_steps={steps + 1}", "training.logging_steps=1"]
    subprocess.run(
        [*line, *fixed, 'training.save_strategy="no"', "rollouts=false", *overrides], check=True, capture_output=True
    )
    log = [entry for entry in read_json(out / "history.json")["log"] if "time/data" in entry][1:]
    whole = [sum(value for key, value in entry.items() if key.startswith("time/")) for entry in log]
    return float(np.mean(whole)), float(np.mean([entry["time/data"] for entry in log]))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1], help="loader processes of the stream")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    arguments = parser.parse_args(argv)
    stream = CONFIGS / "simulate" / "tiny.yaml"
    found: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data"
        write_dataset(load(stream, SimulateConfig, ["count=120", "splits={train: 1.0}"]), data)
        cases = {"disk": [f"data.path={data}"]}
        for workers in arguments.workers:
            where = ["data.path=null", f"data.simulate={stream}", f"training.dataloader_num_workers={workers}"]
            cases[f"stream, {workers} worker(s)"] = where
        for number in range(arguments.turns):
            for place, (name, where) in enumerate(cases.items()):
                out = Path(scratch) / f"turn-{number}-{place}"
                found.setdefault(name, []).append(turn(out, arguments.steps, [*where, *arguments.overrides]))
    disk = np.mean([whole for whole, _ in found["disk"]])
    for name, turns in found.items():
        whole, waiting = np.mean(turns, axis=0)
        print(
            f"{name}: {whole:.2f} s a step, {waiting:.3f} s of it waiting for data ({waiting / whole:.1%}, bar {BAR:.0%}), "
            f"{whole / disk - 1:+.1%} of the disk's time; turns " + ", ".join(f"{each:.2f}" for each, _ in turns)
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
