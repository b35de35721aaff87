"""Real receipts: who is held out, what is asked, what a crop teaches, and the whole study in miniature."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor

from degradations.annotated.values import AnnotatedLine, Annotation, read_annotations
from degradations.degrade import page_samples, write_pages
from kie_hvqa.answers.answer import Reading, parse, render
from kie_hvqa.config import load
from kie_hvqa.data.dataset import load_rows
from kie_hvqa.data.files import read_json
from kie_hvqa.data.ledger import value_of
from kie_hvqa.readers import embedded_directory
from kie_hvqa.readers.base import Answer, Task
from rl.tiny.base_reader import question
from studies.receipts.__main__ import ORDER, main
from studies.receipts.base import learn_question
from studies.receipts.capitals import InCapitals
from studies.receipts.config import ReceiptsConfig
from studies.receipts.data import recipe
from studies.receipts.lines import Receipt, asked, companies, split
from studies.receipts.pools import CANVASES, LineSampler, line_pools
from studies.receipts.rendered import rendered_page
from tests.degradations.annotated.receipts import RECEIPT, typeset_lines

PLAN = Path("configs/receipts/lines.yaml")


def receipt(name: str, company: str, lines: int = 12) -> Receipt:
    found = [AnnotatedLine(text=f"LINE NO {n:04d}", box=(2.0, 10.0 * n, 80.0, 10.0 * n + 9)) for n in range(lines)]
    return Receipt(
        Annotation(file_name=name, document_type="receipt", size=(100, 400), fields={"company": company}, lines=found),
        Path("."),
    )


def test_one_company_is_in_one_split_under_all_of_its_names():
    names = [
        "MR. D.I.Y. (M) SDN BHD",
        "OTHER SHOP SDN BHD",
        "MR D.I.Y. (KUCHAI) SDN. BHD.",
        "GARDENIA BAKERIES (KL) SDN BHD",
    ]
    names += ["GARDENIA BAKERIES (KI ) SDN BHD", *(f"{chr(65 + n) * 8} TRADING" for n in range(20)), "", ""]
    receipts = [receipt(f"{n}.jpg", name) for n, name in enumerate(names)]
    groups = companies(receipts)
    assert sorted(n for group in groups for n in group) == list(range(len(names)))
    assert [0, 2] in groups and [3, 4] in groups and len(groups) == len(names) - 2  # nameless ones stand alone
    for seed in range(5):
        found = split(receipts, {"validation": 0.1, "test": 0.3}, seed)
        assert all(len({found[n] for n in group}) == 1 for group in groups)
        assert 0.3 <= found.count("test") / len(found) < 0.4 and found.count("validation") >= 2
    assert split(receipts, {"test": 0.3}, 1) != split(receipts, {"test": 0.3}, 2)


def test_lines_of_a_length_are_asked_about_by_their_number():
    choice = load(PLAN, ReceiptsConfig).lines
    one = receipt("a.jpg", "SHOP")
    one.annotation.lines[3] = AnnotatedLine(text="NO", box=one.annotation.lines[3].box)
    one.annotation.lines[4] = AnnotatedLine(text="É" * 8, box=one.annotation.lines[4].box)
    found = asked(one.annotation, choice, 9, 1)
    assert len(found.fields) == 9 and set(found.names.values()) == {"line"}
    for key, text in found.fields.items():
        (number,) = found.where[key]
        assert found.lines[number].text == text and key == f"line_{number:03d}" and number not in (3, 4)
    assert asked(one.annotation, choice, 9, 1) == found != asked(one.annotation, choice, 9, 2)


def test_training_never_sees_the_operator_that_is_held_out():
    config = load(PLAN, ReceiptsConfig)
    known, every = recipe(config, "train", "known").operators, recipe(config, "test", "all").operators
    assert set(every) - set(known) == {config.held_out} == set(recipe(config, "test", "held_out").operators)
    assert set(recipe(config, "train", "undamaged").severities) == {0}


@pytest.fixture(scope="module")
def rendered():
    config = load(PLAN, ReceiptsConfig)
    return config, [rendered_page(config.rendered, config.lines, 5, index) for index in range(6)]


def test_a_rendered_page_is_one_more_annotated_page(rendered):
    config, pages = rendered
    assert sum(len(page.questions) for page in pages) > 60
    for page in pages:
        again = rendered_page(config.rendered, config.lines, 5, int(page.name[-5:]))
        assert np.array_equal(again.image, page.image) and again.questions == page.questions
        height, width = page.image.shape[:2]
        for ask in page.questions:
            assert ask.value == ask.value.upper() and 3 <= len(ask.value) <= 20 and len(ask.boxes) == len(ask.value)
            heights = [box[3] - box[1] for box in ask.boxes]
            assert 8 < np.median(heights) < 70
            assert all(-2 < b[0] < b[2] < width + 2 and -2 < b[1] < b[3] < height + 2 for b in ask.boxes)


def test_boxes_of_a_rendered_line_lie_on_its_ink(rendered):
    _, pages = rendered
    inked = []
    for page in pages:
        grey = page.image.mean(2)
        for ask in page.questions:
            for char, box in zip(ask.value, ask.boxes, strict=True):
                if char.isalnum():
                    part = grey[round(box[1]) : round(box[3]), max(0, round(box[0])) : round(box[2]) + 1]
                    inked.append(float(np.ptp(part)) > 25)
    assert np.mean(inked) > 0.97


@pytest.fixture(scope="module")
def sets(tmp_path_factory, rendered):
    """A dataset of damaged rendered lines, written by hand from three pages."""
    config, pages = rendered
    folder = tmp_path_factory.mktemp("lines")
    damage = recipe(config, "train", "known")
    draw = [lambda page=page: page for page in pages[:3]]
    write_pages(damage, draw, [PLAN], PLAN, folder / "data", progress=False, workers=1)
    return folder / "data"


def test_pools_hold_every_row_on_a_canvas(sets):
    rows = load_rows(sets, split="train")
    pools = [pool for damaged in (False, True) for pool in line_pools(sets, "train", 4, damaged=damaged)]
    values = {
        damaged: [v for pool in pools if pool.damaged == damaged for ((_, v),) in pool.fields]
        for damaged in (False, True)
    }
    for damaged, found in values.items():
        wanted = [value_of(row.slots) for row in rows if bool(row.severity) == damaged]
        assert set(found) == set(wanted) and len(found) >= len(wanted) > 4
    for pool in pools:
        assert pool.images.shape[1:3] in CANVASES and len(pool) >= 4
        height, width = pool.images.shape[1:3]
        assert (pool.places[:, :2] > -20).all() and (pool.places[:, 2] <= width + 20).all()
        assert (pool.places[:, 3] <= height + 20).all()


def test_only_the_asked_lines_cells_teach_what_stands_there(sets):
    pools = line_pools(sets, "train", 4, damaged=True)
    sampler = LineSampler(pools, stretch=0.15, seed=0, stage=0, batch=4, shift=6, cell=16)
    printed = nothing = unknown = 0
    for step in range(6):
        batch = sampler(step, 1)
        assert np.array_equal(batch.pages, sampler(step, 1).pages)
        height, width = batch.pages.shape[1:3]
        for targets, ((name, value),) in zip(batch.characters, batch.fields, strict=True):
            assert name == "line" and targets.shape == (height * width // 256, 8)
            shown = {chr(code + 32) for code in targets[targets > 0]}
            assert shown <= set(value)
            printed, nothing, unknown = (
                printed + len(shown),
                nothing + (targets == 0).sum(),
                unknown + (targets == -100).sum(),
            )
    assert printed and nothing and unknown > nothing  # most of a crop is no part of the line


def test_a_question_becomes_one_token_that_starts_as_the_others_do():
    processor = Qwen2_5_VLProcessor.from_pretrained(embedded_directory())
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(embedded_directory())
    text = question("line")
    before = len(processor.tokenizer.encode(text))
    learn_question(processor, model, text)
    (token,) = processor.tokenizer.encode(text)
    assert before > 20 and token < model.get_input_embeddings().num_embeddings
    others = [processor.tokenizer.encode(question(name))[0] for name in ("total", "tax", "surname")]
    weights = model.get_input_embeddings().weight.detach()
    cosine = torch.nn.functional.cosine_similarity
    assert cosine(weights[token], weights[others].mean(0), dim=0) > 0.5
    learn_question(processor, model, text)
    assert len(processor.tokenizer.encode(text)) == 1


class Says:
    name = identity = "says"
    signals: tuple[str, ...] = ()

    def __init__(self, text: str) -> None:
        self.text = text

    def asks(self, row):
        return ""

    def read(self, tasks, done=frozenset()):
        return (Answer(task, self.text) for task in tasks)


def test_an_engine_writes_capitals_and_nothing_else_changes():
    said = Reading("Tot l 4.20", not_clear="o", clear="Ttl4.20", clear_number=7, not_clear_number=1)
    reader = InCapitals(Says(render(said, tags=True)))
    (answer,) = reader.read([Task.__new__(Task)])
    assert parse(answer.response).reading == Reading("TOT L 4.20", "O", "TTL4.20", 7, 1)
    assert reader.identity != "says"
    (answer,) = InCapitals(Says("no answer at all")).read([Task.__new__(Task)])
    assert answer.response == "no answer at all"


def test_without_receipts_it_says_where_they_come_from(tmp_path, capsys):
    assert main(["--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "SROIE" in said and "ICDAR 2019" in said and "://" not in said


def test_every_set_needs_its_folder(tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text("")
    assert main(["--annotations", str(tmp_path / "a.jsonl"), "--out", str(tmp_path / "out")]) == 2
    assert "one folder for each" in capsys.readouterr().err


@pytest.fixture
def scans(tmp_path):
    """Eight receipts of eight companies, typeset and annotated."""
    entries = []
    (tmp_path / "images").mkdir()
    for number in range(8):
        texts = [f"SHOP {chr(65 + number) * 6}", *(line for line in RECEIPT if len(line) <= 20)]
        image, boxes, _ = typeset_lines(texts, ("Arimo", "Roboto Mono")[number % 2], 20)
        Image.fromarray(image).save(tmp_path / "images" / f"{number}.png")
        lines = [{"text": " ".join(text.split()), "box": box} for text, box in zip(texts, boxes, strict=True)]
        entries.append(
            {
                "file_name": f"images/{number}.png",
                "document_type": "receipt",
                "size": [image.shape[1], image.shape[0]],
                "fields": {"company": texts[0]},
                "lines": lines,
            }
        )
    path = tmp_path / "annotations.jsonl"
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


def short(kind: str, out: Path) -> str:
    """The shipped recipe of a stage, for two steps."""
    data = yaml.safe_load(Path(f"configs/{kind}/receipt_lines.yaml").read_text())
    data["training"] |= {"max_steps": 2, "save_steps": 1, "per_device_train_batch_size": 8, "logging_steps": 1}
    if kind == "grpo":
        data["training"] |= {"num_generations": 4, "max_completion_length": 24}
    (out / f"{kind}.yaml").write_text(yaml.safe_dump(data))
    return f"{kind}={out / f'{kind}.yaml'}"


@pytest.mark.long
def test_the_study_runs_from_end_to_end_and_again_for_nothing(scans, tmp_path, capfd, monkeypatch):
    models = tuple(step for step in ORDER if step[0])
    monkeypatch.setattr("studies.receipts.__main__.ORDER", models)
    out = tmp_path / "out"
    small = [f"base.{s}.{key}" for s in ("rendered", "more") for key in ("steps=2", "batch=4", "warmup=1")]
    small += ["base.evaluate_every=2", "base.checkpoint_every=1", "rendered.pages=3", "lines.per_document=4"]
    small += ["max_new_tokens=16", "splits.validation=0.12", short("sft", tmp_path), short("grpo", tmp_path)]
    arguments = [
        "--annotations",
        str(scans),
        "--images",
        str(scans.parent),
        "--out",
        str(out),
        "--workers",
        "1",
        *small,
    ]
    assert main(arguments) == 0
    printed = capfd.readouterr().out
    assert "held-out companies" in printed and "GRPO, real lines too" in printed
    found = read_json(out / "results.json")
    assert set(found["sets"]) == {"test_clean", "test_damaged", "test_held_out"}
    assert set(found["sets"]["test_damaged"]["scores"]) == {
        f"{arm}/{stage}" for arm in ("rendered", "real") for stage in ("base", "warm_start", "grpo")
    }
    test = {row.document_id for row in load_rows(out / "data" / "test_damaged")}
    train = {row.document_id for row in load_rows(out / "data" / "real_train")}
    assert test and train and not test & train
    weights = (out / "real" / "grpo" / "model" / "model.safetensors").stat().st_mtime_ns
    assert main(arguments) == 0
    assert (out / "real" / "grpo" / "model" / "model.safetensors").stat().st_mtime_ns == weights
    assert read_json(out / "results.json")["sets"] == found["sets"]
    assert len(list(read_annotations(out / "data" / "receipts" / "train.jsonl"))) >= 4


def test_crops_of_rendered_pages_are_crops(rendered):
    config, pages = rendered
    for sample in page_samples(recipe(config, "train", "known"), pages[0])[:4]:
        assert sample.row.view is not None and sample.image.shape[0] < pages[0].image.shape[0]
