"""Numbers that no law pins, as `python -m studies.frozen --write` last wrote them: a constant that is off moves one."""

from __future__ import annotations

import json

import numpy as np
import pytest

from degradations.chance import generator
from degradations.documents.art.portraits import portrait
from degradations.documents.subjects.identities import Sitter
from degradations.documents.typeset import typeset
from degradations.operators import OPERATORS
from degradations.recipe import Recipe
from studies.frozen import FILE, cases, measured, score, sheets

FROZEN = json.loads(FILE.read_text())
REMEDY = "If this is meant: python -m studies.frozen --write, and look at what moved."


def test_every_operator_has_frozen_numbers_and_many_of_them_are_between_the_ends():
    names = {step["operator"] for case in FROZEN["cases"] for step in case["recipe"]}
    assert names == set(OPERATORS), REMEDY
    pairs = [value for case in FROZEN["cases"] for value in case["evidence"]]
    assert len(FROZEN["cases"]) >= 60 and sum(0.02 < value < 0.98 for value in pairs) > 200


@pytest.mark.parametrize("case", FROZEN["cases"], ids=lambda case: f"{case['recipe'][0]['operator']}-{case['sheet']}")
def test_evidence_and_pixels_are_what_they_were(case):
    found = measured(case["sheet"], Recipe.from_json(case["recipe"]))
    assert found["evidence"] == pytest.approx(case["evidence"], abs=0.01), REMEDY
    assert found["structure"] == pytest.approx(case["structure"], abs=0.01), REMEDY
    assert found["pixels"] == pytest.approx(case["pixels"], abs=0.05, rel=0.002), REMEDY


def test_what_is_drawn_is_what_was_drawn():
    for case, (at, recipe) in zip(FROZEN["cases"], cases(), strict=True):
        assert at == case["sheet"] and recipe.to_json() == case["recipe"], f"{recipe.names}: {REMEDY}"


def test_the_observer_still_tells_what_a_recogniser_read():
    """RapidOCR's readings are stored; only the evidence is measured again."""
    area, slots, share = score(FROZEN["readings"])
    assert slots > 600 and 0.1 < share < 0.9
    assert area is not None and area == pytest.approx(FROZEN["auroc"], abs=0.01), REMEDY


def test_a_ladder_jitters_by_a_few_percent():
    values = [OPERATORS["gaussian_blur"].ladder(4, 1.0, 3.0, generator(i, "jitter")) for i in range(200)]
    assert 0.02 < np.std(values) / np.mean(values) < 0.05


def test_portraits_have_light_and_shade():
    for seed in range(4):
        picture = portrait(120, 150, Sitter("F", 30, "brown", "blue", seed)).astype(float)
        assert 60 < picture.mean() < 220 and picture.std() > 20


def test_print_keeps_its_quarter_pixels():
    style = sheets()[0].how.style
    here, there = (typeset("HHH", style.at(40.0 + shift, 60.0)) for shift in (0.0, 0.25))
    assert not np.array_equal(here.coverage, there.coverage)
    assert there.boxes[0][0] - here.boxes[0][0] == pytest.approx(0.25)
