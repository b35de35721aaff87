"""A resumed run knows which rewards failed before, and which were left out."""

from __future__ import annotations

import json
from pathlib import Path

from transformers import TrainerControl, TrainerState, TrainingArguments

from rewards.plugins.sandbox import Sandbox, SandboxConfig
from rewards.plugins.spec import RewardSpec, load_rewards
from rl import grpo
from rl.callbacks.reward_counters import RewardCounters

CONFIG = "sandbox: {quarantine_after: 2, on_quarantine: exclude}"


def test_counters_are_in_the_checkpoint_and_the_next_run_takes_them_up(small, tmp_path):
    (tmp_path / "broken.py").write_text(
        "def broken(prompts, completions, **columns):\n    raise ValueError('no such column')\n"
    )
    rewards = "rewards: [{function: faithful}, {function: './broken.py:broken'}]"
    training = "per_device_train_batch_size: 4, num_generations: 2, max_completion_length: 8, report_to: []"
    recipe = small.recipe(tmp_path / "grpo.yaml", f"{rewards}\n{CONFIG}", training)
    grpo.run(recipe, ["training.max_steps=3", "training.save_strategy=steps", "training.save_steps=1"])

    first, last = (
        json.loads((tmp_path / "out" / f"checkpoint-{step}" / "trainer_state.json").read_text()) for step in (1, 3)
    )
    kept = last["stateful_callbacks"]["RewardCounters"]["attributes"]["counters"]
    assert first["stateful_callbacks"]["RewardCounters"]["attributes"]["counters"]["broken"]["failures"] == 1
    assert kept["broken"]["failures"] == 2 and kept["broken"]["quarantined"] and not kept["faithful"]["failures"]
    assert "no such column" in kept["broken"]["last_failure"]

    state = TrainerState.load_from_json(str(tmp_path / "out" / "checkpoint-3" / "trainer_state.json"))
    loaded = load_rewards([RewardSpec(function="faithful"), RewardSpec(function="./broken.py:broken")], tmp_path)
    with Sandbox(loaded, SandboxConfig(quarantine_after=2)) as sandbox:
        arguments = TrainingArguments(output_dir=str(tmp_path / "x"), use_cpu=True, report_to=[])
        RewardCounters(sandbox.rewards).on_train_begin(arguments, state, TrainerControl())
        broken = sandbox.rewards[1]
        assert broken.failures == 2 and broken.quarantined
        assert broken(prompts=["p"], completions=["c"]) == [None] and broken.failures == 2  # it is not called again


def test_a_checkpoint_of_an_earlier_version_has_none(tmp_path: Path):
    state = TrainerState()
    RewardCounters().on_train_begin(
        TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to=[]), state, TrainerControl()
    )
    assert state.stateful_callbacks["RewardCounters"] == {"args": {}, "attributes": {"counters": {}}}
