"""A process that stands still says where, and stops."""

from __future__ import annotations

import subprocess
import sys
import time

from rl.callbacks.watchdog import Watchdog


def _wait(condition, seconds: float = 20.0) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return condition()


def test_signs_of_life_keep_it_quiet_and_silence_does_not(tmp_path, capfd):
    exits: list[int] = []
    watchdog = Watchdog(0.5, tmp_path / "stalls", rank=3, exit=exits.append)
    watchdog.start()
    for _ in range(10):
        time.sleep(0.1)
        watchdog.beat("generate")
    assert not exits and not watchdog.file.exists()
    watchdog.beat("reward")
    assert _wait(lambda: exits == [1])
    watchdog.stop()
    written = watchdog.file.read_text()
    assert watchdog.file.name == "rank-3.txt"
    assert "process 3 made no progress" in written and "`reward`" in written
    assert "test_watchdog.py" in written  # the stack of the thread that stands still: this one
    assert "in `reward`" in capfd.readouterr().err


def test_zero_seconds_watch_nothing(tmp_path):
    watchdog = Watchdog(0, tmp_path)
    watchdog.start()
    watchdog.beat("generate")
    watchdog.stop()
    assert not list(tmp_path.iterdir())


def test_a_process_that_waits_for_ever_ends_with_status_1(tmp_path):
    script = (
        "import sys, threading\nfrom pathlib import Path\nfrom rl.callbacks.watchdog import Watchdog\n"
        "Watchdog(0.3, Path(sys.argv[1])).start()\n"
        "def waits_for_a_peer():\n    threading.Event().wait()\n"
        "waits_for_a_peer()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 1
    assert "waits_for_a_peer" in ended.stderr
    assert "waits_for_a_peer" in (tmp_path / "rank-0.txt").read_text()
