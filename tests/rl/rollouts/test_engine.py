"""SFT and GRPO through launch.sh as a user starts them: one process, and two CPU processes under ZeRO-2 and ZeRO-3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tests.rl.launching import ZERO, launch

pytestmark = pytest.mark.slow

SFT = "per_device_train_batch_size: 4"
# Completions of random weights differ, so that a group has an advantage and the weights move.
SPREAD = (
    "def spread(prompts, completions, completion_ids, **columns):\n"
    "    return [float(sum(ids) % 17) + len(ids) for ids in completion_ids]\n"
)
GRPO = "per_device_train_batch_size: 2, num_generations: 2, max_completion_length: 8, beta: 0.0"


def weights(directory: Path) -> dict[str, Any]:
    """The weights of a model that plain transformers opens, and that holds what an evaluation needs beside them."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    assert (directory / "reading.json").is_file()
    AutoProcessor.from_pretrained(directory, local_files_only=True)
    model, report = AutoModelForImageTextToText.from_pretrained(
        directory, local_files_only=True, output_loading_info=True
    )
    assert not report["missing_keys"] and not report["mismatched_keys"]
    return dict(model.named_parameters())


def stored_names(directory: Path) -> set[str]:
    """Names as they lie on disk, which is what vLLM goes by. Tied output weights may be stored or left out."""
    from safetensors import safe_open

    with safe_open(directory / "model.safetensors", "np") as stored:
        return set(stored.keys()) - {"lm_head.weight"}


@pytest.fixture(scope="module")
def alone(small, tmp_path_factory) -> tuple[dict[str, Any], Path]:
    """Two SFT steps of four questions in one process: the history, and the model."""
    recipe = small.recipe(tmp_path_factory.mktemp("alone") / "sft.yaml", training=SFT)
    return launch("sft", recipe), recipe.parent / "out" / "model"


@pytest.mark.parametrize("zero", [2, pytest.param(3, marks=pytest.mark.long)])
def test_two_processes_take_the_step_that_one_takes(small, alone, tmp_path, zero):
    recipe = small.recipe(tmp_path / "sft.yaml", f"deepspeed: {ZERO[zero]}", SFT)
    together = launch("sft", recipe, "training.per_device_train_batch_size=2", processes=2)
    # Before the first step, and after it: the second loss is the one that a wrong gradient would change.
    for step in (0, 1):
        expected, found = alone[0]["log"][step], together["log"][step]
        assert found["loss"] == pytest.approx(expected["loss"], abs=1e-4)
        assert found["num_tokens"] == expected["num_tokens"]
        assert found["grad_norm"] == pytest.approx(expected["grad_norm"], rel=1e-3)
    before, expected, found = weights(small.model), weights(alone[1]), weights(tmp_path / "out" / "model")
    moved = [name for name in before if not before[name].equal(found[name])]
    assert any("language_model" in name for name in moved)
    assert not any("visual" in name for name in moved)  # frozen unless the recipe says otherwise
    for name, parameter in found.items():
        # Adam's first step is the gradient's sign: where that is within rounding of zero, it may differ by two steps.
        assert (parameter - expected[name]).abs().max() <= 4.5e-3, name
        assert (parameter - expected[name]).abs().mean() <= 1e-5, name


@pytest.mark.long  # the next two train like it, with more beside
@pytest.mark.parametrize("zero", [2, 3])
def test_grpo_runs_on_two_processes(small, tmp_path, zero):
    (tmp_path / "spread.py").write_text(SPREAD)
    rewards = "rewards: [{function: './spread.py:spread'}, {function: faithful, weight: 0.1}]"
    recipe = small.recipe(tmp_path / "grpo.yaml", f"deepspeed: {ZERO[zero]}\n{rewards}", GRPO)
    history = launch("grpo", recipe, processes=2)
    assert history["steps"] == 2
    for step in history["log"][:2]:
        assert "rewards/spread/mean" in step and "rewards/faithful/mean" in step
    assert stored_names(tmp_path / "out" / "model") == stored_names(small.model)
    before, after = weights(small.model), weights(tmp_path / "out" / "model")
    assert any(not before[name].equal(after[name]) for name in before)


TAKE = "evaluation: {every: 1, split: train, limit: 2, batch_size: 1, max_new_tokens: 4, take: best}"
SAVED = "save_strategy: steps, save_steps: 1"


@pytest.mark.parametrize(
    ("stage", "zero", "text", "training"),
    [
        pytest.param("sft", 2, "", "per_device_train_batch_size: 2", marks=pytest.mark.long),
        pytest.param(
            "grpo",
            3,
            "rewards: [{function: faithful}]",
            GRPO.replace("beta: 0.0", "beta: 0.1, report_to: []"),
            marks=pytest.mark.long,
        ),
        (
            "grpo",
            2,
            "rewards: [{function: './spread.py:spread'}]\nlora: {rank: 2, alpha: 4}\nsharing: {memory_mib: 0}",
            GRPO.replace("beta: 0.0", "beta: 0.1, report_to: [], gradient_accumulation_steps: 2"),
        ),
    ],
    ids=["all weights, ZeRO-2", "a reference, ZeRO-3", "an adapter, a reference, accumulated, images encoded anew"],
)
def test_two_processes_take_the_best_weights(small, tmp_path, stage, zero, text, training):
    (tmp_path / "spread.py").write_text(SPREAD)
    recipe = small.recipe(tmp_path / "best.yaml", f"deepspeed: {ZERO[zero]}\n{TAKE}\n{text}", training)
    recipe.write_text(recipe.read_text().replace("save_strategy: 'no'", SAVED))
    history = launch(stage, recipe, processes=2)
    scores = [
        entry["eval_hallucination_free_accuracy"]
        for entry in history["log"]
        if "eval_hallucination_free_accuracy" in entry
    ]
    best = 1 + scores.index(max(scores))
    file = "adapter_model.safetensors" if "lora" in text else "model.safetensors"
    taken, kept = (load_file(tmp_path / "out" / name / file) for name in ("model", f"checkpoint-{best}"))
    assert taken.keys() == kept.keys() and all(tensor.equal(kept[name]) for name, tensor in taken.items())


PATHS = {
    "a reference, under ZeRO-3, accumulated": (
        3,
        "",
        "beta: 0.1, gradient_accumulation_steps: 2",
    ),
    "an adapter with a reference": (2, "lora: {rank: 2, alpha: 4}", "beta: 0.1"),
}


@pytest.mark.parametrize(
    "path", [next(iter(PATHS)), *(pytest.param(path, marks=pytest.mark.long) for path in [*PATHS][1:])]
)
def test_two_processes_share_work_and_change_no_number(small, tmp_path, path):
    """Beside TRL's own path in the same two processes, which draw the same completions from the same seeds."""
    zero, text, training = PATHS[path]
    (tmp_path / "spread.py").write_text(SPREAD)
    logs = []
    for sharing in ("{memory_mib: 0}", "{features: false, prompts: false, generation: false}"):
        folder = tmp_path / f"{len(logs)}"
        folder.mkdir()
        recipe = small.recipe(
            folder / "grpo.yaml",
            f"rewards: [{{function: '{tmp_path}/spread.py:spread'}}]\n{text}\nsharing: {sharing}\ndeepspeed: {ZERO[zero]}",
            f"per_device_train_batch_size: 2, num_generations: 2, max_completion_length: 6, report_to: [], {training}",
        )
        logs.append(launch("grpo", recipe, processes=2)["log"][:2])
    for ours, plain in zip(*logs, strict=True):
        for name in ("loss", "kl", "reward", "completions/mean_length"):
            assert ours[name] == pytest.approx(plain[name], abs=1e-4), name
        assert ours["grad_norm"] == pytest.approx(plain["grad_norm"], rel=2e-3) and plain["grad_norm"] > 0
