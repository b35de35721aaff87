"""A reward for completions of random weights, which no other reward tells apart: without it every advantage were zero."""

from __future__ import annotations

from typing import Any


def spread(
    prompts: list[Any], completions: list[Any], completion_ids: list[list[int]], **columns: Any
) -> list[float | None]:
    """From 0 to 1 by the sum of a completion's token ids: the same for the same completion."""
    return [sum(ids) % 17 / 16 for ids in completion_ids]
