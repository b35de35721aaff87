"""Random tiny models of each family that is trained here, of the real classes, as Hugging Face directories."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForImageTextToText,
    Qwen2_5_VLConfig,
    Qwen2_5_VLProcessor,
    Qwen2VLConfig,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
    Qwen3_5Config,
    Qwen3VLConfig,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

from kie_hvqa.readers.checkpoint import ReadingContract, write_contract
from rl.tiny.tokenizer import build_tokenizer

FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_5")
PIXELS = {"min_pixels": 64 * 64, "max_pixels": 112 * 112}


def write_family(name: str, directory: Path, questions: Iterable[str]) -> Path:
    """A random model of family ``name`` in ``directory``; what it holds is what ``save_pretrained`` writes."""
    processor = _processor(name, questions)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: Any = AutoModelForImageTextToText.from_config(_config(name, processor), dtype=torch.float32)
    token = processor.tokenizer.convert_tokens_to_ids
    model.generation_config.eos_token_id = token("<|im_end|>")
    model.generation_config.pad_token_id = token("<|endoftext|>")
    model.save_pretrained(directory)
    processor.save_pretrained(directory)
    write_contract(directory, ReadingContract.current(**PIXELS, patch_size=8, merge_size=2, prompt="question"))
    return directory


def _processor(name: str, questions: Iterable[str]) -> Any:
    tokenizer = build_tokenizer(questions)
    size = {"shortest_edge": PIXELS["min_pixels"], "longest_edge": PIXELS["max_pixels"]}
    geometry = {"patch_size": 8, "merge_size": 2, "temporal_patch_size": 2, "size": size}
    processors = {"qwen2_vl": Qwen2VLProcessor, "qwen2_5_vl": Qwen2_5_VLProcessor}
    video = Qwen2VLVideoProcessor if name in processors else Qwen3VLVideoProcessor
    return processors.get(name, Qwen3VLProcessor)(
        image_processor=Qwen2VLImageProcessor(**geometry),
        video_processor=video(**geometry),
        tokenizer=tokenizer,
        chat_template=tokenizer.chat_template,
    )


def _config(name: str, processor: Any) -> Any:
    token = processor.tokenizer.convert_tokens_to_ids
    vision = {"depth": 2, "num_heads": 2, "patch_size": 8, "spatial_merge_size": 2, "temporal_patch_size": 2}
    text = {
        "vocab_size": -(-len(processor.tokenizer) // 8) * 8,
        "hidden_size": 96,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "num_key_value_heads": 1,
        "max_position_embeddings": 2048,
        "bos_token_id": None,
        "eos_token_id": token("<|im_end|>"),
        "pad_token_id": token("<|endoftext|>"),
    }
    ids = {
        "image_token_id": token("<|image_pad|>"),
        "video_token_id": token("<|video_pad|>"),
        "vision_start_token_id": token("<|vision_start|>"),
        "vision_end_token_id": token("<|vision_end|>"),
        "tie_word_embeddings": True,
    }
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 6, 6]}
    if name == "qwen2_vl":
        vision |= {"embed_dim": 64, "hidden_size": 96, "mlp_ratio": 2}
        return Qwen2VLConfig(vision_config=vision, text_config=text | {"rope_parameters": rope}, **ids)
    vision |= {"hidden_size": 64, "intermediate_size": 96, "out_hidden_size": 96}
    if name == "qwen2_5_vl":
        vision |= {"window_size": 64, "fullatt_block_indexes": [1]}
        return Qwen2_5_VLConfig(vision_config=vision, text_config=text | {"rope_parameters": rope}, **ids)
    vision |= {"num_position_embeddings": 64}
    text |= {"head_dim": 32}
    if name == "qwen3_vl":
        vision |= {"deepstack_visual_indexes": [0]}
        return Qwen3VLConfig(vision_config=vision, text_config=text | {"rope_parameters": rope}, **ids)
    text |= {
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "layer_types": ["linear_attention", "full_attention"],
        "rope_parameters": rope | {"mrope_section": [1, 1, 2], "partial_rotary_factor": 0.25},
    }
    return Qwen3_5Config(vision_config=vision, text_config=text, **ids)
