"""GRPO with rollouts by a real vLLM beside the trainer: tokens, images and log-probabilities are compared by the run itself."""

from __future__ import annotations

import json

import pyarrow.parquet as parquet
import pytest

from tests.vllm.apart import run_apart
from tests.vllm.conftest import Reading

pytestmark = pytest.mark.slow

RECIPE = """\
model: {model}
data: {{path: {data}, split: train}}
output_dir: {out}
dtype: float32
rewards: [{{function: rewards.faithful:faithful}}]
{more}
training:
  max_steps: 3
  num_generations: 4
  per_device_train_batch_size: 8
  max_completion_length: 64
  learning_rate: {rate}
  temperature: 1.0
  beta: 0.0
  use_vllm: true
  vllm_mode: colocate
  vllm_max_model_length: 512
  activation_checkpointing: false
  logging_steps: 1
  save_strategy: "no"
  report_to: []
  seed: 0
"""


@pytest.mark.parametrize(("more", "rate"), [("", 1e-4), ("lora: {rank: 4, alpha: 8}", 1e-2)], ids=["whole", "lora"])
def test_three_generations_with_weights_sent_before_each(reading: Reading, tmp_path, more, rate):
    """The first would stop the run where the engine saw another image or held other weights; so would a broken sync:
    the later ratios are those of TRL's own correction, at most three, near one only with the weights of that step. Of an
    adapter that has moved the engine holds the sum with its base."""
    recipe = tmp_path / "grpo.yaml"
    said = {"model": reading.model, "data": reading.data, "out": tmp_path / "run", "more": more, "rate": f"{rate:.1e}"}
    recipe.write_text(RECIPE.format(**said))
    run_apart("tests.vllm.unpacked", "kie_hvqa", "grpo", "--config", recipe)
    history = json.loads((tmp_path / "run" / "history.json").read_text())
    assert history["steps"] == 3
    logs = [log for log in history["log"] if "loss" in log]
    gaps = [log["sampling/sampling_logp_difference/mean"] for log in logs]
    print("mean gap in nats a token, by step:", gaps, "; gradients:", [log["grad_norm"] for log in logs])
    assert len(gaps) == 3 and max(gaps) < 1e-3
    assert any(log["grad_norm"] > 0 for log in logs[:2])  # else nothing has moved that could have been sent wrongly
    tables = [parquet.read_table(file) for file in (tmp_path / "run" / "rollouts").glob("*.parquet")]
    assert sum(table.num_rows for table in tables) == 3 * 8


def test_the_gpu_checks_last_part_takes_its_steps(tmp_path):
    """With tiny models: TRL's weight sync, the collapsed image tokens and the log-probabilities hold there too."""
    from degradations.simulate import write_dataset
    from rl.gpu_check.setting import page_recipe, setting_of

    write_dataset(page_recipe(setting_of("small").pages), tmp_path / "pages")
    setting = ["--setting", "small", "--part", "vllm-3b-lora", "--seconds", "600"]
    run_apart("tests.vllm.unpacked", "rl.gpu_check.work", *setting, "--out", tmp_path)
    found = json.loads((tmp_path / "parts" / "vllm-3b-lora.json").read_text())
    # vLLM shares the probability of tokens that may not be sampled among the others, and random weights give eight of 376 some.
    assert len(found["ours"]["seconds"]) == 2 and max(found["ours"]["gap"]) < 0.03
    assert not (tmp_path / "models" / "3b-weights").exists()
