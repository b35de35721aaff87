from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from degradations.operators import OPERATORS
from degradations.recipe import Recipe, draw_recipe, in_order, pick
from kie_hvqa.errors import InputError

ALL = dict.fromkeys(OPERATORS, 1.0)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 6), st.integers(0, 2**32 - 1))
def test_a_recipe_replays_bit_exactly_from_its_row(page, severity, seed):
    recipe = draw_recipe(severity, np.random.default_rng(seed), page.context, ALL, {1: 1, 2: 1, 3: 1})
    again = Recipe.from_json(json.loads(json.dumps(recipe.to_json())))
    assert again == recipe
    assert np.array_equal(again.apply(page.image), recipe.apply(page.image))


def test_severity_0_leaves_the_page_alone(page):
    assert draw_recipe(0, np.random.default_rng(0), page.context, ALL).operators == ()
    assert np.array_equal(Recipe().apply(page.image), page.image)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_one_operator_has_the_severity_and_the_others_at_most_half(page, severity, seed):
    recipe = draw_recipe(severity, np.random.default_rng(seed), page.context, ALL, {3: 1.0})
    levels = sorted((operator.severity for operator in recipe.operators), reverse=True)
    assert len(set(recipe.names)) == 3
    assert levels[0] == severity and all(1 <= level <= max(1, severity // 2) for level in levels[1:])
    stages = [operator.stage for operator in recipe.operators]
    assert stages == sorted(stages)


def test_weights_are_shares(page):
    rng = np.random.default_rng(5)
    weights = {"jpeg": 3.0, "noise": 1.0, "glare": 0.0}
    names = [draw_recipe(2, rng, page.context, weights).names[0] for _ in range(400)]
    assert "glare" not in names and 0.68 < names.count("jpeg") / 400 < 0.82


def test_no_weight_is_an_error(page):
    with pytest.raises(ValueError, match="weight"):
        draw_recipe(2, np.random.default_rng(0), page.context, {"jpeg": 0.0})
    with pytest.raises(ValueError, match="weights"):
        pick(np.random.default_rng(0), ["a"], [0.0])


def test_order_follows_the_photograph(page):
    drawn = [
        OPERATORS[n].draw(2, np.random.default_rng(0), page.context)
        for n in ("jpeg", "opaque_occluder", "noise", "glare")
    ]
    assert in_order(drawn).names == ("opaque_occluder", "glare", "noise", "jpeg")


def test_a_wrong_recipe_names_its_step():
    steps = [OPERATORS["jpeg"](1, 1.0, 50).to_json(), {"operator": "jpg", "parameters": "{}"}]
    with pytest.raises(InputError, match=r"recipe\[1\].*Did you mean `jpeg`"):
        Recipe.from_json(steps)
