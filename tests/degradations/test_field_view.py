"""``view: field`` shows less of the page and says nothing else about it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from degradations.asked.plan import find_copies, other_prints
from degradations.asked.question import Question
from degradations.chance import generator
from degradations.config import DegradeConfig
from degradations.damage import Damaged
from degradations.degrade import write_degraded
from degradations.documents import render
from degradations.field_view import draw_window, view_field
from degradations.legibility import LegibilityModel, Print, ledger
from degradations.operators import Context, OpaqueOccluder
from degradations.recipe import Recipe
from degradations.replay import replay
from degradations.simulate import SimulateConfig, write_dataset
from degradations.streaming import Stream
from kie_hvqa.data.dataset import load_rows, parse_row
from kie_hvqa.data.ledger import Row
from kie_hvqa.errors import InputError
from tests.degradations.annotated.test_annotated import FIELDS, receipts  # noqa: F401

PAGE = SimulateConfig(
    seed=4,
    count=10,
    questions_per_document=3,
    questions_per_image=3,
    question_kinds={"answerable": 0.6, "unreadable": 0.1, "absent": 0.3},
)
FIELD = PAGE.model_copy(update={"view": "field"})


def pixels(path: Path) -> np.ndarray:
    return cv2.imread(str(path))[:, :, ::-1]


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> list[tuple[Row, Row, np.ndarray, np.ndarray]]:
    """Every row with the whole page and with its crop, and both images."""
    found = []
    folders = [tmp_path_factory.mktemp("view") / config.view for config in (PAGE, FIELD)]
    for config, folder in zip((PAGE, FIELD), folders, strict=True):
        write_dataset(config, folder)
    for page, field in zip(*map(load_rows, folders), strict=True):
        found.append((page, field, *(pixels(f / row.file_name) for f, row in zip(folders, (page, field), strict=True))))
    return found


def test_a_crop_is_a_part_of_the_page_and_its_row_says_which(both):
    for page, field, whole, crop in both:
        x0, y0, x1, y1 = field.view
        assert page.view is None and "view" not in page.to_json()
        assert np.array_equal(crop, whole[y0:y1, x0:x1]) and crop.size < whole.size
    assert len({row.file_name for _, row, _, _ in both}) == len(both)


def test_damage_and_labels_are_those_of_the_page(both):
    slots = 0
    for page, field, _, _ in both:
        assert (field.id, field.severity, field.recipe, field.capture) == (
            page.id, page.severity, page.recipe, page.capture,
        )  # fmt: skip
        assert (field.problem, field.question_kind, field.answer) == (page.problem, page.question_kind, page.answer)
        x, y = field.view[:2]
        for there, here in zip(page.slots, field.slots, strict=True):
            assert (here.char, here.legibility, here.evidence) == (there.char, there.legibility, there.evidence)
            assert np.allclose(np.add(here.box, (x, y, x, y)), there.box, atol=0.011)
            slots += 1
    assert slots > 100


def test_the_value_is_whole_and_there_is_context_around_it(both):
    answerable = [(page, field, crop) for page, field, _, crop in both if field.slots]
    for _, field, crop in answerable:
        for slot in field.slots:
            x0, y0, x1, y1 = slot.box
            assert x0 >= 0 and y0 >= 0 and x1 <= crop.shape[1] and y1 <= crop.shape[0]
    heights = [crop.shape[0] / (row.slots[0].box[3] - row.slots[0].box[1]) for _, row, crop in answerable]
    assert 2.0 < np.mean(heights) < 4.5 and np.std(heights) > 0.2


def test_a_question_about_an_absent_field_is_shown_some_line(both):
    absent = [(row, crop) for _, row, _, crop in both if row.question_kind == "absent"]
    assert len(absent) > 3 and all(row.slots == () for row, _ in absent)
    assert all(min(crop.shape[:2]) > 8 and crop.std() > 3 for _, crop in absent)  # print, not blank paper


def test_a_crop_replays_and_streams_as_a_page_does(both):
    for _, field, _, crop in both[:6]:
        assert np.array_equal(replay(field), crop)
    row, image = Stream(FIELD, "train", 2).sample(4)
    assert row.view is not None and np.array_equal(replay(row), image)


boxes = st.tuples(st.floats(-50, 260), st.floats(-50, 160), st.floats(1, 40), st.floats(1, 40)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@settings(deadline=None)
@given(st.lists(boxes, min_size=1, max_size=12), st.integers(0, 999))
def test_whatever_of_the_value_is_in_the_picture_is_in_the_crop(places, seed):
    width, height = 240, 130
    x0, y0, x1, y1 = draw_window(places, (width, height), np.random.default_rng(seed))
    assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
    for a, b, c, d in places:
        left, top, right, bottom = max(a, 0), max(b, 0), min(c, width), min(d, height)
        if left < right and top < bottom:
            assert x0 <= left and y0 <= top and x1 >= right and y1 >= bottom


def asked(document, field: str) -> Question:
    printed = document.fields[field]
    others = other_prints(document, field, printed.derivations)
    how = Print(document.ground, printed.style)
    return Question(
        "answerable", field, printed.question_name, printed.value, printed.boxes, find_copies(printed), how, others
    )


def seen(document, question: Question) -> tuple[Damaged, Damaged]:
    """The page with a patch over the question's field, as a whole and as its crop."""
    model, context = LegibilityModel(), Context.of(document.image, question.boxes)
    recipe = Recipe(()).then(OpaqueOccluder.covering(generator(0, question.field), context))
    image = recipe.apply(document.image)
    slots = ledger(
        model, question.value, document.image, image, question.boxes, question.copies, recipe=recipe, how=question.how
    )
    page = Damaged(image, recipe, 4, (slots,))
    return page, view_field(document.image, question, page, 0, np.random.default_rng(1), model)[0]


def test_another_print_outside_the_crop_says_nothing():
    document = render("passport", np.random.default_rng([0, 31]), split="train", scale="full")
    question = asked(document, "date_of_birth")
    far = replace(question, copies=(document.fields["expiry_date"].boxes[: len(question.boxes)],))
    page, crop = seen(document, far)
    assert all(slot.legibility == "clear" for slot in page.slots[0] if slot.scored)
    assert all(slot.legibility == "hidden" for slot in crop.slots[0] if slot.scored)
    assert not any(slot.derivable for slot in crop.slots[0])  # the zone at the foot of the page is not shown


def test_another_print_inside_the_crop_still_counts():
    document = render("passport", np.random.default_rng([0, 31]), split="train", scale="full")
    question = asked(document, "date_of_birth")
    height = question.boxes[0][3] - question.boxes[0][1]
    near = tuple((a, b - 0.2 * height, c, d - 0.2 * height) for a, b, c, d in question.boxes)
    page, crop = seen(document, replace(question, copies=(near,)))
    assert [slot.evidence for slot in crop.slots[0]] == [slot.evidence for slot in page.slots[0]]


def test_annotated_documents_are_cut_out_too(receipts):  # noqa: F811
    folder, _ = receipts
    rows = {}
    for view in ("page", "field"):
        config = DegradeConfig(seed=3, samples_per_field=2, view=view)
        write_degraded(config, folder / "annotations.jsonl", folder, folder / view)
        rows[view] = load_rows(folder / view)
    differ = []
    for page, field in zip(rows["page"], rows["field"], strict=True):
        x0, y0, x1, y1 = field.view
        whole, crop = (pixels(folder / view / row.file_name) for view, row in (("page", page), ("field", field)))
        assert np.array_equal(crop, whole[y0:y1, x0:x1])
        if [s.evidence for s in page.slots] != [s.evidence for s in field.slots]:
            differ.append(field.field)
            assert all(here.evidence <= there.evidence for there, here in zip(page.slots, field.slots, strict=True))
        with Image.open(folder / "field" / field.file_name) as image:
            assert all(slot.box[2] <= image.width + 1 and slot.box[3] <= image.height + 1 for slot in field.slots)
    assert set(differ) <= {"total"}  # which these receipts print twice
    lines = [row for row in rows["field"] if row.field == "address"]
    assert all(len({slot.box[1] for slot in row.slots}) > 1 for row in lines)  # two printed lines, both in the crop


@pytest.mark.parametrize("view", [[1, 2, 3], [4, 0, 4, 9], [0, 0, 5.5, 9], [-1, 0, 5, 9], "page"])
def test_a_view_that_is_no_window_is_refused(view):
    row = Row("a", "a.png", "d", "receipt", "test", "total", "absent", "<image>?", "{}", slots=(), view=(0, 0, 4, 4))
    data = row.to_json()
    assert parse_row({**data, "view": [0, 0, 4, 4]}) == row
    with pytest.raises(InputError, match="a view is"):
        parse_row({**data, "view": view})


def test_twins_are_whole_pages():
    with pytest.raises(ValueError, match="whole pages"):
        SimulateConfig(count=1, twins={"name": 1}, view="field")
