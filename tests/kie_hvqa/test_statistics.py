"""The bootstrap over documents, against what theory says of it."""

from __future__ import annotations

import numpy as np
import pytest

from kie_hvqa.statistics import Intervals, bootstrap, paired_bootstrap


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def of(values: list[float], documents: list[str], **kwargs: int) -> Intervals:
    top = np.array(values, dtype=float)[:, None]
    return bootstrap(top, np.ones_like(top), documents, generator(), **kwargs)


def test_a_rate_is_a_ratio_of_sums_not_a_mean_of_ratios() -> None:
    top, bottom = np.array([[1.0], [0.0], [9.0]]), np.array([[2.0], [0.0], [10.0]])
    found = bootstrap(top, bottom, ["a", "b", "c"], generator())
    assert found.value[0] == pytest.approx(10 / 12)
    # Resamples of a and c alone give 1/2 and 9/10; those of b alone have no value and do not count.
    assert (found.low[0], found.high[0]) == pytest.approx((0.5, 0.9))


def test_the_interval_is_as_wide_as_the_standard_error_says() -> None:
    values = generator(7).normal(size=400)
    found = of(list(values), [str(i) for i in range(400)], resamples=4000)
    wide = 2 * 1.96 * values.std() / np.sqrt(400)
    assert found.high[0] - found.low[0] == pytest.approx(wide, rel=0.08)
    assert found.low[0] < values.mean() < found.high[0]


def test_copies_of_a_document_add_no_certainty() -> None:
    values = list(generator(7).normal(size=100))
    once = of(values, [str(i) for i in range(100)])
    four = of(values * 4, [str(i) for i in range(100)] * 4)
    apart = of(values * 4, [str(i) for i in range(400)])
    assert (four.low[0], four.high[0]) == pytest.approx((once.low[0], once.high[0]))
    assert apart.high[0] - apart.low[0] < 0.6 * (once.high[0] - once.low[0])


def test_the_order_of_samples_changes_nothing() -> None:
    values, documents = list(generator(3).normal(size=60)), [f"d{i % 20}" for i in range(60)]
    shuffled = generator(4).permutation(60)
    one, other = of(values, documents), of([values[i] for i in shuffled], [documents[i] for i in shuffled])
    for name in ("value", "low", "high"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), abs=1e-12)


def test_no_interval_from_a_single_document_and_no_value_from_none() -> None:
    found = of([0.0, 1.0], ["a", "a"])
    assert found.value[0] == 0.5 and np.isnan(found.low[0]) and np.isnan(found.high[0])
    zero = np.zeros((2, 1))
    assert np.isnan(bootstrap(zero, zero, ["a", "b"], generator()).value[0])


def test_chunks_are_drawn_like_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    values, documents = list(generator(3).normal(size=50)), [str(i) for i in range(50)]
    whole = of(values, documents, resamples=200)
    monkeypatch.setattr("kie_hvqa.statistics._CHUNK", 50 * 7)
    parts = of(values, documents, resamples=200)
    assert (parts.low[0], parts.high[0]) == pytest.approx((whole.low[0], whole.high[0]))


def test_pairs_see_a_small_difference_that_separate_intervals_hide() -> None:
    rng = generator(5)
    base = rng.normal(size=(200, 1))
    better = base + 0.05 + 0.02 * rng.normal(size=(200, 1))
    ones, documents = np.ones_like(base), [str(i) for i in range(200)]
    paired = paired_bootstrap((better, ones), (base, ones), documents, generator())
    assert paired.value[0] == pytest.approx((better - base).mean())
    assert 0.045 < paired.low[0] < paired.value[0] < paired.high[0] < 0.055
    alone = bootstrap(better, ones, documents, generator()), bootstrap(base, ones, documents, generator())
    assert alone[0].low[0] < alone[1].high[0]  # the two intervals overlap


def test_a_run_differs_from_itself_by_exactly_nothing() -> None:
    top, bottom = generator(1).random((30, 2)), generator(2).random((30, 2))
    found = paired_bootstrap((top, bottom), (top, bottom), [str(i // 3) for i in range(30)], generator())
    assert not found.value.any() and not found.low.any() and not found.high.any()
