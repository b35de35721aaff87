"""Operators that move what is printed: the boxes go where the ink goes, and a window sees what the page sees."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from degradations.operators import OPERATORS, Context, GaussianBlur, OpaqueOccluder, from_json
from degradations.recipe import Recipe, draw_recipe

MOVING = ["rotation", "perspective", "page_curl"]


def spots(height=180, width=320):
    """White pages with one black disc each, and where it is."""
    rng = np.random.default_rng(3)
    for _ in range(6):
        x, y = rng.uniform(30, width - 30), rng.uniform(30, height - 30)
        page = np.full((height, width, 3), 255, np.uint8)
        centre = (round((x - 0.5) * 16), round((y - 0.5) * 16))
        cv2.circle(page, centre, 5 * 16, (0, 0, 0), -1, cv2.LINE_AA, 4)
        yield page, np.array([[x, y]])


def context(height=180, width=320):
    boxes = tuple((140.0 + 9 * i, 80.0, 149.0 + 9 * i, 93.0) for i in range(9))
    return Context((height, width), boxes, 13.0)


@pytest.mark.parametrize("name", MOVING)
@pytest.mark.parametrize("severity", [1, 4])
def test_a_point_goes_where_its_ink_goes(name, severity):
    seen = 0
    for index, (page, point) in enumerate(spots()):
        operator = OPERATORS[name].draw(severity, np.random.default_rng(index), context())
        bare = operator.apply(np.full_like(page, 255)).astype(int)
        fall = np.clip(bare - operator.apply(page).astype(int), 0, None).sum(2)
        (x, y) = operator.map_points(point)[0]
        if not (16 < x < page.shape[1] - 16 and 16 < y < page.shape[0] - 16) or fall.max() < 120:
            continue
        ys, xs = np.nonzero(fall > 0.3 * fall.max())
        assert abs(xs.mean() + 0.5 - x) < 1.6 and abs(ys.mean() + 0.5 - y) < 1.6
        seen += 1
    assert seen >= 1


@pytest.mark.parametrize("name", MOVING)
def test_severity_0_moves_nothing(name):
    operator = OPERATORS[name].draw(0, np.random.default_rng(0), context())
    points = np.random.default_rng(0).uniform(0, 100, (5, 2))
    assert np.array_equal(operator.map_points(points), points)
    assert operator.map_boxes(context().boxes) == context().boxes


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(MOVING), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_a_window_shows_that_part_of_the_damaged_page(name, severity, seed):
    rng = np.random.default_rng(seed)
    page = cv2.GaussianBlur(rng.integers(0, 256, (180, 320, 3)).astype(np.uint8), (0, 0), 3)
    operator = OPERATORS[name].draw(severity, rng, context())
    whole = operator.apply(page)
    x, y, wide, high = 96, 40, 160, 110
    recipe = Recipe((from_json(json.loads(json.dumps(operator.to_json()))),))
    part, origin, known = recipe.apply_window(page[y : y + high, x : x + wide], (x, y))
    assert part.shape[:2] == known.shape
    if not known.any():
        return
    expected = whole[origin[1] : origin[1] + part.shape[0], origin[0] : origin[0] + part.shape[1]]
    assert expected.shape == part.shape
    # Away from the border of what is known: how far a blur reaches is a matter of the pixels beyond it.
    inner = cv2.erode(known.astype(np.uint8), np.ones((49, 49)), borderValue=0) > 0
    assert inner.sum() == 0 or np.abs(expected.astype(int) - part)[inner].max() <= 4


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(MOVING), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_boxes_hold_their_corners_and_text_keeps_its_place_in_the_recipe(name, severity, seed):
    here = context()
    operator = OPERATORS[name].draw(severity, np.random.default_rng(seed), here)
    recipe = Recipe((OpaqueOccluder.covering(np.random.default_rng(0), here), operator, GaussianBlur(1, 0.8)))
    moved = recipe.map_boxes(here.boxes)
    for before, after in zip(here.boxes, moved, strict=True):
        middle = operator.map_points(np.array([[(before[0] + before[2]) / 2, (before[1] + before[3]) / 2]]))[0]
        assert after[0] - 0.05 <= middle[0] <= after[2] + 0.05 and after[1] - 0.05 <= middle[1] <= after[3] + 0.05
    assert recipe.moves and recipe.bends
    assert np.allclose(recipe.map_points(np.array([[5.0, 6.0]])), operator.map_points(np.array([[5.0, 6.0]])))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_recipe_has_one_camera(seed):
    recipe = draw_recipe(4, np.random.default_rng(seed), context(), dict.fromkeys([*MOVING, "jpeg"], 1.0), {4: 1.0})
    assert sum(operator.moves for operator in recipe.operators) == 1
    assert set(recipe.names) - set(MOVING) == {"jpeg"}
    stages = [operator.stage for operator in recipe.operators]
    assert stages == sorted(stages)
