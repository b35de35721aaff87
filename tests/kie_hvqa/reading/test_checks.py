"""What speaks against a value, and what a gap leaves open."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kie_hvqa.reading.checks import complaint

DATES = st.dates(datetime.date(1900, 1, 1), datetime.date(2099, 12, 31))
FORMS = ("%d.%m.%Y", "%m/%d/%Y", "%Y-%m-%d", "%d %b %Y", "%B %d, %Y", "%d.%m.%y", "%Y%m%d", "%y%m%d")


@given(DATES, st.sampled_from(FORMS), st.data())
def test_a_date_in_any_form_passes_whatever_of_it_is_hidden(date, form, data):
    value = date.strftime(form)
    assert complaint("date", value) is None
    hidden = data.draw(st.sets(st.sampled_from([i for i, char in enumerate(value) if char.isdigit()]), max_size=4))
    assert complaint("date", "".join("▯" if i in hidden else char for i, char in enumerate(value))) is None


@pytest.mark.parametrize("value", ["31.02.1990", "45/45/1990", "1990-13-41", "hello", "99 MAR 1990", "9▯.9▯.1990"])
def test_no_date_is_no_date(value):
    assert complaint("date", value) is not None


@pytest.mark.parametrize("value", ["1,234.50", "€ 12", "-3.00", "1.2▯4,50 EUR", "(12.50)", "1'200.00 CHF"])
def test_an_amount_has_digits_and_little_else(value):
    assert complaint("amount", value) is None
    assert complaint("amount", "TWELVE") is not None


def test_an_expression_is_for_the_whole_value_and_is_not_asked_about_a_gap():
    assert complaint(r"[A-Z]{2}\d{3}", "AB123") is None
    assert complaint(r"[A-Z]{2}\d{3}", "AB1234") is not None
    assert complaint(r"[A-Z]{2}\d{3}", "AB▯▯") is None
    assert complaint(None, "anything") is None and complaint("date", "") is None
