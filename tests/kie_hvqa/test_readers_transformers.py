"""A checkpoint as a reader, with a random Qwen2.5-VL of one layer a tower."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest

from kie_hvqa.checkpoint import CONTRACT_FILE
from kie_hvqa.dataset import dataset_root, image_path, load_rows
from kie_hvqa.errors import InputError
from kie_hvqa.pixels import image_tokens
from kie_hvqa.readers import Task, open_reader
from kie_hvqa.readers.transformers_reader import TransformersReader

NEW_TOKENS = 12


@pytest.fixture(scope="module")
def tasks(tmp_path_factory, make_cards):
    """Images of two sizes; questions of very different token counts, so that batches need padding."""
    cards = make_cards(tmp_path_factory.mktemp("checkpoint") / "cards", documents=4)
    rows = load_rows(cards)
    rows[1] = dataclasses.replace(rows[1], problem="<image>Which number stands in the second line of this card?")
    return [Task(row, image_path(dataset_root(cards), row)) for row in rows]


@pytest.fixture(scope="module")
def reader(tiny_model):
    return open_reader(str(tiny_model), batch_size=5, max_new_tokens=NEW_TOKENS)


@pytest.fixture(scope="module")
def answers(reader, tasks):
    return list(reader.read(tasks))


@pytest.fixture
def copy(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "model")


def test_every_task_is_answered_once(answers, tasks):
    assert sorted(answer.id for answer in answers) == sorted(task.row.id for task in tasks)
    assert all(answer.response for answer in answers)


def test_an_answer_does_not_depend_on_its_batch(reader, answers, tasks, tiny_model):
    alone = TransformersReader(tiny_model, batch_size=1, max_new_tokens=NEW_TOKENS)
    alone._load()
    alone._model = reader._model
    found = {answer.id: answer for answer in alone.read(tasks)}
    for answer in answers:
        assert found[answer.id].response == answer.response
        assert found[answer.id].confidence == pytest.approx(answer.confidence, abs=1e-4)


def test_an_interrupted_run_goes_on_with_the_same_batches(reader, answers, tasks):
    done = {answer.id for answer in answers[:7]}
    assert list(reader.read(tasks, done)) == answers[7:]
    assert list(reader.read(tasks, {task.row.id for task in tasks})) == []


def test_confidence_is_the_mean_log_probability_of_what_was_written(reader, answers, tasks):
    import torch

    from kie_hvqa.pixels import load_budgeted

    task = next(task for task in tasks if task.row.id == answers[0].id)
    inputs = reader._inputs([task], [load_budgeted(task.image, reader.budget)])
    with torch.inference_mode():
        whole = reader._model.generate(
            **inputs, max_new_tokens=NEW_TOKENS, do_sample=False, suppress_tokens=reader._suppressed
        )
        start = inputs["input_ids"].shape[1]
        inputs["input_ids"] = whole
        inputs["attention_mask"] = torch.ones_like(whole)
        kinds = inputs["mm_token_type_ids"]
        inputs["mm_token_type_ids"] = torch.nn.functional.pad(kinds, (0, whole.shape[1] - start))
        logits = reader._model(**inputs).logits[0, start - 1 : -1]
        logits[:, reader._suppressed] = -torch.inf
    expected = logits.log_softmax(-1).gather(1, whole[0, start:, None]).mean().item()
    assert answers[0].confidence == pytest.approx(expected, abs=1e-3)


def test_image_tokens_are_never_written_however_likely(tiny_model, tasks):
    import torch

    reader = open_reader(str(tiny_model), max_new_tokens=4)
    reader._load()
    special = ["<|image_pad|>", "<|vision_start|>", "<|video_pad|>", "<|im_start|>"]
    ids = reader._processor.tokenizer.convert_tokens_to_ids(special)
    unused = list(range(len(reader._processor.tokenizer), reader._model.get_output_embeddings().weight.shape[0]))

    class Eager(torch.nn.Module):
        def __init__(self, head):
            super().__init__()
            self.head, self.weight = head, head.weight

        def forward(self, hidden):
            logits = self.head(hidden)
            logits[..., ids + unused] += 1000.0
            return logits

    reader._model.lm_head = Eager(reader._model.lm_head)
    written = [reader._processor.tokenizer.encode(answer.response) for answer in reader.read(tasks[:3])]
    assert all(written)
    assert not {token for tokens in written for token in tokens} & set(ids)


def test_images_are_resized_once_and_under_the_budget(reader, tmp_path):
    from PIL import Image

    from kie_hvqa.pixels import load_budgeted

    Image.new("RGB", (1000, 700), "white").save(tmp_path / "large.png")
    image = load_budgeted(tmp_path / "large.png", reader.budget)
    inputs = reader._processor(text=["<|image_pad|>"], images=[image], do_resize=False, return_tensors="pt")
    tokens = int(inputs["image_grid_thw"].prod()) // reader.contract.merge_size**2
    assert tokens == image_tokens(1000, 700, reader.budget)
    assert image.width * image.height <= reader.contract.max_pixels


def test_identity_and_question_change_with_what_could_change_an_answer(tiny_model, copy, reader, tasks):
    row = tasks[0].row
    assert open_reader(str(copy), max_new_tokens=NEW_TOKENS).identity == reader.identity
    assert open_reader(str(copy), max_new_tokens=3).identity != reader.identity
    with (copy / "model.safetensors").open("r+b") as weights:
        weights.seek(-1, 2)
        last = weights.read(1)
        weights.seek(-1, 2)
        weights.write(bytes([last[0] ^ 1]))
    assert open_reader(str(copy), max_new_tokens=NEW_TOKENS).identity != reader.identity
    (copy / CONTRACT_FILE).unlink()
    assert open_reader(str(copy)).asks(row) != reader.asks(row)


@pytest.mark.parametrize(
    ("key", "options"),
    [("min_pixels", {"min_pixels": 1024}), ("max_pixels", {"max_pixels": 99999}), ("prompt", {"prompt": "official"})],
)
def test_an_option_that_contradicts_reading_json_is_refused_by_name(tiny_model, key, options):
    with pytest.raises(InputError) as caught:
        open_reader(str(tiny_model), **options)
    assert caught.value.field == key
    assert CONTRACT_FILE in caught.value.file


def test_the_same_setting_said_twice_is_no_contradiction(tiny_model, reader):
    assert open_reader(str(tiny_model), max_pixels=256 * 256, prompt="question").contract == reader.contract


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("patch_size", 14),
        ("merge_size", 4),
        ("prompt_hash", "0" * 64),
        ("answer_format", "kie-hvqa-0"),
        ("prompt", "gone"),
    ],
)
def test_a_reading_json_that_disagrees_with_its_model_or_this_version_is_refused(copy, key, value):
    path = copy / CONTRACT_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(InputError) as caught:
        open_reader(str(copy))
    assert caught.value.field == key


def test_a_plain_checkpoint_is_read_with_its_processors_budget_and_the_official_prompt(copy, tasks):
    (copy / CONTRACT_FILE).unlink()
    reader = open_reader(str(copy))
    assert (reader.contract.prompt, reader.contract.max_pixels, reader.contract.patch_size) == (
        "official",
        256 * 256,
        8,
    )
    assert open_reader(str(copy), max_pixels=4096 * 4).contract.max_pixels == 4096 * 4


def test_broken_weights_are_a_message(copy, tasks):
    (copy / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(InputError, match="cannot be loaded"):
        next(open_reader(str(copy)).read(tasks))


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"max_new_tokens": 0}, {"dtype": "float8"}])
def test_an_impossible_option_is_refused(tiny_model, options):
    with pytest.raises(InputError) as caught:
        open_reader(str(tiny_model), **options)
    assert caught.value.field in options
