"""``make gpu-check``: without a GPU one sentence; every part with tiny models; what differs, fails or takes too long is told."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from degradations.simulate import write_dataset
from kie_hvqa.config import load
from kie_hvqa.data.files import read_json
from kie_hvqa.errors import InputError
from rl.gpu_check import __main__ as gpu_check
from rl.gpu_check.setting import ROOT, page_recipe, setting_of, write_recipe
from rl.gpu_check.steps import differences
from rl.gpu_check.table import table
from rl.recipes import GrpoRecipe, SftRecipe

STEPS = [name for name, part in setting_of("small").parts.items() if part.kind == "steps"]


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    """A directory of the small check with its pages."""
    home = tmp_path_factory.mktemp("check")
    write_dataset(page_recipe(setting_of("small").pages), home / "pages")
    return home


def test_without_a_gpu_it_says_so_and_writes_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "rl.gpu_check", "--out", tmp_path / "out"],
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2 and done.stderr.startswith("gpu-check: this machine shows no GPU")
    assert len(done.stderr.splitlines()) == 1 and not (tmp_path / "out").exists()


def test_the_small_check_has_the_parts_of_the_full_one():
    full, small = setting_of("full"), setting_of("small")
    assert list(full.parts) == list(small.parts) and sum(part.share for part in full.parts.values()) == pytest.approx(1)
    for name, part in full.parts.items():
        assert (part.kind, part.recipe, part.share) == (
            small.parts[name].kind,
            small.parts[name].recipe,
            small.parts[name].share,
        )


@pytest.mark.parametrize("name", [name for name, part in setting_of("full").parts.items() if part.recipe])
def test_a_full_part_is_its_recipe_on_one_process_and_without_a_checkpoint(name, tmp_path):
    setting = setting_of("full")
    part = setting.parts[name]
    file = write_recipe(setting, name, tmp_path)
    found = load(file, SftRecipe if part.stage == "sft" else GrpoRecipe)
    shipped = load(ROOT / part.recipe, type(found))
    assert found.deepspeed is None and found.evaluation is None and found.training["save_strategy"] == "no"
    assert (found.lora is None) == ("full" in name) == (shipped.lora is None) and found.dtype == shipped.dtype
    assert found.training["learning_rate"] == shipped.training["learning_rate"]
    assert found.data.path == str(tmp_path / "pages") and found.data.simulate is None


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
def test_both_trainers_take_the_same_steps(name, out):
    from rl.gpu_check.work import run

    found = run(setting_of("small"), name, out, 900)
    assert read_json(out / "parts" / f"{name}.json") == {"kind": "steps", **found}
    assert len(found["plain"]["seconds"]) == len(found["ours"]["seconds"]) == len(found["ours"]["loss"]) == 3
    assert found["agree"] and found["loss_difference"] < 1e-5 and found["gradient_difference"] < 1e-3
    assert min(found["plain"]["gradient"]) > 1e-3 and found["ratio"] > 0 and found["planned"] > 0
    if "grpo" in name:
        assert found["ours"]["same_tokens"] == 1.0  # in float32; what is compared would be the same in any case


@pytest.mark.long
def test_the_demos_recipes_train_and_are_scored(out):
    from rl.gpu_check.work import run

    found = run(setting_of("small"), "demo", out, 900)
    assert found["steps"] == {"sft": 2, "grpo": 2} and set(found["scores"]) == {"base", "sft", "grpo"}


def test_a_part_whose_time_is_over_is_ended_with_all_that_it_started(out):
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    started = time.monotonic()
    found = gpu_check._part("small", "sft-3b-full", out, 5.5)
    assert found["status"] == "cut off" and time.monotonic() - started < 60
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before
    assert gpu_check._part("small", "demo", out, 1.0) == {"status": "skipped", "skipped": "no time was left"}


def test_a_part_that_fails_says_why_and_fails_the_check(out, monkeypatch, capsys):
    monkeypatch.setattr(gpu_check, "_part", lambda *_: {"status": "failed", "message": "RuntimeError: no kernel image"})
    line = ["--setting", "small", "--out", str(out), "--parts", "demo"]
    assert gpu_check.main(line) == 1
    said = capsys.readouterr().out
    assert "| demo | failed: RuntimeError: no kernel image |" in said
    assert (out / "gpu_check.md").read_text().strip() in said
    assert gpu_check.main([*line[:-1], "demoo"]) == 2 and "no part `demoo`" in capsys.readouterr().err


def test_losses_that_differ_by_more_than_rounding_are_told():
    one = {"seconds": [9.0, 2.0, 2.0], "loss": [1.0, 2.0], "gradient": [1.0, 1.0], "entropy": [6.0, 6.0]}
    other = {**one, "seconds": [1.0, 1.0, 1.0], "loss": [1.0, 2.01]}
    for dtype, agree in (("bfloat16", True), ("float32", False)):
        found = differences({"plain": one, "ours": other}, dtype)
        assert found["agree"] is agree and found["loss_difference"] == pytest.approx(0.005)
        assert found["ratio"] == 2.0  # the first step is warm-up
    assert differences({"plain": one, "ours": {**one, "gradient": [1.0, 1.2]}}, "bfloat16")["agree"] is False
    assert differences({"plain": {**one, "loss": []}, "ours": one}, "float32")["agree"] is None
    part = {"status": "done", "plain": one, "ours": other, "planned": 5 << 30, "device": "H100"}
    report = {"versions": {"torch": "2.13"}, "seconds": 9.0, "parts": {"a": {**part, **found}}}
    assert (
        "| a | done; MORE THAN ROUNDING | 2.00 (2) | 1.00 (2) | — | 2.00 | 5.0e-03 | 0.0e+00 | — | — | 5.0 GiB |"
        in table(report)
    )


def test_versions_that_are_too_old_are_refused_and_others_are_told(monkeypatch, capsys):
    real = gpu_check.metadata.version
    for package, version, refused in (("torch", "2.10.0", True), ("torch", "2.11.0", False), ("trl", "1.99.0", False)):
        monkeypatch.setattr(
            gpu_check.metadata, "version", lambda name, p=package, v=version: v if name == p else real(name)
        )
        if refused:
            with pytest.raises(InputError, match=r"torch 2\.10\.0 is too old"):
                gpu_check.versions()
        else:
            assert gpu_check.versions()[package] == version
            assert f"gpu-check: {package} {version}, tested with" in capsys.readouterr().err


def test_settings_hold_no_key_that_nobody_reads():
    for name in ("full", "small"):
        text = yaml.safe_load((ROOT / "configs" / "gpu_check" / f"{name}.yaml").read_text())
        assert set(text) <= {"base", "pages", "changes", "models", "parts"}
