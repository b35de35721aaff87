"""Every completion of a GRPO run, in ``OUT/rollouts/step_*.parquet``: one file a generation, one row a completion.

A row holds what was asked and said, every part of the reward, the advantage, why the completion ended, and the damage
recipe of its image and what its page was drawn from, so that the image can be made again from the log
(``kie-hvqa simulate --replay OUT/rollouts#ID``). A file is named by the optimiser step that it
is generated for and is written beside and renamed; a run that was killed goes on from a checkpoint and writes the
files of the steps after it anew, so that no row is lost and none stands twice.

Read them: pandas.read_parquet("OUT/rollouts")
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from kie_hvqa.data.files import replacing
from kie_hvqa.runs.rollout_log import AS_JSON
from rewards.contract import completion_text

COPIED = ("id", "document_id", "document_type", "split", "field", "question_kind", "severity", "template", "problem")


def rollout_table(
    step: int,
    rows: Sequence[dict[str, Any]],
    completions: Sequence[Any],
    completion_ids: Sequence[Sequence[int]],
    rewards: dict[str, Sequence[float]],
    advantages: Sequence[float],
    ends: set[int],
) -> pa.Table:
    """One row a completion. ``rows`` are dataset rows, ``rewards`` by function (NaN where it does not apply)."""
    columns: dict[str, Any] = {"step": [step] * len(rows)}
    columns |= {name: [row.get(name) for row in rows] for name in COPIED if any(name in row for row in rows)}
    columns["prompt"] = [_prompt_text(row["prompt"]) for row in rows]
    columns["answer"] = [row.get("answer") for row in rows]
    columns["completion"] = [completion_text(completion) for completion in completions]
    columns["tokens"] = [len(ids) for ids in completion_ids]
    columns["finish_reason"] = ["stop" if ids and ids[-1] in ends else "length" for ids in completion_ids]
    for name, values in rewards.items():
        columns[f"reward/{name}"] = pa.array(
            [None if math.isnan(value) else value for value in values], type=pa.float64()
        )
    columns["advantage"] = list(advantages)
    columns |= {name: [json.dumps(row.get(name), ensure_ascii=False) for row in rows] for name in AS_JSON}
    return pa.table(columns)


def file_name(step: int, part: int) -> str:
    """``step_000012.parquet``; a second generation for the same step gets a suffix."""
    return f"step_{step:06d}{f'_part{part}' if part else ''}.parquet"


def write_rollouts(directory: Path, name: str, tables: Sequence[pa.Table]) -> None:
    """One file of all processes' ``tables``: a file for each would be thousands in a run on several machines."""
    with replacing(directory / name, "wb") as stream:
        pq.write_table(pa.concat_tables(tables, promote_options="permissive"), stream)


def _prompt_text(prompt: Any) -> str:
    if isinstance(prompt, str):
        return prompt
    parts = [part for message in prompt for part in _parts(message["content"])]
    return "".join(parts)


def _parts(content: Any) -> list[str]:
    if isinstance(content, str):
        return [content]
    return [part.get("text") or "" if part["type"] == "text" else f"<{part['type']}>" for part in content]
