"""Where launch.sh puts processes, and what it says to a hostfile, an environment or a port that makes no sense."""

from __future__ import annotations

import base64
import json
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kie_hvqa.errors import InputError
from rl.launch.__main__ import parser
from rl.launch.commands import elsewhere, environment_for, rollout_server, slurm_step, training
from rl.launch.gpus import visible_gpus
from rl.launch.hosts import expand_slurm, read_hostfile
from rl.launch.placement import HANDED, Placement, placement

ROOT = Path(__file__).resolve().parents[3]
CONFIG = Path("configs/sft/some.yaml")
NODE = {"NNODES": "2", "NODE_RANK": "1", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500", "NPROC": "3"}


def shows(monkeypatch, *gpus: str) -> None:
    for module in ("placement", "commands"):
        monkeypatch.setattr(f"rl.launch.{module}.visible_gpus", lambda environment: gpus)


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    shows(monkeypatch)


def command(place: Placement, stage: str, config: Path, overrides: list[str]) -> list[str]:
    return training(place, stage, config, overrides, engine=False)


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


def hostfile(tmp_path: Path, text: str = "alpha slots=4\n\nbeta slots=2\n") -> Path:
    path = tmp_path / "hosts"
    path.write_text("# machines\n" + text)
    return path


def test_a_hostfile_starts_this_launcher_on_every_machine_by_ssh(tmp_path):
    place = placement(hostfile(tmp_path), {"MASTER_PORT": "2900"})
    assert place.rank is None and place.world_size == 6 and (place.address, place.port) == ("alpha", 2900)
    secrets = dict.fromkeys(("WANDB_API_KEY", "VLLM_API_KEY", "HF_HOME_TOKEN", "PYTHON_KEYRING_SECRET"), "secret")
    found = {"PATH": "/opt/x:/bin", "LD_LIBRARY_PATH": "/opt/cuda/lib"}  # ssh reads no profile
    said = {"NCCL_DEBUG": "INFO", "VLLM_USE_V1": "1", **found, **secrets}
    line = elsewhere(place, 1, ["grpo", "c.yaml", "a=b c"], said)
    assert {f"{key}={value}" for key, value in found.items()} <= set(shlex.split(line[-1]))
    assert line[0] == "ssh" and line[-2] == "beta"
    assert "NCCL_DEBUG=INFO" in line[-1] and "VLLM_USE_V1=1" in line[-1] and "secret" not in line[-1]
    # What the other machine makes of it: the same world, from its own place.
    (handed,) = (part.partition("=")[2] for part in shlex.split(line[-1]) if part.startswith(HANDED))
    there = placement(None, {HANDED: handed})
    assert there.rank == 1 and there.nodes == place.nodes and shlex.split(line[-1])[-1] == "a=b c"
    assert world(command(there, "grpo", CONFIG, [])) == {"alpha": ["0", "1", "2", "3"], "beta": ["0", "1"]}


def test_the_machine_that_starts_the_others_needs_no_ssh_to_itself(tmp_path):
    place = placement(hostfile(tmp_path, f"{socket.gethostname()} slots=1\nbeta slots=1\n"), {})
    assert elsewhere(place, 0, ["sft", "c.yaml"], {})[0] == "env"


def test_a_first_machine_that_the_others_cannot_reach_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot reach the first one as localhost"):
        placement(hostfile(tmp_path, "localhost slots=1\nbeta slots=1\n"), {})


def test_a_hostfile_without_ssh_wants_the_machines_own_rank(tmp_path):
    place = placement(hostfile(tmp_path), {"NODE_RANK": "1"}, no_ssh=True)
    assert place.rank == 1 and place.address == "alpha" and list(place.nodes) == ["alpha", "beta"]
    with pytest.raises(InputError) as caught:
        placement(hostfile(tmp_path), {}, no_ssh=True)
    assert caught.value.field == "NODE_RANK"


def test_machines_named_for_rollouts_serve_and_do_not_train(tmp_path):
    path = hostfile(tmp_path, "alpha slots=4\nbeta slots=4\ngamma slots=2\n")
    place = placement(path, {}, rollouts="beta,gamma")
    assert list(place.nodes) == ["alpha"] and place.world_size == 4 and place.rollouts == "beta"
    assert place.members == ["alpha", "beta", "gamma"]
    trains, first, second = (placement(None, {HANDED: place.handed_to(rank)}) for rank in range(3))
    assert [there.serves for there in (trains, first, second)] == [False, True, True]
    assert "training.vllm_server_base_url=http://beta:8000" in command(trains, "grpo", CONFIG, [])
    lines = {
        there.members[there.rank]: rollout_server(
            there, Path("m"), (1, 2), length=9, tensor_parallel=2, vllm=(0, 29), environment={}
        )
        for there in (first, second)
    }
    for line in lines.values():
        assert line[line.index("--data-parallel-size") + 1] == "3"
        assert line[line.index("--data-parallel-address") + 1] == "beta"
        assert line[line.index("--host") + 1] == "beta"
    assert lines["beta"][lines["beta"].index("--data-parallel-size-local") + 1] == "2"
    assert "--headless" in lines["gamma"] and "--headless" not in lines["beta"]
    with pytest.raises(InputError, match="delta is not among the machines"):
        placement(path, {}, rollouts="delta")
    with pytest.raises(InputError, match="no machine is left to train on"):
        placement(path, {}, rollouts="alpha,beta,gamma")


def test_a_rollout_server_shows_images_as_the_trainer_does():
    line = rollout_server(
        placement(None, {}), Path("m"), (784, 1568), length=4096, tensor_parallel=1, vllm=(0, 31), environment={}
    )
    assert json.loads(line[line.index("--mm-processor-kwargs") + 1]) == {"min_pixels": 784, "max_pixels": 1568}
    assert line[line.index("--host") + 1] == "127.0.0.1"  # until an address is named
    assert "--enable-scale-out" in line and line[:2] == ["env", "VLLM_SERVER_DEV_MODE=1"]


SLURM = {"SLURM_JOB_ID": "4711", "SLURM_JOB_NODELIST": "gpu[08-10]", "SLURM_GPUS_ON_NODE": "2", "SLURM_NODEID": "0"}


def test_a_slurm_allocation_is_read_from_its_variables():
    batch = placement(None, SLURM)
    assert batch.by == "slurm" and batch.rank is None
    step = slurm_step(batch, ["grpo", "c.yaml"])
    assert step[0] == "srun" and step[step.index("--nodes") + 1] == "3" and step[-2:] == ["grpo", "c.yaml"]
    places = [placement(None, {**SLURM, "SLURM_STEP_ID": "0", "SLURM_NODEID": str(rank)}) for rank in range(3)]
    assert [place.rank for place in places] == [0, 1, 2]
    assert places[0].nodes == {f"gpu{name}": ("0", "1") for name in ("08", "09", "10")}
    assert {(place.address, place.port, place.by) for place in places} == {("gpu08", places[0].port, "environment")}
    assert placement(None, {**SLURM, "SLURM_JOB_ID": "4712"}).port != places[0].port  # jobs share machines


def test_slurm_nodes_named_for_rollouts_come_last():
    there = {**SLURM, "SLURM_STEP_ID": "0"}
    places = [placement(None, {**there, "SLURM_NODEID": str(rank)}, rollouts="gpu08") for rank in range(3)]
    assert [place.members[place.rank] for place in places] == ["gpu08", "gpu09", "gpu10"]
    assert places[0].serves and not places[1].serves and places[1].rank == 0 and places[1].address == "gpu09"


@pytest.mark.parametrize(
    "left",
    [{"SLURM_JOB_ID": "4711"}, {"SLURM_JOB_ID": "4711", "SLURM_JOB_NODELIST": ""}, {**SLURM, "SLURM_NODEID": ""}],
)
def test_slurm_variables_that_were_left_over_or_say_nothing_about_machines(left):
    if left.get("SLURM_JOB_NODELIST"):
        assert placement(None, left).by == "slurm"
    else:
        assert placement(None, left).alone


def test_ranks_left_over_in_the_environment_reach_no_process():
    left = {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "3", "LOCAL_WORLD_SIZE": "8", "GROUP_RANK": "1"}
    left |= {"TORCHELASTIC_RUN_ID": "x", "PMI_RANK": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "1", "MPI_LOCALRANKID": "0"}
    for place in (placement(None, left), placement(None, {**left, "NPROC": "2"}), placement(None, {**left, **NODE})):
        assert not left.keys() & environment_for(place, {**left, **NODE}).keys()
    kept = environment_for(placement(None, {}), {"HOME": "/h", "RANKING": "1"})
    assert kept == {"HOME": "/h", "RANKING": "1"}


def test_an_address_left_over_does_not_send_one_machine_elsewhere():
    place = placement(None, {"MASTER_ADDR": "10.9.9.9", "NPROC": "2"})
    assert "--master_addr=127.0.0.1" in command(place, "sft", CONFIG, [])
    assert "MASTER_ADDR" not in environment_for(place, {"MASTER_ADDR": "10.9.9.9", "MASTER_PORT": "1"})


def test_slurm_that_hides_all_gpus_shows_none(monkeypatch):
    monkeypatch.undo()
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}) == ()
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": " 2, 3 ,"}) == ("2", "3")
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "0,-1,1"}) == ("0",)  # CUDA stops at the first that is none


@pytest.mark.parametrize("text", ["{", "[]", '{"nodes": 1}', '{"nodes": {"a": ["0"]}, "more": 1}', "[" * 9000])
def test_a_placement_that_no_launcher_wrote_is_refused(text):
    with pytest.raises(InputError) as caught:
        placement(None, {HANDED: text})
    assert caught.value.field == HANDED


def test_a_home_directory_in_a_path_is_the_users_own():
    said = parser().parse_args(["sft", "~/c.yaml", "--hostfile=~/hosts"])
    assert (said.config, said.hostfile) == (Path.home() / "c.yaml", Path.home() / "hosts")


def test_what_the_user_says_goes_before_slurm_and_one_slurm_machine_is_like_any_other():
    assert placement(None, {**SLURM, **NODE}).members == ["node-0", "node-1"]
    assert placement(None, {**SLURM, "SLURM_JOB_NODELIST": "gpu08"}).alone


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a", ["a"]),
        ("a,b[1-2]", ["a", "b1", "b2"]),
        ("n[008-010,3]-ib,x", ["n008-ib", "n009-ib", "n010-ib", "n3-ib", "x"]),
        ("r[1-2]n[1-2]", ["r1n1", "r1n2", "r2n1", "r2n2"]),
    ],
)
def test_slurms_short_form_of_names(text, names):
    assert expand_slurm(text) == names


@pytest.mark.parametrize("text", ["", "a[2-1]", "a[x-y]", "a[1-2", "a]"])
def test_what_is_no_list_of_nodes(text):
    with pytest.raises(InputError, match="no list of nodes"):
        expand_slurm(text)


@given(st.integers(0, 120), st.integers(0, 30), st.integers(1, 4))
def test_a_range_names_every_machine_once(first, more, width):
    names = expand_slurm(f"n[{first:0{width}d}-{first + more:0{width}d}]")
    assert [int(name[1:]) for name in names] == list(range(first, first + more + 1))
    assert all(len(name) > width for name in names)


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


def test_a_hostfile_as_windows_and_people_write_it(tmp_path):
    hosts = tmp_path / "hosts"
    hosts.write_bytes("\ufeff# ours\r\nalpha slots=2  # the old one\r\n\tbeta\tslots=1# new\r\n".encode())
    assert read_hostfile(hosts) == {"alpha": ("0", "1"), "beta": ("0",)}


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


def test_a_plan_for_machines_that_are_not_there_holds_nothing():
    place = placement(None, {"NNODES": "4", "NPROC": "8"}, dry=True)
    assert place.world_size == 32 and len(place.nodes) == 4 and place.address is None and place.layout == "8+8+8+8"
    with pytest.raises(InputError) as caught:
        placement(None, {"NNODES": "4", "NPROC": "8"})
    assert caught.value.field == "NODE_RANK"


def test_more_processes_than_gpus_are_refused(monkeypatch):
    shows(monkeypatch, "4", "7")
    assert placement(None, {}).nodes == {"localhost": ("4", "7")}  # all of them, unless told otherwise
    assert placement(None, {"NPROC": "1"}).nodes == {"localhost": ("4",)}
    with pytest.raises(InputError, match="shows 2 GPU"):
        placement(None, {"NPROC": "3"})


def test_threads_are_shared_out_and_one_process_gets_one_gpu(monkeypatch):
    shared = environment_for(placement(None, {"NPROC": "1000"}), {})
    assert shared["OMP_NUM_THREADS"] == "1"
    assert environment_for(placement(None, {"NPROC": "2"}), {"OMP_NUM_THREADS": "5"})["OMP_NUM_THREADS"] == "5"
    assert "OMP_NUM_THREADS" not in environment_for(placement(None, {}), {})
    shows(monkeypatch, "3", "5")
    assert environment_for(placement(None, {"NPROC": "1"}), {})["CUDA_VISIBLE_DEVICES"] == "3"


def test_one_gpu_under_deepspeed_gets_the_launcher_too(monkeypatch):
    shows(monkeypatch, "6")
    line = training(placement(None, {}), "sft", CONFIG, [], engine=True)
    assert "deepspeed.launcher.launch" in line and world(line) == {"localhost": ["6"]}


def test_gloo_is_told_the_interface_that_reaches_the_first_machine():
    place = placement(None, {**NODE, "MASTER_ADDR": "127.0.0.1"})
    assert environment_for(place, {})["GLOO_SOCKET_IFNAME"] == "lo"
    assert environment_for(place, {"GLOO_SOCKET_IFNAME": "eth7"})["GLOO_SOCKET_IFNAME"] == "eth7"


def test_hidden_gpus_stay_hidden():
    assert placement(None, {"NPROC": "2", "CUDA_VISIBLE_DEVICES": ""}).nodes == {"localhost": ("-1", "-1")}


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "launch.sh", *arguments],
        env={**os.environ, "PYTHON": sys.executable, **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_wrong_arguments_end_with_status_2_and_one_message(tmp_path):
    unknown_stage = run("ppo", CONFIG)
    assert unknown_stage.returncode == 2 and "ppo" in unknown_stage.stderr
    nobody = run("sft", CONFIG, "--hostfile", tmp_path / "hosts")
    assert nobody.returncode == 2 and nobody.stderr.startswith("launch.sh sft: ")
    assert "Traceback" not in nobody.stderr
    assert run("--help").returncode == 0


@pytest.mark.slow
def test_a_hostfile_starts_the_machines_which_meet_and_refuse_together(tmp_path):
    """ssh is a script that runs the line here, without this shell's environment: loopback has addresses enough."""
    ssh = tmp_path / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text('#!/bin/sh\nfor line; do :; done\nexec env -i HOME="$HOME" PATH=/usr/bin:/bin sh -c "$line"\n')
    ssh.chmod(0o755)
    hosts = hostfile(tmp_path, "127.0.0.2 slots=1\n127.0.0.3 slots=1\n")
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = str(probe.getsockname()[1])
    path = f"{ssh.parent}:{os.environ['PATH']}"
    done = run("sft", tmp_path / "no.yaml", "--hostfile", hosts, PATH=path, MASTER_PORT=port, CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    told = [line for line in done.stderr.splitlines() if str(tmp_path / "no.yaml") in line]
    assert len(told) == 2, done.stderr  # by each machine, once; it has not waited for the other in vain
    assert "did not come" not in done.stderr
