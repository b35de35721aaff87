"""Intervals over documents: frozen values, the laws that they keep, and the limits that they tend to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kie_hvqa.scoring.intervals import FEWEST, Intervals, combine, difference_intervals, ratio_intervals
from kie_hvqa.scoring.tables import LABELS, difference, interval


def of(tops: list[float], documents: list[str] | None = None, **kwargs) -> Intervals:
    top = np.array(tops, dtype=float)[:, None]
    return ratio_intervals(top, np.ones_like(top), documents or [str(i) for i in range(len(tops))], **kwargs)


def ends(found: Intervals) -> tuple[float, float]:
    return float(found.low[0]), float(found.high[0])


def apart(first: list[float], second: list[float], documents: list[str] | None = None) -> Intervals:
    one, other = (np.array(values, dtype=float)[:, None] for values in (first, second))
    names = documents or [str(i) for i in range(len(first))]
    return difference_intervals((one, np.ones_like(one)), (other, np.ones_like(other)), names)


def test_frozen_one_question_a_document() -> None:
    # 3 of 40, a document each. Clopper and Pearson's own are [0.0157, 0.2039]; t for 39 degrees of freedom widens them.
    assert ends(of([1.0] * 3 + [0.0] * 37)) == pytest.approx((0.014237, 0.211918), abs=1e-6)


def test_nothing_in_n_documents_is_the_rule_of_three() -> None:
    low, high = ends(of([0.0] * 100))
    assert (low, high) == (0.0, pytest.approx(1 - 0.025 ** (1 / 97.6), abs=1e-4))
    assert ends(of([1.0] * 100)) == pytest.approx((1 - high, 1.0))
    # Four questions each say no more: they may be all alike.
    assert ends(of([0.0] * 400, [str(i // 4) for i in range(400)])) == pytest.approx((low, high))


def test_documents_that_agree_prove_little() -> None:
    half = of([1.0, 0.0] * 8, [str(i // 2) for i in range(16)])
    assert half.value[0] == 0.5 and half.low[0] < 0.25 and half.high[0] > 0.75


def test_fewer_than_five_documents_are_too_few_and_the_tables_say_so() -> None:
    for documents, shown in ((FEWEST - 1, False), (FEWEST, True)):
        found = of([1.0, 0.0] * documents, [str(i // 2) for i in range(2 * documents)])
        assert np.isnan(found.low[0]) != shown and np.isnan(found.error[0]) != shown
        assert (interval(found.entry(0, 8), LABELS["invented_rate"]) == "too few") != shown
    pair = apart([1, 0], [0, 0]).difference(0, 2)
    assert pair == {"mean": 0.5, "low": None, "high": None, "n": 2, "detectable": None}
    assert difference(pair, LABELS["invented_rate"]) == "+50.0 too few"
    zero = np.zeros((9, 1))
    none = ratio_intervals(zero, zero, list("abcdefghi")).entry(0, 0)
    assert none == {"value": None, "low": None, "high": None, "n": 0} and interval(none, LABELS["clear"]) == "–"


def test_the_interval_tends_to_the_normal_one() -> None:
    rng = np.random.default_rng(7)
    values = rng.beta(8, 2, 2000)
    found = of(list(values))
    wide = 2 * 1.96 * values.std() / np.sqrt(2000)
    assert found.high[0] - found.low[0] == pytest.approx(wide, rel=0.05)
    hundred = of(list(100 * values), span=(0.0, 100.0))
    assert ends(hundred) == pytest.approx(tuple(100 * end for end in ends(found)))


def test_a_score_without_an_upper_end_has_poisson_limits() -> None:
    found = of([2.0] * 10 + [0.0] * 990, span=(0.0, np.inf))
    assert ends(found) == pytest.approx((2 * 4.795 / 1000, 2 * 18.39 / 1000), rel=2e-2)
    # Seen in 10 documents, twice each: ten events of size two, Garwood's [4.80, 18.39] of them.
    nothing = of([0.0] * 1000, span=(0.0, np.inf))
    assert ends(nothing) == (0.0, pytest.approx(3.689 / 1000, rel=1e-2))
    assert of([3.0] * 50, span=(0.0, np.inf)).low[0] > 1


def test_copies_add_no_certainty_and_order_changes_nothing() -> None:
    values = list((np.random.default_rng(7).random(100) < 0.3).astype(float))
    names = [str(i) for i in range(100)]
    once, four, many = of(values), of(values * 4, names * 4), of(values * 4)
    assert ends(four) == pytest.approx(ends(once))
    assert many.high[0] - many.low[0] < 0.6 * (once.high[0] - once.low[0])
    back = of(values[::-1], names[::-1])
    assert ends(back) == pytest.approx(ends(once), abs=1e-12)


counts = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=FEWEST, max_size=30)


@settings(deadline=None)
@given(counts)
def test_laws_of_a_rate(drawn: list[tuple[int, int]]) -> None:
    hits, misses = np.array(drawn, dtype=float).T[:, :, None]
    names = [str(i) for i in range(len(drawn))]
    found, other = (ratio_intervals(top, hits + misses, names) for top in (hits, misses))
    if np.isnan(found.low[0]):
        assert ((hits + misses)[:, 0] > 0).sum() < FEWEST
        return
    assert 0 <= found.low[0] <= found.value[0] <= found.high[0] <= 1
    assert found.high[0] - found.low[0] > 0.05  # at most thirty documents
    assert ends(other) == pytest.approx((1 - found.high[0], 1 - found.low[0]), abs=1e-9)  # misses mirror hits


@settings(deadline=None)
@given(counts)
def test_laws_of_a_difference(drawn: list[tuple[int, int]]) -> None:
    one, other = np.array(drawn, dtype=float).T / 4
    found, back = apart(list(one), list(other)), apart(list(other), list(one))
    assert -1 <= found.low[0] <= found.value[0] <= found.high[0] <= 1 and found.low[0] < found.high[0]
    assert ends(back) == pytest.approx((-found.high[0], -found.low[0]), abs=1e-12)


def test_two_runs_that_never_differ_are_not_proved_equal() -> None:
    values = [1.0, 0.0] * 50
    found = apart(values, values)
    assert found.value[0] == 0 and ends(found) == pytest.approx((-0.0275, 0.0275), abs=1e-3)  # 2.8 / 102


def test_pairs_see_a_small_difference_that_separate_intervals_hide() -> None:
    rng = np.random.default_rng(5)
    base = rng.random(400) < 0.5
    better = base | (rng.random(400) < 0.1)
    found = apart(list(better.astype(float)), list(base.astype(float)))
    alone = [of(list(values.astype(float))) for values in (better, base)]
    assert found.low[0] > 0 and alone[0].low[0] < alone[1].high[0]


def test_sums_of_scores_put_their_limits_together() -> None:
    rng = np.random.default_rng(1)
    tops = (rng.random((300, 3)) < (0.2, 0.5, 0.9)).astype(float)
    parts = np.eye(3)[rng.integers(0, 3, 300)]
    names = [str(i // 2) for i in range(300)]
    found = ratio_intervals(tops * parts, parts, names)
    mean = combine(found, np.full((3, 1), 1 / 3))
    assert mean.value[0] == pytest.approx(found.value.mean())
    width = mean.high[0] - mean.low[0]
    alone = (found.high - found.low) / 3
    assert width == pytest.approx(np.sqrt((alone**2).sum()), rel=0.2) and width < alone.sum()
    # A part in which nothing happened keeps its room, and a score less itself is nothing.
    never = ratio_intervals(0 * parts, parts, names)
    assert combine(never, np.full((3, 1), 1 / 3)).high[0] > 0.01
    itself = combine(ratio_intervals(tops[:, [1, 1]], np.ones((300, 2)), names), np.array([[1.0], [-1.0]]), 0.25)
    assert itself.value[0] == 0.25


def test_a_sum_is_too_few_where_a_part_is() -> None:
    part = np.array([[1.0, 0.0]] * 9 + [[0.0, 1.0]] * 3)
    found = combine(ratio_intervals(part, part, [str(i) for i in range(12)]), np.full((2, 1), 0.5))
    assert found.value[0] == 1 and np.isnan(found.low[0])
