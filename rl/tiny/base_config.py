"""The recipe of the embedded reader's base training (``configs/base/*.yaml``)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kie_hvqa.config import Config
from rl.tiny.build import TinyArchitecture


class PoolSizes(Config):
    """Pages drawn once and trained on again and again: text blocks, and of each template undamaged and damaged ones."""

    text_block: int = Field(ge=1)
    documents: int = Field(ge=1)
    damaged: int = Field(ge=1)
    validation: int = Field(ge=1)


class Stage(Config):
    """One stage of training: optimiser steps, pages a step, peak learning rate, linear warm-up steps.

    ``horizon`` is the step at which the learning rate would end; None is ``steps``. A stage that another follows can
    stop earlier. ``damaged`` is the share of batches whose pages are damaged.
    """

    steps: int = Field(ge=0)
    batch: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    warmup: int = Field(ge=0)
    horizon: int | None = Field(default=None, ge=1)
    fields_per_page: int = Field(default=4, ge=1)
    damaged: float = Field(default=0.0, ge=0, le=1)


class BaseReaderConfig(Config):
    seed: int
    simulate: str
    pages: PoolSizes
    workers: int = Field(ge=1)
    vision: Stage
    joint: Stage
    refine: Stage
    damage: Stage
    character_weight: float = Field(ge=0)
    weight_decay: float = Field(ge=0)
    shift: int = Field(ge=0)
    checkpoint_every: int = Field(ge=1)
    evaluate_every: int = Field(ge=1)
    dtype: Literal["auto", "float32", "bfloat16"]
    compile: bool
    architecture: TinyArchitecture = TinyArchitecture()
