from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from degradations.legibility import LegibilityModel
from degradations.operators import OPERATORS, OpaqueOccluder, from_json
from degradations.operators.base import MEAN_EVIDENCE, split_lines
from kie_hvqa.errors import InputError

NAMES = sorted(OPERATORS)


def draw(name, severity, seed, page):
    return OPERATORS[name].draw(severity, np.random.default_rng(seed), page.context)


def test_the_issue_names_ten_effects_and_all_exist():
    assert {
        "gaussian_blur", "defocus_blur", "motion_blur", "opaque_occluder", "translucent_occluder",
        "glare", "low_contrast", "noise", "low_resolution", "jpeg",
    } <= set(NAMES)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(NAMES), st.integers(0, 6), st.integers(0, 2**32 - 1))
def test_replay_from_json_is_bit_exact(page, name, severity, seed):
    operator = draw(name, severity, seed, page)
    again = from_json(json.loads(json.dumps(operator.to_json())))
    assert again == operator
    assert np.array_equal(again.apply(page.image), operator.apply(page.image))


@pytest.mark.parametrize("name", NAMES)
def test_severity_0_is_the_identity_and_6_is_not(page, name):
    before = page.image.copy()
    clean = draw(name, 0, 3, page).apply(page.image)
    assert np.array_equal(clean, page.image) and clean is not page.image
    worst = draw(name, 6, 3, page).apply(page.image)
    assert worst.shape == page.image.shape and worst.dtype == np.uint8
    assert not np.array_equal(worst, page.image)
    assert np.array_equal(page.image, before), "the page itself must not change"


@pytest.mark.parametrize("name", NAMES)
def test_mean_evidence_falls_with_severity(page, name):
    model = LegibilityModel()
    means = []
    for severity in range(7):
        # The same seeds at every severity: what differs is the severity.
        images = [draw(name, severity, seed, page).apply(page.image) for seed in range(24)]
        means.append(float(np.mean([np.nanmean(model.evidence(page.image, image, page.boxes)) for image in images])))
    assert means[0] == 1.0
    assert all(later <= earlier + 0.01 for earlier, later in pairwise(means)), means
    off = [abs(mean - wanted) for mean, wanted in zip(means[1:], MEAN_EVIDENCE, strict=True)]
    assert max(off) < 0.17, means


@pytest.mark.parametrize("name", NAMES)
def test_severity_means_the_same_on_a_page_three_times_as_large(page, make_page, name):
    model = LegibilityModel()
    large = make_page(size=36)
    for severity in (2, 4):
        means = []
        for plain in (page, large):
            scores = [
                np.nanmean(
                    model.evidence(plain.image, draw(name, severity, seed, plain).apply(plain.image), plain.boxes)
                )
                for seed in range(8)
            ]
            means.append(float(np.mean(scores)))
        assert abs(means[0] - means[1]) < 0.22, (severity, means)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "jpeg"])
def test_a_window_of_the_page_meets_the_draws_of_the_page(page, name):
    x, y, margin = 37, 21, 26
    for severity in (2, 5):
        operator = draw(name, severity, 11, page)
        whole = operator.apply(page.image)[y:, x:][margin:-margin, margin:-margin]
        window = operator.apply(page.image[y:, x:], (x, y))[margin:-margin, margin:-margin]
        # Filters may round a level differently when borders differ; draws may not differ.
        assert np.abs(whole.astype(int) - window).max() <= 2


def test_jpeg_windows_start_on_its_block_grid(page):
    operator = OPERATORS["jpeg"](severity=3, pitch=1.0, quality=20)
    whole, window = operator.apply(page.image), operator.apply(page.image[32:, 16:], (16, 32))
    assert OPERATORS["jpeg"].grid == 16
    assert np.abs(whole[48:80, 32:128].astype(int) - window[16:48, 16:112]).max() <= 2


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_an_occluder_covers_every_copy_alike(page, seed):
    copy = tuple((x0, y0 + 36, x1, y1 + 36) for x0, y0, x1, y1 in page.boxes)
    context = type(page.context)(page.context.size, page.boxes, page.context.text_height, (copy,))
    operator = OpaqueOccluder.draw(6, np.random.default_rng(seed), context)
    hits = [
        patch
        for patch in operator.patches
        if any(abs(patch.y - (b[1] + b[3]) / 2) < 12 for b in (page.boxes[0], copy[0]))
    ]
    upper = [(p.x, p.width, p.height, p.colour) for p in hits if p.y < copy[0][1] - 6]
    lower = [(p.x, p.width, p.height, p.colour) for p in hits if p.y >= copy[0][1] - 6]
    assert set(upper[:1]) <= set(lower), "the first print's patch must come again on the second"


def test_lines_break_where_reading_order_turns_back():
    boxes = [(0, 0, 9, 9), (10, 0, 19, 9), (2, 12, 9, 20), (10, 12, 19, 20)]
    assert split_lines(boxes) == [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    ("step", "field", "says"),
    [
        ({"operator": "gausian_blur", "parameters": "{}"}, "operator", "gaussian_blur"),
        ({"operator": "gaussian_blur", "parameters": '{"severity":1,"sigm":2.0}'}, "gaussian_blur.sigm", "sigma"),
        (
            {"operator": "gaussian_blur", "parameters": '{"severity":1,"sigma":-2.0}'},
            "gaussian_blur.sigma",
            "greater than 0",
        ),
        ({"operator": "gaussian_blur", "parameters": '{"severity":1,"sigma":NaN}'}, "gaussian_blur", ""),
        ({"operator": "gaussian_blur", "parameters": '{"severity":7,"sigma":2.0}'}, "gaussian_blur.severity", "6"),
        ({"operator": "gaussian_blur", "parameters": '{"severity":1}'}, "gaussian_blur.sigma", "equired"),
        ({"operator": "jpeg", "parameters": {"severity": 1, "pitch": 1.0, "quality": "9"}}, "jpeg.quality", "integer"),
        ({"operator": "gaussian_blur"}, "recipe", "operator"),
        ({"operator": ["x"], "parameters": "{}"}, "operator", "unknown"),
    ],
)
def test_a_wrong_step_names_what_is_wrong(step, field, says):
    with pytest.raises(InputError) as caught:
        from_json(step)
    assert caught.value.field.startswith(field) and says in str(caught.value)


def test_an_image_of_another_kind_is_refused(page):
    with pytest.raises(ValueError, match="uint8"):
        draw("noise", 2, 0, page).apply(page.image.astype(np.float32))
