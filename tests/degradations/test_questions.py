from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from degradations.documents import (
    TEMPLATES,
    PrintedChar,
    PrintedField,
    TextStyle,
    question_names,
    render,
    templates,
)
from degradations.questions import NOWHERE, PREMISES, SAME, absent_concepts, find_copies, plan_questions, runs
from degradations.simulate import SimulateConfig, clean_document

STYLE = TextStyle("Arimo", 400, 12.0, (0, 0, 0))
KINDS = {"answerable": 0.7, "unreadable": 0.1, "absent": 0.2}
DOCUMENT = clean_document(SimulateConfig(count=1, templates={"eu_card": 1.0}), 0)


def place(text: str, x: float, y: float, height: float = 12.0) -> list[PrintedChar]:
    width = 0.6 * height
    return [PrintedChar(c, (x + i * width, y, x + (i + 1) * width, y + height)) for i, c in enumerate(text)]


def printed(value: str, at: list[PrintedChar]) -> PrintedField:
    return PrintedField("f", "f", value, tuple(char.box for char in at), "F", STYLE)


def test_a_second_print_is_found_and_a_longer_number_is_not():
    own, twice, longer = place("264.84", 50, 10), place("264.84", 50, 40), place("5264.84", 50, 70)
    found = find_copies([*own, *twice, *longer], printed("264.84", own))
    assert found == (tuple(char.box for char in twice),)


def test_a_machine_readable_zone_repeats_names_with_fillers():
    own, zone = place("DE BOER", 50, 10), place("P<NLDDE<BOER<<JAN<<<<<<", 5, 60)
    found = find_copies([*own, *zone], printed("DE BOER", own))
    assert found == (tuple(char.box for char in zone[5:12]),)


def test_a_print_in_much_smaller_type_does_not_count():
    own, zone = place("BOER", 50, 10), place("P<NLDBOER<<JAN<<<<<<", 5, 60, height=6)
    assert find_copies([*own, *zone], printed("BOER", own)) == ()


def test_the_full_size_passport_repeats_its_surname_in_the_zone():
    passport = render("passport", np.random.default_rng(0), split="train", scale="full")
    copies = find_copies(passport.text, passport.fields["surname"])
    assert len(copies) == 1 and copies[0][0][1] > passport.fields["surname"].boxes[0][3]


def test_runs_break_at_gaps_and_lines():
    text = [*place("AB", 0, 0), *place("CD", 100, 0), *place("EF", 0, 30)]
    assert ["".join(char.char for char in run) for run in runs(text)] == ["AB", "CD", "EF"]


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


@pytest.mark.parametrize("template", TEMPLATES)
def test_an_absent_field_is_nowhere_on_the_page(template):
    page = render(template, np.random.default_rng(2), split="train", scale="full")
    absent = absent_concepts(page)
    own = {*page.fields, *TEMPLATES[template].questions, *TEMPLATES[template].also}
    assert absent and not set(absent) & own
    for group in SAME:
        assert not (group & own and group & set(absent)), "a field that the page answers under another name"
    assert not set(absent.values()) & {field.question_name for field in page.fields.values()}


def test_a_tiny_page_is_asked_for_what_tiny_pages_print():
    known = {*NOWHERE} | {concept for names in question_names("tiny").values() for concept in names}
    for template in templates("tiny"):
        page = render(template, np.random.default_rng(1), split="train", scale="tiny")
        assert set(absent_concepts(page)) <= known


def test_false_premises_come_at_their_share_and_have_no_answer():
    kinds = {"absent": 1.0}
    for template in ("eu_card", "invoice_modern"):
        page = render(template, np.random.default_rng(1), split="train", scale="tiny")
        questions = plan_questions(page, kinds, 400, 1, np.random.default_rng(0), 0.4)
        premises = PREMISES[page.document_type]
        share = sum(question.field in premises for question in questions) / 400
        assert share == pytest.approx(0.4, abs=0.08)
        assert all(question.planned == "absent" and not question.boxes for question in questions)
    assert set(PREMISES) == {template.document_type for template in TEMPLATES.values()}


def test_no_premise_asks_by_a_name_that_a_page_prints():
    names = {name for questions in question_names().values() for name in questions.values()}
    assert not names & {name for premises in PREMISES.values() for name in premises.values()}
