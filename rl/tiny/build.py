"""Builds the tiny Qwen2.5-VL: configuration, processor and (random) weights, as a Hugging Face directory."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from kie_hvqa.config import Config
from kie_hvqa.readers.checkpoint import ReadingContract, write_contract
from rl.tiny.tokenizer import build_tokenizer


class TinyArchitecture(Config):
    """Sizes of the tiny model. The defaults are the shipped reader's: 2.9 M parameters.

    Vision layers alternate between windows of ``window_size`` pixels a side and the whole page, as the large
    model's do, less often.
    """

    patch_size: int = 8
    merge_size: int = 2
    window_size: int = 64
    vision_depth: int = 4
    vision_hidden: int = 128
    vision_heads: int = 4
    vision_intermediate: int = 384
    text_layers: int = 4
    text_hidden: int = 192
    text_heads: int = 6
    text_kv_heads: int = 2
    text_intermediate: int = 512
    min_pixels: int = 64 * 64
    max_pixels: int = 256 * 256

    @property
    def factor(self) -> int:
        """Pixels a side of one visual token."""
        return self.patch_size * self.merge_size


def build_processor(architecture: TinyArchitecture, questions: Iterable[str]) -> Qwen2_5_VLProcessor:
    """The processor of the 7B model's class, with this patch geometry and pixel budget."""
    geometry = {
        "patch_size": architecture.patch_size,
        "merge_size": architecture.merge_size,
        "temporal_patch_size": 2,
        "size": {"shortest_edge": architecture.min_pixels, "longest_edge": architecture.max_pixels},
    }
    tokenizer = build_tokenizer(questions)
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(**geometry),
        video_processor=Qwen2VLVideoProcessor(**geometry),
        tokenizer=tokenizer,
        chat_template=tokenizer.chat_template,
    )


def build_config(architecture: TinyArchitecture, processor: Qwen2_5_VLProcessor) -> Qwen2_5_VLConfig:
    """The 7B model's configuration class at tiny sizes; token ids come from the processor's tokenizer."""
    token = processor.tokenizer.convert_tokens_to_ids
    head = architecture.text_hidden // architecture.text_heads
    # M-RoPE shares each head's frequencies among time, height and width; a page has no time, so height and
    # width get most of them.
    spatial = 3 * (head // 2) // 8
    return Qwen2_5_VLConfig(
        vision_config={
            "depth": architecture.vision_depth,
            "hidden_size": architecture.vision_hidden,
            "intermediate_size": architecture.vision_intermediate,
            "num_heads": architecture.vision_heads,
            "patch_size": architecture.patch_size,
            "spatial_merge_size": architecture.merge_size,
            "temporal_patch_size": 2,
            "window_size": architecture.window_size,
            "fullatt_block_indexes": list(range(1, architecture.vision_depth, 2)),
            "out_hidden_size": architecture.text_hidden,
            # The 7B model's: vLLM knows no other (rl/rollouts/vllm_models.py).
            "rope_parameters": {"rope_type": "axial", "rope_theta": 10_000.0},
        },
        text_config={
            "vocab_size": -(-len(processor.tokenizer) // 8) * 8,
            "hidden_size": architecture.text_hidden,
            "intermediate_size": architecture.text_intermediate,
            "num_hidden_layers": architecture.text_layers,
            "num_attention_heads": architecture.text_heads,
            "num_key_value_heads": architecture.text_kv_heads,
            "max_position_embeddings": 2048,
            "rope_parameters": {
                "rope_type": "default",
                # M-RoPE gives width the lowest frequencies; at the 7B model's base of a million, neighbouring
                # columns of a page 14 tokens wide would look alike.
                "rope_theta": 20.0,
                "mrope_section": [head // 2 - 2 * spatial, spatial, spatial],
            },
            "bos_token_id": None,
            "eos_token_id": token("<|im_end|>"),
            "pad_token_id": token("<|endoftext|>"),
        },
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=True,
    )


def build_model(config: Qwen2_5_VLConfig, seed: int) -> Qwen2_5_VLForConditionalGeneration:
    """A randomly initialised model in float32; the caller's global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2_5_VLForConditionalGeneration(config)
    token = config.text_config
    model.generation_config.eos_token_id = token.eos_token_id
    model.generation_config.pad_token_id = token.pad_token_id
    return model


def save_model(
    model: Qwen2_5_VLForConditionalGeneration,
    processor: Qwen2_5_VLProcessor,
    architecture: TinyArchitecture,
    directory: Path,
) -> None:
    """Write model, processor and reading contract as a Hugging Face directory."""
    model.save_pretrained(directory)
    processor.save_pretrained(directory)
    contract = ReadingContract.current(
        min_pixels=architecture.min_pixels,
        max_pixels=architecture.max_pixels,
        patch_size=architecture.patch_size,
        merge_size=architecture.merge_size,
        prompt="question",
    )
    write_contract(directory, contract)
