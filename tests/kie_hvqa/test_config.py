"""Recipes: every wrong key is named with its line, and nothing is coerced or dropped."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field

from kie_hvqa.config import Config, PathText, load
from kie_hvqa.errors import InputError


class Optimiser(Config):
    learning_rate: float = 1e-4
    steps: int = 10


class Reward(Config):
    function: str
    weight: float = 1.0


class Recipe(Config):
    name: str = "demo"
    optimiser: Optimiser = Optimiser()
    rewards: list[Reward] = Field(default_factory=list)


def recipe(directory: Path, text: str) -> Path:
    path = directory / "recipe.yaml"
    path.write_text(text)
    return path


def test_values_and_overrides(tmp_path: Path) -> None:
    path = recipe(tmp_path, "name: a\noptimiser:\n  learning_rate: 3e-4\nrewards:\n  - {function: f, weight: 2}\n")
    found = load(path, Recipe)
    assert found == Recipe(name="a", optimiser=Optimiser(learning_rate=3e-4), rewards=[Reward(function="f", weight=2)])
    found = load(path, Recipe, ["optimiser.learning_rate=1e-5", "optimiser.steps=3", "name=b"])
    assert (found.optimiser, found.name) == (Optimiser(learning_rate=1e-5, steps=3), "b")
    assert load(path, Recipe, ['name="1e-4"']).name == "1e-4"  # quoted is text
    assert load(recipe(tmp_path, ""), Recipe) == Recipe()


@pytest.mark.parametrize(
    ("text", "line", "field", "message"),
    [
        ("nmae: a\n", 1, "nmae", "Did you mean `name`"),
        ("name: a\noptimiser:\n  learning_rat: 1\n", 3, "optimiser.learning_rat", "Did you mean `learning_rate`"),
        ("optimiser:\n  steps: '3'\n", 2, "optimiser.steps", "integer"),
        ("optimiser:\n  steps: 3.0\n", 2, "optimiser.steps", "integer"),
        ("rewards:\n  - {function: f}\n  - {weight: 1}\n", 3, "rewards.1.function", "required"),
        ("name: a\nname: b\n", 2, None, "stands twice"),
        ("optimiser: {steps: 1, steps: 2}\n", 1, None, "stands twice"),
        ("name: [a\n", 2, None, "not YAML"),
        ("[" * 4000, None, None, "nested too deeply"),
        ("name: 2026-13-40\n", None, None, "not what its tag says"),
        ("- a\n", 1, None, "a recipe is a mapping"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, line: int, field: str | None, message: str) -> None:
    path = recipe(tmp_path, text)
    with pytest.raises(InputError) as caught:
        load(path, Recipe)
    assert (caught.value.file, caught.value.line, caught.value.field) == (str(path), line, field)
    assert message in str(caught.value)


@pytest.mark.parametrize("override", ["steps", "=3", "name.first=3", "optimiser.steps=[", "optimiser.stepz=3"])
def test_a_wrong_override_is_named(tmp_path: Path, override: str) -> None:
    with pytest.raises(InputError):
        load(recipe(tmp_path, "name: a\n"), Recipe, [override])


def test_no_file(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(InputError):
            load(path, Recipe)


def test_a_recipe_takes_from_its_base_what_it_does_not_say(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "first.yaml").write_text("name: first\noptimiser: {steps: 5, learning_rate: 1e-3}\n")
    (tmp_path / "shared" / "second.yaml").write_text(
        "base: first.yaml\noptimiser: {steps: 7}\nrewards: [{function: f}]\n"
    )
    path = recipe(tmp_path, "base: shared/second.yaml\nname: own\nrewards: [{function: g}]\n")
    found = load(path, Recipe, ["optimiser.learning_rate=1e-5"])
    assert found == Recipe(name="own", optimiser=Optimiser(steps=7, learning_rate=1e-5), rewards=[Reward(function="g")])


def test_what_is_wrong_in_a_base_is_told_with_its_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("name: a\noptimiser:\n  step: 3\n")
    path = recipe(tmp_path, "base: base.yaml\noptimiser: {learning_rate: 1e-3}\n")
    with pytest.raises(InputError) as caught:
        load(path, Recipe)
    assert (Path(caught.value.file or "").name, caught.value.line, caught.value.field) == (
        "base.yaml",
        3,
        "optimiser.step",
    )


def test_a_base_that_leads_back_or_is_not_there_is_refused(tmp_path: Path) -> None:
    path = recipe(tmp_path, "name: a\nbase: recipe.yaml\n")
    with pytest.raises(InputError, match="leads back to none") as caught:
        load(path, Recipe)
    assert caught.value.line == 2
    with pytest.raises(InputError, match="no such recipe"):
        load(recipe(tmp_path, "base: nowhere.yaml\n"), Recipe)


def test_no_is_a_word_and_only_true_and_false_are_truth_values(tmp_path: Path) -> None:
    """As in YAML 1.2: the country NO, the strategy `no`."""

    class Switched(Config):
        word: str = ""
        switch: bool = False

    for word in ("no", "NO", "yes", "on", "off", "y"):
        assert load(recipe(tmp_path, f"word: {word}\n"), Switched).word == word
        with pytest.raises(InputError, match="switch"):
            load(recipe(tmp_path, f"switch: {word}\n"), Switched)
    assert load(recipe(tmp_path, "switch: true\n"), Switched).switch
    assert load(recipe(tmp_path, ""), Switched, ["word=no", "switch=True"]) == Switched(word="no", switch=True)


def test_a_tilde_is_the_users_home_in_a_recipe_and_behind_an_override(tmp_path: Path, monkeypatch) -> None:
    class Where(Config):
        path: PathText

    monkeypatch.setenv("HOME", "/home/somebody")
    assert load(recipe(tmp_path, "path: ~/run\n"), Where).path == "/home/somebody/run"
    assert load(recipe(tmp_path, "path: x\n"), Where, ["path=~/run"]).path == "/home/somebody/run"
    assert load(recipe(tmp_path, "path: owner/name~2\n"), Where).path == "owner/name~2"
