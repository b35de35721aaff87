"""kill -9 at any moment, then the same command: the weights of the run that was never killed, and no row twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
COMMON = "save_total_limit: 2, dataloader_num_workers: 0, report_to: [], seed: 5"
STEPS = 7
ROWS = {"sft": 24, "grpo": 8}  # the second epoch begins after three steps of SFT, and after four of GRPO
STREAM = "{seed: 2, count: 12, templates: {us_licence: 1}, questions_per_document: 2}"
STAGES = {
    "sft": ("", f"per_device_train_batch_size: 8, {COMMON}"),
    "grpo": (
        "rewards: [{function: './spread.py:spread'}, {function: faithful, weight: 0.1}]",
        f"per_device_train_batch_size: 4, num_generations: 2, num_iterations: 1, max_completion_length: 10, {COMMON}",
    ),
}


def _start(stage: str, recipe: Path) -> subprocess.Popen:
    stream = recipe.parent / "stream.yaml"  # there if documents are to be damaged while it trains
    overrides = [
        *(["data.path=null", f"data.simulate={stream}", "data.curriculum={start: 2, steps: 6}"] * stream.exists()),
        f"data.limit={ROWS[stage]}",
        f"training.max_steps={STEPS}",
        "training.save_strategy=steps",
        "training.save_steps=2",
    ]
    return subprocess.Popen(
        [sys.executable, "-m", "kie_hvqa", stage, "--config", recipe, *overrides],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _finish(stage: str, recipe: Path) -> None:
    ended = _start(stage, recipe)
    _, said = ended.communicate(timeout=900)
    assert ended.returncode == 0, said[-3000:]


def _recipe(small, folder: Path, stage: str, damaging: bool) -> Path:
    folder.mkdir()
    text, training = STAGES[stage]
    if damaging:
        (folder / "stream.yaml").write_text(STREAM)
    (folder / "spread.py").write_text(
        "def spread(prompts, completions, completion_ids, **columns):\n"
        "    return [float(sum(ids) % 17) for ids in completion_ids]\n"
    )
    return small.recipe(folder / f"{stage}.yaml", text, training)


@pytest.mark.parametrize(
    ("stage", "damaging"),
    [
        pytest.param("sft", False, id="sft-dataset", marks=pytest.mark.long),
        pytest.param("sft", True, id="sft-stream", marks=pytest.mark.long),
        pytest.param("grpo", False, id="grpo-dataset"),
        pytest.param("grpo", True, id="grpo-stream", marks=pytest.mark.long),
    ],
)
def test_a_killed_run_ends_with_the_weights_of_one_that_was_not(small, tmp_path, stage, damaging):
    whole = _recipe(small, tmp_path / "whole", stage, damaging)
    _finish(stage, whole)
    expected = load_file(whole.parent / "out" / "model" / "model.safetensors")

    killed = _recipe(small, tmp_path / "killed", stage, damaging)
    out = killed.parent / "out"
    moment = random.Random()  # a new moment in every run of the tests
    for awaited in ("checkpoint-2", "checkpoint-4"):
        run = _start(stage, killed)
        until = time.monotonic() + 600
        while not (out / awaited).exists() and run.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(moment.uniform(0, 0.6))
        with suppress(ProcessLookupError):  # a fast run may have ended by then
            os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
    _finish(stage, killed)

    found = load_file(out / "model" / "model.safetensors")
    assert found.keys() == expected.keys()
    different = [name for name in expected if not torch.equal(found[name], expected[name])]
    assert not different, max(float((found[name] - expected[name]).abs().max()) for name in different)
    if stage == "grpo":
        rows, again = (
            pd.concat(
                pd.read_parquet(file) for file in sorted((path.parent / "out" / "rollouts").glob("step_*.parquet"))
            )
            for path in (whole, killed)
        )
        assert len(rows) == STEPS * 4
        assert rows.groupby("step").size().tolist() == [4] * STEPS
        pd.testing.assert_frame_equal(rows.reset_index(drop=True), again.reset_index(drop=True))
