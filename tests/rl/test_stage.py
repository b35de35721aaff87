"""A stage's directory: one run at a time, nothing of anybody else removed, nothing of anybody else unpickled."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from kie_hvqa.data.files import UNFINISHED, write_json
from kie_hvqa.data.lock import LOCK
from kie_hvqa.errors import InputError
from rl import running
from rl.checkpoints import owner
from rl.checkpoints.whole import COMPLETE
from rl.recipes import SftRecipe
from rl.stage import StageRun

ROOT = Path(__file__).parents[2]
HOLDS = """
import sys
from rl.recipes import SftRecipe
from rl.stage import StageRun
recipe = SftRecipe.model_validate({"model": "embedded", "data": {"path": "d"}, "output_dir": sys.argv[1]})
stage = StageRun("sft", recipe).claim()
print("held", flush=True)
sys.stdin.read()
"""


def stage(out: Path, **changes: object) -> StageRun:
    recipe = {"model": "embedded", "data": {"path": "d"}, "output_dir": str(out)} | changes
    return StageRun("sft", SftRecipe.model_validate(recipe))


@pytest.mark.slow
def test_a_second_training_is_refused_while_the_first_is_at_work_and_may_go_on_after_a_kill(tmp_path: Path) -> None:
    first = subprocess.Popen(
        [sys.executable, "-c", HOLDS, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert first.stdout is not None and first.stdout.readline() == "held\n"
    half = tmp_path / f".checkpoint.0123456789ab{UNFINISHED}"
    half.mkdir()
    with pytest.raises(InputError, match=rf"another training .*process {first.pid} "):
        stage(tmp_path).claim()
    assert half.exists()
    first.kill()
    first.wait()
    with stage(tmp_path):
        assert not half.exists() and (tmp_path / LOCK).exists()
    assert not (tmp_path / LOCK).exists()


@pytest.mark.parametrize("name", ["checkpoint-50", "model", "history.json"])
def test_what_another_tool_left_is_not_taken_for_this_runs(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match=r"no training\.json"):
        stage(tmp_path).claim()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_model_is_written_beside_its_place_and_only_that_is_replaced(tmp_path, monkeypatch) -> None:
    for name in (".model", ".unfinished"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "keep").write_text("mine")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").write_text("of a killed run")

    def saves(trainer, checkpoint, directory) -> None:
        directory.mkdir()
        (directory / "weights").write_text("new")

    monkeypatch.setattr(running, "save_checkpoint", saves)
    monkeypatch.setattr(running, "model_card", lambda *args, **kwargs: "card")
    trainer = SimpleNamespace(
        is_world_process_zero=lambda: True,
        accelerator=SimpleNamespace(wait_for_everyone=lambda: None, num_processes=1),
        state=None,
    )
    run = stage(tmp_path)
    running.write_model(run, run._recipe, trainer, SimpleNamespace(directory=tmp_path))
    assert {path.name for path in run.model.iterdir()} == {"weights", "README.md"}
    assert sorted(path.name for path in tmp_path.iterdir()) == [".model", ".unfinished", "model"]
    assert (tmp_path / ".model" / "keep").read_text() == "mine"


def _checkpoint(out: Path) -> Path:
    checkpoint = out / "checkpoint-20"
    checkpoint.mkdir(mode=0o755, parents=True)
    (checkpoint / "optimizer.pt").write_bytes(b"1")
    (checkpoint / "optimizer.pt").chmod(0o644)
    write_json(checkpoint / COMPLETE, {"optimizer.pt": 1})
    return checkpoint


def _others_file(checkpoint: Path) -> None:
    (checkpoint / "optimizer.pt").chmod(0o646)


def _others_folder(checkpoint: Path) -> None:
    checkpoint.chmod(0o757)


def _others_output(checkpoint: Path) -> None:
    checkpoint.parent.chmod(0o757)


def _link(checkpoint: Path) -> None:
    (checkpoint / "optimizer.pt").rename(checkpoint.parent / "elsewhere")
    (checkpoint / "optimizer.pt").symlink_to(checkpoint.parent / "elsewhere")


@pytest.mark.parametrize("harm", [_others_file, _others_folder, _others_output, _link])
def test_a_checkpoint_that_others_could_have_written_is_not_resumed_from(tmp_path: Path, harm) -> None:
    out = tmp_path / "out"
    with stage(out):
        checkpoint = _checkpoint(out)
        assert stage(out).last_checkpoint() == str(checkpoint)
        harm(checkpoint)
        with pytest.raises(InputError, match="is run when it is loaded"):
            stage(out).last_checkpoint()


def test_a_checkpoint_of_another_owner_is_not_resumed_from(tmp_path: Path, monkeypatch) -> None:
    checkpoint = _checkpoint(tmp_path)
    owner.check_owner(checkpoint)
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    found = checkpoint.stat()
    other = os.stat_result((*found[:4], 4712, *found[5:]))
    assert "belongs to user 4712" in str(owner._foreign(other))


def test_a_group_of_ones_own_may_write_and_a_shared_one_may_not(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "x").touch(mode=0o664)
    (tmp_path / "x").chmod(0o664)
    for alone in (True, False):
        monkeypatch.setattr(owner, "_own_group", lambda group, alone=alone: alone)
        assert (owner._foreign((tmp_path / "x").stat()) is None) == alone
    (tmp_path / "sticky").mkdir()
    (tmp_path / "sticky").chmod(0o1777)
    assert (tmp_path / "sticky").stat().st_mode & stat.S_ISVTX
    assert owner._foreign((tmp_path / "sticky").stat()) is None
