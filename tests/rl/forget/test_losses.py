"""Each method's loss on tensors made by hand, and the laws that hold for any."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rl.forget.losses import (
    IGNORED,
    METHODS,
    Role,
    divergence,
    negative_preference,
    parts,
    row_means,
    token_log_probabilities,
)

ROLES = torch.tensor([Role.FORGET, Role.FORGET, Role.RETAIN, Role.PERSON, Role.QUESTION])
NLL = torch.tensor([1.0, 3.0, 5.0, 7.0, 11.0])
KL = torch.tensor([9.0, 9.0, 0.5, 9.0, 9.0])
RATIO = torch.tensor([0.0, -2.0, 9.0, 9.0, 9.0])


def test_log_probabilities_are_those_of_the_next_label_where_one_is_due():
    logits = torch.log(torch.tensor([[[0.5, 0.25, 0.25], [0.1, 0.2, 0.7], [0.3, 0.3, 0.4]]]))
    labels = torch.tensor([[IGNORED, 1, 2]])
    chosen, due = token_log_probabilities(logits, labels)
    assert torch.allclose(chosen, torch.log(torch.tensor([[0.25, 0.7]]))) and due.all()
    chosen, due = token_log_probabilities(logits, torch.tensor([[0, IGNORED, 2]]))
    assert chosen[0, 0] == 0 and due.tolist() == [[False, True]]
    assert torch.allclose(row_means(chosen, due), chosen[:, 1])
    assert row_means(chosen, torch.zeros_like(due)).tolist() == [0.0]


def test_divergence_is_the_kl_from_the_reference_over_due_tokens():
    model = torch.log(torch.tensor([[[0.5, 0.5], [0.9, 0.1], [0.5, 0.5]]]))
    told = torch.log(torch.tensor([[[0.8, 0.2], [0.9, 0.1], [0.1, 0.9]]]))
    due = torch.tensor([[True, True]])
    expected = 0.8 * math.log(0.8 / 0.5) + 0.2 * math.log(0.2 / 0.5)
    assert divergence(told, model, due).item() == pytest.approx(expected / 2, rel=1e-5)
    assert divergence(told, model, torch.tensor([[False, True]])).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ga", {"forget": -2.0}),
        ("gd", {"forget": -2.0, "retain": 5.0}),
        ("kl", {"forget": -2.0, "kl": 0.5}),
        ("idk", {"forget": 2.0, "retain": 5.0}),
        ("relearn", {"forget": 2.0, "retain": 5.0, "kl": 0.5}),
        ("npo", {"forget": (20 * math.log(2) + 20 * math.log(1 + math.exp(-0.2))) / 2}),
    ],
)
def test_what_each_method_adds_up(name, expected):
    found = parts(METHODS[name], ROLES, NLL, KL, RATIO, beta=0.1)
    assert {key: value.item() for key, value in found.items()} == pytest.approx(expected, rel=1e-5)
    more = parts(METHODS[name], ROLES, NLL, KL, RATIO, beta=0.1, decoupled=0.5)
    assert more.pop("decoupled").item() == pytest.approx(0.5 * (7 + 11) / 2)
    assert {key: value.item() for key, value in more.items()} == pytest.approx(expected, rel=1e-5)


def test_the_reference_is_not_asked_about_a_covered_card():
    roles = torch.tensor([Role.FORGET, Role.RETAIN, Role.RETAIN_COVERED])
    found = parts(METHODS["relearn"], roles, NLL[:3], torch.tensor([9.0, 0.5, 7.0]))
    assert found["retain"].item() == pytest.approx((3 + 5) / 2) and found["kl"].item() == pytest.approx(0.5)


def test_only_what_may_be_printed_is_descended_on():
    ascending = {name for name, method in METHODS.items() if method.forget < 0 or method.npo}
    assert {name for name, method in METHODS.items() if method.target == "printed"} == ascending


def test_a_part_without_rows_is_nothing_and_has_a_gradient():
    nll = NLL.clone().requires_grad_()
    found = parts(METHODS["gd"], torch.full((5,), int(Role.RETAIN)), nll, decoupled=1.0)
    assert found["forget"] == 0 and found["decoupled"] == 0 and found["retain"] == NLL.mean()
    torch.stack(list(found.values())).sum().backward()
    assert torch.allclose(nll.grad, torch.full((5,), 0.2))


@given(st.floats(-30, 30), st.floats(0.02, 2))
def test_npo_falls_with_the_answer_and_tends_to_gradient_ascent_for_small_beta(ratio, beta):
    at = torch.tensor(ratio, dtype=torch.float64, requires_grad=True)
    negative_preference(at, beta).backward()
    # d/dr = 2 σ(βr): between 0, where the answer is gone, and 2; 1 (ascent on log-probability) at the reference
    assert at.grad.item() == pytest.approx(2 / (1 + math.exp(-beta * ratio)), rel=1e-6)
