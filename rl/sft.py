"""The warm start: supervised fine-tuning on ledger answers in the official format, with TRL's SFTTrainer.

It teaches the format, the mark and the refusal, and stays short: what it overdoes in marking, GRPO has to undo.

Run: kie-hvqa sft --config configs/sft/tiny.yaml [key=value …], or ./launch.sh sft CONFIG for several processes
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trl import SFTConfig, SFTTrainer

from kie_hvqa.config import load
from kie_hvqa.readers.model_directory import coordinates_of
from rl.callbacks.evaluation import Evaluation
from rl.checkpoints.models import Checkpoint, adapter, open_checkpoint
from rl.console import quiet_libraries
from rl.recipes import SftRecipe, training_arguments
from rl.rollouts.engine import check_launched
from rl.rows.training import TrainingRows
from rl.running import train
from rl.stage import StageRun, common_arguments
from rl.tower.attention import faster_tower
from rl.trainer import WarmStartTrainer


def run(config_path: str | Path, overrides: Sequence[str] = ()) -> Path:
    """Train as the recipe says; returns the model directory. Raises InputError before anything is loaded or written."""
    check_launched(os.environ)
    quiet_libraries()
    recipe = load(config_path, SftRecipe, overrides)
    arguments = arguments_of(recipe, config_path)
    with StageRun("sft", recipe) as stage:
        if not stage.finished:
            trainer, checkpoint = build(recipe, arguments)
            train(stage, recipe, trainer, checkpoint)
    return stage.model


def arguments_of(recipe: SftRecipe, file: str | Path, arguments_class: type[SFTConfig] = SFTConfig) -> SFTConfig:
    """TRL's arguments for the recipe in ``file``. Raises InputError for a key or value that TRL does not take."""
    # A prompt with an image must never be cut, so there is no maximum length: the pixel budget bounds it.
    return training_arguments(recipe, arguments_class, file, max_length=None, **common_arguments(recipe))


def build(
    recipe: SftRecipe, arguments: SFTConfig, checkpoint: Checkpoint | None = None
) -> tuple[WarmStartTrainer, Checkpoint]:
    """The trainer over the recipe's model and rows, and the opened ``checkpoint`` (None: the recipe's)."""
    checkpoint = checkpoint or open_checkpoint(recipe)
    faster_tower(checkpoint.model)
    rows = training_rows(recipe, checkpoint)
    trainer = WarmStartTrainer(
        rows=rows, evaluation=Evaluation.of(recipe, checkpoint), **_common(recipe, arguments, checkpoint, rows)
    )
    # Qwen2.5-VL says that its own loss takes no token count, but TRL's does. Without the count a step's loss, and so
    # its gradient, would depend on how its rows fall into processes and accumulation steps.
    trainer.model_accepts_loss_kwargs = True
    return trainer, checkpoint


def build_plain(
    recipe: SftRecipe, arguments: SFTConfig, checkpoint: Checkpoint | None = None
) -> tuple[SFTTrainer, Checkpoint]:
    """TRL's own trainer over the same recipe: what measurements compare with."""
    checkpoint = checkpoint or open_checkpoint(recipe)
    return SFTTrainer(**_common(recipe, arguments, checkpoint, training_rows(recipe, checkpoint))), checkpoint


def training_rows(recipe: SftRecipe, checkpoint: Checkpoint) -> TrainingRows:
    where = coordinates_of(checkpoint.directory)
    return TrainingRows(recipe.data, checkpoint.contract, target=recipe.answer, coordinates=where)


def _common(recipe: SftRecipe, arguments: SFTConfig, checkpoint: Checkpoint, rows: TrainingRows) -> dict[str, Any]:
    return {
        "model": checkpoint.model,
        "args": arguments,
        "train_dataset": rows.as_dataset(),
        "processing_class": checkpoint.processor,
        "peft_config": adapter(recipe, checkpoint.model),
    }
