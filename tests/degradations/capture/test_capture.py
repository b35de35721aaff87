"""Laws of the capture: benign for every draw, the same from JSON, a window meets the picture, orthogonal to severity."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pictures

from degradations.capture import KINDS, from_json
from degradations.capture.draw import draw_capture
from degradations.capture.textures import TEXTURES, tile
from degradations.config import SimulateConfig
from degradations.documents import names, render, template, templates
from degradations.legibility import LegibilityModel, Print, ledger
from degradations.legibility.observer import trace
from degradations.operators import OPERATORS, Context, OpaqueOccluder, TranslucentOccluder
from degradations.recipe import Recipe, draw_recipe
from degradations.simulate import document_samples, sample
from kie_hvqa.errors import InputError

MODEL = LegibilityModel()


@pytest.fixture(scope="module")
def card():
    return render("us_licence", np.random.default_rng(4), scale="full")


@pytest.fixture(scope="module")
def strip():
    return render("till_receipt", np.random.default_rng(4), scale="full")


def lowest(document, capture, seed) -> float:
    """The least evidence that the capture alone leaves of one field of ``document``."""
    recipe = Recipe((), capture)
    picture = recipe.apply(document.image)
    field = list(document.fields.values())[seed % len(document.fields)]
    how = Print(document.ground, field.style)
    found = trace(MODEL, field.value, field.boxes, how, document.image, picture, recipe, every=True)
    judged = [each.judge(MODEL).evidence for each in found if each is not None]
    assert len(judged) == sum(not char.isspace() for char in field.value)
    return min(judged)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=6, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_capture_is_benign_every_slot_stays_clear(kind, data):
    able = [name for name in names() if kind not in ("fax", "feeder") or template(name).material == "paper"]
    name, seed = data.draw(st.sampled_from(able)), data.draw(st.integers(0, 2**16))
    scale = data.draw(st.sampled_from(sorted(template(name).layouts)))
    document = render(name, np.random.default_rng(seed), scale=scale, split="test" if seed % 3 else "train")
    capture = draw_capture(document, np.random.default_rng(seed + 1), {kind: 1.0})
    assert capture.kind == kind and lowest(document, capture, seed) >= MODEL.clear


def test_the_law_can_fail_a_lens_out_of_focus_is_not_benign(card):
    capture = draw_capture(card, np.random.default_rng(0))
    soft = replace(capture, sensor=replace(capture.sensor, soft=9.0, sharpen=0.0))
    assert lowest(card, soft, 0) < MODEL.clear


@settings(max_examples=8, deadline=None)
@given(st.sampled_from(KINDS), st.integers(0, 2**32 - 1))
def test_from_json_is_bit_exact(card, kind, seed):
    capture = draw_capture(card, np.random.default_rng(seed), {kind: 1.0})
    again = from_json(json.loads(json.dumps(capture.to_json())))
    assert again == capture
    assert np.array_equal(Recipe((), again).apply(card.image), Recipe((), capture).apply(card.image))


def test_who_holds_a_document_covers_none_of_its_print(card, strip):
    found = 0
    for seed in range(24):
        for document in (card, strip):
            capture = draw_capture(document, np.random.default_rng(seed), {"photo": 1.0})
            if not capture.scene.hands:
                continue
            found += 1
            page = document.image.shape[1::-1]
            bare = replace(capture.scene, hands=())
            held, free = (
                scene.laid(document.image, None, (0, 0), page, (0, 0, 0, 0))[0] for scene in (capture.scene, bare)
            )
            covered = (np.abs(held.astype(int) - free) > 0.12 * free + 2).any(axis=2)  # and not in its shadow alone
            assert covered.any()
            for line in document.lines:
                for x0, y0, x1, y1 in line.boxes:
                    assert not covered[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1].any(), line.text
    assert found > 5


@settings(max_examples=8, deadline=None)
@given(st.sampled_from(["photo", "flatbed"]), st.integers(0, 2**32 - 1), st.booleans())
def test_a_window_meets_the_picture(strip, card, kind, seed, roll):
    document = strip if roll else card
    capture = draw_capture(document, np.random.default_rng(seed), {kind: 1.0})
    recipe = Recipe((), capture)
    whole, _, everything = recipe.apply_window(document.image, (0, 0))
    assert whole.shape[1::-1] == capture.size and everything.mean() > 0.97  # far corners may lie beyond the scene
    height, width = document.image.shape[:2]
    rng = np.random.default_rng(seed)
    x0, y0 = int(rng.integers(0, width - 200)), int(rng.integers(0, height - 120))
    part, (x, y), known = recipe.apply_window(document.image[y0 : y0 + 120, x0 : x0 + 200], (x0, y0))
    inner = cv2.erode(known.astype(np.uint8), np.ones((13, 13)), borderValue=0) > 0
    assert inner.any()
    off = np.abs(whole[y : y + part.shape[0], x : x + part.shape[1]].astype(int) - part).max(2)
    assert off[inner].max() <= 6 and (off[inner] > 2).mean() < 0.02


@settings(max_examples=8, deadline=None)
@given(st.sampled_from(["photo", "flatbed", "screenshot"]), st.integers(0, 2**32 - 1))
def test_what_is_printed_lies_where_the_boxes_say(card, kind, seed):
    recipe = Recipe((), draw_capture(card, np.random.default_rng(seed), {kind: 1.0}))
    page = np.full_like(card.image, 230)
    x, y = (int(v) for v in np.random.default_rng(seed).integers(60, 500, 2))
    page[y : y + 20, x : x + 20] = 0
    seen = recipe.apply_window(page, (0, 0))[0].astype(float)
    blank = recipe.apply_window(np.full_like(page, 230), (0, 0))[0].astype(float)
    away = np.abs(seen - blank).max(2)
    rows, columns = np.nonzero(away > 0.4 * away.max())
    (x0, y0, x1, y1) = recipe.map_boxes([(x, y, x + 20, y + 20)])[0]
    assert abs(columns.mean() + 0.5 - (x0 + x1) / 2) < 0.6 and abs(rows.mean() + 0.5 - (y0 + y1) / 2) < 0.6


def test_the_desk_shows_around_a_card_and_at_its_round_corners(card):
    capture = draw_capture(card, np.random.default_rng(7), {"photo": 1.0})
    white, black = (Recipe((), capture).apply_window(np.full_like(card.image, v), (0, 0))[0] for v in (255, 0))
    same = np.abs(white.astype(int) - black).max(2) <= 1
    corners = capture.camera.map_points(np.array([[2.0, 2.0], [1010.0, 2.0], [1010.0, 635.0], [2.0, 635.0]]))
    assert all(same[int(y), int(x)] for x, y in corners)
    middle = capture.camera.map_points(np.array([[506.0, 319.0], [506.0, 4.0], [4.0, 319.0]]))
    assert not any(same[int(y), int(x)] for x, y in middle)


CONFIG = SimulateConfig(seed=5, count=6, questions_per_document=2, severities={0: 1}, question_kinds={"answerable": 1})


def test_severity_0_has_a_capture_and_no_severity_changes_it():
    worse = CONFIG.model_copy(update={"severities": {5: 1.0}})
    for index in range(3):
        calm, hurt = (document_samples(config, index) for config in (CONFIG, worse))
        assert [each.row.capture for each in calm] == [each.row.capture for each in hurt]
        for row, image, file in calm:
            page = render_of(row)
            assert row.recipe == [] and row.capture["kind"] in KINDS
            assert (
                image.shape != page.shape
                or np.abs(image.astype(int) - page).mean() > 0.5
                or row.capture["kind"] == "screenshot"
            )
            assert all(slot.legibility == "clear" for slot in row.slots)
            if file is not None:
                assert row.file_name.endswith(".jpg")
                assert np.array_equal(np.asarray(Pictures.open(io.BytesIO(file)).convert("RGB")), image)


def render_of(row):
    from degradations.pages import PageKey

    return PageKey.of(row).render().image


def test_captures_can_be_chosen():
    config = CONFIG.model_copy(update={"captures": {"flatbed": 1.0}})
    assert {sample(config, index)[0].capture["kind"] for index in range(6)} == {"flatbed"}
    with pytest.raises(ValueError, match="at least one weight"):
        SimulateConfig(count=1, captures={"fax": 0})


def test_a_tiny_page_keeps_its_size_and_loses_little_of_its_scale():
    for seed in range(12):
        for name in templates("tiny"):
            document = render(name, np.random.default_rng(seed), scale="tiny")
            capture = draw_capture(document, np.random.default_rng(seed))
            assert capture.size == document.image.shape[1::-1] and capture.scale > 0.86
            corners = [box for field in document.fields.values() for box in capture_boxes(capture, field.boxes)]
            array = np.array(corners)
            assert array[:, :2].min() > -1 and (array[:, 2:].max(0) < np.array(capture.size) + 1).all()


def capture_boxes(capture, boxes):
    return Recipe((), capture).map_boxes(boxes)


@pytest.mark.parametrize("name", ["finger", "perspective", "page_curl", "gaussian_blur", "folded_edge", "jpeg"])
def test_damage_happens_within_the_capture(card, name):
    """What the damage does to a captured page, it does in the picture: boxes and pixels agree, and all of it replays."""
    field = card.fields["surname"]
    capture = draw_capture(card, np.random.default_rng(3), {"photo": 1.0})
    context = Context.of(card.image, field.boxes, (), card.density, capture.scene.desk)
    recipe = draw_recipe(5, np.random.default_rng(1), context, {name: 1.0}, None, capture)
    picture, file = recipe.shot(card.image)
    assert picture.shape[1::-1] == capture.size and (file is None) == (name == "jpeg")
    again = Recipe.from_json(recipe.to_json(), capture.to_json())
    assert again == recipe and np.array_equal(again.apply(card.image), picture)
    assert OPERATORS[name].moves == recipe.bends


@pytest.mark.parametrize("texture", TEXTURES)
def test_a_desk_repeats_without_a_seam(texture):
    pattern = tile(texture, 11.8, False).astype(float)
    seam = np.abs(pattern[:, 0] - pattern[:, -1]).mean() + np.abs(pattern[0] - pattern[-1]).mean()
    inside = np.abs(np.diff(pattern, axis=1)).mean() + np.abs(np.diff(pattern, axis=0)).mean()
    assert seam < 1.6 * inside + 0.5


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kind": "photograph"}, "capture.kind"),
        ({"parameters": "{"}, "capture"),
        ({"parameters": json.dumps({"quality": 80})}, "capture.page"),
        ({"more": 1}, "capture"),
    ],
)
def test_a_wrong_capture_names_what_is_wrong(card, change, field):
    data = draw_capture(card, np.random.default_rng(0)).to_json()
    with pytest.raises(InputError) as caught:
        from_json({**data, **change})
    assert caught.value.field.startswith(field)


def test_noise_and_jpeg_of_a_capture_hide_faint_print_and_no_other(card):
    field = card.fields["surname"]
    capture = draw_capture(card, np.random.default_rng(3), {"photo": 1.0})
    patches = OpaqueOccluder.covering(np.random.default_rng(1), Context.of(card.image, field.boxes)).patches

    def judged(grain, quality, opacity):
        seen = replace(capture, sensor=replace(capture.sensor, grain=grain), quality=quality)
        recipe = Recipe((TranslucentOccluder(3, patches, opacity),), seen)
        how, picture = Print(card.ground, field.style), recipe.apply(card.image)
        slots = ledger(MODEL, field.value, card.image, picture, field.boxes, recipe=recipe, how=how)
        return np.array([slot.evidence for slot in slots])

    assert np.mean(judged(2.2, 75, 0.98)) < np.mean(judged(0.0, 0, 0.98)) - 0.2
    assert judged(2.2, 75, 0.5).min() > MODEL.clear
