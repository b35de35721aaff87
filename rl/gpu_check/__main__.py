"""``make gpu-check MINUTES=8``: on one GPU, what the recipes of large models really take, held against plain TRL and the plan.

    python -m rl.gpu_check --out runs/gpu_check --minutes 8
    python -m rl.gpu_check --out runs/small --setting small       the same parts with tiny models, on the CPU too

No weights and no network: models have the released ones' sizes and random weights. Parts run one after the other, the most
important first, each in a process of its own that is ended when its time is over; what a part leaves over goes to the next.
OUT/gpu_check.json holds what was found, OUT/gpu_check.md the table that is printed at the end.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.version import Version

from degradations.simulate import write_dataset
from kie_hvqa.data.files import read_json, write_json
from kie_hvqa.errors import InputError, WorkError
from rl.gpu_check.setting import ROOT, SETTINGS, Setting, page_recipe, setting_of
from rl.gpu_check.table import table
from rl.launch.gpus import visible_gpus

LOWEST = {"torch": "2.11", "transformers": "5.17"}
PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "vllm")
_ENDING = 0.95  # of a part's time: what is left is for its last words
_TOO_LITTLE = 5.0  # seconds


def check(setting: Setting, name: str, out: Path, seconds: float, chosen: Sequence[str] = ()) -> dict[str, Any]:
    """The ``chosen`` parts (all of them without any) of ``setting``, called ``name``, in about ``seconds``.

    Returns what OUT/gpu_check.json holds. A part that fails or runs out of time does not keep the next from running.
    """
    started = time.monotonic()
    write_dataset(page_recipe(setting.pages), out / "pages", workers=len(os.sched_getaffinity(0)))
    parts = {one: part for one, part in setting.parts.items() if not chosen or one in chosen}
    report: dict[str, Any] = {"versions": versions(), "parts": {}}
    shares, end = sum(part.share for part in parts.values()), 0.0
    for one, part in parts.items():
        end += part.share / shares
        left = started + end * seconds - time.monotonic()
        print(f"gpu-check: {one}, at most {max(0.0, left):.0f} s", flush=True)
        report["parts"][one] = _part(name, one, out, left)
        report["seconds"] = time.monotonic() - started
        write_json(out / "gpu_check.json", report)
    return report


def _part(setting: str, name: str, out: Path, seconds: float) -> dict[str, Any]:
    """Part ``name`` in its own process. ``status``: done, skipped, cut off (its time was over) or failed."""
    if seconds < _TOO_LITTLE:
        return {"status": "skipped", "skipped": "no time was left"}
    file, log = out / "parts" / f"{name}.json", out / "logs" / f"{name}.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    line = [sys.executable, "-m", "rl.gpu_check.work", "--setting", setting, "--part", name, "--out", str(out)]
    # Nothing is fetched, and one GPU is used: transformers would spread a single process over all.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    environment |= {"CUDA_VISIBLE_DEVICES": next(iter(visible_gpus(os.environ)), "")}
    with log.open("w") as words:
        started = subprocess.Popen(
            [*line, "--seconds", f"{_ENDING * seconds:.1f}"],
            env=environment,
            stdout=words,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            started.wait(timeout=seconds)
            status = "done" if started.returncode == 0 else "failed"
        except subprocess.TimeoutExpired:
            status = "cut off"
        finally:
            if started.poll() is None:
                os.killpg(started.pid, signal.SIGKILL)
                started.wait()
    found: dict[str, Any] = read_json(file) if file.exists() else {}
    if status == "failed":
        found["message"] = next(reversed(log.read_text().strip().splitlines()), "")[:300]
    if status == "done" and found.get("skipped"):
        status = "skipped"
    if status == "done" and any("error" in found.get(one, {}) for one in ("plain", "ours")):
        status = "failed"
    return {"status": status, **found}


def versions() -> dict[str, str]:
    """Of what trains. Raises InputError for one that is missing or too old; says on stderr which are not those of the tests."""
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    found: dict[str, str] = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            if package in pinned:
                raise InputError(f"{package} is not installed", remedy=f"pip install {package}") from None
            continue
        lowest = LOWEST.get(package)
        if lowest and Version(found[package]) < Version(lowest):
            raise InputError(f"{package} {found[package]} is too old", remedy=f"It needs {lowest} or newer.")
        if Version(found[package]).public != Version(pinned.get(package, found[package])).public:
            print(f"gpu-check: {package} {found[package]}, tested with {pinned[package]}", file=sys.stderr)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="gpu-check", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/gpu_check"))
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument(
        "--setting", choices=sorted(SETTINGS), default="full", help="configs/gpu_check; full needs a GPU"
    )
    parser.add_argument("--parts", default="", metavar="NAME[,NAME]", help="only these")
    arguments = parser.parse_args(argv)
    try:
        if arguments.setting == "full" and not visible_gpus(os.environ):
            raise InputError(
                "this machine shows no GPU",
                remedy="Run it where nvidia-smi lists one; --setting small runs on the CPU.",
            )
        setting = setting_of(arguments.setting)
        chosen = [one.strip() for one in arguments.parts.split(",") if one.strip()]
        for one in chosen:
            if one not in setting.parts:
                raise InputError(f"no part `{one}`", field="--parts", remedy=f"Parts: {', '.join(setting.parts)}.")
        report = check(setting, arguments.setting, arguments.out, 60 * arguments.minutes, chosen)
    except (InputError, WorkError) as error:
        print(f"gpu-check: {error}", file=sys.stderr)
        return error.exit_status
    (arguments.out / "gpu_check.md").write_text(table(report) + "\n", encoding="utf-8")
    print(f"\n{table(report)}\n\n{arguments.out / 'gpu_check.json'}")
    wrong = any(one["status"] == "failed" or one.get("agree") is False for one in report["parts"].values())
    return WorkError.exit_status if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
