"""A reward call that failed leaves its samples unscored, and a reward that was given up ends the run on every process."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from kie_hvqa.errors import WorkError
from rl.rollouts import agreement
from rl.rollouts.agreement import agreed


def _reward(failed: bool = False, given_up: str | None = None) -> SimpleNamespace:
    return SimpleNamespace(failed=failed, given_up=given_up)


def test_rows_of_a_failed_call_have_no_reward_at_all():
    rewards = torch.tensor([[torch.nan, 0.5], [torch.nan, 0.1]])
    found = agreed(rewards, [_reward(failed=True), _reward()], rows=2)
    assert found.isnan().all() and not rewards[:, 1].isnan().any()


def test_a_reward_that_does_not_apply_is_no_failure():
    rewards = torch.tensor([[torch.nan, 0.5], [0.2, 0.1]])
    found = agreed(rewards, [_reward(), lambda: None], rows=2)
    assert torch.equal(found.isnan(), rewards.isnan())


def test_another_process_failure_leaves_its_rows_unscored_here_too(monkeypatch):
    monkeypatch.setattr(agreement, "gather_object", lambda own: [*own, (True, None)])
    found = agreed(torch.ones(4, 2), [_reward()], rows=2)
    assert not found[:2].isnan().any() and found[2:].isnan().all()


def test_another_process_reward_that_was_given_up_ends_the_run_here_too(monkeypatch):
    monkeypatch.setattr(agreement, "gather_object", lambda own: [*own, (True, "reward `x` failed 3 times in a row")])
    with pytest.raises(WorkError, match="failed 3 times in a row"):
        agreed(torch.ones(4, 2), [_reward()], rows=2)
