"""The example in docs/writing-a-reward.md runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from kie_hvqa.answers.answer import Reading, render
from kie_hvqa.config import Config, validate
from rewards.plugins.check import check
from rewards.plugins.spec import RewardSpec, load_rewards

PAGE = Path(__file__).parents[2] / "docs" / "writing-a-reward.md"


class Recipe(Config):
    rewards: list[RewardSpec]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my_reward.py").write_text(_block("python"))
    return tmp_path


def _block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def test_the_recipe_loads_and_the_example_pays_as_described(folder):
    recipe = validate(yaml.safe_load(_block("yaml")), Recipe)
    faithful, real_date = load_rewards(recipe.rewards, base=folder)
    assert (faithful.weight, real_date.weight) == (1.0, 0.2)
    said = [render(Reading(final, clear=final), tags=True) for final in ("1987-13-41", "1987-04-12", "1987-  -41", "x")]
    fields = ["date_of_birth"] * 3 + ["surname"]
    assert real_date(prompts=[None] * 4, completions=said, field=fields) == [-0.5, 0.0, 0.0, None]
    assert real_date(prompts=[None], completions=["no answer"], field=["date_of_birth"]) == [None]


def test_the_example_passes_the_check(folder):
    report = check("./my_reward.py:real_date", base=folder)
    assert report.ok and not report.warnings, str(report)  # one of the golden fields is a date
