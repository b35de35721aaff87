"""Every tutorial runs as it stands and prints what it says; the folder of `init` is what its page says it is."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from kie_hvqa import cli
from kie_hvqa.config import load
from studies.site import tutorials

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))


@pytest.fixture
def terminal(tmp_path):
    """The environment of somebody who installed this: ``kie-hvqa`` and ``python`` are commands."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, rest in (("python", ""), ("kie-hvqa", " -m kie_hvqa")):
        (commands / name).write_text(f'#!/bin/sh\nexec {sys.executable}{rest} "$@"\n')
        (commands / name).chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{commands}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }


@pytest.mark.slow
@pytest.mark.tutorial
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_runs_as_it_stands(page, terminal, tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    printed = tutorials.run(page, folder, terminal)
    assert len(printed) >= 3 and "Traceback" not in "".join(printed)


def page(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "page.md"
    file.write_text(text)
    return file


def test_steps_share_a_shell_and_an_ellipsis_is_anything(tmp_path):
    text = "```sh\nA=3\ncd /\n```\n\n```sh\necho $A; pwd; date\n```\n\n```text\n3\n/\n…20…\n```\n"
    assert len(tutorials.run(page(tmp_path, text), tmp_path, os.environ)) == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("text\n\n```sh\necho no\n```\n```text\nyes\n```\n", r"page.md:3: the page says otherwise. Printed:\nno"),
        ("```sh\ntrue\n```\n\n```sh\necho so; false\n```\n", r"page.md:5: status 1. Printed:\nso"),
    ],
)
def test_a_page_that_says_what_is_not_so_fails(tmp_path, text, told):
    with pytest.raises(AssertionError, match=told):
        tutorials.run(page(tmp_path, text), tmp_path, os.environ)


def test_a_starting_folder_is_read_where_it_lies(tmp_path, monkeypatch, capsys):
    from degradations.config import SimulateConfig
    from rewards.plugins.spec import load_rewards
    from rl.recipes import GrpoRecipe, SftRecipe

    monkeypatch.chdir(tmp_path)
    assert cli.main(["init", "mine"]) == 0
    assert "mine/grpo.yaml" in capsys.readouterr().out
    assert load("mine/simulate.yaml", SimulateConfig).count == 400
    assert load("mine/warm_start.yaml", SftRecipe).model == "embedded"
    recipe = load("mine/grpo.yaml", GrpoRecipe)
    assert recipe.training["num_generations"] == 8 and recipe.output_dir == "runs/grpo"
    assert [reward.name for reward in load_rewards(recipe.rewards, tmp_path / "mine")] == ["faithful", "real_date"]
    lines = (tmp_path / "mine" / "README.md").read_text()
    for file in re.findall(r"--config (\S+)", lines):
        assert (tmp_path / "mine" / file).is_file()
    assert cli.main(["init", "mine"]) == 2


def test_its_reward_is_the_one_that_the_page_explains():
    page = (ROOT / "docs" / "writing-a-reward.md").read_text()
    assert (ROOT / "configs" / "init" / "my_reward.py").read_text() in page
