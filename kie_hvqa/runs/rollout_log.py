"""The completions that a GRPO run kept, ``OUT/rollouts/step_*.parquet`` (written by ``rl.rollouts.record``), read back."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kie_hvqa.data.dataset import parse_row
from kie_hvqa.errors import InputError
from kie_hvqa.data.ledger import Row

ROLLOUTS = "rollouts"
AS_JSON = ("page", "recipe", "capture")
"""Columns that hold JSON: a table wants one shape, and these have any."""
_STEP = re.compile(r"step_(\d+)")


def is_log(path: Path) -> bool:
    return path.suffix == ".parquet" or (path.is_dir() and any(path.glob("step_*.parquet")))


def steps(directory: Path) -> dict[int, list[Path]]:
    """The files of every step, steps in order."""
    found: dict[int, list[Path]] = defaultdict(list)
    for path in sorted(directory.glob("step_*.parquet")):
        if match := _STEP.match(path.name):
            found[int(match[1])].append(path)
    return dict(sorted(found.items()))


def read(path: Path, wanted: str | None = None) -> list[dict[str, Any]]:
    """The completions in ``path``, a folder or one of its files; with ``wanted``, those about the row of that id.

    Raises InputError for what is not a log of rollouts.
    """
    from pyarrow import ArrowException, compute  # type: ignore[import-untyped]
    from pyarrow.parquet import read_table  # type: ignore[import-untyped]

    try:
        filters = None if wanted is None else compute.field("id") == wanted
        entries = read_table(path, filters=filters).to_pylist()
        return [entry | {name: json.loads(entry[name]) for name in AS_JSON if entry.get(name)} for entry in entries]
    except (ArrowException, OSError, ValueError) as error:
        raise InputError(
            f"not a log of rollouts ({str(error)[:200]})", file=path, remedy="Name OUT/rollouts."
        ) from None


def row_of(entry: Mapping[str, Any]) -> Row:
    """The dataset row of a completion, without its ledger and its image's name. Raises InputError for a log without it."""
    return parse_row({"file_name": "", **entry})
