"""Large models from their sizes alone: a directory without weights, and random weights made where they are needed.

The vocabulary has the real size, its tokens are the tiny reader's and the words of the prompt: a prompt is about as long as
with the real tokenizer, and most ids are no text.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    Qwen2_5_VLConfig,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from kie_hvqa.answers.prompt import template
from kie_hvqa.readers.checkpoint import ReadingContract, write_contract
from kie_hvqa.readers.model_directory import agreed_contract
from rl.checkpoints.models import Checkpoint, frozen_tower, model_directory, open_processor, to_float32
from rl.gpu_check.setting import Shape
from rl.recipes import StageRecipe
from rl.tiny.tokenizer import build_tokenizer

_PROMPT = "explicit"  # of the large recipes' warm start
_GEOMETRY = ("patch_size", "temporal_patch_size")


def write_directory(shape: Shape, directory: Path) -> None:
    """``directory``: configuration, processor and reading.json of a model of ``shape``; no weights."""
    merge = shape.vision["spatial_merge_size"]
    low, high = shape.pixels
    geometry = {key: shape.vision[key] for key in _GEOMETRY} | {"merge_size": merge}
    geometry["size"] = {"shortest_edge": low, "longest_edge": high}
    tokenizer = build_tokenizer({f" {word}" for word in template(_PROMPT).split()})
    processor = Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(**geometry),
        video_processor=Qwen2VLVideoProcessor(**geometry),
        tokenizer=tokenizer,
        chat_template=tokenizer.chat_template,
    )
    token = tokenizer.convert_tokens_to_ids
    ends = {"bos_token_id": None, "eos_token_id": token("<|im_end|>"), "pad_token_id": token("<|endoftext|>")}
    config = Qwen2_5_VLConfig(
        vision_config=shape.vision | {"out_hidden_size": shape.text["hidden_size"]},
        text_config=shape.text | ends,
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=shape.tied,
        architectures=["Qwen2_5_VLForConditionalGeneration"],
    )
    config.save_pretrained(directory)
    processor.save_pretrained(directory)
    patch = shape.vision["patch_size"]
    write_contract(
        directory,
        ReadingContract.current(min_pixels=low, max_pixels=high, patch_size=patch, merge_size=merge, prompt=_PROMPT),
    )


def random_checkpoint(recipe: StageRecipe, seed: int = 0) -> Checkpoint:
    """What ``rl.checkpoints.models.open_checkpoint`` would open, with random weights made on the GPU where there is one."""
    directory = model_directory(recipe.model)
    contract = agreed_contract(directory, prompt=recipe.prompt)
    processor = open_processor(directory, contract)
    config = AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    dtype = torch.float32 if recipe.dtype == "auto" else getattr(torch, recipe.dtype)
    torch.manual_seed(seed)
    with torch.device(device()):
        model: Any = AutoModelForImageTextToText.from_config(config, dtype=dtype)
    model.generation_config.eos_token_id = config.text_config.eos_token_id
    model.generation_config.pad_token_id = config.text_config.pad_token_id
    frozen_tower(model)
    if recipe.lora is None:
        to_float32(model)
    return Checkpoint(model, processor, contract, directory, dtype)


def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
