"""GRPO with TRL's GRPOTrainer and the rewards that the recipe names.

Run: kie-hvqa grpo --config configs/grpo/tiny.yaml [key=value …], or ./launch.sh grpo CONFIG for several processes
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trl import GRPOConfig, GRPOTrainer

from kie_hvqa.config import load
from rewards.sandbox import Sandbox
from rewards.spec import load_rewards
from rl.models import adapter, open_checkpoint, save_checkpoint
from rl.recipes import GrpoRecipe, training_arguments
from rl.rows import TrainingRows
from rl.shared_vision import share_repeated_images
from rl.stage import StageRun, common_arguments


def run(config_path: str | Path, overrides: Sequence[str] = ()) -> Path:
    """Train as the recipe says; returns the model directory. Raises InputError before anything is loaded or written."""
    recipe = load(config_path, GrpoRecipe, overrides)
    rewards = load_rewards(recipe.rewards, Path(config_path).parent)
    arguments = arguments_of(recipe, config_path, rewards)
    with StageRun("grpo", recipe) as stage:
        if stage.finished:
            return stage.model
        with Sandbox(rewards, recipe.sandbox) as sandbox:
            trainer, checkpoint = build(recipe, arguments, sandbox.rewards)
            trainer.train(resume_from_checkpoint=stage.last_checkpoint())
        save_checkpoint(trainer, checkpoint, stage.model)
        stage.finish(trainer)
    return stage.model


def arguments_of(
    recipe: GrpoRecipe, file: str | Path, rewards: Sequence[Any], arguments_class: type[GRPOConfig] = GRPOConfig
) -> GRPOConfig:
    """TRL's arguments for the recipe in ``file``. Raises InputError for a key or value that TRL does not take."""
    return training_arguments(
        recipe,
        arguments_class,
        file,
        reward_weights=[reward.weight for reward in rewards],
        **common_arguments(recipe),
    )


def build(recipe: GrpoRecipe, arguments: GRPOConfig, rewards: Sequence[Any]) -> tuple[GRPOTrainer, Any]:
    """The trainer over the recipe's model, rows and rewards, and the opened checkpoint."""
    checkpoint = open_checkpoint(recipe)
    rows = TrainingRows(recipe.data, checkpoint.contract, with_completion=False)
    if not recipe.train_vision:
        share_repeated_images(checkpoint.model)
    suppressed = checkpoint.suppressed_tokens
    arguments.generation_kwargs = {"suppress_tokens": suppressed, **(arguments.generation_kwargs or {})}
    trainer = GRPOTrainer(
        model=checkpoint.model,
        reward_funcs=list(rewards),
        args=arguments,
        train_dataset=rows.as_dataset(),
        processing_class=checkpoint.processor,
        peft_config=adapter(recipe),
    )
    return trainer, checkpoint
