"""Recipes: every shipped key feeds a real field, and a wrong one is told with its line before anything is loaded."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForImageTextToText
from trl import GRPOConfig, SFTConfig

from kie_hvqa.config import load
from kie_hvqa.data.files import read_json, write_json
from kie_hvqa.errors import InputError
from rewards.plugins.spec import load_rewards
from rl.checkpoints.whole import COMPLETE
from rl.families.family import FAMILIES
from rl.preflight.checked.deepspeed_json import check_deepspeed_json
from rl.preflight.planned.batches import batches
from rl.preflight.planned.states import engine_of
from rl.recipes import GrpoRecipe, SftRecipe, training_arguments
from rl.stage import StageRun, common_arguments
from rl.tiny.base_config import BaseReaderConfig
from rl.tiny.build import build_config, build_processor

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


QWEN = [(stage, path) for stage, path in SHIPPED if path.name.startswith("qwen")]
LARGE = [(stage, path) for stage, path in QWEN if not path.stem.endswith("_one_gpu")]
ONE_GPU = [(stage, path) for stage, path in QWEN if path.stem.endswith("_one_gpu")]


@pytest.mark.parametrize(("stage", "path"), LARGE, ids=lambda value: getattr(value, "name", value))
def test_the_large_recipes_are_what_their_names_say(stage, path):
    recipe = load(path, STAGES[stage][0])
    assert not recipe.train_vision and recipe.dtype == "bfloat16" and recipe.evaluation is not None
    assert (recipe.lora is not None) == path.stem.endswith("_lora")
    assert recipe.deepspeed == f"configs/deepspeed/zero{2 if recipe.lora else 3}.json"
    assert recipe.training["activation_checkpointing"] is True
    size = re.search(r"_(\db)", path.stem)
    assert size is not None and size[1] in recipe.output_dir and size[1] in recipe.model.lower()
    assert recipe.output_dir.split("/")[1] == path.stem
    assert recipe.data.simulate is not None  # fresh documents: what repeats is memorised
    if stage == "grpo":
        # The policy that generates is the one whose loss is computed, and no long answer is dropped whole.
        assert (recipe.training["top_p"], recipe.training["top_k"], recipe.training["temperature"]) == (1.0, 0, 1.0)
        assert recipe.training["vllm_importance_sampling_mode"] == "token_truncate"
        # A micro-batch holds whole groups, so that a prompt is read once for all of its completions.
        assert recipe.training["per_device_train_batch_size"] % recipe.training["num_generations"] == 0
        warm_start = load(CONFIGS / "sft" / path.name, SftRecipe)
        assert recipe.model.startswith(warm_start.output_dir)
    else:
        assert (recipe.prompt, recipe.answer) == ("explicit", "explicit") and recipe.min_pixels and recipe.max_pixels


@pytest.mark.parametrize(("stage", "path"), LARGE, ids=lambda value: getattr(value, "name", value))
def test_a_large_recipe_makes_whole_groups_on_eight_gpus_and_agrees_with_its_deepspeed_json(stage, path, tmp_path):
    recipe = load(path, STAGES[stage][0], [f"output_dir={tmp_path}"])
    eight = type("Eight", (STAGES[stage][1],), {"world_size": property(lambda self: 8)})
    arguments = training_arguments(recipe, eight, path, **common_arguments(recipe))
    assert "ZeRO" in check_deepspeed_json(str(CONFIGS.parent / recipe.deepspeed), arguments, 8)
    made = batches(stage, arguments, 2000, 8, path)
    if stage == "grpo":
        assert made.generated % arguments.num_generations == 0  # every process gets whole groups
        assert made.step == 128 * arguments.num_generations


@pytest.mark.parametrize(("stage", "path"), ONE_GPU, ids=lambda value: getattr(value, "name", value))
def test_the_recipes_for_one_gpu_need_no_launcher_and_train_an_adapter(stage, path):
    recipe = load(path, STAGES[stage][0])
    assert recipe.lora is not None and recipe.deepspeed is None and not recipe.training.get("use_vllm")
    assert recipe.output_dir.split("/")[1] == path.stem
    if stage == "grpo":
        assert recipe.training["per_device_train_batch_size"] % recipe.training["num_generations"] == 0
        assert recipe.model.startswith(load(CONFIGS / "sft" / path.name, SftRecipe).output_dir)


def test_every_family_has_a_recipe_for_one_gpu():
    known = {name for family in FAMILIES for name in family.model_types if not name.endswith("_moe")}
    assert {re.sub(r"_\db_one_gpu", "", path.stem) for _, path in ONE_GPU} == known


@pytest.mark.parametrize("path", sorted((CONFIGS / "deepspeed").glob("*.json")), ids=lambda path: path.name)
def test_every_deepspeed_json_agrees_with_a_recipe_that_leaves_it_free(path, tmp_path):
    arguments = SFTConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False)
    assert str(path) in check_deepspeed_json(str(path), arguments, 4)
    engine = engine_of(str(path))
    assert engine.offload_optimiser == engine.offload_weights == ("offload" in path.stem)


@pytest.mark.parametrize("path", sorted((CONFIGS / "base").glob("*.yaml")), ids=lambda path: path.name)
def test_every_key_of_a_base_recipe_is_read(path):
    assert load(path, BaseReaderConfig).joint.steps > 0


def test_the_hundred_million_recipe_has_about_a_hundred_million_parameters():
    architecture = load(CONFIGS / "base" / "hundred_million.yaml", BaseReaderConfig).architecture
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(build_config(architecture, build_processor(architecture, [])))
    assert 90e6 < sum(parameter.numel() for parameter in model.parameters()) < 110e6


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


def test_no_is_a_strategy_and_no_truth_value(tmp_path):
    """What YAML 1.1 makes false of; what feeds TRL's classes has no strict types of its own."""
    path = tmp_path / "sft.yaml"
    path.write_text(f"model: embedded\ndata: {{path: d}}\noutput_dir: {tmp_path}\ntraining: {{save_strategy: no}}\n")
    recipe = load(path, SftRecipe)
    assert training_arguments(recipe, SFTConfig, path, **common_arguments(recipe)).save_strategy == "no"
    recipe = load(path, SftRecipe, ["training.activation_checkpointing=no"])
    with pytest.raises(InputError, match="this is true or false, not the word 'no'") as caught:
        training_arguments(recipe, SFTConfig, path, **common_arguments(recipe))
    assert caught.value.field == "training.activation_checkpointing"


def test_a_run_in_ones_home_is_in_one_place(tmp_path, monkeypatch):
    """transformers follows the `~` of an output directory: what is ours must lie there too."""
    monkeypatch.setenv("HOME", str(tmp_path))
    recipe = _recipe(Path("~/out"), model="~/model", data={"path": "~/data"}, deepspeed="~/zero.json")
    arguments = training_arguments(recipe, SFTConfig, "sft.yaml", **common_arguments(recipe))
    assert StageRun("sft", recipe).out == Path(arguments.output_dir) == tmp_path / "out"
    assert (recipe.model, recipe.data.path) == (str(tmp_path / "model"), str(tmp_path / "data"))
    assert recipe.deepspeed == str(tmp_path / "zero.json")


def _recipe(out: Path, **changes) -> SftRecipe:
    return SftRecipe.model_validate({"model": "embedded", "data": {"path": "d"}, "output_dir": str(out)} | changes)


def test_a_directory_that_holds_another_run_is_refused_and_left_alone(tmp_path):
    StageRun("sft", _recipe(tmp_path)).claim()
    before = (tmp_path / "training.json").read_bytes()
    with pytest.raises(InputError, match="another run"):
        StageRun("sft", _recipe(tmp_path, train_vision=True)).claim()
    with pytest.raises(InputError, match="another run"):
        StageRun("grpo", _recipe(tmp_path)).claim()
    assert (tmp_path / "training.json").read_bytes() == before


def test_a_run_of_an_earlier_version_goes_on_where_new_keys_are_at_their_defaults(tmp_path):
    StageRun("sft", _recipe(tmp_path)).claim()
    written = read_json(tmp_path / "training.json")
    del written["recipe"]["data"]["curriculum"], written["recipe"]["stall_seconds"]
    write_json(tmp_path / "training.json", written)
    assert StageRun("sft", _recipe(tmp_path)).check() == "started"
    with pytest.raises(InputError, match="another run: train_vision was False, is True"):
        StageRun("sft", _recipe(tmp_path, train_vision=True)).claim()


def test_what_does_not_define_the_result_may_change(tmp_path):
    """The remedies for memory, more steps, other logs: the run goes on, and its record says how."""
    first = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 2, "learning_rate": 1e-3}
    StageRun("sft", _recipe(tmp_path, training=first), processes=2).claim().release()
    smaller = {
        **first,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 4,
        "max_steps": 9,
        "save_steps": 3,
    }
    changed = {
        "deepspeed": "zero3.json",
        "stall_seconds": 5.0,
        "training": {**smaller, "activation_checkpointing": True},
    }
    StageRun("sft", _recipe(tmp_path, **changed), processes=2).claim().release()
    assert read_json(tmp_path / "training.json")["recipe"]["training"]["max_steps"] == 9
    halved = {**smaller, "gradient_accumulation_steps": 8}
    assert StageRun("sft", _recipe(tmp_path, training=halved), processes=1).check() == "started"  # on half the machines
    for training, said in (
        ({**smaller, "gradient_accumulation_steps": 2}, "rows a step was 32, is 16"),
        ({**smaller, "learning_rate": 1e-4}, "training.learning_rate was 0.001, is 0.0001"),
    ):
        with pytest.raises(InputError, match=said):
            StageRun("sft", _recipe(tmp_path, training=training), processes=2).check()


def test_the_same_run_may_go_on_where_it_stopped(tmp_path):
    assert not StageRun("sft", _recipe(tmp_path)).claim().finished
    checkpoint = tmp_path / "checkpoint-20"
    write_json(checkpoint / COMPLETE, {})
    again = StageRun("sft", _recipe(tmp_path)).claim()
    assert again.last_checkpoint() == str(checkpoint) and again.check() == "checkpoint-20"


def test_a_model_that_nobody_accounts_for_is_not_overwritten(tmp_path):
    (tmp_path / "model").mkdir()
    with pytest.raises(InputError, match=r"no training\.json"):
        StageRun("sft", _recipe(tmp_path)).claim()
