"""What ``kie_hvqa.yaml`` asks of Python when it runs in lmms-eval: where the data lie, what is asked, how it is scored.

lmms-eval imports this file by its path (``!function task.NAME`` takes any attribute, not functions alone), so it is no
module of the package. Rows are read from the dataset directory by this project's own reader, not from the table that
``datasets`` makes of it, which fills the gaps of nested columns with nulls; the table gives ids and images.

An item is ``{"score", "top", "bottom", "document_id"}``: a score over samples is the sum of the tops over the sum of the
bottoms (``kie_hvqa.scoring.metrics``), never a mean of rates. ``score`` is the sample's own ratio, left out where it has none, and is
what lmms-eval's standard errors are made of.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kie_hvqa.answers.prompt import fill, question
from kie_hvqa.data.dataset import load_rows, rows_file
from kie_hvqa.data.ledger import Row
from kie_hvqa.errors import InputError
from kie_hvqa.scoring.metrics import parts
from kie_hvqa.scoring.scores import score

DATA, SPLIT = "KIE_HVQA_DATA", "KIE_HVQA_SPLIT"


def directory() -> Path:
    """The dataset directory that the environment names. InputError where it names none, or no dataset."""
    name = os.environ.get(DATA)
    if not name:
        raise InputError(
            f"the environment variable {DATA} is not set",
            field=DATA,
            remedy="Set it to a dataset directory: kie-hvqa simulate writes one.",
        )
    return rows_file(Path(name).resolve()).parent


@functools.cache
def rows() -> Mapping[str, Row]:
    """The rows that are asked about, by id."""
    return {row.id: row for row in load_rows(directory(), split=os.environ.get(SPLIT) or None)}


def in_split(table: Any) -> Any:
    """The table's rows in ``KIE_HVQA_SPLIT``, or all of them; what only this project's reader understands is left out."""
    wanted = rows()
    kept = table.select([index for index, name in enumerate(table["id"]) if name in wanted])
    return kept.select_columns(["image", "id", "document_id", "problem", "answer"])


def visual(doc: Mapping[str, Any]) -> list[Any]:
    """The damaged page, RGB."""
    return [doc["image"].convert("RGB")]


def text(doc: Mapping[str, Any], options: Mapping[str, Any] | None = None) -> str:
    """The prompt around the row's question, word for word as ``kie-hvqa eval --prompt`` gives it."""
    return fill((options or {}).get("prompt", "official"), question(rows()[doc["id"]]))


def results(doc: Mapping[str, Any], responses: Sequence[str]) -> dict[str, dict[str, Any]]:
    """One item a score."""
    row = rows()[doc["id"]]
    found = {}
    for name, (top, bottom) in parts(score(row, responses[0])).items():
        item: dict[str, Any] = {"top": top, "bottom": bottom, "document_id": row.document_id}
        found[name] = item | ({"score": top / bottom} if bottom else {})
    return found


def ratio(items: Sequence[Mapping[str, Any]]) -> float:
    """A score over all samples; NaN where no sample has a say in it."""
    bottom = math.fsum(item["bottom"] for item in items)
    return math.fsum(item["top"] for item in items) / bottom if bottom else math.nan


def __getattr__(name: str) -> Any:
    if name == "DATASET":  # what ``load_dataset`` is given, looked up when the task is loaded and not before
        return {"data_dir": str(directory())}
    raise AttributeError(name)
