"""The bootstrap over documents, against what theory says of it."""

from __future__ import annotations

import numpy as np
import pytest

from kie_hvqa.scoring.statistics import (
    Documents,
    Intervals,
    bootstrap,
    detectable,
    mcnemar,
    paired_bootstrap,
    percentile_intervals,
    ratio,
    resample,
    resamples_for,
)


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
    monkeypatch.setattr("kie_hvqa.scoring.statistics._CHUNK", 50 * 7)
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


def straightforward(values: list[tuple[float, float]], names: list[str], part: set[int], resamples: int) -> np.ndarray:
    """A ratio of sums over the samples in ``part``, once a resample: documents drawn one by one, nothing clever."""
    rng = generator()
    documents = sorted(set(names))
    drawn = []
    for _ in range(resamples):
        top = bottom = 0.0
        for number in rng.integers(0, len(documents), len(documents), dtype=np.int32):
            for index, name in enumerate(names):
                if name == documents[number] and index in part:
                    top += values[index][0]
                    bottom += values[index][1]
        drawn.append(top / bottom if bottom else np.nan)
    return np.array(drawn)


@pytest.mark.parametrize("part", [set(range(40)), set(range(0, 40, 3)), {5, 6, 30}], ids=["all", "some", "few"])
def test_the_matrix_products_are_the_straightforward_bootstrap(part: set[int]) -> None:
    rng = generator(11)
    values = [(float(rng.integers(0, 4)) + float(rng.random()), float(rng.integers(0, 6))) for _ in range(40)]
    names = [f"d{rng.integers(0, 13)}" for _ in range(40)]
    expected = straightforward(values, names, part, 300)

    owner, keep = Documents.of(names), np.array(sorted(part))
    used, sums = Documents(owner.index[keep], owner.count).sums(np.array(values)[keep])
    (drawn,) = resample([(used, sums)], owner.count, generator(), 300)
    assert ratio(drawn[:, :1], drawn[:, 1:])[:, 0] == pytest.approx(expected, nan_ok=True)

    found = percentile_intervals(np.zeros(1), expected[:, None], np.array([9]))
    there = expected[~np.isnan(expected)]
    assert (found.low[0], found.high[0]) == pytest.approx(tuple(np.percentile(there, (2.5, 97.5))))
    assert found.error[0] == pytest.approx(there.std(ddof=1))


def test_a_whole_run_is_the_straightforward_bootstrap() -> None:
    values = [(1.0, 2.0), (0.0, 1.0), (2.5, 3.0), (1.0, 1.0), (0.0, 4.0)]
    names = ["b", "a", "b", "c", "c"]
    expected = straightforward(values, names, set(range(5)), 500)
    top, bottom = (np.array([[pair[k]] for pair in values]) for k in (0, 1))
    found = bootstrap(top, bottom, names, generator(), resamples=500)
    assert (found.low[0], found.high[0]) == pytest.approx(tuple(np.percentile(expected, (2.5, 97.5))))
    assert found.value[0] == pytest.approx(4.5 / 11)


def test_many_documents_are_drawn_half_as_often() -> None:
    assert (resamples_for(9_999), resamples_for(10_000)) == (2000, 1000)


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
def test_mcnemar_by_hand(only_first: int, only_second: int, p: float) -> None:
    assert mcnemar(only_first, only_second) == pytest.approx(p)


def test_mcnemar_of_many_pairs_does_not_overflow() -> None:
    assert mcnemar(40_000, 40_000) == pytest.approx(1)
    assert 0 < mcnemar(5_300, 4_700) < 1e-8
