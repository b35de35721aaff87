from __future__ import annotations

import cv2
import numpy as np
import pytest

from degradations.asked.plan import absent_concepts
from degradations.documents import names as template_names
from degradations.documents import template, templates
from degradations.recipe import Recipe
from degradations.simulate import SimulateConfig, clean_document, document_samples, sample, split_of, write_dataset
from kie_hvqa.answers.answer import render, truth
from kie_hvqa.config import load
from kie_hvqa.data.dataset import load_rows
from kie_hvqa.errors import InputError

CONFIG = SimulateConfig(
    seed=7,
    count=9,
    splits={"train": 0.6, "validation": 0.2, "test": 0.2},
    values={"natural": 0.5, "random": 0.5},
    held_out_operators={"train": ["defocus_blur"], "validation": ["defocus_blur"]},
    question_kinds={"answerable": 0.6, "unreadable": 0.2, "absent": 0.2},
    questions_per_document=4,
)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("simulated") / "data"
    return out, write_dataset(CONFIG, out)


def test_a_sample_made_alone_equals_the_written_one(written):
    out, _ = written
    rows = load_rows(out)
    assert len(rows) == CONFIG.rows == 36
    for index in (0, 5, 18, 35):
        row, image = sample(CONFIG, index)
        assert row == rows[index]
        assert np.array_equal(image, cv2.imread(str(out / row.file_name))[:, :, ::-1])


def test_rows_agree_with_themselves(written):
    for row in load_rows(written[0]):
        assert row.answer == render(truth(row.slots))
        scored = [slot for slot in row.slots if slot.scored]
        hidden = bool(scored) and all(slot.legibility == "hidden" for slot in scored)
        assert row.question_kind == ("absent" if not row.slots else "unreadable" if hidden else "answerable")
        assert row.problem.startswith("<image>What is the ") and row.problem.endswith(" in the image?")
        assert (row.severity == 0) == (row.recipe == [])
        if row.severity == 0:
            assert all(slot.legibility == "clear" and slot.evidence >= 0.95 for slot in row.slots)


def test_loads_as_an_image_folder(written, tmp_path):
    datasets = pytest.importorskip("datasets")
    out, _ = written
    table = datasets.load_dataset("imagefolder", data_dir=str(out), split="train", cache_dir=str(tmp_path))
    rows = load_rows(out)
    assert len(table) == len(rows)
    for index in (0, 7, 30):
        assert table[index]["id"] == rows[index].id and table[index]["answer"] == rows[index].answer
        assert [slot["char"] for slot in table[index]["slots"]] == [slot.char for slot in rows[index].slots]
        assert Recipe.from_json(table[index]["recipe"]) == Recipe.from_json(rows[index].recipe)
        assert table[index]["image"].size == tuple(cv2.imread(str(out / rows[index].file_name)).shape[1::-1])


def test_splits_share_no_identity():
    config = CONFIG.model_copy(update={"count": 60, "values": {"natural": 1.0}})
    people: dict[str, set[str]] = {}
    for index in range(config.count):
        identity = clean_document(config, index).identity
        holder = identity.get("surname") or identity["customer"]
        people.setdefault(split_of(config, index), set()).add(holder)
    assert set(people) == {"train", "validation", "test"}
    assert not people["train"] & people["validation"] and not people["test"] & (people["train"] | people["validation"])


def test_splits_have_their_shares():
    config = CONFIG.model_copy(update={"count": 100})
    splits = [split_of(config, index) for index in range(100)]
    assert abs(splits.count("train") - 60) <= 3 and abs(splits.count("test") - 20) <= 3


def test_a_held_out_operator_is_drawn_in_the_test_alone():
    config = SimulateConfig(
        seed=3,
        count=24,
        splits={"train": 0.5, "test": 0.5},
        severities={3: 1.0},
        operators={"defocus_blur": 1.0, "jpeg": 1.0},
        operators_per_image={1: 1.0},
        held_out_operators={"train": ["defocus_blur"]},
        question_kinds={"answerable": 1.0},
        questions_per_document=2,
    )
    seen: dict[str, set[str]] = {"train": set(), "test": set()}
    for index in range(config.count):
        for row, *_ in document_samples(config, index):
            seen[row.split] |= {step["operator"] for step in row.recipe}
    assert seen == {"train": {"jpeg"}, "test": {"jpeg", "defocus_blur"}}


def test_planned_unreadable_fields_are_hidden_and_absent_ones_are_not_printed():
    config = CONFIG.model_copy(update={"question_kinds": {"unreadable": 0.5, "absent": 0.5}, "count": 12, "seed": 2})
    kinds = []
    for index in range(config.count):
        document = clean_document(config, index)
        for row, *_ in document_samples(config, index):
            kinds.append(row.question_kind)
            if row.question_kind == "absent":
                assert row.field not in document.fields and row.slots == ()
                assert row.field not in template(document.template).questions
            else:
                assert row.severity > 0
    assert kinds.count("absent") > 10
    assert kinds.count("answerable") <= 0.05 * len(kinds), "planned unreadable, and something was left to read"


@pytest.mark.parametrize("name", sorted(template_names()))
def test_absent_concepts_share_no_name_with_what_is_printed(name):
    scale = "tiny" if name in templates("tiny") else "full"
    config = SimulateConfig(count=1, templates={name: 1.0}, scale=scale)
    document = clean_document(config, 0)
    absent = absent_concepts(document)
    assert len(absent) >= 4
    assert not set(absent) & set(document.fields)
    assert not set(absent.values()) & {printed.question_name for printed in document.fields.values()}


def test_several_questions_may_share_one_image():
    config = CONFIG.model_copy(update={"questions_per_image": 2, "questions_per_document": 4, "count": 3})
    for index in range(config.count):
        piece = document_samples(config, index)
        assert len({row.file_name for row, *_ in piece}) == 2 and len({row.id for row, *_ in piece}) == 4
        for (first, image, _), (second, same, _) in zip(piece[::2], piece[1::2], strict=True):
            assert first.file_name == second.file_name and np.array_equal(image, same)
            assert first.recipe == second.recipe and first.field != second.field
    alone = sample(config, 6)
    assert alone[0] == document_samples(config, 1)[2][0]


@pytest.mark.parametrize("name", ["tiny", "cards"])
def test_shipped_recipes_load(name):
    config = load(f"configs/simulate/{name}.yaml", SimulateConfig, ["count=2"])
    assert config.count == 2 and config.operators_for("train").keys() < config.operators_for("test").keys()


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("operators.gausian_blur=1", "gaussian_blur"),
        ("templates.us_licenze=1", "us_licence"),
        ("held_out_operators.test=[jpegg]", "jpeg"),
        ("question_kind=1", "question_kinds"),
        ("severities={7: 1}", "between 0 and 6"),
        ("severities={0: 1}", "unreadable"),
        ("severities={2: 0}", "above 0"),
        ("splits={training: 1}", "train"),
        ("count=0", "greater than or equal to 1"),
        ("count='3'", "integer"),
        ("questions_per_image=3", "multiple"),
        ("operators_per_image={0: 1}", "at least one operator"),
        ("seed=-1", "greater than or equal to 0"),
    ],
)
def test_a_wrong_recipe_is_an_input_error(override, says):
    with pytest.raises(InputError, match=r"tiny\.yaml") as caught:
        load("configs/simulate/tiny.yaml", SimulateConfig, [override])
    assert says in str(caught.value)


@pytest.mark.parametrize("index", [-1, 36])
def test_an_index_out_of_range_is_an_input_error(index):
    with pytest.raises(InputError, match="no sample"):
        sample(CONFIG, index)
