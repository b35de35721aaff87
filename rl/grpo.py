"""GRPO with TRL's GRPOTrainer and the rewards that the recipe names.

Run: kie-hvqa grpo --config configs/grpo/tiny.yaml [key=value …], or ./launch.sh grpo CONFIG for several processes
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trl import GRPOConfig, GRPOTrainer

from kie_hvqa.config import load
from kie_hvqa.errors import InputError
from kie_hvqa.readers import embedded_directory
from kie_hvqa.readers.model_directory import coordinates_of
from rewards.plugins.sandbox import Sandbox
from rewards.plugins.spec import load_rewards
from rl.advantages import SlotCredit
from rl.callbacks.completion_table import CompletionTable
from rl.callbacks.evaluation import Evaluation
from rl.callbacks.reward_counters import RewardCounters
from rl.checkpoints.models import Checkpoint, adapter, open_checkpoint
from rl.console import quiet_libraries
from rl.families import family_of
from rl.recipes import GrpoRecipe, keeps_private, training_arguments
from rl.rollouts.engine import check_launched
from rl.rollouts.observer import RolloutObserver
from rl.rollouts.trust import check_sampling, never_sampled
from rl.rollouts.vllm_models import check_served
from rl.rows.training import TrainingRows
from rl.running import train
from rl.stage import StageRun, common_arguments
from rl.tower.attention import faster_tower
from rl.tower.service import TowerService, whole_tower
from rl.trainer import GroupTrainer


def run(config_path: str | Path, overrides: Sequence[str] = ()) -> Path:
    """Train as the recipe says; returns the model directory. Raises InputError before anything is loaded or written."""
    check_launched(os.environ)
    quiet_libraries()
    recipe = load(config_path, GrpoRecipe, overrides)
    rewards = load_rewards(recipe.rewards, Path(config_path).parent)
    arguments = arguments_of(recipe, config_path, rewards)
    with StageRun("grpo", recipe) as stage:
        if not stage.finished:
            quiet = recipe.sandbox.model_copy(update={"private": recipe.sandbox.private or keeps_private(recipe)})
            with Sandbox(rewards, quiet) as sandbox:
                trainer, checkpoint = build(recipe, arguments, sandbox.rewards)
                train(stage, recipe, trainer, checkpoint)
    return stage.model


def arguments_of(
    recipe: GrpoRecipe, file: str | Path, rewards: Sequence[Any], arguments_class: type[GRPOConfig] = GRPOConfig
) -> GRPOConfig:
    """TRL's arguments for the recipe in ``file``. Raises InputError for a key or value that TRL does not take, and for
    sampling that the loss cannot account for."""
    arguments = training_arguments(
        recipe,
        arguments_class,
        file,
        # TRL's default drops a whole transcription for a few tokens whose ratio is off (trl#4772, trl#5814).
        defaults={"vllm_importance_sampling_mode": "token_truncate"},
        reward_weights=[reward.weight for reward in rewards],
        **common_arguments(recipe),
    )
    check_sampling(arguments, file)
    if arguments.use_vllm:
        check_served(embedded_directory() if recipe.model == "embedded" else Path(recipe.model))
    if (
        recipe.refill
        and arguments.per_device_train_batch_size * arguments.steps_per_generation % arguments.num_generations
    ):
        raise InputError(
            "groups can only be drawn again where a process holds whole ones",
            file=file,
            field="refill",
            remedy=f"Use a per_device_train_batch_size that num_generations ({arguments.num_generations}) divides, or 0.",
        )
    if recipe.advantages.credit == "slot":
        check_credit(rewards, arguments, file)
    return arguments


def build(
    recipe: GrpoRecipe, arguments: GRPOConfig, rewards: Sequence[Any], checkpoint: Checkpoint | None = None
) -> tuple[GroupTrainer, Checkpoint]:
    """The trainer over the recipe's model, rows and rewards, and the opened ``checkpoint`` (None: the recipe's)."""
    checkpoint = checkpoint or open_checkpoint(recipe)
    faster_tower(checkpoint.model)
    sharing = recipe.sharing
    rows = training_rows(recipe, checkpoint)
    private = keeps_private(recipe)
    trainer = GroupTrainer(
        tower=tower_service(recipe, checkpoint),
        share_prompts=sharing.prompts,
        share_generation=sharing.generation,
        observer=RolloutObserver(
            Path(recipe.output_dir) / "rollouts" if recipe.rollouts and not private else None,
            CompletionTable(0 if private else recipe.completion_table_steps),
        ),
        credit=slot_credit(recipe, rewards),
        refill=recipe.refill,
        evaluation=Evaluation.of(recipe, checkpoint),
        rows=rows,
        **_common(recipe, arguments, rewards, checkpoint, rows),
    )
    trainer.add_callback(RewardCounters(rewards))
    return trainer, checkpoint


def build_plain(
    recipe: GrpoRecipe, arguments: GRPOConfig, rewards: Sequence[Any], checkpoint: Checkpoint | None = None
) -> tuple[GRPOTrainer, Checkpoint]:
    """TRL's own trainer over the same recipe: what measurements and tests compare with."""
    checkpoint = checkpoint or open_checkpoint(recipe)
    rows = training_rows(recipe, checkpoint)
    return GRPOTrainer(**_common(recipe, arguments, rewards, checkpoint, rows)), checkpoint


def training_rows(recipe: GrpoRecipe, checkpoint: Checkpoint) -> TrainingRows:
    return TrainingRows(recipe.data, checkpoint.contract, coordinates=coordinates_of(checkpoint.directory))


def _common(
    recipe: GrpoRecipe, arguments: GRPOConfig, rewards: Sequence[Any], checkpoint: Checkpoint, rows: TrainingRows
) -> dict[str, Any]:
    barred = never_sampled(checkpoint.suppressed_tokens, arguments.use_vllm)
    arguments.generation_kwargs = {**barred, **(arguments.generation_kwargs or {})}
    return {
        "model": checkpoint.model,
        "reward_funcs": list(rewards),
        "args": arguments,
        "train_dataset": rows.as_dataset(),
        "processing_class": checkpoint.processor,
        "peft_config": adapter(recipe, checkpoint.model),
    }


def check_credit(rewards: Sequence[Any], arguments: GRPOConfig, file: str | Path) -> None:
    """Raises InputError where a slot's advantage would be none."""
    if not any(reward.pays_slots for reward in rewards):
        raise InputError(
            "no reward of the recipe can be taken apart by slot",
            file=file,
            field="advantages.credit",
            remedy="Add rewards.faithful:faithful, or set it to answer.",
        )
    if arguments.per_device_train_batch_size * arguments.steps_per_generation % arguments.num_generations:
        raise InputError(
            "a slot's baseline is its group's mean, and a process would hold parts of groups",
            file=file,
            field="training.per_device_train_batch_size",
            remedy=f"Use a multiple of num_generations ({arguments.num_generations}).",
        )
    if arguments.loss_type == "vespo" or arguments.off_policy_mask_threshold is not None:
        raise InputError(
            "this kind of loss weighs whole answers by their advantage",
            file=file,
            field="advantages.credit",
            remedy="Set it to answer, or use loss_type dapo without off_policy_mask_threshold.",
        )


def slot_credit(recipe: GrpoRecipe, rewards: Sequence[Any]) -> SlotCredit | None:
    """Credit by slot for the rewards that give it; None where the whole answer shares its pay."""
    if recipe.advantages.credit == "answer":
        return None
    return SlotCredit(
        [reward for reward in rewards if reward.pays_slots], recipe.advantages.scale, recipe.advantages.whole
    )


def tower_service(recipe: GrpoRecipe, checkpoint: Checkpoint) -> TowerService | None:
    """The frozen tower of the recipe's model; None where it is trained, not to be shared, or of no known family."""
    family = family_of(checkpoint.model.config)
    if family is None or recipe.train_vision or not recipe.sharing.features:
        return None
    tower = whole_tower(family, checkpoint.model, checkpoint.directory)
    return TowerService(family, tower, memory_mib=recipe.sharing.memory_mib)
