"""Promises are kept in worlds whose truth is known, and cannot be bought with too few documents."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binomtest

from kie_hvqa.confidence.bounds import (
    BOUNDS,
    betting,
    effective,
    fewest,
    hoeffding_bentkus,
    least_refused,
    losses,
    scaled,
)
from kie_hvqa.confidence.thresholds import best_with_hindsight, choose, grid, learning

UNIT = st.floats(0, 1)


def world(rng, documents, *, quality=1.0, clustered=0.3, columns=24):
    """(asserted, wrong, true risks): documents of 5 to 40 characters, whose mistakes come together and mostly have low scores.

    Thresholds fall with the columns. ``quality`` is how much the score tells a mistake; 0 is a score that tells nothing.
    """
    levels = np.linspace(1.0, 0.0, columns)
    asserted, wrong = np.zeros((documents, columns)), np.zeros((documents, columns))
    for document in range(documents):
        size = int(rng.integers(5, 41))
        error = rng.beta(0.08 / clustered, 0.92 / clustered)
        bad = rng.random(size) < error
        score = rng.random(size) * np.where(bad, 1 - 0.75 * quality, 1.0)
        kept = score[:, None] >= levels[None, :]
        asserted[document], wrong[document] = kept.sum(axis=0), (kept & bad[:, None]).sum(axis=0)
    return asserted, wrong


@pytest.mark.parametrize("bound", sorted(BOUNDS))
@pytest.mark.parametrize(("risk", "documents"), [(0.05, 150), (0.1, 60)])
def test_the_promise_is_broken_no_oftener_than_it_says(bound, risk, documents):
    """200 calibrations on documents drawn from a large world whose true risk at each threshold is known."""
    rng = np.random.default_rng(7)
    asserted, wrong = world(rng, 3000)
    true = wrong.sum(axis=0) / np.maximum(asserted.sum(axis=0), 1)
    broken = kept = 0
    for _ in range(200):
        rows = rng.integers(0, len(asserted), documents)
        learns = learning([f"{i}" for i in range(documents)])
        found = choose(asserted[rows], wrong[rows], learns, risk=risk, bound=bound)
        if found.index is not None:
            kept += 1
            broken += true[found.index] > risk
    assert binomtest(broken, 200, 0.05, alternative="greater").pvalue > 0.05
    assert kept > 20 or bound != "betting", "a promise that is never made is no use"


def test_a_score_that_tells_nothing_gets_no_promise():
    rng = np.random.default_rng(3)
    asserted, wrong = world(rng, 400, quality=0.0)
    found = choose(asserted, wrong, learning([str(i) for i in range(400)]), risk=0.02)
    assert found.index is None


@given(arrays(np.int64, st.tuples(st.integers(1, 30), st.just(2)), elements=st.integers(0, 40)), st.floats(0.01, 0.99))
@example(np.array([[0, 0], [1, 2]]), 0.5)  # one document asserts, and half of it is wrong
@example(np.array([[1, 2], [1, 2]]), 0.5)  # no spread between documents
def test_a_p_value_is_one_and_fewer_mistakes_lower_it(pairs, risk):
    asserted, wrong = pairs.max(axis=1) / 40, pairs.min(axis=1) / 40
    for name, test in BOUNDS.items():
        assert 0 <= test(asserted, wrong, risk) <= 1, name
        if name != "effective":  # there a mistake may show how many characters one document is worth
            assert test(asserted, np.zeros(len(wrong)), risk) <= test(asserted, wrong, risk) + 1e-9, name
        order = np.random.default_rng(0).permutation(len(wrong))
        assert test(asserted, wrong, risk) == pytest.approx(test(asserted[order], wrong[order], risk), rel=1e-6), (
            "no order counts"
        )


@given(st.integers(1, 40), st.floats(0.02, 0.5))
def test_no_mistake_in_n_documents_is_worth_what_the_rule_of_three_says(count, risk):
    """(1 − r)^n is the best that any test can do; the mixture pays a factor of at most 30 for not knowing the stake."""
    least = (1 - risk) ** count
    counts = np.ones(count), np.zeros(count)
    assert least * (1 - 1e-6) <= betting(*counts, risk) <= min(1.0, 30 * least) + 1e-9
    assert least * (1 - 1e-6) <= betting(*counts, risk, counts), "nor does it help to have seen others like them"
    assert least * (1 - 1e-6) <= hoeffding_bentkus(*counts, risk)
    assert least * (1 - 1e-6) <= effective(*counts, risk)


@pytest.mark.parametrize(("risk", "documents"), [(0.01, 299), (0.02, 149), (0.05, 59), (0.1, 29)])
def test_how_many_documents_a_promise_takes(risk, documents):
    assert fewest(risk, 0.95) == documents


@given(st.floats(0, 0.99), st.floats(0, 0.99))
def test_what_must_be_refused_leaves_the_risk(error, risk):
    """Refusing that share, wrong ones only, leaves exactly the risk."""
    refused = least_refused(error, risk)
    assert 0 <= refused <= 1
    if 0 < refused < 1:
        assert (error - refused) / (1 - refused) == pytest.approx(risk)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1), st.floats(1, 60), st.floats(0, 1))
def test_losses_lie_in_the_unit_interval_and_their_mean_tells_the_risk(pairs, most, risk):
    asserted = np.array([max(pair) for pair in pairs], dtype=float)
    wrong = np.array([min(pair) for pair in pairs], dtype=float)
    own = losses(*scaled(asserted, wrong, 60.0), risk)
    assert (own >= -1e-12).all() and (own <= 1 + 1e-12).all()
    capped = losses(*scaled(asserted, wrong, most), risk)
    assert (capped >= -1e-12).all() and (capped <= 1 + 1e-12).all()
    if asserted.sum():
        above = wrong.sum() / asserted.sum() - risk
        assert own.mean() - risk == pytest.approx(above * asserted.sum() / 60 / len(pairs), abs=1e-9)


@given(st.sets(st.text(min_size=1, max_size=4), min_size=2, max_size=40))
def test_who_learns_depends_on_names_alone(names):
    first = sorted(names)
    other = first[::-1]
    one, two = (dict(zip(order, learning(order), strict=True)) for order in (first, other))
    assert one == two
    assert 0 < sum(one.values()) < len(names)


def test_the_grid_falls_and_ends_at_0():
    levels = grid()
    assert list(levels) == sorted(set(levels), reverse=True)
    assert levels[-1] == 0.0 and levels[0] < 1


def test_hindsight_keeps_as_much_as_it_can():
    asserted = np.array([[1.0, 4.0, 10.0]])
    wrong = np.array([[0.0, 0.0, 2.0]])
    assert best_with_hindsight(asserted, wrong, 0.1) == 1
    assert best_with_hindsight(asserted, wrong, 0.2) == 2
    assert best_with_hindsight(wrong, wrong, 0.2) is None
