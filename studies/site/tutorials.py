"""A tutorial is a page that runs: its ``sh`` blocks, one after another, in an empty folder, and what they print.

A ``text`` block after an ``sh`` block is what that block prints, standard error included. ``…`` in it stands for anything:
times, sizes and numbers that a processor may round otherwise. The test of the tutorials (tests/studies/test_tutorials.py)
runs every page, so that none says what is not so.

Run: python -m studies.site.tutorials docs/tutorials/damage-my-scans.md
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_MARK = "----- next step -----"
_BLOCK = re.compile(r"^```(?P<kind>sh|text)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Step:
    """One ``sh`` block, on which line of the page it starts, and what it is said to print (None: nothing is said)."""

    line: int
    script: str
    printed: str | None = None


def steps(page: str) -> list[Step]:
    found: list[Step] = []
    for block in _BLOCK.finditer(page):
        if block["kind"] == "sh":
            found.append(Step(page.count("\n", 0, block.start()) + 1, block["body"]))
        elif found and found[-1].printed is None:
            found[-1].printed = block["body"]
    return found


def fits(said: str, printed: str) -> bool:
    """Whether ``printed`` is ``said``, ``…`` standing for anything, line ends too where it is alone on its line."""
    # re.escape writes a line end as a backslash and a line end.
    pattern = re.escape(f"\n{said.strip()}\n").replace("\\\n…\\\n", "\n(?:.*\n)*?").replace("…", ".*")
    return re.fullmatch(pattern, f"\n{printed.strip()}\n") is not None


def run(page: Path, folder: Path, environment: Mapping[str, str]) -> list[str]:
    """Run the page's steps in ``folder``, in one shell as a reader would; returns what each printed.

    Raises AssertionError for a step that fails or prints something else than the page says.
    """
    wanted = steps(page.read_text(encoding="utf-8"))
    lines = ["set -euo pipefail", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"]
    for step in wanted:
        lines += [f"echo '{_MARK}'", step.script]
    done = subprocess.run(
        ["bash", "-c", "\n".join(lines)],
        cwd=folder,
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    printed = done.stdout.split(f"{_MARK}\n")[1:]
    for step, said in zip(wanted, printed, strict=False):
        if step.printed is not None and not fits(step.printed, said):
            raise AssertionError(f"{page}:{step.line}: the page says otherwise. Printed:\n{said}")
    if done.returncode:
        raise AssertionError(
            f"{page}:{wanted[len(printed) - 1].line}: status {done.returncode}. Printed:\n{printed[-1]}"
        )
    return printed


def main() -> int:
    import os

    with tempfile.TemporaryDirectory() as folder:
        for number, said in enumerate(run(Path(sys.argv[1]), Path(folder), os.environ), 1):
            print(f"--- {number}\n{said}", end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
