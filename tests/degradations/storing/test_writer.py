"""The dataset directory: byte-identical whatever happened on the way, and never half of one where a whole is expected."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from degradations.simulate import SimulateConfig, write_dataset
from degradations.storing import journal, manifest
from degradations.storing.journal import JOURNAL
from degradations.storing.writer import write_pieces
from kie_hvqa.data.dataset import load_rows
from kie_hvqa.errors import InputError, WorkError
from tests.degradations.storing.pieces import digests, piece

ROOT = Path(__file__).parents[3]
CONFIG = SimulateConfig(seed=7, count=5, questions_per_document=2, templates={"us_licence": 1.0})


write = partial(write_pieces, kind="simulate", config={"seed": 0, "severities": {3: 1.0}})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "data"
    return out, write(piece, 12, out)


def test_what_a_dataset_directory_holds(whole):
    out, summary = whole
    rows = load_rows(out)
    assert summary.rows == len(rows) == 24 and summary.images == summary.documents == 12
    assert {path.name for path in out.iterdir()} == {
        "images",
        "images.sha256",
        "metadata.jsonl",
        "dataset.json",
        "README.md",
        "croissant.json",
    }
    assert rows[3] == piece(1)[1][0] or rows[3].to_json() == piece(1)[1][0].to_json()
    details = json.loads((out / "dataset.json").read_text())
    assert details["rows_sha256"] == hashlib.sha256((out / "metadata.jsonl").read_bytes()).hexdigest()
    assert details["counts"]["legibility"] == {"clear": 24, "hidden": 24}
    assert details["counts"]["operator"] == {"noise": 24} and details["shard"] is None and details["seed"] == 0
    assert {"numpy", "opencv", "kie_hvqa", "fonts", "isal"} <= set(details["versions"])


def test_the_hashes_are_those_of_sha256sum(whole):
    checked = subprocess.run(["sha256sum", "--check", "--quiet", "images.sha256"], cwd=whole[0], check=False)
    assert checked.returncode == 0


def test_workers_write_the_same_bytes(whole, tmp_path):
    write(piece, 12, tmp_path / "two", workers=2)
    assert digests(tmp_path / "two") == digests(whole[0])


class Stop(Exception):
    pass


@settings(max_examples=25, deadline=None)
@given(stops=st.lists(st.integers(0, 11), max_size=3), cut=st.integers(0, 60), damage=st.booleans())
def test_however_often_it_is_interrupted_it_goes_on_to_the_same_bytes(whole, tmp_path_factory, stops, cut, damage):
    """``cut`` bytes are missing at the journal's end, as after a kill; ``damage``: the disk lost an image's content."""
    out = tmp_path_factory.mktemp("again") / "data"
    for stop in stops:

        def until(index, stop=stop):
            if index == stop:
                raise Stop
            return piece(index)

        try:
            write(until, 12, out)
        except Stop:
            assert not (out / "metadata.jsonl").exists() and not (out / "dataset.json").exists()
        if (out / JOURNAL).exists():
            os.truncate(out / JOURNAL, max(0, (out / JOURNAL).stat().st_size - cut))
            images = sorted((out / "images").iterdir())
            if damage and images:
                images[len(images) // 2].write_bytes(b"")
    write(piece, 12, out)
    assert digests(out) == digests(whole[0])


def test_it_goes_on_and_does_not_begin_again(tmp_path):
    made = []

    def counted(index):
        made.append(index)
        if index == 7 and made.count(7) == 1:
            raise Stop
        return piece(index)

    with pytest.raises(Stop):
        write(counted, 12, tmp_path / "data")
    summary = write(counted, 12, tmp_path / "data")
    assert made == [*range(8), *range(7, 12)] and summary.resumed == 7


def begin(out: Path, **changes) -> None:
    """Leave an unfinished dataset in ``out``."""

    def until(index):
        if index == 4:
            raise Stop
        return piece(index)

    with pytest.raises(Stop):
        write_pieces(until, 12, out, kind="simulate", config={"seed": 0, "severities": {3: 1.0}, **changes})


@pytest.mark.parametrize(
    ("changes", "says"), [({"seed": 1}, r"config\.seed is 1 there and 0 here"), ({"more": True}, r"config\.more")]
)
def test_an_unfinished_dataset_of_another_recipe_is_refused_and_left_alone(tmp_path, changes, says):
    begin(tmp_path / "data", **changes)
    before = digests(tmp_path / "data")
    with pytest.raises(InputError, match=says) as caught:
        write(piece, 12, tmp_path / "data")
    assert "unfinished" in caught.value.what and digests(tmp_path / "data") == before


def test_an_unfinished_dataset_of_other_versions_is_refused(tmp_path, monkeypatch):
    begin(tmp_path / "data")
    monkeypatch.setattr(manifest, "versions", lambda: {"numpy": "1.0"})
    with pytest.raises(InputError, match=r"unfinished \(versions\."):
        write(piece, 12, tmp_path / "data")


def test_an_unfinished_dataset_is_not_read_as_one(tmp_path):
    begin(tmp_path / "data")
    with pytest.raises(InputError):
        load_rows(tmp_path / "data")


def test_two_processes_do_not_write_at_once(tmp_path):
    begin(tmp_path / "data")
    with (tmp_path / "data" / JOURNAL).open() as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another process"):
            write(piece, 12, tmp_path / "data")


def test_another_dataset_in_the_way_is_left_alone(whole, tmp_path):
    out, summary = whole
    before = digests(out)
    again = write(piece, 12, out)
    assert again.reused and again.rows_sha256 == summary.rows_sha256
    with pytest.raises(InputError, match=r"another dataset \(config\.seed"):
        write_pieces(piece, 12, out, kind="simulate", config={"seed": 5, "severities": {3: 1.0}})
    assert digests(out) == before
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("keep me")
    with pytest.raises(InputError, match="already holds something"):
        write(piece, 12, tmp_path / "notes")
    with pytest.raises(InputError, match="not a dataset directory"):
        write(piece, 12, tmp_path / "notes" / "mine.txt")
    assert (tmp_path / "notes" / "mine.txt").read_text() == "keep me"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda out: (out / "metadata.jsonl").open("a").write("{}\n"), "differs from what"),
        (lambda out: (out / "images.sha256").unlink(), "differs from what"),
        (lambda out: (out / "images" / "d3.png").unlink(), "gone"),
        (lambda out: (out / "dataset.json").write_text('{"rows": 24}'), "not a dataset of this format"),
        (lambda out: (out / "dataset.json").write_text("{"), "not JSON"),
    ],
)
def test_a_spoilt_dataset_is_not_taken_for_the_whole_one(whole, tmp_path, spoil, says):
    shutil.copytree(whole[0], tmp_path / "data")
    spoil(tmp_path / "data")
    with pytest.raises(InputError, match=says):
        write(piece, 12, tmp_path / "data")


def test_a_kill_between_the_last_two_steps(whole, tmp_path):
    begin(tmp_path / "data")
    for name in ("images.sha256", "metadata.jsonl", "README.md", "croissant.json", "dataset.json"):
        shutil.copy(whole[0] / name, tmp_path / "data" / name)
    shutil.copytree(whole[0] / "images", tmp_path / "data" / "images", dirs_exist_ok=True)
    assert write(piece, 12, tmp_path / "data").reused
    assert digests(tmp_path / "data") == digests(whole[0])


def _command(out: Path, *more: str) -> list[str]:
    config = ["--config", "configs/simulate/tiny.yaml", "--count", "14", "templates={us_licence: 1}"]
    return [sys.executable, "-m", "kie_hvqa", "simulate", *config, "--out", str(out), *more]


@pytest.mark.slow
def test_killed_and_run_again_it_is_the_same_dataset(tmp_path):
    out, plain = tmp_path / "killed", tmp_path / "plain"
    process = subprocess.Popen(_command(out, "--workers", "2"), cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if (out / JOURNAL).exists() and (out / JOURNAL).read_bytes().count(b"\n") >= 4:
            break
        time.sleep(0.02)
    family = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert (out / JOURNAL).exists() and not (out / "dataset.json").exists(), "it was killed too late to tell"
    _, alive = psutil.wait_procs(family, timeout=30)
    assert len(family) >= 2 and not alive, "workers outlived their parent"
    again = subprocess.run(_command(out, "--workers", "2"), cwd=ROOT, capture_output=True, text=True, check=True)
    assert "went on after" in again.stdout and "14 documents" in again.stdout
    subprocess.run(_command(plain), cwd=ROOT, capture_output=True, check=True)
    assert digests(out) == digests(plain)


def _limited(limit: int):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "limit", "left"), [("1", 1000, False), ("2", 85_000, True)])
def test_a_full_disk_is_said_and_leaves_nothing_corrupt(tmp_path, limit, left, workers):
    """A file may not grow beyond ``limit``: an image or two fit, or none, and in the end not the journal."""
    out = tmp_path / "data"
    run = partial(subprocess.run, cwd=ROOT, capture_output=True, text=True, check=False)
    failed = run(_command(out, "--workers", workers), preexec_fn=partial(_limited, limit))
    assert failed.returncode == 1 and "Traceback" not in failed.stderr
    assert "Make room and run the same command again" in failed.stderr
    if not left:
        assert list(tmp_path.iterdir()) == []
        return
    assert not (out / "dataset.json").exists() and not (out / "metadata.jsonl").exists()
    for line in (out / JOURNAL).read_text().splitlines()[1:]:
        for name, digest in json.loads(line)["images"].items():
            assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
    assert run(_command(out, "--workers", workers)).returncode == 0
    assert run(_command(tmp_path / "plain")).returncode == 0
    assert digests(out) == digests(tmp_path / "plain")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_while_finishing(tmp_path, monkeypatch, whole, code):
    def full(*_):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(manifest, "write_json", full)
        with pytest.raises(WorkError, match="it goes on where this one stopped"):
            write(piece, 12, tmp_path / "data")
    assert (tmp_path / "data" / JOURNAL).exists() and not (tmp_path / "data" / "dataset.json").exists()
    assert write(piece, 12, tmp_path / "data").resumed == 12
    assert digests(tmp_path / "data") == digests(whole[0])


def test_a_journal_that_cannot_grow_keeps_what_it_has(tmp_path, monkeypatch):
    real, calls = os.write, []

    def half(file, data):
        calls.append(len(data))
        if len(calls) < 4:
            return real(file, data)
        if len(calls) == 4:
            return real(file, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(journal.os, "write", half)
        with pytest.raises(WorkError, match="the disk is full"):
            write(piece, 12, tmp_path / "data")
    lines = (tmp_path / "data" / JOURNAL).read_bytes()
    assert lines.endswith(b"\n") and lines.count(b"\n") == 3


def _dies(index: int):
    if index < 2:
        return piece(index)
    os._exit(3)


def test_a_worker_that_dies_is_reported(tmp_path):
    with pytest.raises(WorkError, match="worker process died"):
        write(_dies, 8, tmp_path / "data", workers=2)
    with pytest.raises(WorkError, match="worker process died"):
        write(partial(os._exit), 8, tmp_path / "nothing", workers=2)
    assert not (tmp_path / "nothing").exists()


def test_no_workers_cannot_work(tmp_path):
    with pytest.raises(InputError, match="workers"):
        write(piece, 12, tmp_path / "data", workers=0)


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write here"):
        write(piece, 12, tmp_path / "file" / "data")


def test_rendered_documents_by_two_workers(tmp_path):
    one = write_dataset(CONFIG, tmp_path / "one")
    two = write_dataset(CONFIG, tmp_path / "two", workers=2)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert (one.rows_sha256, one.images_sha256) == (two.rows_sha256, two.images_sha256)
