"""The smallest difference that a set can show, and McNemar's test of pairs that come in documents."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kie_hvqa.scoring.statistics import detectable, mcnemar


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_smallest_difference_that_is_found_four_times_in_five() -> None:
    # z(0.975) + z(0.8) = 1.95996 + 0.84162
    assert detectable(np.array([0.01]))[0] == pytest.approx(0.0280158, abs=1e-7)
    # By trial: a true difference of that size, seen with that error, is significant in 80 % of experiments.
    seen = generator(2).normal(detectable(np.array([1.0]))[0], 1.0, 200_000)
    assert (seen > 1.959964).mean() == pytest.approx(0.8, abs=0.005)


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    [
        (0, 0, 1.0),
        (3, 3, 1.0),
        (5, 0, 2 / 32),
        (0, 5, 2 / 32),
        (8, 2, 2 * (1 + 10 + 45) / 1024),
        (1, 0, 1.0),
    ],
)
def test_mcnemar_by_hand_where_each_pair_has_its_own_document(only_first: int, only_second: int, p: float) -> None:
    first = np.array([1.0] * only_first + [0.0] * only_second)
    assert mcnemar(first, 1 - first) == pytest.approx(p)


def test_pairs_of_one_document_are_one_coin() -> None:
    assert mcnemar(np.array([8.0]), np.array([0.0])) == 1.0  # eight pairs, one document: nothing is known
    assert mcnemar(np.full(4, 2.0), np.zeros(4)) == pytest.approx(2 / 16)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=7))
def test_mcnemar_counts_the_signs_of_documents(pairs: list[tuple[int, int]]) -> None:
    leads = [one - other for one, other in pairs]
    signs = list(itertools.product((-1, 1), repeat=len(leads)))
    far = sum(abs(sum(s * lead for s, lead in zip(row, leads, strict=True))) >= abs(sum(leads)) for row in signs)
    first, second = np.array(pairs, dtype=float).T
    assert mcnemar(first, second) == pytest.approx(far / len(signs))


def test_mcnemar_of_many_pairs_does_not_overflow() -> None:
    first = np.repeat([1.0, 0.0], 40_000)
    assert mcnemar(first, 1 - first) == pytest.approx(1)
    first = np.repeat([1.0, 0.0], (5_300, 4_700))
    assert 0 < mcnemar(first, 1 - first) < 1e-8
