"""The plan of an ablation (configs/ablation/*.yaml): one warm start, one budget, several rewards, several seeds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from kie_hvqa.config import Config, load
from rewards.plugins.spec import RewardSpec

WATCH = RewardSpec(function="faithful", weight=0.0)
"""Pays nothing and logs the ledger's rates, so that the truth is in the log of a reward that does not look at it."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_.=]*")  # no "-": it stands between two names in ablation.json
RESERVED = ("data", "base", "warm_start", "no_rl")


class Seconds(Config):
    """What things took where the plan was made; cells that are finished here replace the first two."""

    step: float = Field(gt=0)
    question: float = Field(gt=0)
    warm_start: float = Field(ge=0)


class AblationConfig(Config):
    """Recipes are relative to the plan's own file, ``data`` and ``model`` to the working directory."""

    title: str
    section: str = Field(pattern=r"^[a-z_]+$")
    """Names the part of docs/rewards-measured.md, and the files beside it, that hold the results."""
    simulate: str | None = None
    data: str | None = None
    """A dataset that is there already, instead of ``simulate``."""
    sft: str | None = None
    model: str | None = None
    """A warm start that is there already, instead of ``sft``."""
    base: str | None = None
    """The reader before the warm start, evaluated beside the others."""
    grpo: str
    """The budget: every reward is trained by this recipe, of which only the rewards and the seed change."""
    overrides: dict[Literal["simulate", "sft", "grpo"], list[str]] = {}
    seeds: list[int] = Field(min_length=1)
    rewards: dict[str, list[RewardSpec]] = Field(min_length=1)
    answer_credit: list[str] = []
    """Rewards that pay an answer as a whole, whatever the recipe's ``advantages`` say; those that pay no slots always do."""
    reference: str
    """The reward that the others are compared with."""
    matched: list[str] = []
    """Cells of one kind of reward that together are compared with the reference at its own over-refusal."""
    ladder: list[str] = []
    """Cells from the boldest to the most careful: each should invent less than the one before."""
    split: str = "test"
    limit: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=64, ge=1)
    max_new_tokens: int = Field(default=96, ge=1)
    resamples: int = Field(default=2000, ge=100)
    seconds: Seconds

    @model_validator(mode="after")
    def _whole(self) -> AblationConfig:
        for pair in (("simulate", "data"), ("sft", "model")):
            if sum(getattr(self, name) is not None for name in pair) != 1:
                raise ValueError(f"name one of `{pair[0]}` and `{pair[1]}`")
        for name in self.rewards:
            if not _NAME.fullmatch(name) or name in RESERVED:
                raise ValueError(f"`{name}` cannot be the name of a cell's directory")
        for name in (self.reference, *self.matched, *self.ladder, *self.answer_credit):
            if name not in self.rewards:
                raise ValueError(f"`{name}` is not among the rewards")
        if self.reference in self.matched:
            raise ValueError("the reference cannot be matched with itself")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("a seed stands twice")
        return self


def load_plan(path: Path, overrides: list[str]) -> AblationConfig:
    """The plan with its recipes as absolute paths. Raises InputError naming what is wrong with it."""
    config = load(path, AblationConfig, overrides)
    home = path.resolve().parent
    recipes = {name: None if (value := getattr(config, name)) is None else str(home / value) for name in _RECIPES}
    rewards = {name: [_placed(spec, home) for spec in specs] for name, specs in config.rewards.items()}
    return config.model_copy(update={**recipes, "rewards": rewards})


_RECIPES = ("simulate", "sft", "grpo")


def _placed(spec: RewardSpec, home: Path) -> RewardSpec:
    """A reward in a file is relative to the plan that names it, not to the recipe that it is put into."""
    file, colon, name = spec.function.rpartition(":")
    if not colon or not file.endswith(".py"):
        return spec
    return spec.model_copy(update={"function": f"{home / file}:{name}"})


def watched(specs: list[RewardSpec]) -> list[RewardSpec]:
    """``specs`` and, where none of them logs the ledger's rates, ``WATCH``."""
    names = {spec.function.rpartition(":")[2] for spec in specs}
    return specs if "faithful" in names else [*specs, WATCH]
