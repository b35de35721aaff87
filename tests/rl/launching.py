"""A stage by launch.sh, as a user starts it, on processes of this machine's CPU."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from kie_hvqa.data.files import read_json

ROOT = Path(__file__).resolve().parents[2]
ZERO = {stage: ROOT / "configs" / "deepspeed" / f"zero{stage}.json" for stage in (2, 3)}


def launch(stage: str, recipe: Path, *overrides: str, processes: int = 1, out: Path | None = None) -> dict[str, Any]:
    """Run the stage to its end and return its history.json (of ``out``, or beside the recipe); on failure the test shows the end of what it said."""
    with subprocess.Popen(
        [ROOT / "launch.sh", stage, recipe, *overrides],
        env={**os.environ, "PYTHON": sys.executable, "NPROC": str(processes), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as started:
        try:
            said, _ = started.communicate(timeout=600)
        finally:
            if started.poll() is None:  # a stall or an interrupt: the processes that it started go with it
                os.killpg(started.pid, signal.SIGKILL)
    assert started.returncode == 0, said[-6000:]
    return read_json((out or recipe.parent / "out") / "history.json")
