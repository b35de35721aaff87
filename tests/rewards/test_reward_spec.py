"""Naming a reward: every way in leads to a callable that TRL accepts, and every mistake is told before training."""

from __future__ import annotations

import asyncio
import importlib.metadata
import inspect
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from kie_hvqa.config import Config, validate
from kie_hvqa.errors import InputError
from rewards.contract import completion_text
from rewards.plugins import locate
from rewards.plugins.spec import AsyncLoadedReward, RewardSpec, list_rewards, load_reward, load_rewards

PLUGIN = """
    from typing import Annotated, Literal
    from pydantic import Field

    def lengths(prompts, completions, scale: float = 1.0, mode: Literal["up", "down"] = "up", **columns):
        return [scale * len(c) for c in completions]

    async def slow(prompts, completions, offset: Annotated[int, Field(ge=0)] = 0, **columns):
        return [offset + columns["severity"][i] for i in range(len(completions))]

    class Counting:
        def __init__(self, start: int):
            self.start = start
        def __call__(self, completions, **columns):
            return [float(self.start)] * len(completions)

    def no_columns(prompts, completions):
        return [0.0] * len(completions)

    def makes_nonsense(size: int = 3):
        return size

    VALUE = 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my_reward.py").write_text(textwrap.dedent(PLUGIN))
    return tmp_path


def spec(function: str, **kwargs: object) -> RewardSpec:
    return RewardSpec(function=function, kwargs=kwargs)


def test_file_is_relative_to_the_recipe_not_to_the_working_directory(folder, monkeypatch):
    monkeypatch.chdir("/")
    reward = load_reward(spec("./my_reward.py:lengths", scale=2.0), base=folder)
    assert reward(prompts=["p"], completions=["abc"]) == [6.0]
    with pytest.raises(InputError, match=r"no such file: /my_reward\.py"):
        load_reward(spec("./my_reward.py:lengths"))


def test_names_and_weights_survive_and_equal_names_get_suffixes(folder):
    specs = [RewardSpec(function="./my_reward.py:lengths", weight=w) for w in (1.0, 0.5, 0.25)]
    loaded = load_rewards([*specs, spec("format")], base=folder)
    assert [reward.__name__ for reward in loaded] == ["lengths", "lengths_2", "lengths_3", "format"]
    assert [reward.weight for reward in loaded] == [1.0, 0.5, 0.25, 1.0]


def test_async_stays_async_for_trl(folder):
    reward = load_reward(spec("./my_reward.py:slow", offset=2), base=folder)
    assert isinstance(reward, AsyncLoadedReward)
    assert inspect.iscoroutinefunction(reward.__call__)  # how TRL decides
    assert asyncio.run(reward(prompts=["p"], completions=["a"], severity=[4])) == [6]
    assert not inspect.iscoroutinefunction(load_reward(spec("format")).__call__)


def test_class_and_factory_are_made_with_their_kwargs(folder):
    reward = load_reward(spec("./my_reward.py:Counting", start=7), base=folder)
    assert reward(prompts=["p"], completions=["a", "b"]) == [7.0, 7.0]
    assert reward.__name__ == "Counting"


@pytest.mark.parametrize(
    ("function", "kwargs", "message"),
    [
        ("./my_reward.py:length", {}, "holds no `length`.*Did you mean `lengths`"),
        ("./my_reward.py:VALUE", {}, "a int cannot be called"),
        ("./my_reward.py:no_columns", {}, r"does not take \*\*columns"),
        ("./my_reward.py:makes_nonsense", {}, "made int, which is not a reward"),
        ("./my_reward.py:Counting", {}, "it needs `start`"),
        ("./my_reward.py:Counting", {"stat": 1}, "kwargs.stat: unknown argument. Did you mean `start`"),
        ("./my_reward.py:lengths", {"scael": 2.0}, "kwargs.scael: unknown argument. Did you mean `scale`"),
        ("./my_reward.py:lengths", {"scale": "2"}, "kwargs.scale: Input should be a valid number"),
        ("./my_reward.py:lengths", {"mode": "left"}, "kwargs.mode: Input should be 'up' or 'down'"),
        ("./my_reward.py:slow", {"offset": -1}, "kwargs.offset: .*greater than or equal to 0"),
        ("./my_reward.py:lengths", {"completions": []}, "the trainer fills this argument"),
        ("faithful", {"slots": []}, "the trainer fills this argument"),
        ("faithful", {"confidence_targt": 0.5}, "Did you mean `confidence_target`"),
        ("faithful", {"confidence_target": 1.0}, "kwargs.confidence_target: .*less than 1"),
        ("faithful", {"confidence_target": 0.5, "over_refusal": 2.0}, "guessing would beat a mark"),
        ("faithfull", {}, "no reward of this name. Did you mean `faithful`"),
        ("rewards.faithfull:faithful", {}, "no module `rewards.faithfull`"),
        ("nowhere_at_all:x", {}, "no module `nowhere_at_all`"),
        (":faithful", {}, "not a reward path"),
        ("./missing.py:f", {}, "no such file"),
    ],
)
def test_every_mistake_is_an_input_error_that_says_what_to_do(folder, function, kwargs, message):
    with pytest.raises(InputError, match=message):
        load_reward(spec(function, **kwargs), base=folder)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def f(:\n  pass", "SyntaxError"),
        ("import not_a_package_here", "fails when imported .ModuleNotFoundError"),
        ("1 / 0", "fails when imported .ZeroDivisionError"),
    ],
)
def test_a_broken_plugin_is_an_input_error_and_may_be_mended(tmp_path, source, message):
    file = tmp_path / "broken.py"
    file.write_text(source)
    with pytest.raises(InputError, match=message):
        load_reward(spec("./broken.py:f"), base=tmp_path)
    file.write_text("def f(completions, **columns):\n    return [1.0] * len(completions)\n")
    assert load_reward(spec("./broken.py:f"), base=tmp_path)(prompts=["p"], completions=["c"]) == [1.0]


def test_a_module_whose_own_import_is_missing_says_which(tmp_path, monkeypatch):
    (tmp_path / "needs_more.py").write_text("import absent_dependency\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match="needs `absent_dependency`, which is not installed"):
        load_reward(spec("needs_more:f"))


def test_entry_point_is_found_by_its_bare_name_and_listed_without_import(tmp_path, monkeypatch):
    (tmp_path / "installed_reward.py").write_text(textwrap.dedent(PLUGIN))
    info = tmp_path / "installed_reward-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: installed-reward\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[kie_hvqa.rewards]\nby_name = installed_reward:lengths\nfaithful = installed_reward:lengths\n"
        "broken = no_such_module:f\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    listed = {(info.name, info.path): info for info in list_rewards()}
    assert listed["by_name", "installed_reward:lengths"].source == "entry point of installed-reward"
    assert ("broken", "no_such_module:f") in listed  # a broken plug-in does not break the list
    assert "installed_reward" not in sys.modules
    assert load_reward("by_name")(prompts=["p"], completions=["abcd"]) == [4.0]
    with pytest.raises(InputError, match=r"leads to rewards\.faithful:faithful and installed_reward:lengths"):
        load_reward("faithful")


def test_list_describes_every_shipped_reward_and_its_arguments():
    shipped = {info.name: info for info in list_rewards() if info.source == "shipped"}
    assert set(shipped) == set(locate.SHIPPED)
    assert all(info.summary.endswith((".", "]")) for info in shipped.values())
    assert shipped["faithful"].parameters["confidence_target"] == "0.8"
    assert not {"slots", "completions", "prompts"} & set(shipped["faithful"].parameters)


def test_own_entry_points_do_not_list_twice(monkeypatch):
    point = importlib.metadata.EntryPoint("faithful", locate.SHIPPED["faithful"], locate.GROUP)
    monkeypatch.setattr("rewards.plugins.locate.importlib.metadata.entry_points", lambda group: [point])
    assert [info.name for info in list_rewards()].count("faithful") == 1
    assert load_reward("faithful").name == "faithful"


def test_loaded_rewards_pickle_as_their_spec(folder):
    reward = load_rewards([spec("./my_reward.py:lengths", scale=3.0)] * 2, base=folder)[1]
    again = pickle.loads(pickle.dumps(reward))
    assert again.__name__ == "lengths_2"
    assert again(prompts=["p"], completions=["ab"]) == [6.0]


def test_trl_builtin_rewards_run_by_path():
    """In another process: TRL may bring torch with it."""
    code = """
        from rewards.plugins.spec import RewardSpec, load_rewards
        think, repeat, overlong = load_rewards([
            RewardSpec(function="trl.rewards:think_format_reward"),
            RewardSpec(function="trl.rewards:get_repetition_penalty_reward", kwargs={"ngram_size": 2}),
            RewardSpec(function="trl.rewards:get_soft_overlong_punishment",
                       kwargs={"max_completion_len": 100, "soft_punish_cache": 20}),
        ])
        said = [[{"role": "assistant", "content": "<think>a</think>b"}], [{"role": "assistant", "content": "b"}]]
        assert think(prompts=[None] * 2, completions=said, slots=[None] * 2, log_metric=None) == [1.0, 0.0]
        assert repeat(prompts=[None], completions=["x"], completion_ids=[[5, 5, 5, 5, 5]]) == [-0.75]
        assert overlong(prompts=[None], completions=["x"], completion_ids=[[1] * 90]) == [-0.5]
        print([reward.__name__ for reward in (think, repeat, overlong)], think.is_async)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (
        "['think_format_reward', 'repetition_penalty_reward', 'soft_overlong_punishment_reward'] False" in done.stdout
    )


def test_rewards_import_neither_torch_nor_trl():
    code = (
        "import sys, rewards.plugins.spec, rewards.golden, rewards.plugins.check, rewards.plugins.sandbox\n"
        "rewards.plugins.spec.load_rewards([rewards.plugins.spec.RewardSpec(function=n) for n in rewards.plugins.spec.SHIPPED])\n"
        "assert not {'torch', 'trl', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_recipe_with_rewards_validates_strictly():
    class Recipe(Config):
        rewards: list[RewardSpec]

    recipe = validate({"rewards": [{"function": "faithful", "kwargs": {"confidence_target": 0.5}}]}, Recipe)
    assert recipe.rewards[0].weight == 1.0
    with pytest.raises(InputError, match=r"rewards\.0\.wieght: unknown key\. Did you mean `weight`"):
        validate({"rewards": [{"function": "faithful", "wieght": 1.0}]}, Recipe)


@pytest.mark.parametrize(
    ("completion", "text"),
    [
        ("plain", "plain"),
        ([{"role": "assistant", "content": "said"}], "said"),
        ([{"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "image"}, {"text": "b"}]}], "ab"),
        ([{"role": "assistant", "content": None}], ""),
        ([{"role": "assistant", "content": "a"}, {"role": "tool", "content": "x"}, {"role": "assistant", "content": "b"}],
         "a\nb"),
        ([], ""),
    ],
)  # fmt: skip
def test_completion_text(completion, text):
    assert completion_text(completion) == text


def test_a_file_may_import_what_lies_beside_it(tmp_path, monkeypatch):
    """As a script may. Nothing installed is hidden by it: its folder is the last that is looked in."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "beside_it.py").write_text("def half(text):\n    return len(text) / 2\n")
    (tmp_path / "json.py").write_text("raise RuntimeError('not the real one')\n")
    (tmp_path / "uses.py").write_text(
        "import json\nfrom beside_it import half\n\n"
        "def halves(completions, **columns):\n    import beside_it\n    return [beside_it.half(c) for c in completions]\n"
    )
    assert load_reward(spec("./uses.py:halves"), base=tmp_path)(prompts=["p"], completions=["abc"]) == [1.5]


@pytest.mark.parametrize("line", ["raise SystemExit('usage: …')", "import sys; sys.exit(3)", "exit(0)"])
def test_a_file_that_ends_the_program_when_imported_is_told(tmp_path, line):
    (tmp_path / "script.py").write_text(f"def f(completions, **columns):\n    return [0.0]\n\n{line}\n")
    for _ in range(2):  # not half imported either
        with pytest.raises(InputError, match=r"script\.py:f: it ends the program when it is imported \(SystemExit"):
            load_reward(spec("./script.py:f"), base=tmp_path)
