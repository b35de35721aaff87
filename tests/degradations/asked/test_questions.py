from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from degradations.asked.plan import NOWHERE, PREMISES, SAME, absent_concepts, find_copies, plan_questions
from degradations.documents import names as template_names
from degradations.documents import question_names, render, template, templates
from degradations.simulate import SimulateConfig, clean_document, document_samples
from degradations.simulate import sample as sample_alone

KINDS = {"answerable": 0.7, "unreadable": 0.1, "absent": 0.2}
DOCUMENT = clean_document(SimulateConfig(count=1, templates={"eu_card": 1.0}), 0)


def test_a_print_in_much_smaller_type_does_not_count():
    passport = render("passport", np.random.default_rng(0), split="train", scale="full")
    surname = passport.fields["surname"]
    assert len(find_copies(surname)) == len(surname.copies) == 1
    large = tuple((x0, y0 - (y1 - y0), x1, y1) for x0, y0, x1, y1 in surname.boxes)
    assert find_copies(replace(surname, boxes=large)) == ()


def test_the_full_size_passport_repeats_its_surname_in_the_zone():
    passport = render("passport", np.random.default_rng(0), split="train", scale="full")
    copies = find_copies(passport.fields["surname"])
    assert len(copies) == 1 and copies[0][0][1] > passport.fields["surname"].boxes[0][3]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(4, 1), (6, 3), (12, 2)]))
def test_a_group_asks_no_field_twice(seed, shape):
    count, group = shape
    questions = plan_questions(DOCUMENT, KINDS, count, group, np.random.default_rng(seed))
    assert len(questions) == count
    for start in range(0, count, group):
        fields = [question.field for question in questions[start : start + group]]
        assert len(set(fields)) == len(fields)
    for question in questions:
        assert bool(question.boxes) == (question.planned != "absent") == (question.field in DOCUMENT.fields)


def test_kinds_come_at_their_weights():
    questions = plan_questions(DOCUMENT, {"answerable": 3.0, "absent": 1.0}, 800, 1, np.random.default_rng(1))
    share = sum(question.planned == "absent" for question in questions) / 800
    assert share == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize("name", template_names())
def test_an_absent_field_is_nowhere_on_the_page(name):
    page = render(name, np.random.default_rng(2), split="train", scale="full")
    absent = absent_concepts(page)
    own = {*page.fields, *template(name).questions, *page.identity}
    assert absent and not set(absent) & own
    for group in SAME:
        assert not (group & own and group & set(absent)), "a field that the page answers under another name"
    assert not set(absent.values()) & {field.question_name for field in page.fields.values()}


def test_a_tiny_page_is_asked_for_what_tiny_pages_print():
    known = {*NOWHERE} | {concept for names in question_names("tiny").values() for concept in names}
    for name in templates("tiny"):
        page = render(name, np.random.default_rng(1), split="train", scale="tiny")
        assert set(absent_concepts(page)) <= known


def test_false_premises_come_at_their_share_and_have_no_answer():
    kinds = {"absent": 1.0}
    for name in ("eu_card", "invoice_modern"):
        page = render(name, np.random.default_rng(1), split="train", scale="tiny")
        questions = plan_questions(page, kinds, 400, 1, np.random.default_rng(0), 0.4)
        premises = PREMISES[page.document_type]
        share = sum(question.field in premises for question in questions) / 400
        assert share == pytest.approx(0.4, abs=0.08)
        assert all(question.planned == "absent" and not question.boxes for question in questions)
    assert set(PREMISES) == {template(name).document_type for name in template_names()}


def test_no_premise_asks_by_a_name_that_a_page_prints():
    names = {name for questions in question_names().values() for name in questions.values()}
    assert not names & {name for premises in PREMISES.values() for name in premises.values()}


def test_absent_fields_asked_besides_change_nothing_else_and_cost_no_image(tmp_path):
    config = SimulateConfig(
        count=6, seed=4, splits={"train": 0.5, "test": 0.5}, templates={"us_licence": 1, "passport": 1}
    )
    asked = config.model_copy(update={"absent_beside": {"train": 2}})
    before = [sample for index in range(6) for sample in document_samples(config, index)]
    after = [sample for index in range(6) for sample in document_samples(asked, index)]
    known = {sample.row.id: sample for sample in before}
    besides = [sample.row for sample in after if sample.row.id not in known]
    assert {sample.row.id for sample in after} >= known.keys()
    for sample in after:
        if sample.row.id in known:
            assert sample.row == known[sample.row.id].row and (sample.image == known[sample.row.id].image).all()
    trained = [sample for sample in before if sample.row.split == "train"]
    assert len(besides) == 2 * len({sample.row.file_name for sample in trained}) > 0
    for row in besides:
        assert (row.split, row.question_kind, row.slots) == ("train", "absent", ())
        assert row.file_name in {sample.row.file_name for sample in trained}
    for index in range(config.rows):  # a question made alone is the question that is written
        assert sample_alone(asked, index)[0] == sample_alone(config, index)[0]
