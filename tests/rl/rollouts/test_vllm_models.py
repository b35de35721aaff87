"""A checkpoint that vLLM would misread in silence is refused, by training and by the launcher, with the field named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kie_hvqa.errors import InputError
from rewards.plugins.spec import load_rewards
from rl import grpo
from rl.recipes import GrpoRecipe
from rl.rollouts.vllm_models import BASE, check_served, vision_base
from rl.tiny.build import TinyArchitecture, build_config, build_processor

ROOT = Path(__file__).resolve().parents[3]


def config(directory: Path, theta: float | None) -> Path:
    """A directory with a Qwen2.5-VL's config.json, its tower's rotary base ``theta`` (None: nothing said)."""
    vision = {} if theta is None else {"rope_parameters": {"rope_type": "axial", "rope_theta": theta}}
    directory.mkdir(exist_ok=True)
    (directory / "config.json").write_text(json.dumps({"model_type": "qwen2_5_vl", "vision_config": vision}))
    return directory


@pytest.mark.parametrize("theta", [None, 10_000.0, 10_000])
def test_the_base_of_every_released_model_is_served(tmp_path, theta):
    check_served(config(tmp_path, theta))


def test_a_directory_without_a_config_is_somebody_elses_to_refuse(tmp_path):
    check_served(tmp_path)


def test_tiny_models_are_built_with_a_base_that_vllm_knows(tmp_path):
    architecture = TinyArchitecture()
    build_config(architecture, build_processor(architecture, ["Name?"])).save_pretrained(tmp_path)
    assert vision_base(tmp_path) == BASE


def test_training_with_vllm_refuses_another_base_and_without_takes_it(small, tmp_path):
    recipe = GrpoRecipe(
        model=str(config(tmp_path / "model", 100.0)),
        data={"path": str(small.data)},
        output_dir=str(tmp_path / "out"),
        rewards=[{"function": "rewards.format:format"}],
        training={"use_vllm": True, "max_steps": 1, "save_strategy": "no"},
    )
    rewards = load_rewards(recipe.rewards, tmp_path)
    with pytest.raises(InputError, match="trained with 100: its pages would be misread") as caught:
        grpo.arguments_of(recipe, "grpo.yaml", rewards)
    assert caught.value.field == "vision_config.rope_parameters.rope_theta"
    plain = recipe.model_copy(update={"training": {**recipe.training, "use_vllm": False}})
    assert not grpo.arguments_of(plain, "grpo.yaml", rewards).use_vllm


def test_the_launcher_serves_no_such_checkpoint(small, tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    for file in small.model.iterdir():
        (model / file.name).symlink_to(file)
    (model / "config.json").unlink()
    told = json.loads((small.model / "config.json").read_text())
    told["vision_config"]["rope_parameters"]["rope_theta"] = 100.0
    (model / "config.json").write_text(json.dumps(told))
    done = {}
    for name, directory in (("served", small.model), ("refused", model)):
        recipe = tmp_path / f"{name}.yaml"
        recipe.write_text(
            f"model: {directory}\ndata: {{path: {small.data}}}\noutput_dir: {tmp_path / 'out'}\n"
            "rewards: [{function: rewards.format:format}]\ntraining: {max_steps: 1}\n"
        )
        done[name] = subprocess.run(
            [ROOT / "launch.sh", "rollouts", recipe, "--dry-run"],
            env={**os.environ, "PYTHON": sys.executable},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done["served"].returncode == 0 and "serve" in done["served"].stdout + done["served"].stderr
    assert done["refused"].returncode == 2 and "rope_theta" in done["refused"].stderr
