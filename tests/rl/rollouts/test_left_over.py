"""Ranks that another program left in the environment: a bare command neither waits for a world that is not there nor joins it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from kie_hvqa.errors import InputError
from rl.rollouts.engine import check_launched, meet_world

ROOT = Path(__file__).resolve().parents[3]
WORLD = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


@pytest.mark.parametrize(
    ("left", "says"),
    [
        ({"RANK": "0"}, "holds RANK and not WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT"),
        ({"WORLD_SIZE": "8"}, "holds WORLD_SIZE and not RANK"),
        ({"LOCAL_RANK": "0", "MASTER_ADDR": "node-1"}, "holds LOCAL_RANK, MASTER_ADDR and not RANK"),
        ({**WORLD, "LOCAL_RANK": ""}, "and not LOCAL_RANK"),
        ({**WORLD, "RANK": "2"}, "are '2', '2', '1'"),
        ({**WORLD, "WORLD_SIZE": "two"}, "are '1', 'two', '1'"),
    ],
)
def test_what_no_launcher_sets_is_refused_with_the_line_that_goes_on(left, says):
    with pytest.raises(InputError, match=says) as caught:
        check_launched(left)
    assert all(f"-u {key}" in caught.value.remedy for key, value in left.items() if value)


@pytest.mark.parametrize(
    "whole",
    [
        {},
        {"SLURM_JOB_ID": "1"},
        {"MASTER_ADDR": "a"},
        WORLD,
        {**WORLD, "RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"},
    ],
)
def test_one_process_alone_and_those_of_a_launcher_start(whole, capsys):
    check_launched(whole)
    assert not capsys.readouterr().err


def test_the_first_of_several_says_where_it_waits(capsys):
    check_launched({**WORLD, "RANK": "0", "LOCAL_RANK": "0"})
    assert capsys.readouterr().err == "process 0 of 2, which meet at 127.0.0.1:29500\n"


@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_whole_world_that_was_left_over_is_named_with_the_line_that_goes_on(rank, monkeypatch):
    for key, value in {**WORLD, "RANK": rank, "MASTER_PORT": free_port()}.items():
        monkeypatch.setenv(key, value)
    with pytest.raises(
        InputError, match=f"within 1 s for RANK={rank}, WORLD_SIZE=2, LOCAL_RANK=1, MASTER_ADDR"
    ) as caught:
        meet_world(1)
    assert "env -u RANK -u WORLD_SIZE -u LOCAL_RANK -u MASTER_ADDR -u MASTER_PORT kie-hvqa" in caught.value.remedy


def test_processes_that_meet_find_one_another_again():
    """Each meets the others, and then torch's own rendezvous does: as in a stage."""
    program = (
        "import torch.distributed as dist; from rl.rollouts.engine import meet_world; meet_world(60)\n"
        "dist.init_process_group('gloo'); dist.barrier(); print(dist.get_world_size())"
    )
    port = free_port()
    both = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env={**os.environ, **WORLD, "RANK": rank, "LOCAL_RANK": rank, "MASTER_PORT": port, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    assert [one.communicate(timeout=120)[0].strip() for one in both] == ["2", "2"]


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return str(probe.getsockname()[1])


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["sft", "grpo"])
def test_a_bare_command_says_so_before_it_opens_anything(stage, tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "kie_hvqa", stage, "--config", tmp_path / "none.yaml"],
        env={**os.environ, "WORLD_SIZE": "8"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2 and "no launcher started this process" in ended.stderr
