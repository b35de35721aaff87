"""Groups that teach nothing are drawn again, a few times: DAPO's dynamic sampling (Yu et al. 2025, section 3.2), with a cap.

Where all completions of a group earned the same, their advantages are 0 and the step learns from fewer questions than it
paid for. So further questions are asked, and their groups take the place of such ones, as long as there are any and at most
``most`` generations a step. A process fills its own places; all of them generate equally often.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from accelerate.utils import gather_object

from rl.sharing.prompts import Generation

# What TRL pads on the left (prompts) and on the right (completions); types are a prompt's and a completion's in a row.
_PROMPT = ("prompt_ids", "prompt_mask")
_TYPES = ("mm_token_type_ids", "token_type_ids")
Batch = dict[str, Any]
Drawn = tuple[Batch, Generation | None]


def flat_groups(batch: Batch, group: int) -> list[int]:
    """The groups of ``batch`` in which no token has an advantage."""
    moving = batch["advantages"].view(-1, group, *batch["advantages"].shape[1:]).flatten(1).abs() > 0
    return [index for index, any_moves in enumerate(moving.any(dim=1).tolist()) if not any_moves]


def refilled(
    first: Drawn, draw: Callable[[int], Drawn], group: int, most: int, pad_token: int
) -> tuple[Batch, Generation | None, int]:
    """``first`` with its flat groups replaced by others of ``draw(1)``, ``draw(2)``, … up to ``most``; the generation whose
    prompts its ``prompt_numbers`` name; and how many groups were replaced here.

    Batches are as TRL's `_generate_and_score_completions` returns them, with pixels and grids split by row. A collective.
    """
    (batch, generation), replaced = first, 0
    for attempt in range(1, most + 1):
        flat = flat_groups(batch, group)
        if not sum(gather_object([len(flat)])):
            break
        more, other = draw(attempt)
        useful = [at for at in range(len(more["advantages"]) // group) if at not in set(flat_groups(more, group))]
        pairs = list(zip(flat, useful, strict=False))
        if generation is not None and other is not None:
            more = {**more, "prompt_numbers": more["prompt_numbers"] + len(generation.grids)}
            generation = _together(generation, other)
        batch = merged(batch, more, pairs, group, pad_token)
        replaced += len(pairs)
    return batch, generation, replaced


def merged(batch: Batch, more: Batch, pairs: list[tuple[int, int]], group: int, pad_token: int) -> Batch:
    """``batch`` with group a replaced by group b of ``more`` for each (a, b) of ``pairs``."""
    prompt = max(each["prompt_ids"].shape[1] for each in (batch, more))
    completion = max(each["completion_ids"].shape[1] for each in (batch, more))
    into = [a * group + place for a, _ in pairs for place in range(group)]
    taken = [b * group + place for _, b in pairs for place in range(group)]
    result: Batch = {}
    for key, value in batch.items():
        if value is None or (isinstance(value, torch.Tensor) and value.ndim == 0):
            result[key] = value
        elif isinstance(value, torch.Tensor):
            fill = pad_token if key in ("prompt_ids", "completion_ids") else 0
            wide, other = (_widened(key, each, prompt, completion, fill) for each in (batch, more))
            wide[into] = other[taken].to(wide.dtype)
            result[key] = wide
        else:
            rows = list(value)
            for place, source in zip(into, taken, strict=True):
                rows[place] = more[key][source]
            result[key] = rows
    return result


def _widened(key: str, batch: Batch, prompt: int, completion: int, fill: int) -> torch.Tensor:
    value = batch[key]
    if value.ndim < 2:
        return value.clone()
    left, right = prompt - batch["prompt_ids"].shape[1], completion - batch["completion_ids"].shape[1]
    pad = (left, 0) if key in _PROMPT else (left, right) if key in _TYPES else (0, right)
    return torch.nn.functional.pad(value, pad, value=fill)


def _together(one: Generation, other: Generation) -> Generation:
    """Both generations' prompts; the numbers of the second go on where those of the first end."""
    features = None if one.features is None or other.features is None else [*one.features, *other.features]
    return replace(
        one,
        grids=torch.cat([one.grids, other.grids]),
        pixels=[*one.pixels, *other.pixels],
        features=features,
    )
