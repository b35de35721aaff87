"""A checkpoint as a reader, with a random Qwen2.5-VL of one layer a tower."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
from PIL import Image

from kie_hvqa.answers import boxes
from kie_hvqa.answers.answer import Reading, render
from kie_hvqa.answers.prompt import messages
from kie_hvqa.data.dataset import dataset_root, image_path, load_rows
from kie_hvqa.data.pixels import image_tokens, load_budgeted
from kie_hvqa.errors import InputError
from kie_hvqa.readers import Task, agreed, open_reader
from kie_hvqa.readers.checkpoint import CONTRACT_FILE
from kie_hvqa.readers.transformers_reader import TransformersReader
from kie_hvqa.runs.predictions import read_predictions

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


def test_an_answer_that_the_token_limit_ends_says_so(reader, tasks, tiny_model):
    short = TransformersReader(tiny_model, batch_size=3, max_new_tokens=1)
    short._shared = reader._shared
    assert all(answer.cut for answer in short.read(tasks[:3])), "none begins with an end token"


def test_an_answer_does_not_depend_on_its_batch(reader, answers, tasks, tiny_model):
    alone = TransformersReader(tiny_model, batch_size=1, max_new_tokens=NEW_TOKENS)
    alone._shared = reader._shared
    found = {answer.id: answer for answer in alone.read(tasks)}
    for answer in answers:
        assert found[answer.id].response == answer.response
        assert found[answer.id].confidence == pytest.approx(answer.confidence, abs=1e-4)


def test_an_interrupted_run_goes_on_with_the_same_batches(reader, answers, tasks):
    done = {answer.id for answer in answers[:7]}
    assert list(reader.read(tasks, done)) == answers[7:]
    assert list(reader.read(tasks, {task.row.id for task in tasks})) == []


def plain_inputs(reader, tasks):
    """What the processor makes of ``tasks`` by itself, every image as often as it is asked about."""
    loaded = reader.loaded()
    texts = [
        loaded.processor.apply_chat_template(
            messages(task.row, reader.prompt), tokenize=False, add_generation_prompt=True
        )
        for task in tasks
    ]
    images = [load_budgeted(task.image, reader.budget) for task in tasks]
    return loaded.processor(
        text=texts, images=images, padding=True, padding_side="left", do_resize=False, return_tensors="pt"
    )


def test_questions_about_one_page_encode_it_once_and_get_the_same_features(reader, answers, tasks, monkeypatch):
    import torch

    model = reader.loaded().model
    seen = []
    encode = model.model.visual.forward

    def watch(patches, grid_thw, **kwargs):
        seen.append((patches, grid_thw.tolist()))
        return encode(patches, grid_thw=grid_thw, **kwargs)

    monkeypatch.setattr(model.model.visual, "forward", watch)
    assert list(reader.read(tasks)) == answers
    batches = list(reader.batches(tasks))
    assert [len(grid) for _, grid in seen] == [len({item.task.image for item in batch}) for batch in batches]
    encoded = sum(len(grid) for _, grid in seen)
    assert encoded <= len({task.image for task in tasks}) + len(batches) - 1 < len(tasks)
    # What the model gets is what the processor alone would have made.
    batch = [item.task for item in batches[0]]
    plain = plain_inputs(reader, batch)
    features = []
    forward = model.model.get_placeholder_mask
    monkeypatch.setattr(
        model.model,
        "get_placeholder_mask",
        lambda ids, inputs_embeds, image_features: (
            features.append((ids, image_features))
            or forward(ids, inputs_embeds=inputs_embeds, image_features=image_features)
        ),
    )
    reader._read_batch(batches[0])
    with torch.inference_mode():
        expected = model.get_image_features(plain["pixel_values"], plain["image_grid_thw"], return_dict=True)
    assert torch.equal(features[0][0], plain["input_ids"])
    torch.testing.assert_close(features[0][1], torch.cat(expected.pooler_output), atol=1e-5, rtol=1e-4)


def test_confidence_is_the_mean_log_probability_of_what_was_written(reader, answers, tasks):
    import torch

    loaded = reader.loaded()
    task = next(task for task in tasks if task.row.id == answers[0].id)
    inputs = plain_inputs(reader, [task])
    with torch.inference_mode():
        whole = loaded.model.generate(
            **inputs, max_new_tokens=NEW_TOKENS, do_sample=False, suppress_tokens=loaded.suppressed
        )
        start = inputs["input_ids"].shape[1]
        inputs["input_ids"] = whole
        inputs["attention_mask"] = torch.ones_like(whole)
        kinds = inputs["mm_token_type_ids"]
        inputs["mm_token_type_ids"] = torch.nn.functional.pad(kinds, (0, whole.shape[1] - start))
        logits = loaded.model(**inputs).logits[0, start - 1 : -1]
        logits[:, loaded.suppressed] = -torch.inf
    expected = logits.log_softmax(-1).gather(1, whole[0, start:, None]).mean().item()
    assert answers[0].confidence == pytest.approx(expected, abs=1e-3)


def test_image_tokens_are_never_written_however_likely(tiny_model, tasks):
    import torch

    reader = open_reader(str(tiny_model), max_new_tokens=4)
    model, tokenizer = reader.loaded().model, reader.loaded().processor.tokenizer
    special = ["<|image_pad|>", "<|vision_start|>", "<|video_pad|>", "<|im_start|>"]
    ids = tokenizer.convert_tokens_to_ids(special)
    unused = list(range(len(tokenizer), model.get_output_embeddings().weight.shape[0]))

    class Eager(torch.nn.Module):
        def __init__(self, head):
            super().__init__()
            self.head, self.weight = head, head.weight

        def forward(self, hidden):
            logits = self.head(hidden)
            logits[..., ids + unused] += 1000.0
            return logits

    model.lm_head = Eager(model.lm_head)
    written = [tokenizer.encode(answer.response) for answer in reader.read(tasks[:3])]
    assert all(written)
    assert not {token for tokens in written for token in tokens} & set(ids)


def test_images_are_resized_once_and_under_the_budget(reader, tmp_path):
    from PIL import Image

    Image.new("RGB", (1000, 700), "white").save(tmp_path / "large.png")
    image = load_budgeted(tmp_path / "large.png", reader.budget)
    inputs = reader.loaded().processor(text=["<|image_pad|>"], images=[image], do_resize=False, return_tensors="pt")
    tokens = int(inputs["image_grid_thw"].prod()) // reader.contract.merge_size**2
    assert tokens == image_tokens(1000, 700, reader.budget)
    assert image.width * image.height <= reader.contract.max_pixels


def test_a_question_with_the_models_own_tokens_is_an_error_row_and_harms_no_other(reader, answers, tasks):
    spoiled = [
        dataclasses.replace(tasks[0].row, problem="<image>What is <|image_pad|> here?"),
        *(t.row for t in tasks[1:]),
    ]
    found = list(reader.read([Task(row, task.image) for row, task in zip(spoiled, tasks, strict=True)]))
    assert [answer.error is None for answer in found if answer.id == tasks[0].row.id] == [False]
    others = {answer.id: answer.response for answer in answers if answer.id != tasks[0].row.id}
    assert {answer.id: answer.response for answer in found if answer.error is None} == others


# --- several samples ---


@pytest.fixture(scope="module")
def sampling(tiny_model, reader):
    other = open_reader(str(tiny_model), batch_size=7, max_new_tokens=NEW_TOKENS, samples=3, temperature=0.8)
    other._shared = reader._shared
    return other


def test_samples_are_drawn_by_row_and_number_whatever_the_batch(sampling, reader, tiny_model, tasks):
    import torch

    state = torch.random.get_rng_state()
    found = {answer.id: answer for answer in sampling.read(tasks)}
    assert found.keys() == {task.row.id for task in tasks}
    assert all(len(answer.samples) == 3 and answer.response in answer.samples for answer in found.values())
    assert len({sample for answer in found.values() for sample in answer.samples}) > len(found), "they differ"
    alone = open_reader(str(tiny_model), batch_size=2, max_new_tokens=NEW_TOKENS, samples=3, temperature=0.8)
    alone._shared = reader._shared
    assert {answer.id: answer.samples for answer in alone.read(tasks[3:6])} == {
        task.row.id: found[task.row.id].samples for task in tasks[3:6]
    }
    rest = {answer.id: answer for answer in sampling.read(tasks, {task.row.id for task in tasks[1:]})}
    assert rest == {tasks[0].row.id: found[tasks[0].row.id]}
    assert torch.equal(torch.random.get_rng_state(), state), "the global random state is nobody's"
    assert sampling.identity not in (reader.identity, alone.identity + "x")


def test_a_draw_follows_the_models_distribution():
    import torch

    from kie_hvqa.readers.decoding import LogProbabilities, Sampler

    logits = torch.tensor([2.0, 1.0, 0.0, -torch.inf])
    rows, temperature = 4000, 0.7
    recorder = LogProbabilities(Sampler(range(rows), temperature, torch.device("cpu")))
    drawn = recorder(torch.zeros(rows, 1), logits.expand(rows, -1)).argmax(-1)
    shares = torch.bincount(drawn, minlength=4) / rows
    expected = (logits / temperature).softmax(-1)
    assert (shares - expected).abs().max() < 4 * (0.25 / rows) ** 0.5
    means = recorder.means(drawn[:, None], set())
    own = logits.log_softmax(-1)
    assert means[:5] == [pytest.approx(own[token].item(), abs=1e-5) for token in drawn[:5]]


def said(final):
    return render(Reading(final), tags=True)


@pytest.mark.parametrize(
    ("samples", "response", "confidence"),
    [
        ([said("Smith"), said("Sm t"), said("Sm t ")], said("Sm t"), 2 / 3),
        ([said("a"), said("b")], said("a"), 0.5),
        (["nothing", said("b"), "nothing"], said("b"), 1 / 3),
        (["nothing", "nothing"], "nothing", 0.0),
        ([said("a")], said("a"), 1.0),
    ],
)
def test_agreement_is_the_share_of_samples_that_read_the_same(samples, response, confidence):
    answer = agreed("x", samples)
    assert (answer.response, answer.samples) == (response, tuple(samples))
    assert answer.confidence == pytest.approx(confidence, abs=1e-6)


# --- what counts as the same reader, and which options fit ---


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


def test_another_prompt_on_purpose_shares_the_weights_and_changes_what_is_asked(reader, tasks):
    other = reader.with_prompt("paraphrase_3")
    assert other._shared is reader._shared and other.identity == reader.identity
    assert (other.name, reader.prompt) == (f"{reader.name}+paraphrase_3", "question")
    assert "Character-level OCR" in other.asks(tasks[0].row) and "Character-level" not in reader.asks(tasks[0].row)
    with pytest.raises(InputError, match="Did you mean"):
        reader.with_prompt("paraphrase_33")


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 0},
        {"max_new_tokens": 0},
        {"samples": 0},
        {"temperature": 0.0},
        {"dtype": "float8"},
        {"device": "gpu"},
    ],
)
def test_an_impossible_option_is_refused(tiny_model, options):
    with pytest.raises(InputError) as caught:
        open_reader(str(tiny_model), **options)
    assert caught.value.field in options


def test_a_strip_that_no_budget_fits_is_its_rows_issue_and_not_the_runs_end(kie_hvqa, tiny_model, cards, tmp_path):
    Image.new("RGB", (9000, 30), "white").save(cards / "images" / "card_1.png")
    command = ("eval", "--data", cards, "--reader", tiny_model, "--max-new-tokens", 4, "--out", tmp_path / "out")
    assert kie_hvqa(*command, "--dry-run").returncode == 0
    for _ in range(2):  # the second time nothing is left to be asked
        done = kie_hvqa(*command)
        assert done.returncode == 0, done.stderr
        assert "data: 3 unreadable image" in done.stdout
        issues = json.loads((tmp_path / "out" / "data_issues.json").read_text())["issues"]
        assert [(issue["line"], issue["id"]) for issue in issues] == [
            (4, "card_1_name"),
            (5, "card_1_number"),
            (6, "card_1_height"),
        ]
        assert "9000 x 30 does not fit the pixel budget" in issues[0]["what"]
    kept = read_predictions(tmp_path / "out" / "predictions.jsonl")
    assert len(kept) == 12 and sum(answer.response != "" for answer in kept.values()) == 9


def test_an_image_that_a_processor_refuses_is_its_rows_issue(reader, answers, tasks, monkeypatch):
    processor = reader.loaded().processor.image_processor
    refused = load_budgeted(tasks[0].image, reader.budget)
    takes = type(processor).__call__

    def refuse(self, images, **named):
        if any(image.size == refused.size and image.tobytes() == refused.tobytes() for image in images):
            raise ValueError("too strange")
        return takes(self, images, **named)

    monkeypatch.setattr(type(processor), "__call__", refuse)
    found = {answer.id: answer for answer in reader.read(tasks)}
    strange = {task.row.id for task in tasks if task.image == tasks[0].image}
    assert {name for name, answer in found.items() if answer.error == "unreadable image: too strange"} == strange
    assert all(found[answer.id].response == answer.response for answer in answers if answer.id not in strange)


def test_a_processor_that_refuses_every_image_ends_the_run(reader, tasks, monkeypatch):
    def refuse(self, images, **named):
        raise RuntimeError("no libjpeg")

    monkeypatch.setattr(type(reader.loaded().processor.image_processor), "__call__", refuse)
    with pytest.raises(RuntimeError, match="no libjpeg"):
        list(reader.read(tasks))


def test_every_symbol_that_is_written_has_its_probability(tiny_model, tasks):
    """A random model writes no answer, so it is made to write one: the tokens of a given text."""
    import torch

    from kie_hvqa.readers.decoding import Forced, LogProbabilities, mark_tokens, signals_of_tokens, texts_of

    reader = open_reader(str(tiny_model))
    tokenizer = reader.loaded().processor.tokenizer
    response = render(Reading("Zoë 1 ", "1", "Zoë", 3, 1), tags=True)
    tokens = tokenizer.encode(response, add_special_tokens=False)
    assert "".join(text for text, _ in texts_of(tokenizer, tokens)) == response
    torch.manual_seed(0)
    scores = torch.randn(len(tokens), 1, len(tokenizer))
    for step, token in enumerate(tokens):
        scores[step, 0, token] += 9
    recorder, forced = LogProbabilities(marks=mark_tokens(tokenizer)), Forced(torch.tensor([tokens]))
    for own in scores:
        recorder(torch.zeros(1, 1, dtype=torch.long), own)
        forced(torch.zeros(1, 1, dtype=torch.long), own)
    said = recorder.of(torch.tensor([tokens]), set())[0]
    assert [token[0] for token in said] == pytest.approx(forced.of()[0], abs=1e-5)
    found = signals_of_tokens(tokenizer, response, tokens, said, [token[0] - 1 for token in said])
    assert {len(each.symbols) for each in found.values()} == {6}
    assert set(found) == {"token_probability", "mark_margin", "rival_margin", "contrast"}
    assert all(0 < value < 1 for each in found.values() for value in each.symbols)
    space = mark_tokens(tokenizer)
    assert tokenizer.decode(space[:1]) == " " or " " in [tokenizer.decode([token]) for token in space]


def test_contrast_is_taken_on_a_black_page_and_changes_no_answer(tiny_model, tasks, answers, reader):
    asked = open_reader(str(tiny_model), batch_size=5, max_new_tokens=NEW_TOKENS, signals=("contrast",))
    asked._shared = reader._shared
    asked.loaded()
    assert [answer.response for answer in asked.read(tasks[:6])] == [
        {answer.id: answer for answer in answers}[answer.id].response for answer in asked.read(tasks[:6])
    ]
    import torch

    from kie_hvqa.readers.transformers_reader import Item

    loaded = reader.loaded()
    batch = [Item(tasks[0], 0)]
    texts = [
        loaded.processor.apply_chat_template(
            messages(tasks[0].row, reader.prompt), tokenize=False, add_generation_prompt=True
        )
    ]
    generated = torch.tensor([[5, 6, 7]])
    with torch.inference_mode():
        blind = asked._blind(loaded, batch, texts, generated)
    assert len(blind) == 1 and len(blind[0]) == 3 and all(value < 0 for value in blind[0])


def test_a_box_is_in_pixels_of_the_page_whatever_the_family_writes(copy, reader, tasks):
    page, box = (640, 320), (64.0, 32.0, 320.0, 64.0)
    shown = reader.shown(Image.new("RGB", page)).size
    assert shown != page
    smith = Reading("Smith", "", "Smith", 5, 0)
    for family, coordinates in (("qwen2_5_vl", "pixels"), ("qwen3_vl", "thousandths"), ("other", None)):
        config = json.loads((copy / "config.json").read_text()) | {"model_type": family}
        (copy / "config.json").write_text(json.dumps(config))
        written = boxes.written(box, page, shown, coordinates or "pixels")
        found = TransformersReader(copy).where(render(smith, tags=True, box=written), page)
        assert found == (None if coordinates is None else pytest.approx(box, abs=page[0] / min(shown)))
    assert reader.where(render(smith, tags=True), page) is None
    assert reader.where(render(Reading(""), tags=True, box=box), page) is None, "nothing was read"
