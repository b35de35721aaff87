"""Two launchers on this machine meet, agree or refuse, watch each other, and name the one that is lost."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

STAYS = "import time; time.sleep(60)"


def child_of(launcher: subprocess.Popen[str]) -> int:
    """Waits until both have met and the launcher's child runs; the child's process id."""
    assert launcher.stdout is not None
    for line in launcher.stdout:
        if line.startswith("child "):
            return int(line.split()[1])
    raise AssertionError(launcher.communicate())


def gone(process: int, seconds: float = 10) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        state = Path(f"/proc/{process}/stat")
        if not state.exists() or state.read_text().split(")")[1].split()[0] == "Z":
            return True
        time.sleep(0.1)
    return False


def test_both_end_when_both_have_finished(pair):
    first, second = pair(0), pair(1, child="import time; time.sleep(1)")
    said, _ = first.communicate(timeout=60)
    assert "2 machines agree" in said
    assert (first.returncode, second.wait(timeout=60)) == (0, 0)


@pytest.mark.parametrize(
    ("one", "two", "words"),
    [
        ({"versions": {"trl": "1.16.0"}}, {"versions": {"trl": "1.15.2"}}, ["trl is 1.15.2", "1.16.0", "constraints"]),
        ({"layout": "8+8"}, {"layout": "4+4"}, ["counts 4+4 processes and the other 8+8", "NPROC"]),
        ({"code": "a"}, {"code": "b"}, ["project's code", "same commit"]),
        ({"recipe": "a"}, {"recipe": "b"}, ["the recipe is not the same", "key=value"]),
        ({"data": "a"}, {"data": "b"}, ["the dataset is not the same", "Copy it"]),
        ({}, {"error": "data/cards: no such dataset. Fetch it.", "status": 2}, ["data/cards: no such dataset"]),
        ({"error": "data/cards: no such dataset. Fetch it.", "status": 2}, {}, ["data/cards: no such dataset"]),
    ],
)
def test_machines_that_differ_do_not_begin(pair, one, two, words):
    both = [pair(0, description=one), pair(1, description=two)]
    for launcher in both:
        said, wrong = launcher.communicate(timeout=60)
        assert launcher.returncode == 2 and "child" not in said
        for word in words:
            assert word in wrong
    assert "two (host-two)" in wrong or "Fetch it" in wrong


def test_who_does_not_come_is_named(pair):
    first = pair(0, patience=1)
    _, wrong = first.communicate(timeout=60)
    assert first.returncode == 1 and "two did not come within 1 s" in wrong
    second = pair(1, patience=1)
    _, wrong = second.communicate(timeout=60)
    assert second.returncode == 1 and "one did not answer at 127.0.0.1" in wrong


def test_a_busy_port_is_told(pair):
    with socket.socket() as busy:
        busy.bind(("", 0))
        busy.listen()
        first = pair(0, port=busy.getsockname()[1] - 1)
        _, wrong = first.communicate(timeout=60)
    assert first.returncode == 2 and "where the machines meet, cannot be used" in wrong and "MASTER_PORT" in wrong


@pytest.mark.parametrize("survivor", [0, 1])
def test_a_launcher_that_is_killed_is_named_within_twenty_seconds(pair, survivor):
    launchers = [pair(0, child=STAYS), pair(1, child=STAYS)]
    children = [child_of(launcher) for launcher in launchers]
    launchers[1 - survivor].kill()
    killed = time.monotonic()
    _, wrong = launchers[survivor].communicate(timeout=60)
    assert time.monotonic() - killed < 20
    assert launchers[survivor].returncode == 1
    assert f"{('one', 'two')[1 - survivor]} (127.0.0.1) is lost" in wrong and "last checkpoint" in wrong
    assert all(gone(child) for child in children)  # of the one that died too: nothing holds a GPU


def test_a_machine_that_falls_silent_is_named(pair):
    first, second = pair(0, child=STAYS), pair(1, child=STAYS)
    child = child_of(first)
    child_of(second)
    second.send_signal(signal.SIGSTOP)  # as if its cable were pulled: the connection stays, and nothing comes
    _, wrong = first.communicate(timeout=60)
    second.send_signal(signal.SIGCONT)
    assert first.returncode == 1 and "two (127.0.0.1) is lost: nothing has been heard of it for 4 s" in wrong
    assert gone(child)


def test_training_that_fails_on_one_machine_ends_the_other_in_its_name(pair):
    first, second = pair(0, child=STAYS), pair(1, child="raise SystemExit(7)")
    _, wrong = first.communicate(timeout=60)
    assert first.returncode == 1 and "training on two ended with status 7" in wrong
    assert second.wait(timeout=60) == 1


def test_an_interrupt_ends_both(pair):
    first, second = pair(0, child=STAYS), pair(1, child=STAYS)
    child_of(first)
    child = child_of(second)
    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=60) == 130
    _, wrong = second.communicate(timeout=60)
    assert second.returncode == 1 and "one was interrupted" in wrong and gone(child)


def test_an_output_directory_that_one_machine_does_not_see_is_refused(pair, tmp_path):
    both = [pair(0, out=str(tmp_path / "here")), pair(1, out=str(tmp_path / "there"))]
    for launcher in both:
        _, wrong = launcher.communicate(timeout=60)
        assert (
            launcher.returncode == 2
            and "one does not see what two (host-two) writes" in wrong
            and "output_dir" in wrong
        )
    assert not list((tmp_path / "there").iterdir())  # the mark is gone


def test_an_output_directory_that_both_see_is_left_as_it_was(pair, tmp_path):
    both = [pair(rank, out=str(tmp_path / "out")) for rank in (0, 1)]
    assert [launcher.wait(timeout=60) for launcher in both] == [0, 0]
    assert not list((tmp_path / "out").iterdir())


def test_an_output_directory_that_cannot_be_made_is_told_on_both(pair, tmp_path):
    (tmp_path / "file").touch()
    both = [pair(0, out=str(tmp_path)), pair(1, out=str(tmp_path / "file" / "out"))]
    for launcher in both:
        _, wrong = launcher.communicate(timeout=60)
        assert launcher.returncode == 2 and "output_dir: cannot be written" in wrong and "Traceback" not in wrong
