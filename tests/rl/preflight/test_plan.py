"""The memory and time plan: laws of the rehearsal, counts that others have published, and what does not fit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from deepspeed.runtime.zero.stage3 import estimate_zero3_model_states_mem_needs
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, Qwen2_5_VLConfig

from kie_hvqa.errors import InputError
from rl import preflight
from rl.preflight.checked.disk import CheckpointBytes, check_disk
from rl.preflight.planned import rehearsal as rehearsal_module
from rl.preflight.planned.devices import GIB, KNOWN, Device, device
from rl.preflight.planned.duration import readable_duration
from rl.preflight.planned.memory import Load, largest_rows, memory
from rl.preflight.planned.rehearsal import Micro, Rehearsal, meta_model
from rl.preflight.planned.states import Counts, Engine, count, engine_of, states

ROOT = Path(__file__).resolve().parents[3]
# Sizes as the models' own config.json state them.
SIZES = {
    "3b": {"layers": 36, "hidden": 2048, "inner": 11008, "heads": 16, "kv": 2, "words": 151936, "tied": True},
    "7b": {"layers": 28, "hidden": 3584, "inner": 18944, "heads": 28, "kv": 4, "words": 152064, "tied": False},
}
PARAMETERS = {"3b": 3_754_622_976, "7b": 8_292_166_656}  # as their model cards' safetensors count them
VISION = {
    "depth": 32,
    "hidden_size": 1280,
    "intermediate_size": 3420,
    "num_heads": 16,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "window_size": 112,
    "fullatt_block_indexes": [7, 15, 23, 31],
}


def config_of(size: str, **fewer: int) -> Qwen2_5_VLConfig:
    one = SIZES[size]
    return Qwen2_5_VLConfig(
        vision_config=VISION | {"out_hidden_size": one["hidden"]} | {"depth": fewer.get("blocks", 32)},
        text_config={
            "vocab_size": one["words"],
            "hidden_size": one["hidden"],
            "intermediate_size": one["inner"],
            "num_hidden_layers": fewer.get("layers", one["layers"]),
            "num_attention_heads": one["heads"],
            "num_key_value_heads": one["kv"],
            "max_position_embeddings": 128000,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
        },
        tie_word_embeddings=one["tied"],
        architectures=["Qwen2_5_VLForConditionalGeneration"],
    )


@pytest.fixture(scope="module")
def tiny():
    """The embedded reader's architecture, float32, with its tower frozen."""
    config = AutoConfig.from_pretrained(ROOT / "rl" / "embedded", local_files_only=True)
    model = meta_model(config, torch.float32)
    model.model.visual.requires_grad_(False)
    return model


def rehearsal(model, *, checkpointed: bool = False, triton: bool = True) -> Rehearsal:
    return Rehearsal(model, checkpointed=checkpointed, triton=triton)


MICRO = Micro(rows=4, length=120, scored=40, patches=192)


@pytest.mark.parametrize("size", list(SIZES))
def test_a_meta_model_has_the_parameters_of_the_real_one(size):
    counts = count(meta_model(config_of(size), torch.bfloat16))
    assert counts.trained == PARAMETERS[size] and counts.frozen == 0
    assert counts.largest == SIZES[size]["words"] * SIZES[size]["hidden"]


def test_a_token_of_the_7b_model_takes_56_kib_of_cache():
    with_two_layers = rehearsal(meta_model(config_of("7b", layers=2, blocks=2), torch.bfloat16))
    assert with_two_layers.cache_bytes(1, 1) * 14 == 56 << 10  # of 28 layers


@settings(max_examples=8, deadline=None)
@given(rows=st.integers(1, 8), length=st.integers(60, 160), patches=st.sampled_from([64, 192, 224]))
def test_twice_the_rows_compute_twice_as_much_and_hold_more(tiny, rows, length, patches):
    work = rehearsal(tiny)
    once, twice = (work.train(Micro(count, length, 20, patches)) for count in (rows, 2 * rows))
    assert twice.flops == 2 * once.flops
    assert once.peak < twice.peak <= 2 * once.peak


def test_checkpointing_trades_computation_for_memory(tiny):
    kept, again = (rehearsal(tiny, checkpointed=on).train(MICRO) for on in (False, True))
    assert again.peak < kept.peak and again.flops > kept.flops


def test_a_backward_pass_costs_two_forward_passes(tiny):
    tiny.model.visual.requires_grad_(True)
    try:
        work = rehearsal(tiny)
        assert work.train(MICRO).flops / work.score(MICRO).flops == pytest.approx(3, rel=0.05)
    finally:
        tiny.model.visual.requires_grad_(False)


def test_a_frozen_tower_keeps_nothing(tiny):
    frozen = rehearsal(tiny).train(MICRO)
    tiny.model.visual.requires_grad_(True)
    try:
        trained = rehearsal(tiny).train(MICRO)
    finally:
        tiny.model.visual.requires_grad_(False)
    assert frozen.peak < trained.peak and frozen.flops < trained.flops


@pytest.mark.parametrize("checkpointed", [False, True])
def test_a_deep_model_is_known_from_a_shallow_one(monkeypatch, checkpointed):
    model = meta_model(config_of("3b", layers=6, blocks=5), torch.bfloat16)
    quick = rehearsal(model, checkpointed=checkpointed)
    guessed = [quick.train(MICRO), quick.score(MICRO), quick.prefill(MICRO)]
    monkeypatch.setattr(rehearsal_module, "_SHALLOW", 100)
    assert guessed == [quick.train(MICRO), quick.score(MICRO), quick.prefill(MICRO)]


def test_states_are_deepspeeds_own_estimate_of_what_is_trained():
    counts = Counts(trained=10**9, frozen=5 * 10**8, largest=10**8)
    _, device_bytes, _ = estimate_zero3_model_states_mem_needs(
        10**9, 10**8, 8, 2, cpu_offload=False, cpu_offload_params=False
    )
    found = states(counts, Engine(3), 2, per_node=8, nodes=2)
    assert found.device == device_bytes + 2 * 5 * 10**8 // 16
    alone = states(counts, Engine(), 2, per_node=1, nodes=1)
    assert alone.device == 16 * 10**9 + 10**9
    offloaded = states(counts, engine_of(str(ROOT / "configs" / "deepspeed" / "zero3_offload.json")), 2, 8, 1)
    assert offloaded.device < found.device and offloaded.host > found.host


@given(trained=st.integers(10**6, 10**10), frozen=st.integers(0, 10**10), nodes=st.integers(1, 16))
def test_more_machines_never_need_more_each(trained, frozen, nodes):
    counts = Counts(trained, frozen, trained // 10)
    for stage in (1, 2, 3):
        few, many = (states(counts, Engine(stage), 2, 8, count).device for count in (nodes, 2 * nodes))
        assert many <= few


def test_the_largest_micro_batch_fits_and_one_more_does_not(tiny):
    work, load = rehearsal(tiny), Load(rows=1, length=120, completion=40, patches=192)
    small = Device("test", 200 << 20, cuda=False)
    held = states(count(tiny), Engine(), 4, 1, 1)
    rows = largest_rows(work, load, memory(work, held, load, small), small)
    fits, too_many = (memory(work, held, replace(load, rows=count), small).peak for count in (rows, rows + 1))
    assert rows > 1 and fits <= small.usable < too_many


def test_generation_is_planned_by_who_generates(tiny):
    work, held = rehearsal(tiny), states(count(tiny), Engine(), 4, 1, 1)
    load = Load(rows=2, length=120, completion=40, patches=192, generated=64)
    gpu = KNOWN["h100"]
    by = {kind: memory(work, held, replace(load, rollouts=kind), gpu) for kind in ("transformers", "server")}
    assert by["server"].generating == 0 < by["transformers"].generating
    colocated = replace(load, rollouts="colocated", vllm_share=0.3)
    asleep, awake = (memory(work, held, replace(colocated, vllm_sleeps=on), gpu) for on in (True, False))
    assert asleep.peak == awake.peak - awake.training and asleep.held < awake.held


def test_a_gpu_that_nobody_knows_is_refused_and_a_cpu_is_shared():
    with pytest.raises(InputError, match="h100"):
        device("h1000", 1)
    assert device("h200", 8) == KNOWN["h200"]
    assert (
        readable_duration(61) == "61.0 s" and readable_duration(1800) == "30 min" and readable_duration(7200) == "2.0 h"
    )


def test_a_disk_that_will_fill_up_is_told_beforehand(tmp_path):
    from trl import SFTConfig

    def arguments(**more):
        return SFTConfig(
            output_dir=str(tmp_path), use_cpu=True, bf16=False, save_strategy="steps", save_steps=10, **more
        )

    huge = CheckpointBytes(1 << 45, 1 << 46)
    with pytest.raises(InputError, match="are free there") as caught:
        check_disk(arguments(), tmp_path / "out" / "deep", huge, 100, here=True)
    assert caught.value.field == "training.save_total_limit"
    assert "on this machine" in check_disk(arguments(), tmp_path, huge, 100, here=False)
    one = CheckpointBytes(GIB, 2 * GIB)
    assert check_disk(arguments(), tmp_path, one, 100, here=False).startswith("31.0 GiB for 10 checkpoint(s)")
    assert check_disk(arguments(save_total_limit=2), tmp_path, one, 100, here=False).startswith("10.0 GiB for 3 ")


@pytest.fixture
def bare_7b(tmp_path) -> Path:
    """A directory that holds the 7B model's config.json and nothing else."""
    config_of("7b").save_pretrained(tmp_path / "7b")
    assert [path.name for path in (tmp_path / "7b").iterdir()] == ["config.json"]
    return tmp_path / "7b"


def shipped(stage: str, name: str, model: Path, data: Path, out: Path, *more: str) -> tuple[str, Path, list[str]]:
    where = [
        f"model={model}",
        f"data.path={data}",
        "data.simulate=null",
        "evaluation.split=train",
        f"output_dir={out}",
        "min_pixels=200704",
        "max_pixels=1003520",
    ]
    zero = json.loads((ROOT / "configs" / "deepspeed" / "zero3.json").read_text())
    assert zero["zero_optimization"]["stage"] == 3
    return stage, ROOT / "configs" / stage / name, [*where, *more]


# Of 24 questions, of which not 16 are light.
FEW = [
    "training.per_device_train_batch_size=2",
    "training.gradient_accumulation_steps=5",
    "data.curriculum.start=6",
]


def test_the_7b_recipe_is_planned_from_its_config_alone(small, bare_7b, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    said = shipped("grpo", "qwen2_5_vl_7b.yaml", bare_7b, small.data, tmp_path / "out", *FEW)
    found = {one.check: one.text for one in preflight.run(*said, world_size=8, gpu="a100-80", dry=True)}
    assert "planned, not checked" in found["checkpoint"] and "at most" in found["tokens"]
    assert "by vLLM on the training GPUs" in found["rollouts"]
    assert found["memory"].startswith("ZeRO-3 on 8 x A100 80 GB") and "rows fit" in found["memory"]
    assert "a step (generate" in found["time"] and "not measured" in found["time"]
    assert not (tmp_path / "out").exists()


def test_what_does_not_fit_is_refused_with_what_would(small, bare_7b, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    alone = shipped("sft", "qwen2_5_vl_7b.yaml", bare_7b, small.data, tmp_path / "out", "training.max_steps=1")
    with pytest.raises(InputError, match=r"need .* GiB on A100 40 GB") as caught:
        preflight.run(*alone, world_size=1, gpu="a100-40", dry=True)
    assert "zero3_offload" in caught.value.remedy
    wide = shipped(
        "sft", "qwen2_5_vl_7b.yaml", bare_7b, small.data, tmp_path / "out", "training.per_device_train_batch_size=512"
    )
    with pytest.raises(InputError, match="512 rows of") as caught:
        preflight.run(*wide, world_size=8, gpu="a100-40", dry=True)
    assert "training.per_device_train_batch_size=" in caught.value.remedy


def test_a_config_alone_is_no_model_to_train(small, bare_7b, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    said = shipped("sft", "qwen2_5_vl_7b.yaml", bare_7b, small.data, tmp_path / "out")
    with pytest.raises(InputError, match="image processor"):
        preflight.run(*said, world_size=8, gpu="a100-80")
