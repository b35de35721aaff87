"""The shipped recipes of other families, and those for one GPU, fit where they say that they do."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import Qwen2_5_VLConfig, Qwen2VLConfig, Qwen3_5Config, Qwen3VLConfig

from degradations.simulate import SimulateConfig, write_dataset
from kie_hvqa.config import load
from rl import preflight
from rl.recipes import SftRecipe

ROOT = Path(__file__).resolve().parents[3]
VISION = {"patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2, "num_heads": 16}
ROPE = {"rope_type": "default", "rope_theta": 5000000, "mrope_section": [24, 20, 20]}
TEXT = {
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151936,
}
CONFIGS: dict[str, Any] = {
    "qwen3_vl_4b": lambda: Qwen3VLConfig(
        vision_config=VISION
        | {"depth": 24, "hidden_size": 1024, "intermediate_size": 4096, "out_hidden_size": 2560}
        | {"deepstack_visual_indexes": [5, 11, 17]},
        text_config=TEXT | {"hidden_size": 2560, "intermediate_size": 9728, "rope_parameters": ROPE},
        tie_word_embeddings=True,
    ),
    "qwen3_vl_8b": lambda: Qwen3VLConfig(
        vision_config=VISION
        | {"depth": 27, "hidden_size": 1152, "intermediate_size": 4304, "out_hidden_size": 4096}
        | {"deepstack_visual_indexes": [8, 16, 24]},
        text_config=TEXT | {"hidden_size": 4096, "intermediate_size": 12288, "rope_parameters": ROPE},
        tie_word_embeddings=False,
    ),
    "qwen2_vl_2b": lambda: Qwen2VLConfig(
        vision_config=VISION | {"patch_size": 14, "depth": 32, "embed_dim": 1280, "hidden_size": 1536, "mlp_ratio": 4},
        text_config={
            "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28, "num_attention_heads": 12,
            "num_key_value_heads": 2, "vocab_size": 151936,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0, "mrope_section": [16, 24, 24]},
        },
        tie_word_embeddings=True,
    ),
    "qwen2_5_vl_3b": lambda: Qwen2_5_VLConfig(
        vision_config=VISION
        | {"patch_size": 14, "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "out_hidden_size": 2048}
        | {"window_size": 112, "fullatt_block_indexes": [7, 15, 23, 31]},
        text_config={
            "hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36, "num_attention_heads": 16,
            "num_key_value_heads": 2, "vocab_size": 151936,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0, "mrope_section": [16, 24, 24]},
        },
        tie_word_embeddings=True,
    ),
    "qwen3_5_4b": lambda: Qwen3_5Config(
        vision_config=VISION
        | {"depth": 24, "hidden_size": 1024, "intermediate_size": 4096, "out_hidden_size": 2560},
        text_config={
            "hidden_size": 2560, "intermediate_size": 9216, "num_hidden_layers": 32, "num_attention_heads": 16,
            "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 248320,
        },
        tie_word_embeddings=True,
    ),
}  # fmt: skip


def plan(small, tmp_path, stage: str, name: str, gpu: str, processes: int, *more: str) -> dict[str, str]:
    size = next(size for size in CONFIGS if name.startswith(size))
    CONFIGS[size]().save_pretrained(tmp_path / "bare")
    where = [
        f"model={tmp_path / 'bare'}",
        f"data.path={small.data}",
        "data.simulate=null",
        "evaluation.split=train",
        f"output_dir={tmp_path / 'out'}",
    ]
    said = (stage, ROOT / "configs" / stage / f"{name}.yaml", [*where, *more])
    return {one.check: one.text for one in preflight.run(*said, world_size=processes, gpu=gpu, dry=True)}


PIXELS = ("min_pixels=262144", "max_pixels=1310720")
FEW = (
    "training.per_device_train_batch_size=5",
    "training.gradient_accumulation_steps=2",
    "training.steps_per_generation=2",
    "data.curriculum.start=6",  # of 24 questions, not 16 are light
)


@pytest.mark.parametrize(
    ("stage", "name", "gpu", "processes", "more"),
    [
        ("sft", "qwen3_vl_8b", "h100", 8, ()),
        ("grpo", "qwen3_vl_8b", "h100", 8, (*PIXELS, *FEW)),
        ("grpo", "qwen3_vl_4b_lora", "a100-80", 8, (*PIXELS, *FEW)),
    ],
)
def test_a_shipped_recipe_fits_where_it_says(small, tmp_path, monkeypatch, stage, name, gpu, processes, more):
    monkeypatch.chdir(ROOT)
    found = plan(small, tmp_path, stage, name, gpu, processes, *more)
    assert "rows fit" in found["memory"] and "a step" in found["time"]


@pytest.fixture(scope="module")
def enough(tmp_path_factory) -> Any:
    """Questions for one step of a one-GPU recipe, which asks 32."""
    home = tmp_path_factory.mktemp("enough")
    said = ["count=8", "questions_per_document=4", "splits={train: 1.0}", "templates={us_licence: 1}"]
    config = load(ROOT / "configs" / "simulate" / "tiny.yaml", SimulateConfig, [*said, "held_out_operators={}"])
    write_dataset(config, home / "data")
    return SimpleNamespace(data=home / "data")


@pytest.mark.parametrize("stage", ["sft", "grpo"])
@pytest.mark.parametrize(
    "name", ["qwen2_vl_2b", "qwen2_5_vl_3b", "qwen3_vl_4b", pytest.param("qwen3_5_4b", marks=pytest.mark.long)]
)
def test_a_recipe_for_one_gpu_fits_24_gb_as_it_stands(enough, tmp_path, monkeypatch, stage, name):
    """At its own batch and generation, with every page as large as its pixel budget allows."""
    monkeypatch.chdir(ROOT)
    largest = load(ROOT / "configs" / "sft" / f"{name}_one_gpu.yaml", SftRecipe).max_pixels
    more = (f"min_pixels={largest}", f"max_pixels={largest}", "data.curriculum=null")
    found = plan(enough, tmp_path, stage, f"{name}_one_gpu", "rtx-4090", 1, *more)
    assert "of 21.4 GiB a process" in found["memory"] and "a step" in found["time"]
