"""Everything wrong that a user can hand in: status 2, one message with file, line and remedy, nothing lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


def snapshot(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()
    }


def refused(done, *parts: str) -> None:
    """Status 2 and exactly one line, which holds all of ``parts``."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    for part in parts:
        assert part in lines[0]


def rewrite(metadata: Path, line: int, text: str) -> None:
    lines = metadata.read_text().splitlines()
    lines[line - 1] = text
    metadata.write_text("\n".join(lines) + "\n")


def test_an_unknown_key_of_a_recipe(kie_hvqa, tmp_path):
    recipe = tmp_path / "cards.yaml"
    recipe.write_text("seed: 1\ncount: 2\nseverites: {0: 1.0}\n")
    done = kie_hvqa("simulate", "--config", recipe, "--out", tmp_path / "data")
    refused(done, f"{recipe}:3", "severites", "unknown key", "Did you mean `severities`?")
    assert not (tmp_path / "data").exists()


def test_a_wrong_type_in_a_recipe(kie_hvqa, tmp_path):
    recipe = tmp_path / "cards.yaml"
    recipe.write_text("seed: 1\ncount: many\n")
    refused(kie_hvqa("simulate", "--config", recipe, "--out", tmp_path / "data"), f"{recipe}:2", "count")


@pytest.mark.parametrize(
    ("command", "named"),
    [
        (["simulate", "--config", "gone.yaml", "--out", "OUT"], "gone.yaml"),
        (["eval", "--data", "gone", "--reader", "rapidocr", "--out", "OUT"], "gone"),
        (["score", "--predictions", "gone.jsonl", "--out", "OUT"], "gone.jsonl"),
        (["report", "gone", "--out", "OUT"], "gone"),
    ],
)
def test_a_missing_file(kie_hvqa, tmp_path, command, named):
    refused(kie_hvqa(*(str(tmp_path / "out") if part == "OUT" else part for part in command)), named)
    assert not (tmp_path / "out").exists()


def damaged_rows(cards: Path, kind: str) -> tuple[str, ...]:
    """Spoil line 5 of the metadata; returns what the message must hold."""
    metadata = cards / "metadata.jsonl"
    row = json.loads(metadata.read_text().splitlines()[4])
    if kind == "not JSON":
        rewrite(metadata, 5, "{'id': 1}")
        return f"{metadata}:5", "not JSON", "Mend or remove"
    if kind == "duplicate id":
        rewrite(metadata, 5, json.dumps({**row, "id": "card_0_name"}))
        return f"{metadata}:5", "'card_0_name'", "line 1", "id of its own"
    if kind == "climbing path":
        rewrite(metadata, 5, json.dumps({**row, "file_name": "../../etc/passwd"}))
        return f"{metadata}:5", "file_name", "leaves the dataset directory", "Put the image under it"
    if kind == "unknown kind":
        rewrite(metadata, 5, json.dumps({**row, "question_kind": "easy"}))
        return f"{metadata}:5", "question_kind", "answerable"
    assert kind == "missing image"
    (cards / row["file_name"]).unlink()
    return "no such image", str(cards / row["file_name"])


@pytest.mark.parametrize("kind", ["not JSON", "duplicate id", "climbing path", "unknown kind", "missing image"])
def test_a_wrong_row_stops_the_evaluation_before_it_writes(kie_hvqa, cards, tmp_path, kind):
    expected = damaged_rows(cards, kind)
    refused(kie_hvqa("eval", "--data", cards, "--reader", "rapidocr", "--out", tmp_path / "out"), *expected)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def finished(kie_hvqa, cards, tmp_path):
    """A finished run of the engine over two blank cards, which takes no time to read."""
    answers = tmp_path / "answers.jsonl"
    rows = [json.loads(line) for line in (cards / "metadata.jsonl").read_text().splitlines()]
    answers.write_text("".join(json.dumps({"id": row["id"], "response": row["answer"]}) + "\n" for row in rows))
    done = kie_hvqa("score", "--predictions", answers, "--data", cards, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    return tmp_path / "run"


def test_an_out_that_holds_another_run(kie_hvqa, cards, finished):
    before = snapshot(finished)
    done = kie_hvqa("eval", "--data", cards, "--reader", "rapidocr", "--out", finished)
    refused(done, str(finished / "run.json"), "holds another run", "Name another --out")
    assert snapshot(finished) == before


def test_a_truncated_image(kie_hvqa, cards, tmp_path):
    image = cards / "images" / "card_1.png"
    image.write_bytes(image.read_bytes()[:-100])
    done = kie_hvqa("eval", "--data", cards, "--reader", "rapidocr", "--out", tmp_path / "out")
    refused(done, str(image), "truncated", "card_1_name", "Replace the file")
    assert not (tmp_path / "out" / "metrics.json").exists()


def test_a_report_over_a_file_that_is_there_is_whole_or_untouched(kie_hvqa, finished, tmp_path):
    page = tmp_path / "report.html"
    page.write_text("an earlier report")
    (finished / "metrics.json").write_text("{")
    refused(kie_hvqa("report", finished, "--out", page), str(finished / "metrics.json"), "not JSON")
    assert page.read_text() == "an earlier report"


def test_a_checkpoint_that_disagrees_with_its_reading_json(kie_hvqa, cards, tiny_model, tmp_path):
    done = kie_hvqa("eval", "--data", cards, "--reader", tiny_model, "--max-pixels", 4096, "--out", tmp_path / "out")
    refused(done, str(tiny_model / "reading.json"), "max_pixels", "65536", "4096")
    assert not (tmp_path / "out").exists()


def test_an_unknown_reader_and_an_unknown_reward(kie_hvqa, cards, tmp_path):
    refused(
        kie_hvqa("eval", "--data", cards, "--reader", "rapidorc", "--out", tmp_path / "out"),
        "rapidorc",
        "no such reader",
    )
    refused(kie_hvqa("rewards", "check", "faithfull"), "faithfull")


def test_a_limit_of_nothing(kie_hvqa, cards, tmp_path):
    refused(kie_hvqa("eval", "--data", cards, "--reader", "rapidocr", "--limit", 0, "--out", tmp_path / "out"), "limit")


def test_an_empty_dataset(kie_hvqa, cards, tmp_path):
    (cards / "metadata.jsonl").write_text("\n\n")
    refused(
        kie_hvqa("eval", "--data", cards, "--reader", "rapidocr", "--out", tmp_path / "out"),
        str(cards / "metadata.jsonl"),
        "there are no rows",
    )
    assert not (tmp_path / "out").exists()


def test_a_predictions_file_of_another_dataset(kie_hvqa, cards, make_cards, finished, tmp_path):
    other = make_cards(tmp_path / "other", 1)
    answers = tmp_path / "answers.jsonl"
    before = answers.read_bytes()
    done = kie_hvqa("score", "--predictions", answers, "--data", other, "--out", tmp_path / "out")
    refused(done, f"{answers}:4", "no row 'card_1_name'", "Name the dataset")
    assert answers.read_bytes() == before and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--prompt", "oficial"), "Did you mean `official`"),
        (("--device", "gpu"), "unknown device 'gpu'"),
        (("--samples", 0), "samples"),
        (("--concurrency", 4), "--batch-size"),
    ],
)
def test_an_option_that_makes_no_sense_for_a_checkpoint(kie_hvqa, cards, tiny_model, tmp_path, options, told):
    out = tmp_path / "out"
    refused(kie_hvqa("eval", "--data", cards, "--reader", tiny_model, "--out", out, *options), told)
    assert not out.exists()


def test_a_reader_that_cannot_start_leaves_the_answers_alone(kie_hvqa, cards, tiny_model, tmp_path):
    import shutil

    model = shutil.copytree(tiny_model, tmp_path / "model")
    (model / "model.safetensors").write_bytes(b"not weights")
    out = tmp_path / "out"
    done = kie_hvqa("eval", "--data", cards, "--reader", model, "--out", out)
    refused(done, str(model), "the model cannot be loaded", "whole image-text-to-text checkpoint")
    assert (out / "predictions.jsonl").read_bytes() == b""


def test_predictions_without_an_answer_to_anything(kie_hvqa, cards, tmp_path):
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    refused(
        kie_hvqa("score", "--predictions", empty, "--data", cards, "--out", tmp_path / "out"),
        str(empty),
        "none of the 12 rows asked for is answered",
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("spoilt", ["{}", "[]", '{"schema": "kie-hvqa-metrics-2", "overall": {}}'])
def test_a_report_over_scores_that_are_not_whole(kie_hvqa, finished, tmp_path, spoilt):
    (finished / "metrics.json").write_text(spoilt)
    refused(
        kie_hvqa("report", finished, "--out", tmp_path / "report.html"),
        str(finished / "metrics.json"),
        "not the scores of this version",
        "again",
    )
    assert not (tmp_path / "report.html").exists()


def test_a_report_over_a_history_and_a_suite_that_are_none(kie_hvqa, tmp_path):
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "history.json").write_text('{"log": [{"loss": 1}]}')
    told = kie_hvqa("report", tmp_path / "training", "--out", tmp_path / "report.html")
    refused(told, "history.json", "log", "not the history of a training run")
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "suite.json").write_text('{"suite": "clean"}')
    told = kie_hvqa("report", tmp_path / "suite", "--out", tmp_path / "report.html")
    refused(told, "suite.json", "not a suite's result of this version")


def test_a_suite_without_anything_to_ask(kie_hvqa, cards, tmp_path):
    told = kie_hvqa("eval", "--suite", "twins", "--data", cards, "--reader", "rapidocr", "--out", tmp_path / "out")
    refused(told, str(cards / "metadata.jsonl"), "no pair of twins", "simulated for it")
    assert not (tmp_path / "out").exists()
