"""The preflight of both stages: what it says about a sound start, and the first thing that it refuses about each other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kie_hvqa.data.files import read_json, write_json
from kie_hvqa.errors import InputError
from rl import preflight
from rl.launch import __main__ as launch
from rl.preflight import checks

ROOT = Path(__file__).resolve().parents[3]
ZERO = {stage: ROOT / "configs" / "deepspeed" / f"zero{stage}.json" for stage in (2, 3)}
GRPO = "per_device_train_batch_size: 2, num_generations: 2, max_completion_length: 8"


@pytest.fixture
def sft(small, tmp_path) -> Path:
    return small.recipe(tmp_path / "sft.yaml", training="per_device_train_batch_size: 4")


@pytest.fixture
def grpo(small, tmp_path) -> Path:
    return small.recipe(tmp_path / "grpo.yaml", "rewards: [{function: format, weight: 0.5}]", GRPO)


def said(findings: list[preflight.Finding], check: str) -> str:
    (text,) = (finding.text for finding in findings if finding.check == check)
    return text


def refused(stage: str, recipe: Path, *overrides: str, world_size: int = 1) -> InputError:
    with pytest.raises(InputError) as caught:
        preflight.run(stage, recipe, overrides, world_size=world_size)
    return caught.value


def test_a_sound_warm_start(sft, tmp_path):
    heard: list[preflight.Finding] = []
    found = preflight.run("sft", sft, world_size=2, say=heard.append)
    assert heard == found
    assert "24 questions about 6 documents" in said(found, "dataset")
    assert said(found, "batches") == "8 questions a step, 2 steps (0.67 epochs)"
    # Licences of 224 x 128 pixels under 112 x 112: 9 x 5 tokens of 16 pixels.
    assert said(found, "tokens").startswith("image median 45, p99 45, max 45; ")
    assert "45 tokens" in said(found, "processor")
    assert "without DeepSpeed" in said(found, "engine")
    assert not (tmp_path / "out").exists()


def test_a_sound_grpo_run(grpo):
    found = preflight.run("grpo", grpo, [f"deepspeed={ZERO[3]}"], world_size=4)
    assert "ZeRO-3 on 4 processes" in said(found, "engine")
    assert said(found, "batches").startswith("4 questions x 2 completions a generation, 8 completions a step, 2 steps")
    assert said(found, "reward").startswith("format x 0.5 pays an honest reading ")


def test_groups_must_be_whole_in_the_planned_world(grpo):
    # Three completions a group: whole in a world of three processes of two, not in a world of two.
    preflight.run("grpo", grpo, ["training.num_generations=3"], world_size=3)
    error = refused("grpo", grpo, "training.num_generations=3", world_size=2)
    assert "divisible by num_generations" in error.what and error.file == str(grpo)


def test_a_generation_batch_that_the_dataset_cannot_fill(grpo):
    error = refused("grpo", grpo, "training.per_device_train_batch_size=64")
    assert "24 questions do not fill" in error.what and "32" in error.what


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"train_micro_batch_size_per_gpu": 3}, "train_micro_batch_size_per_gpu"),
        ({"train_batch_size": 4}, "train_batch_size"),
        ({"gradient_clipping": 0.5}, "gradient_clipping"),
        ({"zero_optimization": {"stage": 4}}, "zero_optimization.stage"),
        ({"zero_optimization": {"stage": 3}}, "zero_optimization.stage3_gather_16bit_weights_on_model_save"),
        ({"zero_optimization": {"stage": 2, "overlap_com": True}}, "zero_optimization.overlap_com"),
    ],
)
def test_a_deepspeed_json_that_contradicts_the_recipe(sft, tmp_path, change, field):
    settings = read_json(ZERO[2])
    settings.update(change)
    write_json(tmp_path / "zero.json", settings)
    error = refused("sft", sft, f"deepspeed={tmp_path / 'zero.json'}", world_size=2)
    assert (error.file, error.field) == (str(tmp_path / "zero.json"), field)


def test_a_deepspeed_json_that_is_none(sft, tmp_path):
    (tmp_path / "zero.json").write_text('{\n"zero_optimization": {,}\n}')
    error = refused("sft", sft, f"deepspeed={tmp_path / 'zero.json'}", world_size=2)
    assert error.line == 2
    assert "no such file" in refused("sft", sft, "deepspeed=nowhere.json", world_size=2).what


def test_weights_cut_short(small, sft, tmp_path):
    model = shutil.copytree(small.model, tmp_path / "model")
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    error = refused("sft", sft, f"model={model}")
    assert error.file == str(weights) and "cut short" in error.remedy
    weights.unlink()
    assert "no weights" in refused("sft", sft, f"model={model}").what


def test_a_checkpoint_whose_reading_json_disagrees(small, sft, tmp_path):
    error = refused("sft", sft, "max_pixels=4096")
    assert error.field == "max_pixels" and error.file == str(small.model / "reading.json")


def test_a_processor_of_another_patch_geometry(small, sft, tmp_path):
    model = shutil.copytree(small.model, tmp_path / "model")
    settings = read_json(model / "processor_config.json")
    settings["image_processor"]["merge_size"] = 4
    write_json(model / "processor_config.json", settings)
    assert refused("sft", sft, f"model={model}").field == "merge_size"


def test_a_processor_that_resizes_once_more(sft, monkeypatch):
    opened = checks.open_processor

    def of_other_bounds(directory, contract):
        processor = opened(directory, contract)
        processor.image_processor.size = {"shortest_edge": 256 * 256, "longest_edge": 512 * 512}
        return processor

    monkeypatch.setattr(checks, "open_processor", of_other_bounds)
    error = refused("sft", sft)
    assert "the pixel budget 45" in error.what and error.file.endswith((".png", ".jpg"))


def test_a_context_that_is_too_short(small, grpo, tmp_path):
    error = refused("grpo", grpo, "training.max_completion_length=4096")
    assert error.field == "max_position_embeddings" and "the context has 2048" in error.what


def test_an_image_that_is_missing_or_no_image(small, sft, tmp_path):
    data = shutil.copytree(small.data, tmp_path / "data")
    first = json.loads((data / "metadata.jsonl").read_text().splitlines()[0])
    image = data / first["file_name"]
    image.write_bytes(b"nothing to see")
    assert refused("sft", sft, f"data.path={data}").file == str(image)
    image.unlink()
    assert "no such image" in refused("sft", sft, f"data.path={data}").what
    assert "split" in str(refused("sft", sft, "data.split=test"))


def test_a_reward_that_breaks_the_contract(grpo, tmp_path):
    (tmp_path / "bad.py").write_text("def bad(prompts, completions, **columns):\n    return [1.0]\n")
    error = refused("grpo", grpo, "rewards=[{function: './bad.py:bad'}]")
    assert error.field == "rewards: ./bad.py:bad"


def test_a_directory_of_another_run(sft, tmp_path):
    write_json(tmp_path / "out" / "training.json", {"stage": "sft", "recipe": {}})
    assert "another run" in refused("sft", sft).what


def test_a_dry_run_as_a_user_starts_it(sft):
    done = subprocess.run(
        [ROOT / "launch.sh", "sft", sft, "--dry-run", "training.max_steps=3"],
        env={**os.environ, "PYTHON": sys.executable, "NPROC": "2"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "8 questions a step, 3 steps" in done.stdout
    wrong = subprocess.run(
        [ROOT / "launch.sh", "sft", sft, "--dry-run", "training.learning_rat=3"],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert wrong.returncode == 2
    assert wrong.stderr.splitlines()[-1].startswith("launch.sh sft: ") and "learning_rate" in wrong.stderr


def test_a_plan_for_a_script(sft, capsys, monkeypatch):
    monkeypatch.setenv("NPROC", "2")
    assert launch.main(["sft", str(sft), "--dry-run", "--json", "training.max_steps=3"]) == 0
    said = json.loads(capsys.readouterr().out)
    found = {one["check"]: one["numbers"] for one in said["findings"]}
    assert said["processes"] == 2 and found["memory"]["peak"] < found["memory"]["usable"]
    assert " kie_hvqa sft " in dict(said["commands"])["command"]
    assert launch.main(["sft", str(sft), "--json"]) == 2
    capsys.readouterr()
    monkeypatch.setenv("KIE_HVQA_QUIET", "1")
    assert launch.main(["sft", str(sft), "--dry-run", "training.max_steps=3"]) == 0
    assert capsys.readouterr().out == ""


def test_a_reward_that_applies_to_no_row_is_no_reward(small, tmp_path):
    """It would pay nothing, and the lightest reward alone would train the reader."""
    (tmp_path / "rare.py").write_text(
        "def rare(prompts, completions, marginalia=None, **columns):\n"
        "    return [None if marginalia is None else 1.0] * len(completions)\n"
    )
    training = "per_device_train_batch_size: 4, num_generations: 2, max_completion_length: 8"
    rewards = "rewards: [{{function: './rare.py:rare', weight: {}}}, {{function: faithful, weight: 0.1}}]"
    recipe = small.recipe(tmp_path / "grpo.yaml", rewards.format(1.0), training)
    with pytest.raises(InputError, match="`rare`, applies to none of the 24 rows"):
        preflight.run("grpo", recipe)
    found = {one.check: one.text for one in preflight.run("grpo", recipe, ["rewards=[{function: faithful}]"])}
    assert "faithful applies to 24 of 24 rows and pays the truth 1.00" in found["paid"]
