"""Masks: which of what other people's models write over a hidden character is a mark, and which is printed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kie_hvqa.answers.answer import MARK, Reading, parse
from kie_hvqa.answers.masks import resolve


@pytest.mark.parametrize(
    ("value", "written", "read"),
    [
        ("Smith", "Sm?th", "Sm th"),
        ("Smith", "Sm**h", "Sm  h"),
        ("Smith", "S___h", "S   h"),
        ("Smith", "SmXXh", "Sm  h"),
        ("4000 1234", "xxxx 1234", "     1234"),
        ("Smith", "?????", "     "),
        ("", "XXX", "   "),
        # printed, so it is what it is
        ("Why?", "Wh??", "Wh??"),
        ("A_B", "A__", "A__"),
        ("5*4", "5*?", "5* "),
        ("Max", "MaXX", "MaXX"),
        ("XII", "XXI", "XXI"),
        # a single X is no run, and two letters are none
        ("Smith", "SmXth", "SmXth"),
        ("Smith", "SmXxh", "SmXxh"),
        # nothing that the list does not have
        ("Smith", "Sm#.-~h", "Sm#.-~h"),
        # full-width values
        ("（集团）１２", "(集团)12", "（集团）１２"),
        ("(集团)１", "(集团)1", "(集团)１"),
        ("１1", "1?", "1 "),
    ],
)
def test_a_mask_is_a_mark_unless_the_value_has_it(value: str, written: str, read: str) -> None:
    assert resolve(Reading(written), value).final == read


def test_a_mask_in_a_list_asserts_nothing() -> None:
    reading = parse(
        '<answer>{"clear Char-level OCR": "S m X X h", "not clear enough Char-level OCR": "?", "clear number": 5, '
        '"not clear enough number": 1, "Final OCR": "SmXXh"}</answer>'
    ).reading
    assert reading is not None
    assert resolve(reading, "Smith") == Reading("Sm  h", "", "Smh", 5, 1)
    assert resolve(Reading("????", "", "????"), "Bern").refused


@settings(deadline=None)
@given(st.text("Sm?*_Xx１1 ", max_size=10), st.text("Sm?*_Xx１1 ", max_size=10), st.text("SmX1?", max_size=6))
def test_nothing_but_masks_changes_and_only_once(value: str, final: str, listed: str) -> None:
    reading = Reading(final, listed, listed)
    found = resolve(reading, value)
    assert len(found.final) == len(final)
    assert all(new in (old, MARK) or old in "1" for old, new in zip(final, found.final, strict=True))
    assert resolve(found, value) is found, "the same object says that there was nothing to do"
    assert resolve(Reading(value), value).final == value, "what is printed is never a mask"
    assert (found is reading) == (found == reading)
