"""Other people's row files: what can be understood in one way only is taken that way, and all of it is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kie_hvqa.answers.answer import parse
from kie_hvqa.data.data_issues import DATA_ISSUES
from kie_hvqa.data.dataset import load_rows, read_dataset
from kie_hvqa.data.json_lines import MAX_LINE
from kie_hvqa.errors import InputError
from kie_hvqa.readers import Answer
from kie_hvqa.runs.evaluator import evaluate, score_predictions
from kie_hvqa.runs.predictions import read_predictions
from kie_hvqa.runs.run_directory import load_run

TRUTH = (
    '{"clear Char-level OCR": "S m t ", "not clear enough Char-level OCR": "", "clear number": 3, '
    '"not clear enough number": 0, "Final OCR": "Sm t "}'
)
ROW: dict[str, Any] = {
    "id": "card_1_1",
    "image": "./images/1.png",
    "problem": "<image>What is the LN in the image?",
    "answer": TRUTH,
}


class Oracle:
    """Answers the truth it is given; ``fails`` are the rows that it cannot answer."""

    name, identity = "oracle", "1"

    def __init__(self, fails=()):
        self.fails = set(fails)
        self.asked: list[str] = []

    def asks(self, row):
        return row.problem

    def read(self, tasks, done=frozenset()):
        for task in tasks:
            if task.row.id not in done:
                self.asked.append(task.row.id)
                failed = task.row.id in self.fails
                yield Answer(task.row.id, "" if failed else task.row.answer, error="it hung up" if failed else None)


def written(directory: Path, *rows: dict[str, Any] | str | bytes, name: str = "kie_hocr.jsonl") -> Path:
    """The rows as a file, and every image that they name in ``data/``, as the official ones lie."""
    (directory / "data").mkdir(parents=True, exist_ok=True)
    lines = [
        row if isinstance(row, bytes) else (row if isinstance(row, str) else json.dumps(row)).encode() for row in rows
    ]
    (directory / name).write_bytes(b"\n".join(lines) + b"\n")
    for number in range(1, len(rows) + 1):
        Image.new("RGB", (32, 16), (number, 0, 0)).save(directory / "data" / f"{number}.png")
    return directory / name


def changed(**values: Any) -> dict[str, Any]:
    return {**ROW, **values}


def unescaped(row: dict[str, Any]) -> str:
    """The row as it comes out where somebody pasted JSON into JSON."""
    return json.dumps({**row, "answer": "HERE"}).replace("HERE", row["answer"])


REPAIRED: list[tuple[dict[str, Any] | str | bytes, str | None, str]] = [
    (changed(answer=TRUTH[:-1] + ",}"), "answer", "malformed JSON"),
    (changed(answer=TRUTH[:-1]), "answer", "malformed JSON, truncated JSON"),
    (changed(answer=TRUTH.replace("clear Char", "CLEAR char")), "answer", "key spelling"),
    (changed(answer=json.loads(TRUTH)), "answer", "it was an object"),
    (unescaped(ROW), "answer", "quotes were not escaped"),
    ({"ID": "card_1_1", "image": "images/1.png", "Problem": ROW["problem"], "ANSWER": TRUTH}, "id", "'ID'"),
    (changed(id=17), "id", "a number"),
    ({key: value for key, value in ROW.items() if key != "id"}, "id", "called 'line-1'"),
    (b"\xef\xbb\xbf" + json.dumps(ROW).encode(), None, "byte-order mark"),
    (changed(id="card_1_\ud800"), "id", "half a surrogate pair"),
    (changed(id="x" * 1001), "id", "it has 1001 characters: called 'line-1'"),
]


@pytest.mark.parametrize(("row", "field", "what"), REPAIRED)
def test_what_can_be_understood_in_one_way_only_is_repaired_and_listed(tmp_path, row, field, what):
    dataset = read_dataset(written(tmp_path, row))
    first = dataset.issues[0]
    assert (first.line, first.kind, first.field) == (1, "repaired", field)
    assert what in first.what
    reading, expected = parse(dataset.rows[0].answer).reading, parse(TRUTH).reading
    assert reading is not None and reading.final == expected.final
    assert load_rows(tmp_path) == dataset.rows, "repairs are no refusals"


REFUSED: list[tuple[dict[str, Any] | str | bytes, str | None, str]] = [
    ("{not json", None, "not JSON"),
    ("[" * 100_000, None, "not JSON"),
    ("[1, 2]", None, "a row is a JSON object"),
    (b'{"id": "\xff"}', None, "not UTF-8"),
    ({key: value for key, value in ROW.items() if key != "problem"}, "problem", "required"),
    ({key: value for key, value in ROW.items() if key != "answer"}, "answer", "required"),
    ({key: value for key, value in ROW.items() if key != "image"}, "image", "required"),
    (changed(answer=7), "answer", "must be text"),
    (changed(id=["x"]), "id", "must be text"),
    (changed(question_kind="easy"), "question_kind", "unknown question kind"),
    (changed(image="../secret.png"), "file_name", "leaves the dataset"),
    (changed(image="/etc/passwd"), "file_name", "leaves the dataset"),
    ({**ROW, "Problem": "What else?"}, "problem", "stands twice"),
    (json.dumps(changed(problem="x" * MAX_LINE)), None, "longer than 16 MB"),
]


@pytest.mark.parametrize(("row", "field", "what"), REFUSED)
def test_what_is_no_record_is_refused_and_listed_and_the_rest_is_read(tmp_path, row, field, what):
    file = written(tmp_path, changed(id="card_0_1"), row, changed(id="card_2_1"))
    dataset = read_dataset(tmp_path)
    assert [found.id for found in dataset.rows] == ["card_0_1", "card_2_1"]
    refused = [issue for issue in dataset.issues if issue.kind == "refused"]
    assert [(issue.line, issue.field) for issue in refused] == [(2, field)]
    assert what in refused[0].what
    with pytest.raises(InputError, match=what) as caught:
        load_rows(tmp_path)
    assert (caught.value.file, caught.value.line) == (str(file), 2)


def test_a_file_of_which_no_line_is_a_record_is_refused_whole(tmp_path):
    written(tmp_path, "{not json", "[]")
    with pytest.raises(InputError, match=r"there are no rows; all 2 lines are refused, line 1: not JSON"):
        read_dataset(tmp_path)


def test_an_id_that_is_taken_gets_its_line(tmp_path):
    dataset = read_dataset(written(tmp_path, ROW, ROW, changed(id="card_1_2")))
    assert [row.id for row in dataset.rows] == ["card_1_1", "card_1_1@line-2", "card_1_2"]
    assert {row.document_id for row in dataset.rows} == {"card_1"}
    assert [(issue.line, issue.field) for issue in dataset.issues] == [(2, "id")]


def test_any_row_file_will_do_and_its_own_columns_count(tmp_path):
    rows = [
        {"file_name": "data/1.png", "problem": "Total?", "answer": TRUTH},
        {"file_name": "data/1.png", "problem": "Date?", "answer": TRUTH, "document_type": "receipt", "split": "dev"},
    ]
    written(tmp_path, *rows, name="mine.jsonl")
    one, two = read_dataset(tmp_path / "mine.jsonl").rows
    assert (one.id, one.field, one.document_type, one.split) == ("line-1", "Total?", "unknown", "test")
    assert (two.document_type, two.split) == ("receipt", "dev")
    assert one.document_id == two.document_id, "questions about one image are about one document"
    assert one.slots is None and one.severity is None
    assert [row.id for row in read_dataset(tmp_path / "mine.jsonl", split="dev").rows] == ["line-2"]


def test_the_published_layout_is_evaluated_over_all_records_and_every_issue_is_written(tmp_path):
    data = tmp_path / "data_set"
    written(
        data,
        ROW,
        changed(id="card_2_1", image="./images/2.png", answer=TRUTH[:-1] + ",}"),
        "{no record",
        changed(id="card_4_1", image="./images/4.png", answer="nobody can read this"),
        changed(id="card_5_1", image="./images/gone.png"),
        changed(id="card_6_1", image="./images/6.png"),
    )
    (data / "data" / "6.png").write_bytes((data / "data" / "6.png").read_bytes()[:40])
    reader = Oracle()
    metrics = evaluate(data, reader, tmp_path / "out", progress=False)
    assert reader.asked == ["card_1_1", "card_2_1", "card_4_1"]
    assert (metrics["samples"], metrics["unreadable_truths"], metrics["failed"]) == (5, 1, 0)
    assert metrics["overall"]["final"]["n"] == 4, "all records whose truth can be read, asked or not"
    assert metrics["overall"]["final"]["value"] == pytest.approx(50.0)
    found = json.loads((tmp_path / "out" / DATA_ISSUES).read_text())
    listed = {(issue["line"], issue["kind"], issue["field"]) for issue in found["issues"]}
    moved = {(line, "repaired", "image") for line in (1, 2, 4, 6)}
    assert listed == moved | {
        (2, "repaired", "answer"),
        (3, "refused", None),
        (4, "unreadable truth", "answer"),
        (5, "unreadable image", "image"),
        (6, "unreadable image", "image"),
    }
    assert found["records"] == 5
    assert found["counts"] == {"repaired": 5, "refused": 1, "unreadable truth": 1, "unreadable image": 2}
    assert len(load_run(tmp_path / "out").rows) == 5

    # Once more: nothing is asked again, and every file is the same.
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    again = Oracle()
    evaluate(data, again, tmp_path / "out", progress=False)
    assert again.asked == []
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before

    # What was kept scores the same without the reader.
    kept = tmp_path / "out" / "predictions.jsonl"
    assert score_predictions(kept, tmp_path / "again", data=data) == metrics

    # The image is mended: its row, and only that, is asked.
    Image.new("RGB", (32, 16)).save(data / "data" / "6.png")
    mended = Oracle()
    assert evaluate(data, mended, tmp_path / "out", progress=False)["overall"]["final"]["value"] == pytest.approx(75.0)
    assert mended.asked == ["card_6_1"]


def test_no_image_at_all_is_an_error_and_not_four_hundred_wrong_answers(tmp_path):
    written(tmp_path, ROW, changed(id="card_1_2"))
    for image in (tmp_path / "data").iterdir():
        image.unlink()
    with pytest.raises(InputError, match=r"no such image.*Fetch the images"):
        evaluate(tmp_path, Oracle(), tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_a_row_that_failed_counts_as_unparsed_and_is_asked_again(tmp_path):
    data = tmp_path / "data_set"
    written(data, ROW, changed(id="card_2_1", image="data/2.png"))
    metrics = evaluate(data, Oracle(fails=["card_2_1"]), tmp_path / "out", progress=False)
    assert (metrics["failed"], metrics["unparsable"]) == (1, 1)
    assert metrics["overall"]["final"]["value"] == pytest.approx(50.0)
    kept = read_predictions(tmp_path / "out" / "predictions.jsonl")
    assert (kept["card_2_1"].response, kept["card_2_1"].error) == ("", "it hung up")
    again = Oracle()
    metrics = evaluate(data, again, tmp_path / "out", progress=False)
    assert again.asked == ["card_2_1"]
    assert (metrics["failed"], metrics["overall"]["final"]["value"]) == (0, 100.0)


def test_truths_of_the_official_evaluators_lines_that_cannot_be_read_are_listed(tmp_path):
    lines = [{"answer": TRUTH, "response": TRUTH}, {"answer": "?", "response": TRUTH}]
    (tmp_path / "lines.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    metrics = score_predictions(tmp_path / "lines.jsonl", tmp_path / "out")
    assert (metrics["samples"], metrics["unreadable_truths"]) == (2, 1)
    found = json.loads((tmp_path / "out" / DATA_ISSUES).read_text())
    assert [(issue["line"], issue["kind"]) for issue in found["issues"]] == [(2, "unreadable truth")]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*ROW, "Answer", "x"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.one_of(st.binary(max_size=40), json_values.map(lambda v: json.dumps(v).encode())), max_size=6))
def test_every_line_is_a_record_or_an_issue(tmp_path_factory, lines):
    file = tmp_path_factory.mktemp("fuzz") / "rows.jsonl"
    good = json.dumps(ROW).encode()  # first, so that no half of a document of many lines is
    lines = [good, *(line.replace(b"\n", b"") for line in lines)]
    file.write_bytes(b"\n".join([*lines, good]) + b"\n")
    dataset = read_dataset(file)
    refused = {issue.line for issue in dataset.issues if issue.kind == "refused"}
    taken = set(dataset.lines.values())
    written_lines = {number for number, line in enumerate([*lines, b"x"], 1) if line and not line.isspace()}
    assert refused | taken == written_lines and not refused & taken
    assert len({row.id for row in dataset.rows}) == len(dataset.rows)


@pytest.mark.parametrize(
    ("text", "what", "remedy"),
    [
        (json.dumps([ROW, ROW]), "one JSON array", "jq -c '.[]'"),
        ("\ufeff" + json.dumps([ROW, ROW], indent=2), "one JSON array", "jq -c '.[]'"),
        (json.dumps(ROW, indent=2), "over several lines", "jq -c ."),
    ],
)
@pytest.mark.parametrize("name", ["kie_hocr.jsonl", "metadata.jsonl"])
def test_an_array_where_lines_are_wanted_gets_its_own_sentence(tmp_path, text, what, remedy, name):
    file = written(tmp_path, text.encode(), name=name)
    with pytest.raises(InputError) as caught:
        read_dataset(tmp_path)
    assert (caught.value.file, caught.value.line) == (str(file), 1)
    assert what in caught.value.what and remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("id", "document", "type"),
    [
        ("card_1_2", "card_1", "card"),
        ("id_card_1_2", "id_card_1", "id"),
        ("card_1_2@line-7", "card_1", "card"),
        ("card_1", "./images/1.png", "card"),
        ("card_x_1", "./images/1.png", "card"),
        ("1_2", "./images/1.png", "unknown"),
        ("card", "./images/1.png", "unknown"),
        ("a" + "_" * 999, "./images/1.png", "unknown"),
        ("_" * 40 + "1", "./images/1.png", "unknown"),
    ],
)
def test_document_and_type_come_out_of_an_official_id(tmp_path, id, document, type):
    row = read_dataset(written(tmp_path, changed(id=id))).rows[0]
    assert (row.document_id, row.document_type) == (document, type)


@pytest.mark.parametrize("data", [(), ("--data",)], ids=["evaluator's lines", "predictions"])
def test_an_array_of_answers_gets_its_own_sentence_too(kie_hvqa, cards, tmp_path, data):
    (tmp_path / "answers.json").write_text(json.dumps([{"answer": TRUTH, "response": TRUTH}], indent=1))
    named = [*data, cards] if data else []
    done = kie_hvqa("score", "--predictions", tmp_path / "answers.json", *named, "--out", tmp_path / "out")
    assert done.returncode == 2 and "answers.json:1: the file is one JSON array" in done.stderr


@pytest.mark.parametrize(
    "raw", ['"answer": "{' * 80_000, '{"answer": "' + '{"' * 500_000, '"answer"' + " : " * 300_000]
)
def test_a_megabyte_of_a_raw_answer_takes_no_minutes(tmp_path, raw):
    dataset = read_dataset(written(tmp_path, ROW, raw, changed(id="_" * 28)))
    assert [row.id for row in dataset.rows] == ["card_1_1", "_" * 28]
    assert [(issue.line, issue.kind) for issue in dataset.issues] == [(2, "refused")]
