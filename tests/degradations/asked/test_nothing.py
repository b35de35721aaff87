"""Pages with nothing on them: what was asked for is not there, whatever kind they are, and a row draws them again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from degradations.asked.nothing import NOTHINGS, nothing_questions
from degradations.config import SimulateConfig
from degradations.pages import PageKey, planned
from degradations.replay import replay
from degradations.simulate import document_samples
from kie_hvqa.errors import InputError
from kie_hvqa.suites.nothing import KINDS, measure, nothing_of
from tests.kie_hvqa.reading.pieces import said


def config(kind: str, **more) -> SimulateConfig:
    usual = {"seed": 4, "count": 12, "nothing": {kind: 1.0}, "severities": {0: 1.0}, "operators": {"noise": 1.0}}
    usual |= {"operators_per_image": {1: 1.0}, "question_kinds": {"absent": 1.0}}
    return SimulateConfig(**usual | {"questions_per_document": 2, "questions_per_image": 2} | more)


def test_the_suite_and_the_simulator_know_the_same_kinds():
    assert KINDS == NOTHINGS


@pytest.mark.parametrize("kind", NOTHINGS)
def test_every_question_is_to_be_refused_and_the_row_draws_its_image_again(kind):
    recipe = config(kind)
    samples = document_samples(recipe, 1)
    rows = [sample.row for sample in samples]
    assert [row.question_kind for row in rows] == ["absent"] * 2 and all(row.slots == () for row in rows)
    assert {nothing_of(row) for row in rows} == {kind}
    assert rows[0].field != rows[1].field
    assert np.array_equal(replay(rows[0]), samples[0].image)


def test_what_a_page_shows_is_what_its_kind_says():
    plain = PageKey("a", "test", "us_licence", 4, "tiny", "natural").render()
    shown = {kind: PageKey("a", "test", "us_licence", 4, "tiny", "natural", nothing=kind).render() for kind in NOTHINGS}
    assert np.ptp(shown["blank"].image.reshape(-1, 3), axis=0).max() == 0
    assert shown["black"].image.max() < 8
    assert np.array_equal(shown["other"].image, plain.image)
    changed = (shown["instruction"].image != plain.image).any(axis=2)
    assert 0.005 < changed.mean() < 0.2
    torn = (shown["torn"].image != plain.image).any(axis=2)
    assert 0.4 < torn.mean() < 0.8


def test_what_is_asked_of_a_torn_page_stood_on_the_part_that_is_gone():
    asked = 0
    for index in range(12):
        key = planned(config("torn"), index)
        page, plain = key.render(), replace(key, nothing="").render()
        for question in nothing_questions(page, "torn", 2, 2, np.random.default_rng(index)):
            if question.field not in plain.fields:
                continue
            asked += 1
            for x0, y0, x1, y1 in plain.fields[question.field].boxes:
                part = page.image[max(0, int(y0)) : int(y1) + 1, max(0, int(x0)) : int(x1) + 1]
                assert (part == part[:1, :1]).all()
    assert asked > 10


def test_the_suite_counts_whatever_is_asserted():
    rows = [sample.row for kind in ("blank", "other") for sample in document_samples(config(kind), 2)]
    rows = [replace(row, id=f"{nothing_of(row)}-{row.id}") for row in rows]
    silent = {row.id: said(None) for row in rows}
    found = measure(rows, silent)
    assert found["passed"] and found["overall"]["invented"]["value"] == 0
    loud = measure(rows, silent | {rows[0].id: said("1990"), rows[1].id: "no answer at all"})
    assert not loud["passed"] and loud["answered"] == [rows[0].id]
    blank = loud["by"]["nothing"]["blank"]
    assert (blank["invented"]["value"], blank["characters"]["value"], blank["unparsable"]["value"]) == (0.5, 2.0, 0.5)
    assert loud["by"]["nothing"]["other"]["invented"]["value"] == 0


def test_a_kind_that_there_is_not_is_refused():
    row = document_samples(config("blank"), 0)[0].row
    page = {**row.page, "nothing": "burnt"}
    with pytest.raises(InputError, match="no kind of page"):
        PageKey.of(replace(row, page=page))
    with pytest.raises(ValueError, match="not both"):
        config("blank", twins={"name": 1.0}, questions_per_image=1)
