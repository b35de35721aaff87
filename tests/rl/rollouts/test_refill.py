"""Groups in which every completion earned the same make room for others, up to a cap; and a merged batch is a right one."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
import torch
from trl import GRPOConfig

from kie_hvqa.config import load
from kie_hvqa.data.files import read_json
from kie_hvqa.errors import InputError
from rewards.plugins.spec import load_rewards
from rl import grpo
from rl.recipes import GrpoRecipe
from rl.rollouts.refill import flat_groups, merged, refilled

PAD = 9


def _batch(advantages: list[float], prompt: int, completion: int, mark: int) -> dict[str, Any]:
    """Rows whose tokens all are ``mark``; prompts padded on the left, completions on the right."""
    rows = len(advantages)
    return {
        "prompt_ids": torch.full((rows, prompt), mark),
        "prompt_mask": torch.ones(rows, prompt, dtype=torch.long),
        "completion_ids": torch.full((rows, completion), mark),
        "completion_mask": torch.ones(rows, completion, dtype=torch.long),
        "mm_token_type_ids": torch.cat([torch.ones(rows, prompt), torch.zeros(rows, completion)], dim=1).long(),
        "advantages": torch.tensor(advantages),
        "num_items_in_batch": torch.tensor(rows * completion),
        "pixel_values": [torch.full((2, 1), mark)] * rows,
        "ref_per_token_logps": None,
    }


def test_the_flat_ones_are_found_by_token_too():
    assert flat_groups({"advantages": torch.tensor([0.0, 0.0, 1.0, -1.0])}, 2) == [0]
    assert flat_groups({"advantages": torch.tensor([[0.0, 0.5], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])}, 2) == [1]


def test_a_group_takes_the_place_of_another_with_the_padding_of_both():
    one, two = _batch([0, 0, 1, -1], 3, 2, mark=1), _batch([1, -1, 0, 0], 2, 4, mark=2)
    found = merged(one, two, [(0, 0)], 2, PAD)
    assert found["prompt_ids"].tolist() == [[PAD, 2, 2], [PAD, 2, 2], [1, 1, 1], [1, 1, 1]]
    assert found["prompt_mask"].tolist()[0] == [0, 1, 1]
    assert found["completion_ids"].tolist() == [[2, 2, 2, 2]] * 2 + [[1, 1, PAD, PAD]] * 2
    assert found["completion_mask"].tolist()[2] == [1, 1, 0, 0]
    assert found["mm_token_type_ids"].tolist() == [[0, 1, 1, 0, 0, 0, 0]] * 2 + [[1, 1, 1, 0, 0, 0, 0]] * 2
    assert found["advantages"].tolist() == [1, -1, 1, -1]
    assert [int(each[0, 0]) for each in found["pixel_values"]] == [2, 2, 1, 1] and found["ref_per_token_logps"] is None


@pytest.mark.parametrize(("most", "asked", "left"), [(0, 0, 2), (1, 1, 1), (5, 2, 0)])
def test_drawing_ends_when_all_groups_teach_or_at_the_cap(most, asked, left):
    asks: list[int] = []

    def draw(attempt: int) -> Any:
        asks.append(attempt)
        return _batch([1, -1, 0, 0, 0, 0], 2, 2, mark=attempt + 1), None

    batch, generation, replaced = refilled((_batch([0, 0, 0, 0, 1, -1], 2, 2, mark=1), None), draw, 2, most, PAD)
    assert asks == list(range(1, asked + 1)) and generation is None
    assert len(flat_groups(batch, 2)) == left and replaced == 2 - left


AT_TIMES = (
    "def at_times(prompts, completions, completion_ids, **columns):\n"
    "    return [float(sum(ids) % 2 == 0) for ids in completion_ids]\n"
)
TRAINING = (
    "per_device_train_batch_size: 8, num_generations: 2, max_completion_length: 6, report_to: [], seed: 3, beta: 0.1"
)


@pytest.mark.parametrize("sharing", ["{}", "{features: false, prompts: false, generation: false}"])
def test_a_run_draws_again_and_learns_from_more_groups(small, tmp_path, sharing):
    (tmp_path / "at_times.py").write_text(AT_TIMES)
    text = f"rewards: [{{function: './at_times.py:at_times'}}]\nsharing: {sharing}\nrefill: 2"
    grpo.run(small.recipe(tmp_path / "grpo.yaml", text, TRAINING))
    log = [entry for entry in read_json(tmp_path / "out" / "history.json")["log"] if "loss" in entry]
    assert all(0 <= entry["refilled"] <= 1 for entry in log) and any(entry["refilled"] > 0 for entry in log)
    assert all(entry["grad_norm"] > 0 for entry in log)
    assert pd.read_parquet(tmp_path / "out" / "rollouts").groupby("step").size().max() > 8


def test_parts_of_groups_cannot_be_drawn_again(small, tmp_path):
    training = TRAINING.replace("train_batch_size: 8, num_generations: 2", "train_batch_size: 2, num_generations: 4")
    file = small.recipe(tmp_path / "grpo.yaml", "rewards: [{function: format}]\nrefill: 1", training)
    two = type("Two", (GRPOConfig,), {"world_size": property(lambda self: 2)})
    recipe = load(file, GrpoRecipe)
    with pytest.raises(InputError, match="whole ones"):
        grpo.arguments_of(recipe, file, load_rewards(recipe.rewards, tmp_path), two)
