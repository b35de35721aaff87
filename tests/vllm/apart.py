"""Runs a module in a process of its own, as a trainer is: an engine in it ends with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run_apart(*words: str | Path, log: Path | None = None) -> None:
    """``python -m WORDS`` from the root of the repository; fails with the end of what it said, and of another process's ``log``."""
    done = subprocess.run(
        [sys.executable, "-m", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:] + (log.read_text()[-3000:] if log else "")
