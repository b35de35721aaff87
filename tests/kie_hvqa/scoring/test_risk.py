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
from kie_hvqa.scoring import risk, selective
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


def paper(losses: list[float], confidences: list[float]) -> float:
    """Traub et al. 2024, equation 6, with equal confidences as one half."""
    wrong = [c for c, loss in zip(confidences, losses, strict=True) if loss]
    right = [c for c, loss in zip(confidences, losses, strict=True) if not loss]
    accuracy = len(right) / len(losses)
    auroc = mean((r > w) + (r == w) / 2 for r in right for w in wrong) if right and wrong else 0.0
    return (1 - auroc) * accuracy * (1 - accuracy) + (1 - accuracy) ** 2 / 2


binary = st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([-1.0, 0.5, 2.0])), min_size=1, max_size=12)


@settings(deadline=None)
@given(binary)
def test_augrc_is_the_papers_and_the_auroc_its_pairs(drawn: list[tuple[float, float]]) -> None:
    losses, sure = map(list, zip(*drawn, strict=True))
    ranked = risk.rank(losses, sure)
    assert risk.augrc(ranked)[0] == pytest.approx(paper(losses, sure))
    pairs = [(r > w) + (r == w) / 2 for r, x in zip(sure, losses, strict=True) if not x for w, y in drawn_wrong(drawn)]
    right = np.array(losses) == 0
    for found in (risk.failure_auroc(ranked)[0], risk.auroc(right, np.array(sure))):
        assert found == pytest.approx(mean(pairs)) if pairs else np.isnan(found)
    twice = np.arange(len(drawn)) % 3
    weighed = risk.auroc(np.repeat(right, twice), np.repeat(sure, twice))  # a weight is so many copies
    assert risk.auroc(right, np.array(sure), twice) == pytest.approx(weighed, nan_ok=True)


def drawn_wrong(drawn: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(sure, loss) for loss, sure in drawn if loss]


def test_areas_by_hand() -> None:
    knowing, wrong_way = risk.rank([0, 0, 1, 1], [4, 3, 2, 1]), risk.rank([0, 0, 1, 1], [1, 2, 3, 4])
    assert (risk.augrc(knowing)[0], risk.augrc(wrong_way)[0]) == (0.125, 0.375)
    assert (risk.failure_auroc(knowing)[0], risk.failure_auroc(wrong_way)[0]) == (1.0, 0.0)
    assert np.isnan(risk.failure_auroc(risk.rank([0, 0.5, 1], [3, 2, 1]))[0])  # half a failure is none
    assert np.isnan(risk.failure_auroc(risk.rank([0, 0], [3, 2]))[0])


def test_the_risk_at_a_coverage_and_the_coverage_at_a_risk_by_hand() -> None:
    ranked = risk.rank([0, 0, 1, 0, 1, 1], [6, 5, 4, 3, 2, 1])
    assert [risk.risk_at(ranked, at)[0] for at in (1 / 3, 0.5, 1.0)] == pytest.approx([0, 1 / 3, 0.5])
    assert risk.risk_at(ranked, 0.25)[0] == 0 and risk.risk_at(ranked, 2.5 / 6)[0] == pytest.approx(0.2)
    # Three are wrong one time in three; four, one in four.
    assert [risk.coverage_at(ranked, at) for at in (0.0, 0.25, 0.3, 0.5)] == pytest.approx([2 / 6, 4 / 6, 4 / 6, 1])
    assert risk.coverage_at(risk.rank([1, 0], [2, 1]), 0.1) == 0


@pytest.mark.parametrize("name", [*selective.AREAS, "risk_at"])
def test_what_an_answer_moves_is_what_leaving_it_out_does(name: str) -> None:
    rng = np.random.default_rng(3)
    sure = rng.random(600).round(2)
    lost = (rng.random(600) < 0.6 - 0.5 * sure).astype(float)

    def measure(keep: np.ndarray) -> tuple[float, np.ndarray]:
        ranked = risk.rank(list(lost[keep]), list(sure[keep]))
        value, moved = risk.risk_at(ranked, 0.5)[:2] if name == "risk_at" else getattr(risk, name)(ranked)
        back = np.empty_like(moved)
        back[ranked.order] = moved
        return value, back

    every = np.arange(600)
    value, moved = measure(every)
    assert moved.sum() == pytest.approx(0, abs=1e-3)  # the area of twice as many answers is not quite the same
    out = every[::7]
    left = np.array([value - measure(np.delete(every, index))[0] for index in out])
    assert np.corrcoef(left, moved[out])[0, 1] > 0.95
    assert (moved[out] ** 2).sum() == pytest.approx((left**2).sum(), rel=0.15)


def test_intervals_of_the_areas_hold() -> None:
    """Documents of three answers; a confidence that knows a little. The truth is that of one very large run."""

    def made(documents: int, rng: np.random.Generator) -> list[SampleScore]:
        ease = rng.normal(size=documents).repeat(3)
        sure = ease + rng.normal(size=len(ease))
        wrong = rng.random(len(ease)) < 1 / (1 + np.exp(1.5 + ease))
        return [sample(k, float(w), float(c), f"d{k // 3}") for k, (w, c) in enumerate(zip(wrong, sure, strict=True))]

    truth = selective.areas(made(30_000, np.random.default_rng(9)))[0].value
    rng = np.random.default_rng(4)
    runs = [selective.areas(made(40, rng))[0] for _ in range(250)]
    holds = np.mean([(run.low <= truth) & (truth <= run.high) for run in runs], axis=0)
    assert (holds >= 0.92).all()  # 93 % less about one standard error of 250 runs


def test_what_has_no_confidence_is_the_least_sure_and_counted() -> None:
    run = samples([0, 1, 0, 1], [0.9, None, float("nan"), 0.1])
    metrics = summarise(run)
    # Risks 0, 1/2, then the two without a confidence in either order: 1/3 or 2/3, 1/2.
    assert metrics["overall"]["aurc"]["value"] == pytest.approx((0 + 1 / 2 + 1 / 2 + 1 / 2) / 4)
    assert metrics["overall"]["aurc"]["n"] == 4
    assert metrics["risk"] == {
        "loss": "not hallucination-free",
        "answers": 4,
        "without_confidence": 2,
        "random": 0.5,
        "best": pytest.approx((1 / 3 + 1 / 2) / 4, abs=1e-6),
        "risk_at": {
            "0.5": {"value": 0.5, "low": None, "high": None, "n": 2},
            "0.8": {"value": 0.5, "low": None, "high": None, "n": 3},
            "0.95": {"value": 0.5, "low": None, "high": None, "n": 4},
        },
        "coverage_at": {at: {"value": 0.25, "low": None, "high": None, "n": 4} for at in ("0.01", "0.02", "0.05")},
        "curve": [[0.25, 0.0], [0.5, 0.5], [0.75, 0.5], [1.0, 0.5]],
    }
    silent = summarise(samples([0, 1], [None, None]))
    assert silent["risk"] is None
    assert silent["overall"]["aurc"] == {"value": None, "low": None, "high": None, "n": 0}


def test_a_coverage_lies_between_where_the_risk_surely_and_possibly_is_that_small() -> None:
    rng = np.random.default_rng(2)
    sure = rng.random(2000)
    run = samples(list((rng.random(2000) < 0.2 * (1 - sure)).astype(float)), list(sure))
    found = summarise(run)["risk"]
    for at in ("0.01", "0.02", "0.05"):
        entry = found["coverage_at"][at]
        assert 0 <= entry["low"] <= entry["value"] <= entry["high"] <= 1
    # The risk of the surest share c is 0.1 c, so 5 % is reached at one half.
    assert found["coverage_at"]["0.05"]["low"] < 0.5 < found["coverage_at"]["0.05"]["high"]
    assert found["risk_at"]["0.8"]["low"] < 0.08 < found["risk_at"]["0.8"]["high"]


def test_without_a_ledger_the_loss_is_what_final_ocr_misses() -> None:
    run = [
        replace(s, counts=None, official=Official(1, 1, final, 1, 1, final))
        for s, final in zip(samples([0, 0], [2.0, 1.0]), (0.75, 1.0), strict=True)
    ]
    found = summarise(run)
    assert found["risk"]["loss"] == "1 - final"
    assert found["overall"]["aurc"]["value"] == pytest.approx((0.25 + 0.125) / 2)


def test_two_runs_are_compared_on_all_their_rows() -> None:
    rng = np.random.default_rng(5)
    wrong = [float(rng.random() < 0.5) for _ in range(80)]
    knowing = samples(wrong, [1 - 0.5 * loss + 0.1 * float(rng.random()) for loss in wrong])
    guessing = samples(wrong, [float(rng.random()) for _ in wrong])
    compared = compare(knowing, [replace(guessing[0], confidence=None), *guessing[1:]])
    for name, better in (("aurc", -1), ("augrc", -1), ("failure_auroc", 1)):
        found = compared[name]
        assert found["n"] == 80
        assert better * found["mean"] > 0 and better * found["low"] > 0 and better * found["high"] > 0
    back = compare(guessing, knowing)["aurc"]
    assert compare(knowing, guessing)["aurc"]["mean"] == pytest.approx(-back["mean"])
    same = compare(knowing, knowing)["aurc"]
    assert same["mean"] == 0 and -0.05 < same["low"] < 0 < same["high"] < 0.05
    assert compare(knowing, samples(wrong, [None] * 80))["aurc"]["n"] == 0
