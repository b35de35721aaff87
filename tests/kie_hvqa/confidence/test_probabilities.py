"""A map keeps the order and mends the numbers; a combination is no worse than its parts where they know different things."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kie_hvqa.confidence import monotone
from kie_hvqa.confidence.operating_point import mapped
from kie_hvqa.confidence.signals import combination

PAIRS = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50)


@given(PAIRS, st.lists(st.floats(0, 1), max_size=6))
def test_a_map_rises_within_0_and_1_and_is_never_certain(pairs, asked):
    steps = monotone.fit(*zip(*pairs, strict=True))
    assert all(a[0] <= b[0] and a[1] <= b[1] for a, b in itertools.pairwise(steps))
    values = [mapped(steps, score) for score in sorted(asked)]
    assert values == sorted(values)
    assert all(0 < value < 1 for value in values)


def test_a_map_mends_what_is_too_sure():
    rng = np.random.default_rng(0)
    true = rng.random(4000)
    said, right = 1 - (1 - true) ** 3, rng.random(4000) < true
    steps = monotone.fit(said[:2000], right[:2000])
    held = [mapped(steps, score) for score in said[2000:]]
    before, after = (monotone.ece(p, right[2000:]) for p in (said[2000:], held))
    assert before > 0.15 and after < 0.05
    assert monotone.brier(held, right[2000:]) < monotone.brier(said[2000:], right[2000:])


def test_brier_and_ece_of_a_few():
    assert monotone.brier([1.0, 0.0], [True, True]) == 0.5
    assert monotone.ece([0.5, 0.5], [True, False], bins=1) == 0.0
    assert monotone.ece([0.9, 0.9], [True, False], bins=1) == 0.4
    assert np.isnan(monotone.ece([], [])) and np.isnan(monotone.brier([], []))


def test_two_signals_together_know_more_than_one():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 3000))
    right = rng.random(3000) < 1 / (1 + np.exp(-(first + second)))
    columns = {"a": list(1 / (1 + np.exp(-first))), "b": list(1 / (1 + np.exp(-second)))}
    weights = combination.fit(columns, list(right))
    assert set(combination.signals_in(weights)) == {"a", "b"}
    scores = [combination.score(weights, {"a": a, "b": b}) for a, b in zip(*columns.values(), strict=True)]
    loss = {name: monotone.brier(column, right) for name, column in columns.items()}
    assert monotone.brier(scores, right) < min(loss.values()) - 0.01


def test_a_signal_that_tells_lies_has_no_weight():
    rng = np.random.default_rng(2)
    right = rng.random(500) < 0.7
    columns = {"good": [0.9 if r else 0.2 for r in right], "lies": [0.1 if r else 0.8 for r in right]}
    weights = combination.fit(columns, list(right))
    assert combination.signals_in(weights) == ("good",)


@given(st.floats(0, 1), st.floats(0, 1), st.none() | st.floats(0, 1))
def test_a_combined_score_rises_with_each_signal(low, high, other):
    weights = {"": -0.3, "a": 0.7, "b": 0.2, "a?": 1.0, "b?": 0.0}
    low, high = sorted((low, high))
    one, two = (combination.score(weights, {"a": value, "b": other}) for value in (low, high))
    assert 0 < one <= two < 1


def test_the_weakest_place_of_a_field_counts_for_all_of_it():
    """Fields of 5 symbols that are wrong altogether have one weak place: alone, a symbol's own number misses the others."""
    rng = np.random.default_rng(3)
    columns, right = {}, []
    for _ in range(400):
        good = rng.random() < 0.7
        said = rng.uniform(0.9, 1, 5)
        if not good:
            said[0] = rng.uniform(0, 0.3)
        for name, own in combination.features({"a": list(said)}).items():
            columns.setdefault(name, []).extend(own)
        right += [good] * 5
    weights = combination.fit(columns, right)
    assert combination.signals_in(weights) == ("a",)
    weak = combination.scores(weights, {"a": (0.1, 0.95, 0.95)})
    sound = combination.scores(weights, {"a": (0.95, 0.95, 0.95)})
    assert max(weak) < 0.5 < min(sound)
    assert combination.scores(weights, {"a": (None,)}) == combination.scores(weights, {"a": (None,)})
