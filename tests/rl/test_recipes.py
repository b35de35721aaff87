"""Recipes: every shipped key feeds a real field, and a wrong one is told with its line before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
from trl import GRPOConfig, SFTConfig

from kie_hvqa.config import load
from kie_hvqa.errors import InputError
from rewards.spec import load_rewards
from rl.recipes import GrpoRecipe, SftRecipe, training_arguments
from rl.stage import StageRun, common_arguments
from rl.tiny.base_config import BaseReaderConfig

CONFIGS = Path(__file__).parents[2] / "configs"
STAGES = {"sft": (SftRecipe, SFTConfig), "grpo": (GrpoRecipe, GRPOConfig)}
SHIPPED = [(stage, path) for stage in STAGES for path in sorted((CONFIGS / stage).glob("*.yaml"))]


@pytest.mark.parametrize(("stage", "path"), SHIPPED, ids=lambda value: getattr(value, "name", value))
def test_every_key_of_a_shipped_recipe_is_a_field_of_what_it_feeds(stage, path, tmp_path):
    recipe_class, arguments_class = STAGES[stage]
    recipe = load(path, recipe_class, [f"output_dir={tmp_path}"])
    arguments = training_arguments(recipe, arguments_class, path, **common_arguments(recipe))
    for key, value in recipe.training.items():
        assert getattr(arguments, key) == value, f"TRL changed {key} from what {path.name} says"
    if stage == "grpo":
        assert load_rewards(recipe.rewards, path.parent)


def test_every_key_of_the_base_recipe_is_read():
    assert load(CONFIGS / "base" / "tiny_reader.yaml", BaseReaderConfig).joint.steps > 0


@pytest.mark.parametrize(
    ("line", "what"),
    [("modell: x", "model"), ("training: {learning_rat: 1}", "learning_rate"), ("training: {output_dir: x}", "recipe")],
)
def test_a_wrong_key_is_an_error_with_a_remedy(line, what, tmp_path):
    path = tmp_path / "sft.yaml"
    path.write_text(f"model: embedded\ndata: {{path: data}}\noutput_dir: {tmp_path / 'out'}\n{line}\n")
    with pytest.raises(InputError) as caught:
        recipe = load(path, SftRecipe)
        training_arguments(recipe, SFTConfig, path, **common_arguments(recipe))
    assert str(path) in str(caught.value)
    assert what in str(caught.value)


def _recipe(out: Path, **changes) -> SftRecipe:
    return SftRecipe.model_validate({"model": "embedded", "data": {"path": "d"}, "output_dir": str(out)} | changes)


def test_a_directory_that_holds_another_run_is_refused_and_left_alone(tmp_path):
    with StageRun("sft", _recipe(tmp_path)):
        pass
    before = (tmp_path / "training.json").read_bytes()
    with pytest.raises(InputError, match="another run"), StageRun("sft", _recipe(tmp_path, train_vision=True)):
        pass
    with pytest.raises(InputError, match="another run"), StageRun("grpo", _recipe(tmp_path)):
        pass
    assert (tmp_path / "training.json").read_bytes() == before


def test_the_same_run_may_go_on_where_it_stopped(tmp_path):
    with StageRun("sft", _recipe(tmp_path)) as stage:
        assert not stage.finished
    (tmp_path / "checkpoint-20").mkdir()
    with StageRun("sft", _recipe(tmp_path)) as stage:
        assert stage.last_checkpoint() == str(tmp_path / "checkpoint-20")


def test_a_model_that_nobody_accounts_for_is_not_overwritten(tmp_path):
    (tmp_path / "model").mkdir()
    with pytest.raises(InputError, match=r"no training\.json"), StageRun("sft", _recipe(tmp_path)):
        pass
