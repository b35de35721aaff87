"""Sharing a group's work changes no number: losses, gradients and completions are plain TRL's, to rounding."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Trainer
from trl import GRPOConfig, GRPOTrainer
from trl.trainer.utils import shuffle_sequence_dict

from kie_hvqa.config import load
from rewards.plugins.spec import load_rewards
from rl import grpo
from rl.recipes import GrpoRecipe
from rl.sharing.groups import shuffled_groups
from rl.sharing.prompts import distinct_prompts, first_of_each
from rl.trainer import GroupTrainer, StageTrainer

SPREAD = (
    "def spread(prompts, completions, completion_ids, **columns):\n"
    "    return [float(sum(ids) % 17) + len(ids) for ids in completion_ids]\n"
)
OFF = "{features: false, prompts: false, generation: false}"
BASIC = "per_device_train_batch_size: 8, num_generations: 4, max_completion_length: 12, seed: 3, report_to: []"


def steps(small, folder: Path, sharing: str, training: str, *, plain: bool = False, text: str = "") -> list[dict]:
    """Loss, gradient norm and completions of each step, in full precision."""
    folder.mkdir()
    (folder / "spread.py").write_text(SPREAD)
    recipe_file = small.recipe(
        folder / "grpo.yaml", f"rewards: [{{function: './spread.py:spread'}}]\nsharing: {sharing}\n{text}", training
    )
    recipe = load(recipe_file, GrpoRecipe)
    rewards = load_rewards(recipe.rewards, folder)
    arguments = grpo.arguments_of(recipe, recipe_file, rewards)
    arguments.disable_tqdm = True
    trainer, _ = (grpo.build_plain if plain else grpo.build)(recipe, arguments, rewards)
    seen: list[dict] = []
    step = trainer.training_step

    def watched(*args: Any, **kwargs: Any) -> torch.Tensor:
        loss = step(*args, **kwargs)
        gradient = [p.grad.norm() for p in trainer.model.parameters() if p.grad is not None]
        said = [message[0]["content"] for message in trainer._logs["completion"]]
        seen.append({"loss": float(loss), "gradient": float(torch.stack(gradient).norm()), "said": said})
        return loss

    trainer.training_step = watched
    trainer.train()
    return seen


CASES = {
    "features": ("{features: true, prompts: false, generation: false}", "", ""),
    "prompts": ("{features: false, prompts: true, generation: false}", "", ""),
    "generation": ("{features: false, prompts: true, generation: true}", "", ""),
    "everything": ("{}", "", ""),
    "no memory for features": ("{memory_mib: 0}", "", ""),
    "accumulated": ("{}", "gradient_accumulation_steps: 2", ""),
    "used twice, with a reference": ("{}", "num_iterations: 2, beta: 0.05", ""),
    "an adapter": ("{}", "beta: 0.05", "lora: {rank: 2, alpha: 4}"),
    "an entropy bonus on the uncertain half": ("{}", "entropy_coef: 0.05, top_entropy_quantile: 0.5", ""),
    "eyes in training": ("{}", "", "train_vision: true"),
    "filtered sampling": ("{}", "top_k: 20, top_p: 0.9, temperature: 0.7, repetition_penalty: 1.2", ""),
}


@pytest.fixture(scope="module")
def plain(small, tmp_path_factory):
    """Plain TRL's steps for a set of training keys, computed once each."""
    known: dict[tuple[str, str], list[dict]] = {}

    def of(training: str, text: str) -> list[dict]:
        if (training, text) not in known:
            folder = tmp_path_factory.mktemp("plain") / "run"
            known[training, text] = steps(small, folder, OFF, f"{BASIC}, {training}", plain=True, text=text)
        return known[training, text]

    return of


@pytest.mark.parametrize("case", CASES)
def test_losses_gradients_and_completions_are_plain_trls(small, plain, tmp_path, case):
    sharing, training, text = CASES[case]
    expected = plain(training, text)
    found = steps(small, tmp_path / "run", sharing, f"{BASIC}, {training}", text=text)
    assert len(found) == len(expected) >= 2
    # TRL fills a step's micro-batches with single completions, this trainer with whole groups: steps are the same.
    each = 2 if "accumulation" in training else 1
    for start in range(0, len(found), each):
        ours, theirs = found[start : start + each], expected[start : start + each]
        assert ours[-1]["said"] == theirs[-1]["said"]
        assert sum(one["loss"] for one in ours) == pytest.approx(sum(one["loss"] for one in theirs), abs=1e-5)
        assert ours[-1]["gradient"] == pytest.approx(theirs[-1]["gradient"], rel=1e-3)
    assert any(step["gradient"] > 1e-3 for step in found)


def test_images_are_encoded_once_and_never_again(small, tmp_path):
    (tmp_path / "spread.py").write_text(SPREAD)
    text = "rewards: [{function: './spread.py:spread'}]"
    recipe_file = small.recipe(tmp_path / "grpo.yaml", text, f"{BASIC}, num_iterations: 2")
    recipe = load(recipe_file, GrpoRecipe, ["training.max_steps=4"])
    rewards = load_rewards(recipe.rewards, tmp_path)
    trainer, _ = grpo.build(recipe, grpo.arguments_of(recipe, recipe_file, rewards), rewards)
    trainer.train()
    # Four steps use two generations of two questions: encoded once, shown to the prefill, to the pass for the old
    # log-probabilities and to two loss passes.
    assert trainer._tower.encoded == 4
    assert trainer._tower.reused == 0


# What rl/trainer.py overrides, as TRL 1.16 and transformers 5.23 have it.
SIGNATURES = {
    "_tokenize_prompts": ["self", "prompts"],
    "_generate_single_turn": ["self", "prompt_ids", "images", "multimodal_fields", "num_generations", "has_tool_images"],
    "_generate_and_score_completions": ["self", "inputs"],
    "_calculate_rewards": ["self", "inputs", "prompts", "completions", "completion_ids_list"],
    "_get_train_sampler": ["self", "dataset"],
    "_prepare_inputs": ["self", "generation_batch"],
    "_compute_loss": ["self", "model", "inputs"],
    "_get_per_token_logps_and_entropies": [
        "self", "model", "input_ids", "attention_mask", "logits_to_keep", "batch_size", "compute_entropy",
        "compute_aux_loss", "pixel_values", "image_grid_thw", "num_images", "pixel_attention_mask", "spatial_shapes",
        "num_tiles", "image_sizes", "token_type_ids", "mm_token_type_ids", "image_position_ids",
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", SIGNATURES)
def test_trl_has_what_is_overridden_with_the_parameters_that_it_had(name):
    assert list(inspect.signature(inspect.unwrap(getattr(GRPOTrainer, name))).parameters) == SIGNATURES[name]
    assert any(name in vars(ours) for ours in (StageTrainer, GroupTrainer))


def test_transformers_trainer_has_what_is_overridden():
    expected = {
        "_save_checkpoint": ["self", "model", "trial"],
        "_get_output_dir": ["self", "trial"],
        "_get_grad_norm": ["self", "model", "grad_norm"],
        "training_step": ["self", "model", "inputs", "num_items_in_batch"],
    }
    for name, parameters in expected.items():
        assert list(inspect.signature(getattr(Trainer, name)).parameters) == parameters, name
    assert "save_total_limit" in GRPOConfig.__dataclass_fields__


def test_a_shuffle_keeps_groups_and_draws_what_trl_draws():
    rows = torch.arange(24)
    batch = {
        "advantages": rows.float(),
        "ids": rows[:, None].expand(24, 3),
        "images": rows.tolist(),
        "n": torch.tensor(5),
    }
    torch.manual_seed(4)
    shuffled = shuffled_groups({**batch, "none": None}, 4)
    after = torch.get_rng_state()
    torch.manual_seed(4)
    shuffle_sequence_dict(batch)
    assert torch.equal(after, torch.get_rng_state())
    order = shuffled["images"]
    assert order != rows.tolist() and sorted(order) == rows.tolist()
    assert all(order[at : at + 4] == list(range(order[at], order[at] + 4)) for at in range(0, 24, 4))
    assert shuffled["ids"][:, 0].tolist() == shuffled["advantages"].tolist() == order
    assert shuffled["n"] == 5 and shuffled["none"] is None


def test_rows_that_make_no_whole_groups_are_shuffled_as_trl_does_it():
    batch = {"advantages": torch.arange(10.0), "images": list(range(10))}
    torch.manual_seed(4)
    expected = shuffle_sequence_dict(batch)
    torch.manual_seed(4)
    assert shuffled_groups(batch, 4)["images"] == expected["images"]


def test_prompts_are_the_same_by_what_they_say_and_show():
    from PIL import Image

    def prompt(text: str, grey: int) -> list[dict[str, Any]]:
        image = Image.new("RGB", (4, 4), (grey, grey, grey))
        return [{"role": "user", "content": [{"type": "image", "image": image}, {"type": "text", "text": text}]}]

    prompts = [prompt("a", 1), prompt("b", 1), prompt("a", 1), prompt("a", 2), prompt("b", 1)]
    first, owner, keys = distinct_prompts(prompts)
    assert (first, owner) == ([0, 1, 3], [0, 1, 0, 2, 1])
    assert keys[0] == keys[1] != keys[2]
    assert first_of_each(owner) == first
