"""metrics.json and comparisons: what is in them, what is null, and what is never 0 by accident."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kie_hvqa.answers.answer import REFUSAL, render
from kie_hvqa.errors import InputError
from kie_hvqa.scoring.metrics import OVERALL_SCORES, compare, score_rows, summarise
from kie_hvqa.scoring.scores import SampleScore
from kie_hvqa.scoring.sums import FILLED_SCORES, LEDGER_SCORES, OFFICIAL_SCORES, SCORES
from tests.kie_hvqa.pieces import ledgers, row, says, slots

ROWS = [
    row("a_1", slots("Smith", "cchch"), severity=2),
    row("a_2", slots("Emily", "pcchh"), severity=2),
    row("b_1", slots("Al By", "ccccc"), severity=0, document_type="invoice"),
    row("b_2", (), severity=0, document_type="invoice"),
    row("c_1", slots("12", "hh"), severity=6),
    row("c_2", slots("34", "cc"), severity=6),
]
RESPONSES = {
    "a_1": says("Smith"),  # two invented, both lucky
    "a_2": says("emi  "),  # E misread
    "b_1": says("Al B"),  # y left out
    "b_2": says("Bo"),  # a false answer
    "c_1": render(REFUSAL, tags=True),
    "c_2": render(REFUSAL, tags=True),  # over-refused
}


def values(part: dict) -> dict[str, tuple[float | None, int]]:
    return {name: (score["value"], score["n"]) for name, score in part.items()}


def test_ledger_scores_by_hand() -> None:
    found = values(summarise(score_rows(ROWS, RESPONSES))["overall"])
    # clear slots: Smt, mi, AlBy, 34 = 11; partial E; hidden ih, ly, 12 = 6.
    assert found["hallucination_free_accuracy"] == (pytest.approx(1 / 6, abs=1e-6), 6)
    assert found["reading_recall"] == (pytest.approx(8 / 11, abs=1e-6), 11)
    assert found["invented_rate"] == (pytest.approx(2 / 6, abs=1e-6), 6)
    assert found["lucky_rate"] == (pytest.approx(2 / 6, abs=1e-6), 6)
    assert found["misread_rate"] == (pytest.approx(1 / 9, abs=1e-6), 9)
    assert found["over_refusal_rate"] == (pytest.approx(2 / 11, abs=1e-6), 11)
    assert found["dropped_rate"] == (pytest.approx(1 / 18, abs=1e-6), 18)
    assert found["refusal_recall"] == (pytest.approx(4 / 6, abs=1e-6), 6)
    assert found["refusal_precision"] == (pytest.approx(4 / 6, abs=1e-6), 6)
    assert found["flag_rate"] == (None, 0)  # no partial slot was read right
    assert found["inserted"] == (pytest.approx(2 / 6, abs=1e-6), 6)  # about the absent field
    # a_1, a_2, b_2 and c_1 miss something; a_2 and c_1 say so, c_2 says so and is whole.
    assert found["missing_recall"] == (0.5, 4)
    assert found["missing_precision"] == (pytest.approx(2 / 3, abs=1e-6), 3)
    assert found["missing_f1"] == (pytest.approx(4 / 7, abs=1e-6), 7)
    assert found["coverage"] == (pytest.approx(11 / 18, abs=1e-6), 18)
    assert found["false_answer_rate"] == (1.0, 1)
    assert found["parse_failure_rate"] == (0.0, 6)


def test_official_scores_by_hand() -> None:
    found = values(summarise(score_rows(ROWS[:2], RESPONSES))["overall"])
    # a_1: clear 1 - 2/5, not clear 1, final 0.6. a_2: clear "emi" for "mi" 2/3, not clear "" for "E" 0, final 2/3.
    assert found["clear"] == (pytest.approx(100 * (0.6 + 2 / 3) / 2, abs=1e-6), 2)
    assert found["not_clear"] == (50.0, 2)
    assert found["final"] == (pytest.approx(100 * (0.6 + 2 / 3) / 2, abs=1e-6), 2)
    assert found["average"] == (pytest.approx(100 * (0.6 + 1 + 0.6 + 2 / 3 + 2 / 3) / 6, abs=1e-6), 2)
    # positions: Smith for Smt 2/3, for itself; "emi" for "mi" 0; Final "Smith" for "Smt" 2/3, "emi" for "Emi" 2/3.
    assert found["char_accuracy_clear"] == (pytest.approx(100 * (2 / 3) / 2, abs=1e-6), 2)
    assert found["char_accuracy_final"] == (pytest.approx(100 * 2 / 3, abs=1e-6), 2)


def test_every_score_has_a_value_an_interval_and_its_size_everywhere() -> None:
    metrics = summarise(score_rows(ROWS, RESPONSES))
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics
    assert set(SCORES) == {*OFFICIAL_SCORES, *FILLED_SCORES, *LEDGER_SCORES, "parse_failure_rate", "box_overlap"}
    assert list(metrics["by"]) == ["stratum", "document_type", "severity", "question_kind", "operator"]
    assert list(metrics["by"]["severity"]) == ["0", "2", "6"]
    assert list(metrics["by"]["question_kind"]) == ["answerable", "unreadable", "absent"]
    assert tuple(metrics["overall"]) == OVERALL_SCORES == (*SCORES, "aurc", "augrc", "failure_auroc")
    parts = [metrics["overall"], *(part for column in metrics["by"].values() for part in column.values())]
    for part in parts:
        assert tuple(part) == (OVERALL_SCORES if part is metrics["overall"] else SCORES)
        for score in part.values():
            assert list(score) == ["value", "low", "high", "n"]
            assert (score["value"] is None) == (score["n"] == 0)
            if score["low"] is not None:
                assert score["low"] <= score["value"] <= score["high"]
    assert (metrics["samples"], metrics["documents"], metrics["missing"], metrics["unparsable"]) == (6, 3, 0, 0)


def test_missing_numbers_are_null_and_never_zero() -> None:
    official = [replace(r, slots=None, severity=None) for r in ROWS[:2]]
    metrics = summarise(score_rows(official, RESPONSES))
    for name in LEDGER_SCORES:
        assert metrics["overall"][name] == {"value": None, "low": None, "high": None, "n": 0}
    assert metrics["overall"]["final"]["n"] == 2
    assert metrics["by"]["severity"] == {}
    absent = summarise(score_rows([ROWS[3]], RESPONSES))["overall"]
    assert absent["invented_rate"]["value"] is None and absent["coverage"]["value"] is None
    assert absent["false_answer_rate"] == {"value": 1.0, "low": None, "high": None, "n": 1}  # one document: no interval


def test_failures_and_repairs_are_counted() -> None:
    responses = {**RESPONSES, "a_1": "Smith", "a_2": "```" + says("Emi  "), "b_1": f"<answer>{render(REFUSAL)}"}
    del responses["b_2"]
    broken = [*ROWS, replace(ROWS[0], id="d_1", answer="S m t")]
    metrics = summarise(score_rows(broken, {**responses, "d_1": says("Sm t ")}))
    assert (metrics["samples"], metrics["missing"], metrics["unparsable"]) == (7, 1, 1)
    assert metrics["unreadable_truths"] == 1
    assert metrics["overall"]["final"]["n"] == 6
    assert metrics["overall"]["parse_failure_rate"]["value"] == pytest.approx(2 / 7, abs=1e-6)
    assert metrics["repairs"] == {"answer not closed": 1, "no JSON": 1, "no tags": 1}


def test_nothing_to_score_is_an_input_error() -> None:
    with pytest.raises(InputError, match="nothing to score"):
        summarise([])


def test_the_same_run_gives_the_same_bytes_in_any_order() -> None:
    rows = [row(f"d{i}_{k}", slots("Smith", "cchch"), severity=i % 7) for i in range(20) for k in range(2)]
    responses = {r.id: says("Smith" if i % 3 else "Sm t ") for i, r in enumerate(rows)}
    scores = score_rows(rows, responses)
    one, other = summarise(scores), summarise(scores[::-1])
    assert json.dumps(one) == json.dumps(other)


def test_a_thousand_documents_take_under_a_second() -> None:
    base = score_rows(ROWS, RESPONSES)
    scores = [
        replace(s, id=f"{i}", document_id=f"d{i // 2}", severity=i % 7, document_type="abc"[i % 3])
        for i, s in enumerate(base * 334)
    ]
    start = time.process_time()
    summarise(scores)
    assert time.process_time() - start < 1


def run(finals: Sequence[str], documents: int = 40) -> list[SampleScore]:
    rows = [row(f"d{i}_1", slots("Smith", "cchch")) for i in range(documents)]
    return score_rows(rows, {r.id: says(finals[i % len(finals)]) for i, r in enumerate(rows)})


def test_comparing_two_runs() -> None:
    honest, guessing = run(["Sm t "]), run(["Smith", "Smyth", "Sm t "])
    found = compare(honest, guessing)
    assert tuple(found) == OVERALL_SCORES
    free = found["hallucination_free_accuracy"]
    assert list(free) == ["mean", "low", "high", "n", "detectable"]
    assert free["mean"] == pytest.approx(27 / 40) and 0 < free["low"] < free["mean"] < free["high"] and free["n"] == 40
    assert found["invented_rate"]["high"] < 0
    nothing = {"mean": None, "low": None, "high": None, "n": 0, "detectable": None}
    assert found["false_answer_rate"] == nothing
    assert found["aurc"] == nothing  # these readers give no confidence
    back = compare(guessing, honest)["hallucination_free_accuracy"]
    assert (back["mean"], back["low"], back["high"]) == pytest.approx((-free["mean"], -free["high"], -free["low"]))
    same = compare(honest, honest)["average"]
    assert same["mean"] == 0.0 and same["low"] == -same["high"] < -5  # forty documents do not prove two runs equal


def test_the_smallest_difference_follows_from_the_spread_of_the_pairs() -> None:
    honest, guessing = run(["Sm t "]), run(["Smith", "Sm t "])
    found = compare(honest, guessing)["hallucination_free_accuracy"]
    # 40 documents, differences 0 or 1 in equal parts: the standard error is 0.5 / sqrt(40).
    assert found["detectable"] == pytest.approx(2.80 * 0.5 / 40**0.5, rel=0.08)
    # Of one run, as if the other were independent of it: sqrt(2) wider than its own error says.
    bound = summarise(guessing)["detectable"]
    assert bound["paired"] is False
    assert bound["scores"]["hallucination_free_accuracy"] == pytest.approx(2.80 * (0.25 * 2 / 40) ** 0.5, rel=0.08)
    assert bound["scores"]["false_answer_rate"] is None


def test_a_sample_counts_under_each_of_its_operators() -> None:
    recipes = [["blur", "shadow"], ["blur", "blur"], [], ["shadow"]]
    rows = [
        replace(
            row(f"d{i}_1", slots("Smith", "cchch")), recipe=[{"operator": name, "parameters": "{}"} for name in names]
        )
        for i, names in enumerate(recipes)
    ]
    by = summarise(score_rows(rows, {r.id: says("Smith" if i else "Sm t ") for i, r in enumerate(rows)}))["by"]
    free = {name: part["hallucination_free_accuracy"] for name, part in by["operator"].items()}
    assert {name: (part["value"], part["n"]) for name, part in free.items()} == {"blur": (0.5, 2), "shadow": (0.5, 2)}
    assert summarise(score_rows([replace(rows[0], recipe="unknown")], {}))["by"]["operator"] == {}


def test_only_shared_samples_are_compared() -> None:
    one, other = run(["Sm t "]), run(["Smith"])
    found = compare(one[:10], other[5:])
    assert found["final"]["n"] == 5
    assert found["final"]["mean"] == pytest.approx(40)
    with pytest.raises(InputError, match="share no sample"):
        compare(one[:5], other[5:])
    with pytest.raises(InputError, match="different questions"):
        compare(one, [replace(s, document_id="z") for s in other])


@settings(deadline=None, max_examples=25)
@given(st.lists(ledgers("abc ", size=8), min_size=1, max_size=5))
def test_a_perfect_run_scores_1_everywhere(drawn: list) -> None:
    rows = [row(f"d{i}_1", ledger) for i, ledger in enumerate(drawn)]
    overall = summarise(score_rows(rows, {r.id: r.answer for r in rows}))["overall"]
    for name, best in {
        **dict.fromkeys(("clear", "not_clear", "final", "average"), 100),
        "hallucination_free_accuracy": 1,
        **dict.fromkeys(("reading_recall", "refusal_recall", "refusal_precision", "flag_rate", "missing_f1"), 1),
        **dict.fromkeys(("invented_rate", "lucky_rate", "misread_rate", "over_refusal_rate", "dropped_rate"), 0),
        **dict.fromkeys(("inserted", "surplus_marks", "false_answer_rate"), 0),
        "parse_failure_rate": 0,
    }.items():
        assert overall[name]["value"] in (best, None), name
