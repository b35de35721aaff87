"""Two launchers on this machine watch each other, and name the one that is lost."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rl.launch.member import SILENCE, Member, forks

STAYS = "import time; time.sleep(60)"


@pytest.fixture
def pair(port, tmp_path) -> Iterator:
    """Starts the launchers of ``one`` and ``two``, and ends them after the test."""
    started: list[Member] = []

    def start(rank: int, child: str = "") -> Member:
        started.append(Member(forks(), rank, port, child, tmp_path))
        return started[-1]

    yield start
    for one in started:
        one.kill()


def gone(process: int, seconds: float = 10) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        state = Path(f"/proc/{process}/stat")
        if not state.exists() or state.read_text().split(")")[1].split()[0] == "Z":
            return True
        time.sleep(0.1)
    return False


def test_both_end_when_both_have_finished(pair):
    first, second = pair(0), pair(1, "import time; time.sleep(1)")
    assert (first.status(), second.status()) == (0, 0)
    assert "2 machines agree" in first.said() and not first.wrong() + second.wrong()


@pytest.mark.parametrize("survivor", [0, 1])
def test_a_launcher_that_is_killed_is_named(pair, survivor):
    launchers = [pair(0, STAYS), pair(1, STAYS)]
    children = [launcher.child() for launcher in launchers]
    launchers[1 - survivor].kill()
    killed = time.monotonic()
    assert launchers[survivor].status() == 1
    assert time.monotonic() - killed < SILENCE + 15
    said = launchers[survivor].wrong()
    assert f"{('one', 'two')[1 - survivor]} (127.0.0.1) is lost" in said and "last checkpoint" in said
    assert all(gone(child) for child in children)  # of the one that died too: nothing holds a GPU


def test_a_machine_that_falls_silent_is_named(pair):
    first, second = pair(0, STAYS), pair(1, STAYS)
    child = first.child()
    second.child()
    os.kill(second.pid, signal.SIGSTOP)  # as if its cable were pulled: the connection stays, and nothing comes
    assert first.status() == 1
    os.kill(second.pid, signal.SIGCONT)
    assert "two (127.0.0.1) is lost: nothing is heard of it any more" in first.wrong()
    assert gone(child)


def test_a_first_machine_that_falls_silent_is_named(pair):
    first, second = pair(0, STAYS), pair(1, STAYS)
    first.child()
    child = second.child()
    os.kill(first.pid, signal.SIGSTOP)  # its store answers no more
    assert second.status() == 1
    os.kill(first.pid, signal.SIGCONT)
    assert "one (127.0.0.1) is lost" in second.wrong() and gone(child)


def test_training_that_fails_on_one_machine_ends_the_other_in_its_name(pair):
    first, second = pair(0, STAYS), pair(1, "raise SystemExit(7)")
    assert (first.status(), second.status()) == (1, 1)
    assert "training on two ended with status 7" in first.wrong()


def test_a_loss_is_named_also_where_it_broke_the_others_training(pair):
    first, second = pair(0, "import time; time.sleep(3); raise SystemExit(7)"), pair(1, STAYS)
    first.child()
    second.child()
    second.kill()
    assert first.status() == 1
    assert "two (127.0.0.1) is lost" in first.wrong()


@pytest.mark.parametrize("who", [0, 1])
def test_an_interrupt_ends_both(pair, who):
    launchers = [pair(0, STAYS), pair(1, STAYS)]
    children = [launcher.child() for launcher in launchers]
    os.kill(launchers[who].pid, signal.SIGTERM)
    assert launchers[who].status() == 130 and launchers[1 - who].status() == 1
    assert f"{('one', 'two')[who]} was interrupted" in launchers[1 - who].wrong()
    assert all(gone(child) for child in children)
