"""What training must know of a model family, in three methods; everything else is read off the model.

A family says where its vision tower is (``tower``), what the tower gives for an image (``encode``), and how a plan sees
it (``plan``). Whatever transformers opens as an image-text-to-text model can be trained without a family: then images
are encoded as TRL does it, and the preflight says that it has no plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.modeling_outputs import BaseModelOutputWithPooling


@dataclass(frozen=True)
class Features:
    """What a tower says about one image: ``tokens`` [T, width of the language model], and the same of the layers that
    are also fed to the language model's first ones (``deeper``, Qwen3-VL's DeepStack; empty elsewhere)."""

    tokens: torch.Tensor
    deeper: tuple[torch.Tensor, ...] = ()

    @property
    def nbytes(self) -> int:
        return self.tokens.nbytes + sum(each.nbytes for each in self.deeper)


class Family:
    """A family whose tower stands at ``model.model.visual`` and takes patches beside a grid: all of Qwen's so far."""

    def __init__(self, *model_types: str) -> None:
        self.model_types = model_types

    def tower(self, model: Any) -> Any:
        """The vision tower of ``model`` (without an adapter around it)."""
        return model.model.visual

    def encode(self, tower: Any, pixels: torch.Tensor, grid: torch.Tensor) -> Features:
        """``pixels`` [patches, features] and ``grid`` int64 [1, 3] of one image, on the tower's device."""
        said = tower(pixels.to(tower.dtype), grid_thw=grid, return_dict=True)
        return Features(said.pooler_output, tuple(getattr(said, "deepstack_features", None) or ()))

    def plan(self, vision: Any, patches: int) -> int:
        """How many patches of an image of ``patches`` a patch sees, on the mean over the layers of a tower with the
        configuration ``vision``."""
        return patches


class WindowedFamily(Family):
    """Qwen2.5-VL: most layers of its tower look through windows."""

    def plan(self, vision: Any, patches: int) -> int:
        whole = len(vision.fullatt_block_indexes)
        window = min(patches, (vision.window_size // vision.patch_size) ** 2)
        return (whole * patches + (vision.depth - whole) * window) // vision.depth


FAMILIES: tuple[Family, ...] = (
    WindowedFamily("qwen2_5_vl"),
    Family("qwen2_vl"),
    Family("qwen3_vl", "qwen3_vl_moe"),
    Family("qwen3_5", "qwen3_5_moe"),
)


def family_of(config: Any) -> Family | None:
    """The family of a model with the configuration ``config``; None for one that is not known here."""
    return next((family for family in FAMILIES if config.model_type in family.model_types), None)


def joined(features: Sequence[Features]) -> BaseModelOutputWithPooling:
    """The features of the images of a batch, in order, as transformers' own ``mm_encoder_outputs["image"]``."""
    said = BaseModelOutputWithPooling(pooler_output=tuple(each.tokens for each in features))
    said.deepstack_features = [list(layer) for layer in zip(*(each.deeper for each in features), strict=True)]
    return said
