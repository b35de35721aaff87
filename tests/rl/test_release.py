"""What would be published works by itself: an sdist, the wheel made of it, and that in an environment without this checkout.

The dependencies are borrowed from the environment that runs the tests, so that nothing is fetched; `make release-check` fetches.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import kie_hvqa

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("kie_hvqa", "degradations", "rewards", "rl", "studies", "configs")
pytestmark = pytest.mark.slow


def build(source: Path, out: Path, kind: str) -> Path:
    """An sdist or a wheel of ``source`` by its own build backend, in ``out``."""
    code = f"from setuptools import build_meta as b; print(b.build_{kind}({str(out)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=True)
    return out / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """(the unpacked sdist, the wheel that was made from it), of the files that git knows or would add."""
    work = tmp_path_factory.mktemp("release")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split("\0")
    if listed == [""]:
        pytest.skip("this is no git checkout")
    for name in filter(None, listed):
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (work / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            os.link(ROOT / name, work / "source" / name)
    sdist = build(work / "source", work, "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(work / "unpacked", filter="data")
    (unpacked,) = (work / "unpacked").iterdir()
    return unpacked, build(unpacked, work, "wheel")


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """``kie-hvqa`` of the wheel, in an environment of its own and a working directory elsewhere."""
    home = tmp_path_factory.mktemp("installed")
    venv.create(home / "venv", with_pip=False)
    python = home / "venv" / "bin" / "python"
    line = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", built[1]]
    subprocess.run(line, check=True, capture_output=True)
    (packages,) = (home / "venv" / "lib").glob("python*/site-packages")
    # A path, not a site directory: the .pth of this checkout's own editable installation is not read there.
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}

    def run(*arguments: object) -> str:
        done = subprocess.run(
            [home / "venv" / "bin" / "kie-hvqa", *map(str, arguments)],
            cwd=home,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return home, run


def test_sdist_and_wheel_hold_everything_that_is_read_at_run_time(built):
    unpacked, wheel = built
    held = set(zipfile.ZipFile(wheel).namelist())
    for room in ROOMS:
        for path in (unpacked / room).rglob("*"):
            if path.is_file():
                assert str(path.relative_to(unpacked)) in held
        for path in (ROOT / room).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert str(path.relative_to(ROOT)) in held
    assert {f"{room}/py.typed" for room in ("kie_hvqa", "degradations", "rewards", "rl")} <= held
    for name in ("README.md", "LICENSE", "THIRD_PARTY.md", "pyproject.toml"):
        assert (unpacked / name).is_file()


@pytest.mark.long
def test_what_is_installed_simulates_evaluates_and_scores(installed):
    home, run = installed
    assert run("--version").split() == ["kie-hvqa", kie_hvqa.__version__]
    where = "from pathlib import Path; import kie_hvqa, rl, configs; print(*kie_hvqa.__path__)"
    python = [home / "venv" / "bin" / "python", "-I", "-c", where]
    found = subprocess.run(python, cwd=home, capture_output=True, text=True, check=True)
    assert Path(found.stdout.strip()).is_relative_to(home)
    run("simulate", "--config", "tiny", "--out", "data", "count=2")
    run("eval", "--data", "data", "--reader", "embedded", "--limit", "2", "--max-new-tokens", "96", "--out", "run")
    run("score", "--data", "data", "--predictions", "run/predictions.jsonl", "--limit", "2", "--out", "scored")
    scores = [json.loads((home / name / "metrics.json").read_text())["overall"] for name in ("run", "scored")]
    assert scores[0] == scores[1]
