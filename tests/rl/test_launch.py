"""Where launch.sh puts processes, and what it says to a hostfile, an environment or a port that makes no sense."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from kie_hvqa.errors import InputError
from rl.launch import command, environment_for, placement, read_hostfile

ROOT = Path(__file__).resolve().parents[2]
CONFIG = Path("configs/sft/some.yaml")
NODE = {"NNODES": "2", "NODE_RANK": "1", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500", "NPROC": "3"}


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    monkeypatch.setattr("rl.launch.visible_gpus", lambda environment: ())


def world(line: list[str]) -> dict[str, list[str]]:
    (found,) = (part.partition("=")[2] for part in line if part.startswith("--world_info="))
    return json.loads(base64.urlsafe_b64decode(found))


def test_one_process_needs_no_launcher():
    line = command(placement(None, {}), "sft", CONFIG, ["training.max_steps=1"])
    assert line == [sys.executable, "-m", "kie_hvqa", "sft", "--config", str(CONFIG), "training.max_steps=1"]


def test_processes_of_one_machine_meet_on_a_free_port_of_their_own():
    place = placement(None, {"NPROC": "2"})
    first, second = (command(place, "grpo", CONFIG, []) for _ in range(2))
    assert place.world_size == 2 and world(first) == {"localhost": ["0", "1"]}
    assert "--master_addr=127.0.0.1" in first
    assert first[first.index("kie_hvqa") :] == ["kie_hvqa", "grpo", "--config", str(CONFIG)]
    ports = {part for line in (first, second) for part in line if part.startswith("--master_port=")}
    assert len(ports) == 2  # two launches at once do not collide


def test_every_node_of_several_says_the_same_world_and_its_own_rank():
    lines = {}
    for rank in ("0", "1"):
        place = placement(None, {**NODE, "NODE_RANK": rank})
        assert place.world_size == 6
        lines[rank] = command(place, "sft", CONFIG, [])
        assert f"--node_rank={rank}" in lines[rank] and "--master_port=29500" in lines[rank]
    assert world(lines["0"]) == world(lines["1"]) == {"node-0": ["0", "1", "2"], "node-1": ["0", "1", "2"]}


def test_a_hostfile_starts_every_machine_by_ssh(tmp_path):
    hosts = tmp_path / "hosts"
    hosts.write_text("# two machines\nalpha slots=4\n\nbeta slots=2\n")
    place = placement(hosts, {"MASTER_PORT": "2900"})
    line = command(place, "grpo", CONFIG, ["a=b"])
    assert place.world_size == 6
    assert line[2] == "deepspeed.launcher.runner" and line[line.index("--hostfile") + 1] == str(hosts)
    assert line[line.index("--master_port") + 1] == "2900" and line[-1] == "a=b"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", None),
        ("# nobody\n\n", None),
        ("alpha slots=2\nbeta\n", 2),
        ("alpha slots=0\n", 1),
        ("a slots=1\na slots=1\n", 2),
    ],
)
def test_a_hostfile_that_names_no_one_or_nonsense(tmp_path, text, line):
    hosts = tmp_path / "hosts"
    hosts.write_text(text)
    with pytest.raises(InputError) as caught:
        read_hostfile(hosts)
    assert caught.value.file == str(hosts) and caught.value.line == line


def test_a_missing_hostfile_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        placement(tmp_path / "nowhere", {})


@pytest.mark.parametrize(
    ("environment", "field"),
    [
        ({"NPROC": "0"}, "NPROC"),
        ({"NPROC": "two"}, "NPROC"),
        ({"NNODES": "2", "NODE_RANK": "0", "MASTER_ADDR": "h"}, "MASTER_PORT"),
        ({"NNODES": "2", "MASTER_PORT": "1", "MASTER_ADDR": "h"}, "NODE_RANK"),
        ({**NODE, "NODE_RANK": "2"}, "NODE_RANK"),
        ({**NODE, "MASTER_PORT": "70000"}, "MASTER_PORT"),
    ],
)
def test_an_environment_that_makes_no_sense(environment, field):
    with pytest.raises(InputError) as caught:
        placement(None, environment)
    assert caught.value.field == field


def test_a_hostfile_beside_a_process_count_is_refused(tmp_path):
    hosts = tmp_path / "hosts"
    hosts.write_text("alpha slots=4\n")
    with pytest.raises(InputError, match="NPROC"):
        placement(hosts, {"NPROC": "2"})


def test_a_busy_port_is_told_before_anything_starts():
    with socket.socket() as busy:
        busy.bind(("", 0))
        busy.listen()
        port = busy.getsockname()[1]
        place = placement(None, {"NPROC": "2", "MASTER_PORT": str(port)})
        with pytest.raises(InputError, match=f"port {port} cannot be used"):
            command(place, "sft", CONFIG, [])


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr("rl.launch.visible_gpus", lambda environment: ("4", "7"))
    assert placement(None, {"NPROC": "2"}).nodes == {"localhost": ("4", "7")}
    with pytest.raises(InputError, match="shows 2 GPU"):
        placement(None, {"NPROC": "3"})


def test_threads_are_shared_out_and_one_process_gets_one_gpu(monkeypatch):
    shared = environment_for(placement(None, {"NPROC": "1000"}), {})
    assert shared["OMP_NUM_THREADS"] == "1"
    assert environment_for(placement(None, {"NPROC": "2"}), {"OMP_NUM_THREADS": "5"})["OMP_NUM_THREADS"] == "5"
    assert "OMP_NUM_THREADS" not in environment_for(placement(None, {}), {})
    monkeypatch.setattr("rl.launch.visible_gpus", lambda environment: ("3", "5"))
    assert environment_for(placement(None, {}), {})["CUDA_VISIBLE_DEVICES"] == "3"


def test_hidden_gpus_stay_hidden():
    assert placement(None, {"NPROC": "2", "CUDA_VISIBLE_DEVICES": ""}).nodes == {"localhost": ("-1", "-1")}


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "launch.sh", *arguments],
        env={**os.environ, "PYTHON": sys.executable, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_wrong_arguments_end_with_status_2_and_one_message(tmp_path):
    unknown_stage = run("ppo", CONFIG)
    assert unknown_stage.returncode == 2 and "ppo" in unknown_stage.stderr
    nobody = run("sft", CONFIG, "--hostfile", tmp_path / "hosts")
    assert nobody.returncode == 2 and nobody.stderr.startswith("launch.sh sft: ")
    assert "Traceback" not in nobody.stderr
    assert run("--help").returncode == 0
