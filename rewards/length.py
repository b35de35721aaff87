"""Soft overlong punishment: an answer about one field has no reason to run to the length cap.

DAPO's Eq. (13) (arXiv 2503.14476), as TRL's ``get_soft_overlong_punishment`` has it, but a plain function, with
the length counted in tokens or in characters. Nothing is paid for being short.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from rewards.contract import Completion, Rewards, completion_text


def overlong(length: int, limit: int, soft: int) -> float:
    """0 up to ``limit - soft``, falling linearly to -1 at ``limit``, -1 beyond. Range [-1, 0]."""
    start = max(0, limit - soft)
    if length <= start:
        return 0.0
    return -1.0 if length > limit else (start - length) / (limit - start)


def length(
    prompts: Sequence[Any],
    completions: Sequence[Completion],
    completion_ids: Sequence[Sequence[int]] | None = None,
    limit: Annotated[int, Field(gt=0)] = 512,
    soft: Annotated[int, Field(ge=0)] = 128,
    unit: Literal["token", "character"] = "token",
    **columns: Any,
) -> Rewards:
    """Costs an answer that nears the length ``limit``: 0 to -1 over its last ``soft`` units.

    Counts tokens from ``completion_ids`` (None where the trainer gives none) or the completion's characters.
    """
    if unit == "character":
        return [overlong(len(completion_text(completion)), limit, soft) for completion in completions]
    if completion_ids is None:
        return [None] * len(completions)
    return [overlong(len(ids), limit, soft) for ids in completion_ids]
