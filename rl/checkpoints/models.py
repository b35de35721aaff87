"""Opens a checkpoint for training, under the same contract as the evaluator opens it for reading.

Everything that touches transformers' model and processor classes on the training side is here: which directory a
name means, the reading contract, dtype, what is frozen, the adapter, and which tokens may never be sampled.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedModel, ProcessorMixin

from kie_hvqa.errors import InputError
from kie_hvqa.readers import embedded_directory
from kie_hvqa.readers.checkpoint import ReadingContract, write_contract
from kie_hvqa.readers.model_directory import agreed_contract
from kie_hvqa.readers.model_inputs import never_generated
from kie_hvqa.readers.model_source import ADAPTER_FILE
from rl.families import family_of
from rl.recipes import StageRecipe
from rl.rollouts.engine import launched_engine


@dataclass
class Checkpoint:
    """A model ready to train, its processor, and the contract under which it reads."""

    model: PreTrainedModel
    processor: ProcessorMixin
    contract: ReadingContract
    directory: Path
    dtype: torch.dtype = torch.float32
    """Of the weights as they are written; those in training may be kept wider."""

    @property
    def suppressed_tokens(self) -> list[int]:
        """Token ids that no completion may hold: a sampled image placeholder asks for features that are not there."""
        ends = self.model.generation_config.eos_token_id
        return never_generated(self.model, self.processor.tokenizer, {ends} if isinstance(ends, int) else set(ends))


def model_directory(name: str) -> Path:
    """``embedded`` is the shipped reader; anything else is a directory. Raises InputError where there is none, and for an adapter's."""
    directory = embedded_directory() if name == "embedded" else Path(name)
    if not directory.is_dir():
        raise InputError(
            "no such model directory",
            field=f"model: {name}",
            remedy="Name a local checkpoint (download a hub model first), or `embedded`.",
        )
    if (directory / ADAPTER_FILE).is_file():
        raise InputError(
            "this is an adapter, not a model to train or to put another over",
            file=directory,
            field=f"model: {name}",
            remedy="Run kie-hvqa merge on it first.",
        )
    return directory


def open_checkpoint(recipe: StageRecipe) -> Checkpoint:
    """Load ``recipe.model`` in the recipe's dtype, with its vision tower frozen unless the recipe trains it.

    Under ZeRO-3 the training arguments must exist before this is called: they tell transformers to partition
    the weights as it loads them.
    """
    directory = model_directory(recipe.model)
    contract = agreed_contract(
        directory, prompt=recipe.prompt, min_pixels=recipe.min_pixels, max_pixels=recipe.max_pixels
    )
    processor = open_processor(directory, contract)
    model = AutoModelForImageTextToText.from_pretrained(
        directory,
        dtype=_dtype(recipe.dtype),
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        attn_implementation=None if recipe.attn_implementation == "auto" else recipe.attn_implementation,
    )
    # Loading under ZeRO-3 keeps renamings of older checkpoints that this one did not need, and saving would undo them:
    # the weights would get names (`model.model.…`) that vLLM does not know.
    model._weight_conversions = [each for each in model._weight_conversions if each.was_used()]
    if not recipe.train_vision:
        frozen_tower(model)
    if recipe.lora is None and not launched_engine(
        recipe.deepspeed
    ):  # PEFT keeps an adapter's weights in float32 itself
        to_float32(model)
    return Checkpoint(model, processor, contract, directory, _dtype(recipe.dtype))


def to_float32(model: Any) -> None:
    """Keep weights in training in float32 where no engine keeps such a copy of them.

    In bfloat16 a step of 1e-6 is rounded away in all but 2 % of the weights. Products are taken in bfloat16 all the same
    (autocast).
    """
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.dtype in (torch.bfloat16, torch.float16):
            parameter.data = parameter.data.float()


def frozen_tower(model: Any) -> None:
    """Freeze the vision tower of ``model``. Raises InputError for a family that is not known here."""
    family = family_of(model.config)
    if family is None:
        raise InputError(
            f"where a model of type `{model.config.model_type}` has its vision tower is not known here",
            field="train_vision",
            remedy="Set train_vision: true, or name a model of a family in rl/families/family.py.",
        )
    family.tower(model).requires_grad_(False)


def open_processor(directory: Path, contract: ReadingContract) -> ProcessorMixin:
    """The directory's processor under the contract's pixel budget, padding on the left as generation needs it."""
    processor = AutoProcessor.from_pretrained(
        directory, local_files_only=True, trust_remote_code=False, padding_side="left"
    )
    processor.image_processor.size = {"shortest_edge": contract.min_pixels, "longest_edge": contract.max_pixels}
    return processor


def adapter(recipe: StageRecipe, model: Any) -> Any | None:
    """The LoRA configuration that the recipe asks for: every linear layer of ``model``'s language model, no other.

    Raises InputError for a model with weights that multiply and that LoRA would leave out in silence (a mixture's experts).
    """
    if recipe.lora is None:
        return None
    from peft import LoraConfig

    names, left_out = linear_layers(model.model.language_model)
    if left_out:
        raise InputError(
            f"LoRA would leave {left_out[0]} of the language model as it is, which is no linear layer of its own",
            field="lora",
            remedy="Train all weights (leave `lora` out) or another model.",
        )
    return LoraConfig(
        r=recipe.lora.rank,
        lora_alpha=recipe.lora.alpha,
        lora_dropout=recipe.lora.dropout,
        target_modules=rf".*language_model.*\.({'|'.join(names)})",
        task_type="CAUSAL_LM",
    )


def linear_layers(tower: Any) -> tuple[list[str], list[str]]:
    """(last names of the linear layers of ``tower``, other parameters with rows and columns that are no embedding)."""
    from torch import nn

    names, other = set(), []
    for path, module in tower.named_modules():
        if isinstance(module, nn.Linear):
            names.add(path.rpartition(".")[2])
        elif not isinstance(module, nn.Embedding | nn.Conv1d):
            other += [f"{path}.{name}" for name, weight in module.named_parameters(recurse=False) if _matrix(weight)]
    return sorted(names), other


def _matrix(weight: Any) -> bool:
    # Under ZeRO-3 a parameter is empty here, and its shape stands beside it.
    return len(getattr(weight, "ds_shape", weight.shape)) > 1


def save_checkpoint(trainer: Any, checkpoint: Checkpoint, directory: Path) -> None:
    """Write weights, processor and reading contract; under ZeRO the trainer gathers the weights
    first. Training is over after it."""
    if not trainer.is_deepspeed_enabled:
        for parameter in checkpoint.model.parameters():
            parameter.data = parameter.data.to(checkpoint.dtype)
    trainer.save_model(str(directory))
    if trainer.is_world_process_zero():
        checkpoint.processor.save_pretrained(directory)
        write_contract(directory, checkpoint.contract)


def _dtype(name: str) -> torch.dtype:
    if name != "auto":
        return getattr(torch, name)
    return torch.bfloat16 if torch.cuda.is_available() else torch.float32
