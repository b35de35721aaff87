"""The recipes of both training stages (configs/sft/*.yaml, configs/grpo/*.yaml).

What is ours is a typed key here; what is TRL's own goes under ``training`` and is checked against the fields of
the config class that it feeds, so a key that TRL renamed is an error with a line number and not a silent default.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from kie_hvqa.config import Config, nearest
from kie_hvqa.errors import InputError
from rewards.sandbox import SandboxConfig
from rewards.spec import RewardSpec


class DataConfig(Config):
    """A dataset directory, and which of its rows to train on."""

    path: str
    split: str = "train"
    limit: int | None = Field(default=None, ge=1)


class LoraSettings(Config):
    """An adapter on every linear layer of the language model; None of the vision tower's."""

    rank: int = Field(ge=1)
    alpha: int = Field(ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)


class StageRecipe(Config):
    """What both stages need: where to start, what to read, what to train, where to write."""

    model: str
    data: DataConfig
    output_dir: str
    prompt: str | None = None
    """None takes the prompt that the checkpoint was made with."""
    min_pixels: int | None = None
    max_pixels: int | None = None
    """None takes the checkpoint's pixel budget; a foreign model must be given one."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    train_vision: bool = False
    """The vision tower stays frozen unless asked for: refusal is a habit of the language model."""
    lora: LoraSettings | None = None
    deepspeed: str | None = None
    """A DeepSpeed JSON, used when the launcher runs several processes."""
    training: dict[str, Any] = {}


class SftRecipe(StageRecipe):
    """The warm start."""


class GrpoRecipe(StageRecipe):
    """GRPO with rewards named by path (DESIGN contract 5)."""

    rewards: list[RewardSpec] = Field(min_length=1)
    sandbox: SandboxConfig = SandboxConfig()
    """Deadline, memory and quarantine of the processes that the rewards run in."""


def training_arguments(recipe: StageRecipe, arguments_class: type, file: str | Path, **ours: Any):
    """``arguments_class`` (SFTConfig, GRPOConfig) from ``recipe.training`` and what this project always sets.

    Raises InputError for a key that the class does not have, or that this project sets itself.
    """
    known = {field.name for field in fields(arguments_class) if field.init}
    for key in recipe.training:
        if key in ours:
            raise InputError(
                "this key is set by the recipe itself", file=file, field=f"training.{key}", remedy="Remove it."
            )
        if key not in known:
            raise InputError(
                f"{arguments_class.__name__} has no such key",
                file=file,
                field=f"training.{key}",
                remedy=nearest(key, known),
            )
    try:
        return arguments_class(**ours, **recipe.training)
    except (TypeError, ValueError) as error:
        raise InputError(str(error), file=file, field="training", remedy="Mend the value.") from error
