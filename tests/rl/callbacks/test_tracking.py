"""What a run says about itself lands where people look for it: TensorBoard's scalars, and the words of a lack of memory."""

from __future__ import annotations

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kie_hvqa.errors import InputError, WorkError
from rl import grpo
from rl.stage import explained_memory

WANTED = {
    "rewards/faithful/mean",
    "rewards/format/mean",
    # Two rates more wait for a completion that can be read, or a slot that is hidden: tests/rl/callbacks/test_evaluation.py.
    "ledger/hallucination_free_accuracy",
    "ledger/over_refusal_rate",
    "completions/clipped_ratio",
    "entropy",
    "kl",
    "loss",
    *(
        f"{kind}/{phase}"
        for kind in ("time", "share")
        for phase in ("generate", "reward", "log_probabilities", "backward")
    ),
}


def test_every_scalar_of_a_grpo_run_is_in_tensorboard(small, tmp_path):
    rewards = "rewards: [{function: faithful}, {function: format, weight: 0.1}]"
    training = "per_device_train_batch_size: 4, num_generations: 2, max_completion_length: 8, beta: 0.1"
    recipe = small.recipe(tmp_path / "grpo.yaml", rewards, training)
    grpo.run(recipe, ["training.max_steps=1", "completion_table_steps=1"])
    events = list((tmp_path / "out").rglob("events.out.tfevents.*"))
    assert events
    found: dict[str, list[float]] = {}
    for path in events:
        reader = EventAccumulator(str(path)).Reload()
        for tag in reader.Tags()["scalars"]:
            found[tag.removeprefix("train/")] = [one.value for one in reader.Scalars(tag)]
    assert set(found) >= WANTED, WANTED - set(found)
    assert len(reader.Images("completions/1")) == 1 and reader.Images("completions/1")[0].width > 100
    texts = [tag for tag in reader.Tags()["tensors"] if tag.startswith("completions/1")]
    table = reader.Tensors(texts[0])[0].tensor_proto.string_val[0].decode()
    assert "Truth: `{" in table and table.count("\n| ") == 3  # the head and a group of two
    severities = [value for tag, value in found.items() if tag.startswith("zero_variance/severity_")]
    assert severities and all(0 <= share <= 1 for values in severities for share in values)
    shares = [values[0] for tag, values in found.items() if tag.startswith("share/")]
    assert sum(shares) == pytest.approx(1, abs=1e-3)


def test_a_private_run_keeps_numbers_alone(small, tmp_path):
    rewards = "rewards: [{function: faithful}]\nprivate: true"
    training = "per_device_train_batch_size: 4, num_generations: 2, max_completion_length: 8"
    recipe = small.recipe(tmp_path / "grpo.yaml", rewards, training)
    with pytest.raises(InputError, match="private"):
        grpo.run(recipe, ["training.max_steps=1", "training.log_completions=true"])
    grpo.run(recipe, ["training.max_steps=1", "completion_table_steps=1"])
    assert not (tmp_path / "out" / "rollouts").exists()
    events = list((tmp_path / "out").rglob("events.out.tfevents.*"))
    assert events
    for path in events:
        tags = EventAccumulator(str(path)).Reload().Tags()
        assert tags["images"] == [] and not any(tag.startswith("completions/") for tag in tags["tensors"])


def test_a_lack_of_memory_says_what_to_lower():
    with pytest.raises(WorkError, match="per_device_train_batch_size") as caught, explained_memory():
        torch.empty(1 << 60, dtype=torch.uint8)
    assert "max_pixels" in str(caught.value) and "last checkpoint is intact" in str(caught.value)
    with pytest.raises(WorkError, match="out of memory"), explained_memory():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def test_another_error_is_left_as_it_is():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), explained_memory():
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
