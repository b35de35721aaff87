"""Phases count their own time, once."""

from __future__ import annotations

import pytest

from rl.callbacks.phases import OUTSIDE, PhaseTimer, phase_scalars


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_nested_phases_count_exclusively_and_add_up():
    clock = Clock()
    timer = PhaseTimer(clock)
    heard = []
    timer.beat = heard.append
    clock.now = 1
    with timer("backward"):
        clock.now = 3
        with timer("generate"):
            clock.now = 7
        clock.now = 8
    clock.now = 10
    seconds = timer.take()
    assert seconds == {OUTSIDE: 3, "backward": 3, "generate": 4}
    assert heard == ["backward", "generate", "backward", OUTSIDE]
    assert timer.take() == {OUTSIDE: 0}


def test_a_phase_ends_where_an_exception_leaves_it():
    clock = Clock()
    timer = PhaseTimer(clock)
    with pytest.raises(KeyError), timer("reward"):
        clock.now = 2
        raise KeyError
    assert timer.current == OUTSIDE
    assert timer.take()["reward"] == 2


def test_skipped_time_belongs_to_nobody():
    clock = Clock()
    timer = PhaseTimer(clock)
    clock.now = 5
    timer.skip()
    clock.now = 6
    assert timer.take() == {OUTSIDE: 1}


def test_scalars_are_seconds_a_step_and_shares():
    scalars = phase_scalars({"generate": 6.0, "backward": 2.0}, steps=2)
    assert scalars == {"time/generate": 3.0, "time/backward": 1.0, "share/generate": 0.75, "share/backward": 0.25}
    assert phase_scalars({}, steps=2) == {}
