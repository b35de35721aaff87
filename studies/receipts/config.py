"""The study's plan (``configs/receipts/lines.yaml``): which lines, how they are damaged, and how long everything trains."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from degradations.config import DegradeConfig, Weight
from kie_hvqa.config import Config
from rl.tiny.base_config import Stage
from rl.tiny.build import TinyArchitecture

Share = Annotated[float, Field(ge=0, lt=1)]
Bounds = Annotated[list[float], Field(min_length=2, max_length=2)]


class LineChoice(Config):
    """Which printed lines are asked about: those of ``shortest`` to ``longest`` characters, up to ``per_document`` a receipt that
    trains and ``per_held_out`` of any other."""

    shortest: int = Field(ge=1)
    longest: int = Field(ge=1)
    per_document: int = Field(ge=1)
    per_held_out: int = Field(ge=1)


class Rendered(Config):
    """Receipts of the simulator: ``pages`` of them, the share ``templates`` drawn by its templates and the others strips of random
    text, in ``faces`` (family to weights). ``em`` bounds the size of the print in pixels, ``stretch`` its width."""

    pages: int = Field(ge=1)
    templates: Share
    faces: dict[str, list[int]] = Field(min_length=1)
    em: Bounds
    stretch: Bounds
    captures: dict[Literal["photo", "flatbed", "feeder", "fax", "screenshot"], Weight]


class LineBase(Config):
    """The base training, by the rules of ``rl.tiny.base_reader``: first rendered lines alone, then (``more``) the same again on
    rendered lines, or on rendered and real ones."""

    seed: int
    rendered: Stage
    more: Stage
    character_weight: float = Field(ge=0)
    weight_decay: float = Field(ge=0)
    shift: int = Field(ge=0)
    stretch: Share
    checkpoint_every: int = Field(ge=1)
    evaluate_every: int = Field(ge=1)
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    workers: int = Field(ge=1)
    compile: bool = False
    architecture: TinyArchitecture = TinyArchitecture()


class ReceiptsConfig(Config):
    """``degrade`` damages all lines, rendered and real; ``held_out`` is the operator that no training row has. ``splits`` are the
    shares of the receipts whose companies are kept for the test and for validation. ``sft`` and ``grpo`` are recipes."""

    seed: int
    lines: LineChoice
    splits: dict[Literal["validation", "test"], Share]
    degrade: DegradeConfig
    held_out: str
    rendered: Rendered
    base: LineBase
    sft: str
    grpo: str
    batch_size: int = Field(default=64, ge=1)
    max_new_tokens: int = Field(default=112, ge=1)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.held_out not in self.degrade.operators:
            raise ValueError(f"held_out {self.held_out!r} is none of the operators of degrade")
        if self.degrade.view != "field" or self.degrade.fields is not None:
            raise ValueError("a line reader is shown lines: degrade needs `view: field` and `fields: null`")
        if sum(self.splits.values()) >= 1:
            raise ValueError("splits leaves nothing to train on")
        return self
