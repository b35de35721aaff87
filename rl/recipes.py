"""The recipes of both training stages (configs/sft/*.yaml, configs/grpo/*.yaml).

What is ours is a typed key here; what is TRL's own goes under ``training`` and is checked against the fields of
the config class that it feeds, so a key that TRL renamed is an error with a line number and not a silent default.
"""

from __future__ import annotations

from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from kie_hvqa.answers.answer import Style
from kie_hvqa.config import Config, PathText, nearest
from kie_hvqa.data.private import is_private
from kie_hvqa.errors import InputError
from kie_hvqa.shipped import recipe
from rewards.plugins.sandbox import SandboxConfig
from rewards.plugins.spec import RewardSpec
from rl.rows.curriculum import Curriculum
from rl.rows.strata import DRAWN


class DataConfig(Config):
    """What to train on: a dataset directory, or a recipe whose documents are damaged while the model trains."""

    path: PathText | None = None
    """A dataset that ``kie-hvqa simulate`` or ``degrade`` wrote, or a file of rows."""
    simulate: PathText | None = None
    """A recipe (a file, or a name from configs/simulate) instead: the same documents, questioned and damaged anew in every epoch."""
    split: str = "train"
    limit: int | None = Field(default=None, ge=1)
    curriculum: Curriculum | None = None
    """Light damage first; None draws all severities from the beginning."""
    strata: dict[str, Annotated[float, Field(ge=0)]] | None = None
    """How often fields of each stratum are drawn beside one another, from a dataset on the disk; None draws rows as they come."""

    @model_validator(mode="after")
    def _one(self) -> DataConfig:
        if (self.path is None) == (self.simulate is None):
            raise ValueError(
                "name either path (a dataset) or simulate (a recipe to damage by), and set the other to null"
            )
        if self.strata is not None and (self.simulate is not None or self.curriculum is not None):
            raise ValueError("strata are drawn from a dataset (path), and without a curriculum")
        for name in self.strata or ():
            if name not in DRAWN:
                raise ValueError(f"strata: there is no stratum `{name}`. {nearest(name, DRAWN)}")
        if self.strata is not None and not any(weight > 0 for weight in self.strata.values()):
            raise ValueError("strata: one weight at least must be above 0")
        return self

    @property
    def name(self) -> str:
        return str(self.path if self.simulate is None else recipe("simulate", self.simulate))

    @property
    def private(self) -> bool:
        """Whether the dataset says of itself that it is private."""
        return self.path is not None and is_private(self.path)


class LoraSettings(Config):
    """An adapter on every linear layer of the language model; None of the vision tower's."""

    rank: int = Field(ge=1)
    alpha: int = Field(ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)


class Sharing(Config):
    """What a group's completions share (rl/sharing); the numbers are plain TRL's to rounding. All false is plain TRL."""

    features: bool = True
    """Encode an image once and keep what the vision tower said, while the tower is frozen."""
    prompts: bool = True
    """Process a prompt once, and read it once in the loss pass."""
    generation: bool = True
    """Sample a group from one prefill (transformers' generation only; vLLM does so itself)."""
    memory_mib: int = Field(default=512, ge=0)
    """Features kept from one generation to later ones; the least recently used leave first."""


class AdvantageConfig(Config):
    """How the tokens of an answer share its pay."""

    credit: Literal["answer", "slot"] = "answer"
    scale: Literal["group", "slot", "none"] = "group"
    """Of slots: one scale for a group, so that the slots that vary have unit variance on the mean; one for each slot; or
    the pay as it is."""
    whole: float = Field(default=0.0, ge=0)
    """Of slots: how much of the whole answer's advantage the tokens that decide slots get besides."""


class EvaluationConfig(Config):
    """Ledger scores of the model in training on held-out rows; the best checkpoint is kept beside the last one."""

    every: int = Field(ge=1)
    """Steps. A multiple of training.save_steps, so that the best weights are on the disk."""
    split: str = "validation"
    limit: int | None = Field(default=200, ge=1)
    batch_size: int = Field(default=16, ge=1)
    max_new_tokens: int = Field(default=512, ge=1)
    take: Literal["last", "best"] = "last"
    """Which weights become ``OUT/model``: the last ones, or those with the best balanced hallucination-free accuracy."""


class StageRecipe(Config):
    """What both stages need: where to start, what to read, what to train, where to write."""

    model: PathText
    data: DataConfig
    output_dir: PathText
    prompt: str | None = None
    """None takes the prompt that the checkpoint was made with."""
    min_pixels: int | None = None
    max_pixels: int | None = None
    """None takes the checkpoint's pixel budget; a foreign model must be given one."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    autocast: Literal["gpu", "fast", "never"] = "gpu"
    """bfloat16 in the products: on GPUs (unless dtype is float32), also on CPUs with matrix tiles (AMX), or nowhere."""
    attn_implementation: str = "auto"
    """transformers' own names (sdpa, flex_attention, flash_attention_2, …); auto lets it choose."""
    train_vision: bool = False
    """The vision tower stays frozen unless asked for: refusal is a habit of the language model."""
    lora: LoraSettings | None = None
    deepspeed: PathText | None = None
    """A DeepSpeed JSON, used when the launcher runs several processes."""
    evaluation: EvaluationConfig | None = None
    private: bool = False
    """No value and no picture leaves for TensorBoard, rollouts or another tracker (docs/privacy.md); true for data that is."""
    stall_seconds: float = Field(default=1800.0, ge=0)
    """A process without progress for so long writes its stacks and ends the run; 0 waits for ever."""
    training: dict[str, Any] = {}


class SftRecipe(StageRecipe):
    """The warm start."""

    answer: Style = "official"
    """How the answers that it learns are written (kie_hvqa.answers.answer.ORDER): ``explicit`` has a mark of its own."""


class GrpoRecipe(StageRecipe):
    """GRPO with rewards named by path (DESIGN contract 5)."""

    rewards: list[RewardSpec] = Field(min_length=1)
    advantages: AdvantageConfig = AdvantageConfig()
    """Who shares an answer's pay: all of its tokens, or each slot's own."""
    refill: int = Field(default=0, ge=0)
    """Further generations a step, at most, in place of groups whose completions all earned the same (DAPO)."""
    sharing: Sharing = Sharing()
    rollouts: bool = True
    """Keep every completion in OUT/rollouts/step_*.parquet."""
    completion_table_steps: int = Field(default=20, ge=0)
    """Every so many steps TensorBoard gets some questions with their damaged images and completions; 0: never."""
    sandbox: SandboxConfig = SandboxConfig()
    """Deadline, memory and quarantine of the processes that the rewards run in."""


def training_arguments(
    recipe: StageRecipe,
    arguments_class: type,
    file: str | Path,
    *,
    defaults: dict[str, Any] | None = None,
    **ours: Any,
):
    """``arguments_class`` (SFTConfig, GRPOConfig) from ``recipe.training`` and what this project always sets.

    ``defaults`` are ours where TRL's do not suit; a recipe may set them. Raises InputError for a key that the class does
    not have, or that this project sets itself, and for a tracker that is not installed.
    """
    known = {field.name: field for field in fields(arguments_class) if field.init}
    for key, value in recipe.training.items():
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
        if isinstance(value, str) and known[key].type in ("bool", "bool | None", bool, bool | None):
            raise InputError(
                f"this is true or false, not the word {value!r}",
                file=file,
                field=f"training.{key}",
                remedy="Write true or false.",
            )
    try:
        arguments = arguments_class(**ours, **_reporting(recipe, file), **{**(defaults or {}), **recipe.training})
    except (TypeError, ValueError) as error:
        raise InputError(str(error), file=file, field="training", remedy="Mend the value.") from error
    _check_evaluation(recipe, arguments, file)
    if keeps_private(recipe) and getattr(arguments, "log_completions", False):
        raise InputError(
            "the data is private, and this sends its values to a tracker",
            file=file,
            field="training.log_completions",
            remedy="Remove it.",
        )
    return arguments


def keeps_private(recipe: StageRecipe) -> bool:
    """Whether values and pictures stay out of all that the stage writes but its checkpoints."""
    return recipe.private or recipe.data.private


def _reporting(recipe: StageRecipe, file: str | Path) -> dict[str, Any]:
    """TensorBoard where the recipe names no tracker. Raises InputError for a named one that is not installed."""
    if "report_to" not in recipe.training:
        return {"report_to": ["tensorboard"] if find_spec("tensorboard") else []}
    named = recipe.training["report_to"]
    for tracker in [named] if isinstance(named, str) else named or []:
        if tracker in ("tensorboard", "trackio", "wandb") and find_spec(tracker) is None:
            raise InputError(
                f"{tracker} is not installed",
                file=file,
                field="training.report_to",
                remedy=f"pip install {tracker}, or name another tracker, or none: [].",
            )
    return {}


def _check_evaluation(recipe: StageRecipe, arguments: Any, file: str | Path) -> None:
    if recipe.evaluation is None or arguments.save_strategy == "no":
        return
    if recipe.evaluation.every % arguments.save_steps:
        raise InputError(
            f"an evaluation every {recipe.evaluation.every} steps and a checkpoint every {arguments.save_steps:g} do not "
            "meet: the best weights would not be on the disk",
            file=file,
            field="evaluation.every",
            remedy="Use a multiple of training.save_steps.",
        )
