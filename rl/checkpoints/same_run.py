"""Is a recipe that of the run in a directory? Only keys that define the result decide.

A run that ran out of memory goes on with smaller micro-batches, one that was too short with more steps, one that logged too
little with more logs: those keys may differ. What a step learns from, and how, may not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

FREE = frozenset({
    # where and how it runs
    "deepspeed", "stall_seconds", "completion_table_steps", "rollouts", "sharing", "sandbox", "attn_implementation", "private",
    "evaluation.batch_size",
    # how a step is cut into pieces: their product counts, see ``rows a step``
    "training.per_device_train_batch_size", "training.gradient_accumulation_steps", "training.per_device_eval_batch_size",
    "training.activation_checkpointing", "training.gradient_checkpointing", "training.ddp_timeout",
    # steps to add
    "training.max_steps", "training.num_train_epochs",
    # logging and saving
    "training.logging_steps", "training.logging_first_step", "training.log_completions", "training.report_to",
    "training.run_name", "training.disable_tqdm", "training.save_steps", "training.save_strategy",
    "training.save_total_limit", "training.save_only_model", "training.dataloader_num_workers",
    "training.dataloader_pin_memory", "training.dataloader_prefetch_factor",
    "training.vllm_gpu_memory_utilization", "training.vllm_enable_sleep_mode", "training.vllm_max_model_length",
})  # fmt: skip
"""Keys of a recipe that change how a run runs, and not what comes out (but for rounding). A key's children go with it."""


def differences(before: dict[str, Any], now: dict[str, Any], processes: tuple[int, int]) -> list[str]:
    """``key was A, is B`` for every result-defining key in which two recipes (as JSON) differ; ``processes`` each had."""
    old, new = (dict(_defining(recipe, count)) for recipe, count in zip((before, now), processes, strict=True))
    return [
        f"{key} was {old.get(key)!r}, is {new.get(key)!r}"
        for key in dict.fromkeys([*old, *new])
        if old.get(key) != new.get(key)
    ]


def _defining(recipe: dict[str, Any], processes: int) -> Iterator[tuple[str, Any]]:
    training = recipe.get("training", {})
    rows = training.get("per_device_train_batch_size", 8) * training.get("gradient_accumulation_steps", 1)
    yield "rows a step", rows * processes
    yield from _flat(recipe, "")


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if path in FREE:
        return
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else key)
    else:
        yield path, value
