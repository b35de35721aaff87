"""What moves the reader in GRPO is the reward and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from degradations.simulate import SimulateConfig, write_dataset
from kie_hvqa.config import load
from kie_hvqa.data.files import read_json
from kie_hvqa.errors import InputError
from kie_hvqa.readers import embedded_directory
from rewards.plugins.spec import load_rewards
from rl import grpo
from rl.checkpoints.models import open_checkpoint
from rl.recipes import GrpoRecipe

RECIPE = """\
model: embedded
data: {{path: {data}, split: train}}
output_dir: {out}
rewards: [{reward}]
training:
  max_steps: 2
  num_generations: 4
  per_device_train_batch_size: 8
  max_completion_length: 48
  learning_rate: 1.0e-3
  weight_decay: 0.0
  activation_checkpointing: false
  logging_steps: 1
  save_strategy: "no"
  report_to: []
  seed: 0
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp("grpo") / "data"
    config = SimulateConfig(seed=4, count=8, splits={"train": 1.0}, severities={4: 1.0})
    write_dataset(config, out)
    return out


def _train(folder: Path, data: Path, reward: str) -> tuple[dict, dict]:
    recipe = folder / "grpo.yaml"
    recipe.write_text(RECIPE.format(data=data, out=folder / "run", reward=reward))
    model = grpo.run(recipe)
    return load_file(model / "model.safetensors"), read_json(folder / "run" / "history.json")


@pytest.mark.slow
def test_a_reward_of_zero_leaves_every_weight_as_it_was(data, tmp_path):
    (tmp_path / "nothing.py").write_text(
        "def nothing(prompts, completions, **columns):\n    return [0.0] * len(completions)\n"
    )
    after, history = _train(tmp_path, data, "{function: ./nothing.py:nothing}")
    before = load_file(embedded_directory() / "model.safetensors")
    assert history["steps"] == 2
    assert all(torch.equal(after[name], weight) for name, weight in before.items())


@pytest.mark.slow
def test_a_reward_moves_the_language_model_and_not_the_frozen_eyes(data, tmp_path):
    after, history = _train(tmp_path, data, "{function: rewards.faithful:faithful}")
    before = load_file(embedded_directory() / "model.safetensors")
    changed = {name for name, weight in before.items() if not torch.equal(after[name], weight)}
    assert changed
    assert not [name for name in changed if "visual" in name]
    assert "ledger/hallucination_free_accuracy" in history["log"][0]


def test_an_unknown_reward_is_refused_before_anything_is_written(data, tmp_path):
    recipe = tmp_path / "grpo.yaml"
    reward = "{function: rewards.faithful:faithfull}"
    recipe.write_text(RECIPE.format(data=data, out=tmp_path / "run", reward=reward))
    with pytest.raises(InputError, match="faithful"):
        grpo.run(recipe)
    assert not (tmp_path / "run").exists()


SMALL_STEPS = "per_device_train_batch_size: 4, num_generations: 2, max_completion_length: 8, report_to: [], seed: 3"


def test_the_base_under_an_adapter_stays_in_the_recipes_type(small, tmp_path):
    """Kept in float32 it would take twice the memory that the plan counts, and a 24 GB GPU has none to spare."""
    text = "rewards: [{function: format}]\nlora: {rank: 2, alpha: 4}"
    file = small.recipe(tmp_path / "grpo.yaml", text, SMALL_STEPS)
    recipe = load(file, GrpoRecipe, ["dtype=bfloat16"])
    rewards = load_rewards(recipe.rewards, tmp_path)
    trainer, _ = grpo.build(recipe, grpo.arguments_of(recipe, file, rewards), rewards)
    kinds = {("lora_" in name, parameter.dtype) for name, parameter in trainer.model.named_parameters()}
    assert kinds == {(True, torch.float32), (False, torch.bfloat16)}
    trainer.train()


def test_small_steps_move_weights_that_no_engine_keeps_in_float32(small, tmp_path):
    """At 1e-6 a bfloat16 weight would round nearly every step away; the model that is written is bfloat16 all the same."""
    text = "rewards: [{function: './spread.py:spread'}]"
    (tmp_path / "spread.py").write_text(
        "def spread(prompts, completions, completion_ids, **columns):\n"
        "    return [float(sum(ids) % 17) + len(ids) for ids in completion_ids]\n"
    )
    file = small.recipe(tmp_path / "grpo.yaml", text, SMALL_STEPS)
    overrides = [
        "dtype=bfloat16",
        "training.learning_rate=1e-6",
        "training.save_strategy=steps",
        "training.save_steps=1",
    ]
    model = open_checkpoint(load(file, GrpoRecipe, overrides)).model
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    assert {p.dtype for p in model.parameters() if not p.requires_grad} == {torch.bfloat16}
    grpo.run(file, overrides)
    kept = load_file(tmp_path / "out" / "checkpoint-2" / "model.safetensors")
    before = dict(model.state_dict())
    trained = [name for name in kept if "layers" in name and name.endswith("proj.weight")]
    assert trained and all(kept[name].dtype == torch.float32 for name in trained)
    moved = [
        (kept[name] != before[name if name in before else f"model.language_{name}"]).float().mean() for name in trained
    ]
    assert min(moved) > 0.9
    written = load_file(tmp_path / "out" / "model" / "model.safetensors")
    assert {tensor.dtype for tensor in written.values()} == {torch.bfloat16}
