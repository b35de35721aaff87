"""A threshold takes back and never adds; an operating point is for one reader, told one thing, and says so."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kie_hvqa.answers.answer import REFUSAL, Reading
from kie_hvqa.confidence.marks import keep
from kie_hvqa.confidence.operating_point import OperatingPoint, mapped
from kie_hvqa.confidence.symbols import SymbolConfidence, signals_from_json, signals_to_json
from kie_hvqa.errors import InputError
from tests.kie_hvqa.confidence.pieces import point, readings, said

SURE = st.none() | st.floats(0, 1)


def asserted(reading: Reading) -> list[Counter[str]]:
    return [Counter(part.replace(" ", "")) for part in (reading.final, reading.clear, reading.not_clear)]


@given(readings(), st.data(), st.floats(0, 1), st.floats(0, 1), st.sampled_from(["character", "field"]))
def test_a_higher_threshold_never_asserts_more(reading, data, one, other, unit):
    scores = data.draw(st.lists(SURE, min_size=len(reading.final), max_size=len(reading.final)))
    low, high = sorted((one, other))
    free, loose, tight = (
        point(threshold=threshold, unit=unit).apply(reading, said(*scores)) for threshold in (0.0, low, high)
    )
    assert free == reading, "a threshold of 0 takes nothing back"
    for more, less in ((reading, loose), (loose, tight)):
        assert all(not b - a for a, b in zip(asserted(more), asserted(less), strict=True))
        if not less.refused:
            assert len(less.final) == len(more.final), "nothing moves"
            assert all(b in (a, " ") for a, b in zip(more.final, less.final, strict=True))


@given(readings(), st.data())
def test_applying_twice_changes_nothing_more(reading, data):
    kept = data.draw(st.lists(st.booleans(), min_size=len(reading.final), max_size=len(reading.final)))
    once = keep(reading, kept)
    if not once.refused:
        assert keep(once, kept) == once


def test_characters_below_the_threshold_become_marks_and_leave_the_lists():
    reading = Reading("A1B 2", "1", "AB2", 3, 1)
    found = point(threshold=0.9).apply(reading, said(0.95, 0.8, 0.9, 0.1, None))
    assert found == Reading("A B  ", "", "AB", 2, 0)
    assert point(threshold=0.96).apply(reading, said(0.95, 0.8, 0.9, 0.1, None)) == REFUSAL


def test_a_field_is_kept_or_refused_whole():
    reading = Reading("A1", "", "A1", 2, 0)
    fields = point(unit="field", threshold=0.5)
    assert fields.apply(reading, said(0.8, 0.7)) == reading
    assert fields.apply(reading, said(0.7, 0.7)) == REFUSAL
    assert fields.apply(Reading("A ", "", "A", 1, 0), said(0.7, 0.1)).final == "A ", "a mark asserts nothing"


def test_what_has_no_fitting_score_asserts_nothing():
    reading = Reading("A1", "", "A1", 2, 0)
    for signals in (None, {}, said(0.9), {"other": SymbolConfidence((1.0, 1.0))}):
        assert point(threshold=0.1).apply(reading, signals) == REFUSAL
        assert point(threshold=0.1).field_calibrated(reading, signals) == 0.0


def test_a_veto_is_below_every_threshold_but_none():
    reading = Reading("A1", "", "A1", 2, 0)
    signals = said(0.9, 0.9) | {"checks": SymbolConfidence((1.0, 0.0))}
    assert point(vetoes=("checks",)).apply(reading, signals).final == "A "
    assert point(vetoes=("checks",)).calibrated(signals) == (0.9, 0.0)
    date = Reading("31.02.1990", "", "31.02.1990", 10, 0)
    assert point(vetoes=("checks",)).apply(date, said(*[0.9] * 10)).final == "  .  .    ", (
        "nobody brought the checks along"
    )


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=6), st.floats(0, 1), st.floats(0, 1))
def test_the_calibrated_probability_rises_with_the_score(pairs, one, other):
    steps = tuple(zip(*(sorted(column) for column in zip(*pairs, strict=True)), strict=True))
    low, high = (mapped(steps, score) for score in sorted((one, other)))
    assert 0 <= low <= high <= 1


def test_a_file_comes_back_as_it_was(tmp_path):
    file = tmp_path / "point.json"
    one = point(vetoes=("checks",), evidence={"coverage": 0.5})
    one.save(file)
    assert OperatingPoint.load(file) == one


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schema", "another"),
        ("signal", None),
        ("risk", 7),
        ("threshold", True),
        ("unit", "page"),
        ("probability", [[0.5, 0.5], [0.1, 0.9]]),
        ("probability", [[0.5, "x"]]),
        ("vetoes", "checks"),
        ("more", 1),
    ],
)
def test_a_damaged_file_is_refused_by_its_key(tmp_path, key, value):
    file = tmp_path / "point.json"
    point().save(file)
    data = json.loads(file.read_text())
    file.write_text(json.dumps(data | {key: value}))
    with pytest.raises(InputError) as refused:
        OperatingPoint.load(file)
    assert refused.value.file == str(file)
    assert refused.value.field == key


def test_another_reader_prompt_or_signal_is_refused(tmp_path):
    one = point(vetoes=("checks",))
    one.check("1", "2", ["checks", "token_probability", "other"])
    for given_, field in (
        (("0", "2", one.needs), "reader_identity"),
        (("1", "0", one.needs), "asks"),
        (("1", "2", ["checks"]), "signal"),
    ):
        with pytest.raises(InputError) as refused:
            one.check(*given_, file=tmp_path / "p.json")
        assert refused.value.field == field


@given(st.dictionaries(st.text(max_size=5), st.builds(SymbolConfidence, st.lists(SURE).map(tuple), SURE), max_size=3))
def test_signals_survive_their_file(signals):
    assert signals_from_json(json.loads(json.dumps(signals_to_json(signals)))) == signals


@pytest.mark.parametrize(
    "data",
    [
        [],
        {"a": []},
        {"a": {"symbols": [2.0], "refusal": None}},
        {"a": {"symbols": ["x"], "refusal": None}},
        {"a": {"symbols": []}},
    ],
)
def test_what_is_no_signal_is_refused(data):
    with pytest.raises(ValueError, match="a"):
        signals_from_json(data)
