"""``make gpu-check`` on a machine that has no GPU: one sentence, exit status 2, and nothing written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from rl.gpu_check import stages
from rl.recipes import GrpoRecipe, SftRecipe

ROOT = Path(__file__).resolve().parents[2]


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


def test_each_stage_starts_from_the_one_before_it(tmp_path):
    from kie_hvqa.config import load

    found = stages(tmp_path)
    warm_start = load(found["sft"][0], SftRecipe, found["sft"][1:])
    grpo = load(found["grpo"][0], GrpoRecipe, found["grpo"][1:])
    assert grpo.model == f"{warm_start.output_dir}/model" and warm_start.model == f"{tmp_path}/base/model"
    assert warm_start.data.path == grpo.data.path == f"{tmp_path}/data"
    assert warm_start.deepspeed and grpo.deepspeed  # the path of every large run, on one GPU too
