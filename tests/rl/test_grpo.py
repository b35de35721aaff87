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
from rl import grpo
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


def test_weights_in_training_are_kept_in_float32_where_no_engine_keeps_them(small, tmp_path):
    import torch

    from rl.checkpoints.models import open_checkpoint

    recipe = load(small.recipe(tmp_path / "grpo.yaml", "rewards: [{function: format}]"), GrpoRecipe, ["dtype=bfloat16"])
    model = open_checkpoint(recipe).model
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    assert {p.dtype for p in model.parameters() if not p.requires_grad} == {torch.bfloat16}
