"""Typesetting and ink: boxes follow advances, neighbours never move, and printing is exact and repeatable."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from degradations.documents import TextStyle, fonts, typeset
from degradations.documents.page import Page
from degradations.legibility.rivals import Print, Setting
from kie_hvqa.errors import InputError

STYLE = TextStyle("Roboto", 500, 12.5, (20, 20, 24), x=7.0, baseline=30.0)
TEXTS = st.text("ABCXYZW 0123489-./,", min_size=1, max_size=14)


@given(TEXTS, st.floats(3, 40), st.floats(0, 2))
@settings(max_examples=60, deadline=None)
def test_boxes_join_and_add_up_to_the_measured_width(text: str, x: float, tracking: float) -> None:
    style = replace(STYLE, x=x, tracking=tracking)
    boxes = typeset.typeset(text, style).boxes
    assert len(boxes) == len(text)
    assert boxes[0][0] == x
    assert all(left[2] == right[0] for left, right in pairwise(boxes))
    assert boxes[-1][2] - x == pytest.approx(typeset.measure(text, style))


@given(TEXTS, st.integers(0, 13), st.sampled_from("AW1.I"))
@settings(max_examples=60, deadline=None)
def test_another_character_leaves_everything_before_it_alone(text: str, place: int, other: str) -> None:
    place = min(place, len(text) - 1)
    changed = text[:place] + other + text[place + 1 :]
    pages = []
    for content in (text, changed):
        page = np.full((48, 240, 3), 240, np.uint8)
        line = typeset.typeset(content, STYLE)
        typeset.ink(page, line, STYLE.colour)
        pages.append(page)
        assert typeset.pens(content, STYLE)[:place] == typeset.pens(text, STYLE)[:place]
    edge = int(typeset.typeset(text, STYLE).boxes[place][0]) - 2  # a glyph may lean out of its box by a pixel
    assert np.array_equal(pages[0][:, : max(edge, 0)], pages[1][:, : max(edge, 0)])


@pytest.mark.parametrize(
    ("family", "ratio"), [("Arimo", 1.079), ("Roboto", 1.050), ("Lato", 1.068), ("Roboto Mono", 1.0), ("OCR-B", 1.0)]
)
def test_pairs_are_kerned_as_the_face_says(family: str, ratio: float) -> None:
    style = replace(STYLE, family=family, size=100.0)
    loose = sum(fonts.advance(family, 500, 100.0, char) for char in "AVATAR")
    assert loose / typeset.measure("AVATAR", style) == pytest.approx(ratio, abs=0.002)
    assert typeset.measure("AV", style) == pytest.approx(2 * typeset.measure("AV", replace(style, size=50.0)))


def test_a_line_set_again_by_the_observer_is_the_page_bit_for_bit() -> None:
    style = replace(STYLE, family="Arimo", size=31.3, softness=0.6)
    ground = np.full((60, 300, 3), 222, np.uint8)
    page = ground.copy()
    typeset.ink(page, typeset.typeset("AVATAR To.", style), style.colour)
    setting = Setting("AVATAR To.", page[5:], (0, 5), Print(ground, style))
    assert np.array_equal(setting.printed({}), page[5:])
    assert np.array_equal(setting.printed({2: "A"}), page[5:])


@given(TEXTS, st.integers(1, 30), st.integers(-5, 20))
@settings(max_examples=40, deadline=None)
def test_whole_pixel_shifts_move_the_same_coverage(text: str, dx: int, dy: int) -> None:
    here = typeset.typeset(text, STYLE)
    there = typeset.typeset(text, STYLE.at(STYLE.x + dx, STYLE.baseline + dy))
    assert np.array_equal(here.coverage, there.coverage)
    if text.strip():
        assert (there.left - here.left, there.top - here.top) == (dx, dy)


def test_quarter_pixels_move_the_centre_of_the_ink() -> None:
    def centre(x: float) -> float:
        line = typeset.typeset("H", STYLE.at(x, 30))
        weight = line.coverage.sum(axis=0, dtype=float)
        return line.left + float((weight * np.arange(len(weight))).sum() / weight.sum())

    steps = [centre(10 + k / 4) - centre(10) for k in range(5)]
    assert steps == pytest.approx([0, 0.25, 0.5, 0.75, 1.0], abs=0.03)


def test_the_ink_of_a_capital_lies_in_its_box() -> None:
    for family, weight in (("Roboto", 500), ("PT Sans", 400), ("Source Sans 3", 600), ("Roboto Mono", 500)):
        style = replace(STYLE, family=family, weight=weight)
        line = typeset.typeset("H", style)
        x0, y0, x1, y1 = line.boxes[0]
        assert x0 - 1 <= line.left and line.left + line.coverage.shape[1] <= x1 + 1
        assert y0 - 1 <= line.top and line.top + line.coverage.shape[0] <= y1 + 1
        assert 8 <= line.coverage.shape[0] <= 11  # cap height of the tiny scale


def test_ink_filters_what_lies_below_and_paint_covers_it() -> None:
    line = typeset.typeset("HHH", STYLE)
    dark, light = np.full((48, 80, 3), 100, np.uint8), np.full((48, 80, 3), 200, np.uint8)
    for page in (dark, light):
        typeset.ink(page, line, (0, 128, 255))
    solid = line.coverage == 255
    y, x = np.argwhere(solid)[0] + (line.top, line.left)
    assert dark[y, x].tolist() == [0, 50, 100] and light[y, x].tolist() == [0, 100, 200]
    typeset.ink(dark, line, (250, 250, 250), opaque=True)
    assert dark[y, x].tolist() == [250, 250, 250]


def test_text_outside_the_image_is_cut_off_without_error() -> None:
    page = np.full((20, 20, 3), 255, np.uint8)
    typeset.ink(page, typeset.typeset("WWW", STYLE.at(-8, 12)), STYLE.colour)
    typeset.ink(page, typeset.typeset("WWW", STYLE.at(100, 100)), STYLE.colour)
    assert page.min() < 128


def test_softness_spreads_ink_and_keeps_its_amount() -> None:
    sharp, soft = typeset.typeset("E", STYLE), typeset.typeset("E", replace(STYLE, softness=1.0))
    assert soft.coverage.max() < sharp.coverage.max()
    assert int(soft.coverage.sum()) == pytest.approx(int(sharp.coverage.sum()), rel=0.02)


def test_a_missing_glyph_is_named() -> None:
    with pytest.raises(InputError, match=r"'Roboto' has no glyph for '漢' \(U\+6F22\)"):
        typeset.typeset("A漢", STYLE)


def test_a_missing_family_says_which_package_to_install() -> None:
    with pytest.raises(InputError, match="pip install fontpkg-no-such-face"):
        fonts.face("No Such Face", 400, 12.0)


def test_a_text_that_does_not_fit_is_named() -> None:
    page = Page(np.full((40, 100, 3), 255, np.uint8))
    with pytest.raises(InputError, match=r"text 'WWWWWW' is .* pixels wide and its box 30\.0"):
        page.write("WWWWWW", STYLE.at(2, 20), max_width=30)
    with pytest.raises(InputError, match="surname: text 'WWWWWWWWWW' leaves the page"):
        page.field("surname", "surname", "WWWWWWWWWW", "Surname", STYLE.at(20, 20))
    with pytest.raises(InputError, match="leaves the page"):
        page.write("A", STYLE.at(2, 39))
    assert page.image.min() == 255 and not page.bottom
