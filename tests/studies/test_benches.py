"""The benchmark's own arithmetic, and that its threads take turns."""

from __future__ import annotations

import threading

import pytest
import torch

from studies.benches.training import OneAtATime, comparison, ratios, report


def test_ratios_are_of_paired_steps_without_the_first():
    found = ratios({"plain": [99.0, 4.0, 6.0], "on": [1.0, 2.0, 3.0], "off": [1.0, 5.0, 5.0]})
    assert found["on"]["value"] == pytest.approx(2.0) and found["off"]["value"] == pytest.approx(1.0)
    assert found["on"]["low"] <= 2.0 <= found["on"]["high"]
    assert set(found) == {"on", "off"}


def test_the_largest_difference_of_losses_and_the_mean_shares_are_told():
    logs = {
        "plain": [{"loss": 1.0}, {"loss": 2.0}],
        "off": [{"loss": 1.0}, {"loss": 2.0}],
        "on": [{"loss": 1.0, "share/generate": 0.9}, {"loss": 2.5, "share/generate": 0.4}],
    }
    found = comparison(logs)
    assert found["loss_difference"] == {"off": 0.0, "on": 0.5}
    assert found["shares"] == {"generate": 0.4}  # the first step warms up
    seconds = {"plain": [1.0, 4.0], "on": [1.0, 2.0], "off": [1.0, 4.0]}
    said = report({**found, "wall": ratios(seconds), "processor": ratios(seconds), "seconds": seconds})
    assert "2.00 x plain TRL" in said and "on 5.0e-01" in said and "generate 40%" in said


def test_the_turn_goes_round_and_each_has_its_own_random_numbers():
    def stream(seed: int) -> list[float]:
        torch.manual_seed(seed)
        return torch.rand(3).tolist()

    expected = {name: stream(seed) for seed, name in enumerate("abc")}
    states = {}
    for seed, name in enumerate("abc"):
        torch.manual_seed(seed)
        states[name] = torch.get_rng_state()
    turn, turns, drawn = OneAtATime(states), [], {name: [] for name in "abc"}

    def run(name: str) -> None:
        for step in range(3):
            turn.wait(name)
            turns.append(name)
            drawn[name].append(float(torch.rand(())))
            turn.hand_over(name, last=step == 2)

    threads = [threading.Thread(target=run, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert turns == list("abcabcabc")
    assert drawn == expected
