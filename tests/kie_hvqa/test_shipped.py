"""A recipe by its name, from any working directory; a file of one's own comes first."""

from __future__ import annotations

import json

import pytest

from kie_hvqa import cli, shipped
from kie_hvqa.config import Config, load
from kie_hvqa.errors import InputError


@pytest.mark.parametrize("stage", shipped.STAGES)
def test_every_shipped_recipe_has_a_name(stage):
    assert "tiny" in shipped.names(stage)
    for name in shipped.names(stage):
        file = shipped.recipe(stage, name)
        assert file == shipped.recipe("grpo", f"{stage}/{name}") == shipped.CONFIGS / stage / f"{name}.yaml"
        assert file.is_file()


def test_a_file_comes_first_and_a_path_stays_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cards").write_text("seed: 1\n")
    assert str(shipped.recipe("simulate", "cards")) == "cards"
    assert str(shipped.recipe("simulate", "mine/cards.yaml")) == "mine/cards.yaml"
    assert str(shipped.recipe("simulate", "tiny.yaml")) == "tiny.yaml"
    with pytest.raises(InputError, match="Did you mean `tiny`"):
        shipped.recipe("grpo", "tinny")


def test_the_command_line_takes_names_anywhere(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["simulate", "--config", "tiny", "--out", "data", "count=1", "questions_per_document=1"]) == 0
    assert json.loads((tmp_path / "data" / "dataset.json").read_text())
    with pytest.raises(SystemExit) as stop:
        cli.main(["simulate", "--config", "card", "--out", "other"])
    assert stop.value.code == 2 and "Did you mean `cards`?" in capsys.readouterr().err


def test_a_recipe_of_ones_own_stands_on_a_shipped_one(tmp_path):
    class Any(Config, extra="allow"):
        pass

    (tmp_path / "mine.yaml").write_text("base: grpo/tiny\noutput_dir: mine\n")
    found = load(tmp_path / "mine.yaml", Any)
    assert found.model_extra is not None
    assert found.model_extra["output_dir"] == "mine" and found.model_extra["training"]["num_generations"] == 8


def test_training_may_damage_by_a_shipped_recipe():
    from rl.recipes import DataConfig

    assert DataConfig(simulate="cards").name == str(shipped.CONFIGS / "simulate" / "cards.yaml")
