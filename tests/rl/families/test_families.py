"""Every family goes the whole way: warm start, GRPO with an adapter, merge and evaluation; and sharing changes no number."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from kie_hvqa.config import load
from kie_hvqa.data.files import read_json
from rewards.plugins.spec import load_rewards
from rl import grpo, sft
from rl.checkpoints.merge import merge
from rl.checkpoints.models import open_checkpoint
from rl.families import family_of
from rl.families.family import joined
from rl.preflight import run
from rl.recipes import GrpoRecipe, SftRecipe
from rl.tower.service import image_key

ROOT = Path(__file__).resolve().parents[3]
SPREAD = (
    "def spread(prompts, completions, completion_ids, **columns):\n"
    "    return [float(sum(ids) % 17) + len(ids) for ids in completion_ids]\n"
)
GRPO = "per_device_train_batch_size: 8, num_generations: 4, max_completion_length: 8, seed: 3, report_to: []"


def steps(family, folder: Path, *, plain: bool, text: str = "", training: str = "") -> list[dict[str, Any]]:
    folder.mkdir()
    (folder / "spread.py").write_text(SPREAD)
    file = family.recipe(
        folder / "grpo.yaml", f"rewards: [{{function: './spread.py:spread'}}]\n{text}", f"{GRPO}, {training}"
    )
    recipe = load(file, GrpoRecipe)
    rewards = load_rewards(recipe.rewards, folder)
    arguments = grpo.arguments_of(recipe, file, rewards)
    trainer, _ = (grpo.build_plain if plain else grpo.build)(recipe, arguments, rewards)
    trainer.train()
    return [entry for entry in trainer.state.log_history if "loss" in entry]


def test_shared_work_changes_no_number(family, tmp_path):
    ours = steps(family, tmp_path / "ours", plain=False, training="beta: 0.05")
    plain = steps(family, tmp_path / "plain", plain=True, training="beta: 0.05")
    assert len(ours) == len(plain) == 2
    for one, other in zip(ours, plain, strict=True):
        for name in ("loss", "kl", "reward", "completions/mean_length"):
            assert one[name] == pytest.approx(other[name], abs=1e-5), name
        assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-3) and one["grad_norm"] > 0


def test_from_the_warm_start_to_a_merged_model_that_reads(family, tmp_path):
    file = family.recipe(tmp_path / "sft.yaml", "", "per_device_train_batch_size: 4, report_to: []")
    warm = sft.run(file, [f"output_dir={tmp_path / 'warm'}"])
    (tmp_path / "spread.py").write_text(SPREAD)  # a random model's answers all get the same pay from any reward of ours
    file = family.recipe(
        tmp_path / "grpo.yaml",
        "rewards: [{function: './spread.py:spread'}]\nlora: {rank: 2, alpha: 4}\n"
        "evaluation: {every: 2, split: train, limit: 2, batch_size: 2, max_new_tokens: 4}",
        f"{GRPO}, beta: 0.05",
    )
    grpo.run(file, [f"model={warm}", f"output_dir={tmp_path / 'grpo'}", "training.per_device_eval_batch_size=4"])
    log = read_json(tmp_path / "grpo" / "history.json")["log"]
    assert any("eval_hallucination_free_accuracy" in entry for entry in log)
    merged = merge(tmp_path / "grpo", tmp_path / "merged")
    model, report = AutoModelForImageTextToText.from_pretrained(merged, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    before = AutoModelForImageTextToText.from_pretrained(warm).state_dict()
    moved = {name for name, tensor in model.state_dict().items() if not tensor.equal(before[name])}
    linear = {name for name, _ in _linear(model.model.language_model)}
    # An adapter's B starts at zero: after a step every linear layer of the language model has moved, and nothing else.
    assert {name.removeprefix("model.language_model.").removesuffix(".weight") for name in moved} == linear


def _linear(tower: torch.nn.Module) -> list[tuple[str, torch.nn.Module]]:
    return [(name, module) for name, module in tower.named_modules() if isinstance(module, torch.nn.Linear)]


def test_what_the_tower_says_is_what_the_model_says(family, tmp_path):
    recipe = load(family.recipe(tmp_path / "sft.yaml"), SftRecipe)
    checkpoint = open_checkpoint(recipe)
    model: Any = checkpoint.model.eval()
    known = family_of(AutoConfig.from_pretrained(family.model))
    assert known is not None
    from PIL import Image

    images = [Image.new("RGB", (96, 80), (9, 200, 90)), Image.new("RGB", (80, 112), (250, 20, 0))]
    assert image_key(images[0]) != image_key(images[1])
    inputs = checkpoint.processor.image_processor(images=images, return_tensors="pt")
    pixels, grids = inputs["pixel_values"], inputs["image_grid_thw"]
    with torch.no_grad():
        expected = model.model.get_image_features(pixels, grids, return_dict=True)
        parts = pixels.split(grids.prod(-1).tolist())
        found = joined([known.encode(known.tower(model), p, g[None]) for p, g in zip(parts, grids, strict=True)])
    for one, other in zip(found.pooler_output, expected.pooler_output, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    for one, other in zip(found.deepstack_features, getattr(expected, "deepstack_features", []), strict=True):
        torch.testing.assert_close(torch.cat(one), torch.cat(list(other)), atol=1e-5, rtol=1e-4)


def test_the_preflight_plans_a_family(family, tmp_path):
    text = "rewards: [{function: faithful}]\nlora: {rank: 2, alpha: 4}"
    findings = {
        f.check: f.text for f in run("grpo", family.recipe(tmp_path / "grpo.yaml", text, GRPO), gpu="h100", dry=True)
    }
    assert "rows fit" in findings["memory"] and "a step" in findings["time"]


# One family of each kind is enough for every day; Qwen2.5-VL is what tests/rl/rollouts starts on two processes anyway.
@pytest.mark.parametrize(
    "family",
    ["qwen3_vl", *(pytest.param(name, marks=pytest.mark.long) for name in ("qwen2_vl", "qwen2_5_vl", "qwen3_5"))],
    indirect=True,
)
def test_a_family_trains_on_two_processes(family, tmp_path):
    """Under ZeRO-3, where the tower is a copy beside the engine's, and a reference model stands beside the policy."""
    (tmp_path / "spread.py").write_text(SPREAD)
    text = f"rewards: [{{function: './spread.py:spread'}}]\ndeepspeed: {ROOT}/configs/deepspeed/zero3.json"
    training = GRPO.replace("train_batch_size: 8", "train_batch_size: 4")
    recipe = family.recipe(tmp_path / "grpo.yaml", text, f"{training}, beta: 0.05")
    done = subprocess.run(
        [ROOT / "launch.sh", "grpo", recipe],
        check=False,
        env={**os.environ, "PYTHON": sys.executable, "NPROC": "2", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    log = [entry for entry in read_json(tmp_path / "out" / "history.json")["log"] if "loss" in entry]
    assert len(log) == 2 and all(entry["grad_norm"] > 0 and entry["kl"] >= 0 for entry in log)
    _, report = AutoModelForImageTextToText.from_pretrained(tmp_path / "out" / "model", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
