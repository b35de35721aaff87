"""Checkpoints are whole or absent, and neither a full disk nor a bad number costs the last good one."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from kie_hvqa.data.files import read_json
from kie_hvqa.errors import WorkError
from rl.checkpoints.whole import (
    COMPLETE,
    WholeCheckpoints,
    agreed_beside,
    finish,
    is_disk_full,
    last_checkpoint,
    missing,
)


def _checkpoint(out: Path, step: int, **files: bytes) -> Path:
    beside = agreed_beside(out / "checkpoint") / f"checkpoint-{step}"
    beside.mkdir(parents=True)
    for name, content in (files or {"weights": b"1234"}).items():
        (beside / name).write_bytes(content)
    finish(beside, out / f"checkpoint-{step}")
    return out / f"checkpoint-{step}"


def test_a_finished_checkpoint_has_its_name_and_nothing_is_left_beside_it(tmp_path):
    path = _checkpoint(tmp_path, 3, weights=b"1234", state=b"12")
    assert read_json(path / COMPLETE) == {"state": 2, "weights": 4}
    assert missing(path) is None
    assert [child.name for child in tmp_path.iterdir()] == ["checkpoint-3"]


def _cut(path: Path) -> None:
    (path / "weights").write_bytes(b"12")


def _lose(path: Path) -> None:
    (path / "weights").unlink()


def _unsaid(path: Path) -> None:
    (path / COMPLETE).unlink()


@pytest.mark.parametrize(
    ("harm", "said"),
    [(_cut, "has 2 bytes and should have 4"), (_lose, "weights is missing"), (_unsaid, "not written to its end")],
)
def test_a_checkpoint_that_was_cut_short_is_passed_over_with_a_word(tmp_path, harm, said):
    good = _checkpoint(tmp_path, 9)
    harm(_checkpoint(tmp_path, 10))
    (tmp_path / "checkpoint-x").mkdir()
    heard: list[str] = []
    assert last_checkpoint(tmp_path, heard.append) == str(good)
    assert len(heard) == 1 and said in heard[0] and "checkpoint-10" in heard[0]


def test_no_directory_and_no_checkpoint_are_no_checkpoint(tmp_path):
    assert last_checkpoint(tmp_path / "absent", print) is None
    assert last_checkpoint(tmp_path, print) is None


def test_one_of_the_same_step_is_replaced(tmp_path):
    _cut(_checkpoint(tmp_path, 4))
    assert missing(_checkpoint(tmp_path, 4, weights=b"12345")) is None


class _Loss:
    """As much of a trainer as the guard needs."""

    def __init__(self, out: Path, loss: float, norm: float) -> None:
        self.loss, self.norm = loss, norm
        self.args = type("Arguments", (), {"output_dir": str(out)})
        self.state = type("State", (), {"global_step": 6})
        self.accelerator = type("Accelerator", (), {"scaler": None})

    def training_step(self) -> torch.Tensor:
        return torch.tensor(self.loss)

    def _get_grad_norm(self, model: None) -> float:
        return self.norm


class _Guarded(WholeCheckpoints, _Loss):
    pass


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_stops_the_run_and_names_the_last_good_checkpoint(tmp_path, bad):
    good = _checkpoint(tmp_path, 5)
    with pytest.raises(WorkError, match=rf"loss is {bad} in step 7.*{good}.*learning_rate"):
        _Guarded(tmp_path, bad, 1.0).training_step()
    with pytest.raises(WorkError, match="gradient norm is"):
        _Guarded(tmp_path, 1.0, bad)._get_grad_norm(None)
    assert float(_Guarded(tmp_path, 1.0, 1.0).training_step()) == 1.0


def test_a_full_disk_is_known_by_its_number_and_by_its_words(tmp_path):
    import errno

    assert is_disk_full(OSError(errno.ENOSPC, "x"))
    assert is_disk_full(RuntimeError("[enforce fail at inline_container.cc:664] . PytorchStreamWriter failed writing"))
    assert is_disk_full(RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos 813568 vs 813460"))
    assert is_disk_full(Exception("I/O error: No space left on device (os error 28)"))
    assert not is_disk_full(OSError(errno.EACCES, "x")) and not is_disk_full(RuntimeError("shape mismatch"))


NAN_REWARDED = """
import sys, torch
from rl import sft
build = sft.build
def broken(recipe, arguments):
    trainer, checkpoint = build(recipe, arguments)
    loss = trainer.compute_loss
    def compute_loss(*args, **kwargs):
        return loss(*args, **kwargs) * (float("nan") if trainer.state.global_step >= 2 else 1.0)
    trainer.compute_loss = compute_loss
    return trainer, checkpoint
sft.build = broken
from kie_hvqa.cli import main
sys.exit(main(["sft", "--config", sys.argv[1], "training.max_steps=4", "training.save_strategy=steps", "training.save_steps=1"]))
"""


@pytest.mark.slow
def test_nan_in_the_loss_stops_with_status_1_and_the_checkpoint_before_it_is_good(small, tmp_path):
    recipe = small.recipe(tmp_path / "sft.yaml", training="per_device_train_batch_size: 2, report_to: []")
    ended = subprocess.run(
        [sys.executable, "-c", NAN_REWARDED, recipe],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert ended.returncode == 1, ended.stderr[-3000:]
    assert "the loss is nan in step 3" in ended.stderr and "Traceback" not in ended.stderr
    good = last_checkpoint(tmp_path / "out", print)
    assert good is not None and Path(good).name == "checkpoint-2"
    assert not (tmp_path / "out" / "model").exists()


def _namespace() -> bool:
    probe = ["unshare", "--user", "--map-root-user", "--mount", "true"]
    return (
        shutil.which("unshare") is not None and subprocess.run(probe, capture_output=True, check=False).returncode == 0
    )


@pytest.mark.slow
@pytest.mark.skipif(not _namespace(), reason="needs a mount namespace (unshare) for a small disk")
def test_a_disk_that_fills_up_during_a_checkpoint_says_so_and_keeps_the_one_before(small, tmp_path):
    recipe = small.recipe(tmp_path / "sft.yaml", training="per_device_train_batch_size: 2, report_to: []")
    whole = sum(file.stat().st_size for file in small.model.rglob("*") if file.is_file())
    # Room for one checkpoint and a half: weights, and two moments of what is trained.
    script = textwrap.dedent(f"""\
        mount -t tmpfs -o size={int(whole * 3.5)} none {tmp_path / "out"} || exit 77
        {sys.executable} -m kie_hvqa sft --config {recipe} training.max_steps=3 \\
            training.save_strategy=steps training.save_steps=1
        status=$?
        ls -A {tmp_path / "out"} > {tmp_path / "left"}
        exit $status
    """)
    (tmp_path / "out").mkdir()
    ended = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    if ended.returncode == 77:
        pytest.skip("no tmpfs may be mounted here")
    assert ended.returncode == 1, ended.stderr[-3000:]
    assert "the disk is full: writing checkpoint-2" in ended.stderr
    assert "Make room" in ended.stderr and "Traceback" not in ended.stderr
    left = (tmp_path / "left").read_text().split()
    assert "checkpoint-1" in left and "checkpoint-2" not in left
