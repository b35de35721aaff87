"""One run at a time in a directory, and a killed one holds nothing."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kie_hvqa.data.lock import LOCK, Lock
from kie_hvqa.errors import InputError

HOLDS = "import sys, time; from pathlib import Path; from kie_hvqa.data.lock import Lock\n"
HOLDS += "lock = Lock(Path(sys.argv[1]), 'training'); print('held', flush=True); sys.stdin.read()"


def test_who_holds_it_is_named_and_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    out = tmp_path / "run"
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None and other.stdout.readline() == "held\n"
    with pytest.raises(InputError) as caught:
        Lock(out, "training")
    assert f"process {other.pid} on {socket.gethostname()!r}" in caught.value.what
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    with Lock(out, "training"):
        assert (out / LOCK).exists()
    assert not (out / LOCK).exists()


def test_another_thread_is_refused_and_the_holder_may_ask_again(tmp_path: Path) -> None:
    found: list[str] = []

    def asks() -> None:
        try:
            Lock(tmp_path, "evaluation").release()
            found.append("mine")
        except InputError:
            found.append("refused")

    with Lock(tmp_path, "evaluation"), Lock(tmp_path, "evaluation") as inner:
        inner.release()
        inner.release()
        for _ in range(2):
            thread = threading.Thread(target=asks)
            thread.start()
            thread.join()
    asks()
    assert found == ["refused", "refused", "mine"]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_warned_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(number, "not supported")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with Lock(tmp_path / "run", "evaluation"):
        assert (tmp_path / "run" / LOCK).exists()
    assert "no locks" in caplog.text


def test_a_lock_file_that_is_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    (tmp_path / LOCK).symlink_to(tmp_path / "victim")
    with pytest.raises(InputError, match="cannot write"):
        Lock(tmp_path, "evaluation")
    assert (tmp_path / "victim").read_text() == "mine"
