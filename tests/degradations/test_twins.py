"""Twins: one printed value differs, nothing else does."""

from __future__ import annotations

import json

import numpy as np
import pytest

from degradations.chance import generator
from degradations.config import SimulateConfig
from degradations.documents import render, templates
from degradations.documents.reprint import reprinted
from degradations.documents.subjects import mrz
from degradations.pages import PageKey
from degradations.replay import replay
from degradations.simulate import document_samples, sample
from degradations.twins import changes, likelihood, mismatch, report
from kie_hvqa.config import validate
from kie_hvqa.data.dataset import parse_row
from kie_hvqa.data.ledger import value_of
from kie_hvqa.errors import InputError

BASE = {"seed": 5, "count": 6, "questions_per_document": 4, "severities": {0: 1, 4: 2}, "splits": {"test": 1.0}}
# A passport's zone says names and dates again: it bears neither change.
PAGES = dict.fromkeys(("us_licence", "eu_card", "invoice_classic", "invoice_modern"), 1)
CONFIG = SimulateConfig.model_validate(
    {**BASE, "scale": "tiny", "templates": PAGES, "twins": {"name": 1, "date": 1, "total": 1}}
)


def pairs():
    for index in range(CONFIG.count):
        made = [(sample.row, sample.image) for sample in document_samples(CONFIG, index)]
        yield from zip(made[::2], made[1::2], strict=True)


def test_twins_share_everything_but_one_value():
    for (one, first), (two, second) in pairs():
        assert (one.twin["kind"], two.twin["kind"]) == ("plausible", "implausible")
        assert one.twin["pair"] == two.twin["pair"] and one.document_id == two.document_id
        assert one.field == two.field and one.problem == two.problem
        assert one.recipe == two.recipe and one.severity == two.severity and one.template == two.template
        a, b = value_of(one.slots), value_of(two.slots)
        assert a != b and len(a) == len(b)
        assert [s.scored for s in one.slots] == [s.scored for s in two.slots]
        assert abs(one.slots[-1].box[2] - two.slots[-1].box[2]) < 0.51
        assert one.slots[0].box[:2] == pytest.approx(two.slots[0].box[:2], abs=0.02)
        assert mismatch(one.slots, two.slots) < 0.25
        height, width = first.shape[:2]
        x0, y0 = max(0, int(one.slots[0].box[0]) - 30), max(0, int(one.slots[0].box[1]) - 30)
        x1, y1 = int(one.slots[-1].box[2]) + 30, int(one.slots[-1].box[3]) + 30
        same = np.ones((height, width), bool)
        same[y0:y1, x0:x1] = False
        off = np.abs(first.astype(int) - second).max(2)[same]
        assert (off > 60).mean() < 0.02, "the damage elsewhere is the same"


def test_a_twin_is_replayed_from_its_row_alone():
    for (one, first), (two, second) in list(pairs())[:4]:
        for row, image in ((one, first), (two, second)):
            again = parse_row(json.loads(json.dumps(row.to_json())))
            assert again == row and np.array_equal(replay(again), image)


def test_one_row_is_made_alone():
    rows = document_samples(CONFIG, 2)
    for offset in range(4):
        row, image = sample(CONFIG, 2 * 4 + offset)
        assert row == rows[offset][0] and np.array_equal(image, rows[offset][1])


def test_a_check_digit_has_a_twin_whatever_it_is():
    """In some faces every other digit is wider than a 1, and an X is wider than all."""
    ends = set()
    for seed in (0, 4, 22):  # 1, X, 1
        page = render("chinese_id", np.random.default_rng(seed), split="test", scale="full")
        ends.add(page.fields["identity_number"].value[-1])
        (change,) = changes(page, "check_digit", "test", generator(seed))
        assert change.implausible and all(text[:-1] == change.plausible[:-1] for text in change.implausible)
        other = reprinted(page, {change.field: change.implausible[0]})
        assert other.fields[change.field].boxes[:-1] == page.fields[change.field].boxes[:-1]
    assert ends == {"1", "X"}


def test_an_implausible_date_is_in_no_calendar():
    for seed in range(6):
        page = render("us_licence", np.random.default_rng(seed), split="test", scale="tiny")
        for change in changes(page, "date", "test", generator(seed)):
            for text in change.implausible:
                month, day, year = text.split("/")
                assert int(month) > 12 or int(day) > 31
                assert len(year) == 4 and sum(a != b for a, b in zip(text, change.plausible, strict=True)) == 1


def test_an_implausible_name_is_an_anagram_that_looks_like_no_name():
    found = 0
    for seed in range(10):
        page = render("eu_card", np.random.default_rng(seed), split="test", scale="tiny")
        for change in changes(page, "name", "test", generator(seed)):
            for text in change.implausible:
                assert sorted(text) == sorted(change.plausible) and text != change.plausible
                assert likelihood(text) < likelihood(change.plausible)
                found += 1
    assert found > 3


def test_a_wrong_check_digit_and_a_wrong_total():
    page = render("passport", np.random.default_rng(0), split="test", scale="full")
    (change,) = (c for c in changes(page, "check_digit", "test", generator(0)) if c.field == "mrz_line_2")
    line = change.plausible
    assert mrz.check_digit(line[0:10] + line[13:20] + line[21:43]) == line[43]
    assert all(text[:43] == line[:43] and text[43] != line[43] for text in change.implausible)
    assert changes(page, "date", "test", generator(0)) == [], "the zone would give the date away"
    bill = render("invoice_modern", np.random.default_rng(0), split="test", scale="tiny")
    (total,) = changes(bill, "total", "test", generator(0))
    assert total.plausible == bill.fields["total"].value
    assert all(t[0] != "0" and len(t) == len(total.plausible) for t in total.implausible)


def test_a_page_reprinted_with_its_own_values_is_the_same_page():
    page = render("eu_card", np.random.default_rng(4), split="train", scale="tiny")
    again = reprinted(page, {name: field.value for name, field in page.fields.items()})
    assert np.array_equal(again.image, page.image) and again.text == page.text and again.fields == page.fields


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"surnam": "X"}, "there is no field 'surnam'"),
        ({"surname": "WWWWWWWWWWWWWWWWWWWW"}, "pixels wider than the box"),
        ({"surname": ""}, "is empty"),
        ({"surname": "\u4e91"}, "has no glyph for"),
    ],
)
def test_what_cannot_be_reprinted_is_said(values, says):
    page = render("eu_card", np.random.default_rng(4), split="train", scale="tiny")
    with pytest.raises(InputError, match=says):
        reprinted(page, values)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"questions_per_document": 3}, "even questions_per_document"),
        ({"twins": {"nmae": 1}}, "name"),
        ({"twins": {"name": 0}}, "above 0"),
        ({"templates": {"fapiao": 1}}, "not drawn at scale 'tiny'"),
    ],
)
def test_a_recipe_of_twins_that_cannot_be_is_refused(change, says):
    with pytest.raises(InputError, match=says):
        validate({**BASE, "scale": "tiny", "twins": {"name": 1}, **change}, SimulateConfig)


def test_a_template_that_bears_no_change_is_named():
    config = SimulateConfig.model_validate({**BASE, "twins": {"check_digit": 1}, "templates": {"us_licence": 1.0}})
    with pytest.raises(InputError, match=r"us_licence.*check_digit"):
        document_samples(config, 0)


def test_the_report_counts_what_is_left_of_the_difference():
    rows = [row for both in list(pairs())[:4] for row, _ in both]
    text = report(rows)
    assert "|Δ evidence|" in text and "pairs further apart" in text


def test_a_page_key_keeps_what_a_twin_prints():
    (_, _), (two, _) = next(pairs())
    key = PageKey.of(two)
    assert dict(key.printed) == {two.field: value_of(two.slots)}
    broken = parse_row({**two.to_json(), "page": {**two.page, "printed": ["x"]}})
    with pytest.raises(InputError, match="printed"):
        PageKey.of(broken)


def test_no_twin_is_of_a_value_that_the_page_prints_again():
    """Read off the printed text, not off what the template means: a date that stands twice, a total beside cash and change."""
    dates, totals, offered = 0, 0, 0
    for number, name in enumerate(templates("full")):
        page = render(name, np.random.default_rng([number, 5]), split="test", scale="full")
        found = {
            change.field for kind in ("date", "total") for change in changes(page, kind, "test", generator(number))
        }
        offered += len(found)
        for field in ("date_of_birth", "expiry_date", "invoice_date", "due_date", "date", "total"):
            if field not in page.fields:
                continue
            value = page.fields[field].value
            twice = sum(value in line.text for line in page.lines) > 1
            if field == "total":
                paid = {"paid", "change"} <= set(page.fields)
                totals += paid
                assert not (paid and field in found), (name, value)
            dates += twice and field != "total"
            assert not (twice and field in found), (name, field, value)
    assert dates and totals and offered, "one of the traps was never there"
