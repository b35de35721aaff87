"""A reward that somebody else wrote: installed into a fresh environment, found by its name, and trained with."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from kie_hvqa.data.files import read_json

ROOT = Path(__file__).resolve().parents[2]

PACKAGE = {
    "pyproject.toml": """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "tiny-plugin"
version = "1.0"

[project.entry-points."kie_hvqa.rewards"]
brief = "tiny_plugin:brief"
asked_elsewhere = "tiny_plugin:asked_elsewhere"
""",
    "tiny_plugin.py": '''\
"""A plain reward and one that waits for another machine, as a judge would."""

import asyncio

from rewards.contract import completion_text


def brief(prompts, completions, limit: int = 100, **columns):
    """Pays for staying under a length."""
    return [float(len(completion_text(completion)) < limit) for completion in completions]


async def asked_elsewhere(prompts, completions, question_kind=None, log_metric=None, **columns):
    """Applies to questions about fields that are there."""
    await asyncio.sleep(0.01)
    if log_metric is not None:
        log_metric("asked", len(completions))
    return [None if kind == "absent" else len(set(completion_text(c))) / 64 for c, kind in zip(completions, question_kind)]
''',
}

REWARDS = """\
rewards:
  - {function: brief, weight: 0.5, kwargs: {limit: 40}}
  - {function: asked_elsewhere}
  - {function: trl.rewards:think_format_reward, weight: 0.1}
  - {function: trl.rewards:get_soft_overlong_punishment, kwargs: {max_completion_len: 16, soft_punish_cache: 8}}
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment that sees the packages of this one, and has the plug-in installed."""
    home = tmp_path_factory.mktemp("fresh")
    venv.create(home / "env", with_pip=False, symlinks=True)
    interpreter = home / "env" / "bin" / "python"
    found = subprocess.run(
        [interpreter, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    # `--system-site-packages` would show the packages of the interpreter under this environment, not of this one.
    outer = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
    (Path(found.stdout.strip()) / "outer.pth").write_text(outer)
    source = home / "tiny_plugin"
    source.mkdir()
    for name, text in PACKAGE.items():
        (source / name).write_text(text)
    pip = [sys.executable, "-m", "pip", "--python", str(interpreter), "--disable-pip-version-check", "install", "-q"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--no-index", str(source)], check=True, timeout=600)
    return interpreter


def run(python: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``kie-hvqa`` of the tree under test, in the new environment and outside the tree."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [python, "-m", "kie_hvqa", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_an_installed_plugin_is_listed_checked_and_trained_with(python, small, tmp_path):
    listed = run(python, tmp_path, "rewards", "list")
    assert "brief  tiny_plugin:brief  (entry point of tiny-plugin)" in listed.stdout.splitlines(), listed.stderr
    checked = run(python, tmp_path, "rewards", "check", "asked_elsewhere")
    assert checked.returncode == 0 and "asked_elsewhere (asked_elsewhere, async)" in checked.stdout

    # The rewards differ in scale and one does not apply everywhere: what `normalize_then_sum` is for.
    keys = "num_generations: 4, per_device_train_batch_size: 8, max_completion_length: 16, report_to: []"
    keys += ", activation_checkpointing: false, multi_objective_aggregation: normalize_then_sum"
    recipe = small.recipe(tmp_path / "grpo.yaml", REWARDS, keys)
    trained = run(python, tmp_path, "grpo", "--config", str(recipe))
    assert trained.returncode == 0, trained.stderr[-4000:]
    history = read_json(tmp_path / "out" / "history.json")
    assert history["steps"] == 2
    first = history["log"][0]
    names = ("brief", "asked_elsewhere", "think_format_reward", "soft_overlong_punishment_reward")
    assert all(f"rewards/{name}/mean" in first and first[f"sandbox/{name}/failed"] == 0.0 for name in names)
    assert first["asked"] == 8
    assert (tmp_path / "out" / "model" / "model.safetensors").is_file()


@pytest.mark.slow
def test_the_plugin_is_not_there_outside_its_environment(python, tmp_path):
    refused = run(Path(sys.executable), tmp_path, "rewards", "check", "brief")
    assert refused.returncode == 2 and "no reward of this name" in refused.stderr
