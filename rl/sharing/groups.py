"""Shuffles a generation by whole groups, so that a micro-batch holds few prompts with all of their completions.

TRL shuffles completions one by one before it cuts micro-batches: of 16 rows of a group size of 5 nearly 11 are then of
different prompts, and a pass that reads a prompt once for all its completions saves little.
"""

from __future__ import annotations

from typing import Any

import torch


def shuffled_groups(batch: dict[str, Any], group: int) -> dict[str, Any]:
    """``batch`` with its rows in another order: neighbours ``group`` by ``group`` stay together.

    The order is that in which the groups come up in a shuffle of all rows, so that as much is drawn from torch's
    generator as TRL draws. Rows that do not make whole groups are shuffled one by one, as TRL does it.
    """
    rows = len(batch["advantages"])
    drawn = torch.randperm(rows)
    if rows % group == 0:
        groups = list(dict.fromkeys((drawn // group).tolist()))
        drawn = torch.tensor([at * group + place for at in groups for place in range(group)])

    def taken(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value[drawn] if value.ndim else value
        return None if value is None else [value[index] for index in drawn.tolist()]

    return {name: taken(value) for name, value in batch.items()}
