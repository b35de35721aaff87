"""Two machines, as two network namespaces joined by a cable: GRPO across them, the loss of one, and a start anew.

Each has an address and a loopback of its own; the disk is shared, as a cluster's storage is. tests/conftest.py skips
these tests, with the reason, where namespaces cannot be made.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from kie_hvqa.data.files import read_json

ROOT = Path(__file__).resolve().parents[3]
ZERO = {stage: ROOT / "configs" / "deepspeed" / f"zero{stage}.json" for stage in (2, 3)}
pytestmark = [pytest.mark.slow, pytest.mark.multinode]
# Named by this process, so that two runs of these tests do not pull each other's plugs.
FIRST, SECOND = f"kieA{os.getpid()}", f"kieB{os.getpid()}"
HOSTS = {FIRST: "10.77.31.1", SECOND: "10.77.31.2"}
PORT = "29731"
PATIENCE = 1800  # seconds for anything: two machines share what may be one busy core
GRPO = "per_device_train_batch_size: 2, num_generations: 2, max_completion_length: 8, beta: 0.0, save_steps: 1, seed: 3"
KEPT = "training.save_strategy=steps"
# Completions of random weights differ, so that a group has an advantage and the weights move; and a step takes a
# while, so that there is time to pull a machine out of it.
REWARD = """import time

def spread(prompts, completions, completion_ids, **columns):
    time.sleep(2.0)
    return [float(sum(ids) % 17) for ids in completion_ids]
"""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def cable() -> Iterator[None]:
    """Two namespaces with an address each, and a cable between them; nothing that ran in them outlives the test."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    for name, process in re.findall(r"^(kie[AB](\d+))\b", listed, re.MULTILINE):
        if not Path(f"/proc/{process}").exists():  # of a test that was itself killed
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
    for name in HOSTS:
        ip("netns", "add", name)
    cable = (f"{FIRST}0", "netns", FIRST, "type", "veth", "peer", "name", f"{SECOND}0", "netns", SECOND)
    ip("link", "add", *cable)
    for name, address in HOSTS.items():
        ip("-n", name, "address", "add", f"{address}/24", "dev", f"{name}0")
        ip("-n", name, "link", "set", f"{name}0", "up")
        ip("-n", name, "link", "set", "lo", "up")
    yield
    for name in HOSTS:
        pull_out(name)
        ip("netns", "delete", name)


def processes(host: str) -> list[int]:
    """Everything that runs on ``host``."""
    said = subprocess.run(["ip", "netns", "pids", host], capture_output=True, text=True, check=True)
    return [int(word) for word in said.stdout.split()]


def pull_out(host: str) -> None:
    """The power cord of ``host``."""
    for process in processes(host):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def recipe(small, folder: Path, zero: int) -> Path:
    folder.mkdir()
    (folder / "spread.py").write_text(REWARD)
    text = f"deepspeed: {ZERO[zero]}\nrewards: [{{function: './spread.py:spread'}}]"
    return small.recipe(folder / "grpo.yaml", text, GRPO)


def start(host: str | None, path: Path, *more: str, **environment: str) -> subprocess.Popen[str]:
    """launch.sh on ``host`` (None: on this machine as it is), its words in a file beside the recipe."""
    inside = [] if host is None else ["ip", "netns", "exec", host]
    with (path.parent / f"{host}.log").open("a") as words:
        return subprocess.Popen(
            [*inside, ROOT / "launch.sh", "grpo", path, *more],
            env={
                **os.environ,
                "PYTHON": sys.executable,
                "OMP_NUM_THREADS": "1",
                **environment,
            },
            stdout=words,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


def start_both(path: Path, *more: str) -> dict[str, subprocess.Popen[str]]:
    place = {"NNODES": "2", "MASTER_ADDR": HOSTS[FIRST], "MASTER_PORT": PORT, "NPROC": "1"}
    return {host: start(host, path, *more, **place, NODE_RANK=str(rank)) for rank, host in enumerate(HOSTS)}


def finish(started: dict[str, subprocess.Popen[str]], path: Path) -> dict[str, torch.Tensor]:
    """Waits for all; the trained weights. A failure shows the end of what they said."""
    for host, launcher in started.items():
        status = launcher.wait(timeout=PATIENCE)
        assert status == 0, words(path, host)[-6000:]
    return load_file(path.parent / "out" / "model" / "model.safetensors")


def words(path: Path, host: str) -> str:
    return (path.parent / f"{host}.log").read_text()


@contextlib.contextmanager
def on_one_machine(small, folder: Path, zero: int) -> Iterator[Callable[[], dict[str, torch.Tensor]]]:
    """The same run by two processes of one machine, started meanwhile; the call waits for its weights."""
    path = recipe(small, folder, zero)
    started = start(None, path, NPROC="2")
    try:
        yield lambda: finish({"None": started}, path)
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)


def assert_equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], before: Path) -> None:
    # Learnt weights are told by their shape and values: ZeRO-3 writes them under names of its own.
    start = list(load_file(before / "model.safetensors").values())
    unmoved = sum(
        any(weight.shape == one.shape and torch.equal(weight, one) for one in start) for weight in found.values()
    )
    assert unmoved < len(found), "nothing was learnt"
    assert set(found) == set(expected)
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=0, atol=1e-6, msg=lambda text, n=name: f"{n}: {text}")


def test_a_run_across_two_machines_outlives_the_loss_of_one_and_equals_one_machines(cable, small, tmp_path):
    path = recipe(small, tmp_path / "two", 2)
    started = start_both(path, KEPT)
    until = time.monotonic() + PATIENCE
    while not (tmp_path / "two" / "out" / "checkpoint-1").exists():
        assert started[FIRST].poll() is None and time.monotonic() < until, words(path, FIRST)[-6000:]
        time.sleep(0.2)
    pull_out(SECOND)
    pulled = time.monotonic()
    assert started[FIRST].wait(timeout=60) == 1
    assert time.monotonic() - pulled < 30  # docs/launching.md says so
    assert f"node-1 ({HOSTS[SECOND]}) is lost" in words(path, FIRST)
    started[SECOND].wait(timeout=60)
    assert not processes(FIRST)  # nothing holds a device
    assert not (tmp_path / "two" / "out" / "history.json").exists()

    with on_one_machine(small, tmp_path / "one", 2) as weights:
        found, expected = finish(start_both(path, KEPT), path), weights()
    assert "it goes on from checkpoint-1" in words(path, FIRST)
    assert read_json(tmp_path / "two" / "out" / "history.json")["steps"] == 2
    assert_equal(found, expected, small.model)


@pytest.mark.long
def test_a_pulled_cable_is_told_on_both_machines_and_nothing_holds_a_device(cable, tmp_path):
    """Launchers without a preflight, around a child that waits, with less patience than real ones."""
    said = {host: tmp_path / f"launcher-{rank}" for rank, host in enumerate(HOSTS)}
    started = {}
    for rank, host in enumerate(HOSTS):
        words = f"Path({str(said[host])!r})"
        call = f"launch({rank}, {PORT}, 'import time; time.sleep(300)', {words}, {HOSTS[FIRST]!r})"
        line = f"from pathlib import Path; from tests.rl.launch.member import launch; {call}"
        started[host] = subprocess.Popen(["ip", "netns", "exec", host, sys.executable, "-c", line], cwd=ROOT)
    until = time.monotonic() + PATIENCE
    while not all(
        path.with_suffix(".1").exists() and "child" in path.with_suffix(".1").read_text() for path in said.values()
    ):
        assert time.monotonic() < until and not any(one.poll() for one in started.values())
        time.sleep(0.1)
    ip("-n", SECOND, "link", "set", f"{SECOND}0", "down")
    for host, other in ((FIRST, f"two ({HOSTS[SECOND]})"), (SECOND, f"one ({HOSTS[FIRST]})")):
        assert started[host].wait(timeout=60) == 1
        assert f"{other} is lost" in said[host].with_suffix(".2").read_text()
        assert not processes(host)


@pytest.mark.long
def test_zero_3_across_two_machines_equals_one_machines(cable, small, tmp_path):
    path = recipe(small, tmp_path / "two", 3)
    with on_one_machine(small, tmp_path / "one", 3) as weights:
        found, expected = finish(start_both(path), path), weights()
    assert "2 machines agree on versions, processes, code, recipe and dataset" in words(path, FIRST)
    assert_equal(found, expected, small.model)


def test_a_machine_without_the_dataset_is_named_on_both_before_anything_starts(cable, small, tmp_path):
    path = recipe(small, tmp_path / "two", 2)
    place = {"NNODES": "2", "MASTER_ADDR": HOSTS[FIRST], "MASTER_PORT": PORT, "NPROC": "1"}
    first = start(FIRST, path, "--dry-run", **place, NODE_RANK="0")
    second = start(SECOND, path, "--dry-run", f"data.path={tmp_path / 'nowhere'}", **place, NODE_RANK="1")
    assert first.wait(timeout=PATIENCE) == 2 and second.wait(timeout=PATIENCE) == 2
    for host in HOSTS:
        assert str(tmp_path / "nowhere") in words(path, host)
    assert "node-1" in words(path, FIRST)
