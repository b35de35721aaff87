"""Risk against coverage, against values worked out by hand and the definition written out."""

from __future__ import annotations

import itertools
from dataclasses import replace
from statistics import mean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kie_hvqa.answers.verdicts import Counts
from kie_hvqa.scoring import risk
from kie_hvqa.scoring.metrics import compare, summarise
from kie_hvqa.scoring.scores import Official, SampleScore


def sample(number: int, loss: float, confidence: float | None, document: str | None = None) -> SampleScore:
    counts = Counts.of(questions=1, clear_right=2 if loss == 0 else 1, clear_wrong=int(loss != 0), free=int(loss == 0))
    return SampleScore(
        f"s{number}", document or f"d{number}", "id_card", 1, "answerable", None, counts, False, confidence=confidence
    )


def samples(losses: list[float], confidences: list[float | None]) -> list[SampleScore]:
    return [sample(k, *pair) for k, pair in enumerate(zip(losses, confidences, strict=True))]


def by_definition(losses: list[float], confidences: list[float]) -> float:
    """The mean over all orders that agree with the confidences of the mean over k of the risk of the first k."""
    areas = []
    for order in itertools.permutations(range(len(losses))):
        sure = [confidences[i] for i in order]
        if sure == sorted(sure, reverse=True):
            areas.append(mean(mean(losses[i] for i in order[:k]) for k in range(1, len(order) + 1)))
    return mean(areas)


def test_the_area_by_hand() -> None:
    # Risks of the surest one, two, three, four: 0, 1/2, 1/3, 2/4.
    assert risk.area(risk.rank([0, 1, 0, 1], [9, 8, 7, 6])) == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    assert risk.area(risk.rank([1, 0, 1, 0], [6, 9, 7, 8])) == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4)
    assert risk.best_area([1, 0, 1, 0]) == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4)
    # A confidence that says nothing: every risk is the mean loss.
    assert risk.area(risk.rank([0, 1, 0, 1], [1, 1, 1, 1])) == pytest.approx(0.5)
    assert np.isnan(risk.area(risk.rank([], [])))


def test_the_curve_by_hand() -> None:
    found = risk.curve(risk.rank([0, 1, 0, 1], [9, 8, 7, 6]))
    assert np.array(found) == pytest.approx(np.array([(0.25, 0), (0.5, 0.5), (0.75, 1 / 3), (1, 0.5)]))
    # The two of equal confidence are half a loss each.
    tied = risk.curve(risk.rank([0, 1, 1], [5, 5, 1]))
    assert np.array(tied) == pytest.approx(np.array([(1 / 3, 0.5), (2 / 3, 0.5), (1, 2 / 3)]))
    many = risk.curve(risk.rank([0.5] * 5000, list(range(5000))), points=50)
    assert len(many) == 50 and many[-1] == (1.0, 0.5)


losses = st.lists(st.sampled_from([0.0, 1.0, 0.25]), min_size=1, max_size=6)


@settings(deadline=None)
@given(
    losses.flatmap(
        lambda drawn: st.tuples(
            st.just(drawn), st.lists(st.sampled_from([-1.0, 0.5, 2.0]), min_size=len(drawn), max_size=len(drawn))
        )
    )
)
def test_the_area_is_its_definition_ties_in_random_order(drawn: tuple[list[float], list[float]]) -> None:
    assert risk.area(risk.rank(*drawn)) == pytest.approx(by_definition(*drawn))


@settings(deadline=None)
@given(losses, st.randoms(use_true_random=False))
def test_no_order_is_better_than_the_best_and_the_scale_means_nothing(drawn: list[float], random) -> None:
    confidences = [random.randrange(-5, 5) for _ in drawn]
    found = risk.area(risk.rank(drawn, confidences))
    assert risk.best_area(drawn) - 1e-12 <= found
    assert found == pytest.approx(risk.area(risk.rank(drawn, [3.0 * value**3 - 7 for value in confidences])))


def test_an_interval_is_the_bootstrap_written_out() -> None:
    rng = np.random.default_rng(3)
    run = [sample(k, float(rng.random() < 0.4), round(float(rng.random()), 1), f"d{k // 3}") for k in range(30)]
    drawn = np.random.default_rng(0)
    areas = []
    for _ in range(200):
        again = [s for d in drawn.integers(0, 10, 10, dtype=np.int32) for s in run if s.document_id == f"d{d}"]
        areas.append(risk.area(risk.rank([1 - s.counts["free"] for s in again], [s.confidence for s in again])))
    found = risk.area_interval(run, np.random.default_rng(0), resamples=200)
    assert found is not None
    assert (found.low[0], found.high[0]) == pytest.approx(tuple(np.percentile(areas, (2.5, 97.5))))


def test_neighbours_are_put_together_where_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    sure = rng.random(3000)
    run = [sample(k, float(rng.random() < 1 - sure[k]), float(sure[k]), f"d{k // 2}") for k in range(3000)]
    exact = risk.area_interval(run, np.random.default_rng(0), resamples=100)
    monkeypatch.setattr(risk, "_GROUPS", 150)
    coarse = risk.area_interval(run, np.random.default_rng(0), resamples=100)
    assert exact is not None and coarse is not None
    assert coarse.value[0] == exact.value[0]
    assert (coarse.low[0], coarse.high[0]) == pytest.approx((exact.low[0], exact.high[0]), abs=3e-4)


def test_what_has_no_confidence_is_left_out_and_counted() -> None:
    run = samples([0, 1, 0, 1], [0.9, None, float("nan"), 0.1])
    metrics = summarise(run)
    assert metrics["overall"]["aurc"]["value"] == pytest.approx(0.25)
    assert metrics["overall"]["aurc"]["n"] == 2
    assert metrics["risk"] == {
        "loss": "not hallucination-free",
        "answers": 2,
        "without_confidence": 2,
        "random": 0.5,
        "best": 0.25,
        "curve": [[0.5, 0.0], [1.0, 0.5]],
    }
    silent = summarise(samples([0, 1], [None, None]))
    assert silent["risk"] is None
    assert silent["overall"]["aurc"] == {"value": None, "low": None, "high": None, "n": 0}


def test_without_a_ledger_the_loss_is_what_final_ocr_misses() -> None:
    run = [
        replace(s, counts=None, official=Official(1, 1, final, 1, 1, final))
        for s, final in zip(samples([0, 0], [2.0, 1.0]), (0.75, 1.0), strict=True)
    ]
    found = summarise(run)
    assert found["risk"]["loss"] == "1 - final"
    assert found["overall"]["aurc"]["value"] == pytest.approx((0.25 + 0.125) / 2)


def test_two_runs_are_compared_on_the_rows_that_both_are_sure_about() -> None:
    rng = np.random.default_rng(5)
    wrong = [float(rng.random() < 0.5) for _ in range(80)]
    knowing = samples(wrong, [1 - 0.5 * loss + 0.1 * float(rng.random()) for loss in wrong])
    guessing = samples(wrong, [float(rng.random()) for _ in wrong])
    found = compare(knowing, [replace(guessing[0], confidence=None), *guessing[1:]])["aurc"]
    assert found["n"] == 79
    assert found["mean"] < 0 and found["high"] < 0
    back = compare(guessing, knowing)["aurc"]
    assert compare(knowing, guessing)["aurc"]["mean"] == pytest.approx(-back["mean"])
    assert compare(knowing, knowing)["aurc"] == {"mean": 0.0, "low": 0.0, "high": 0.0, "n": 80, "detectable": 0.0}
