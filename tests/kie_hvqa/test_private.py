"""``private: true`` keeps values and pictures out of whatever is written about a dataset; see docs/privacy.md."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kie_hvqa.data.dataset import load_rows
from kie_hvqa.data.private import is_private
from kie_hvqa.errors import InputError
from kie_hvqa.readers import Answer
from kie_hvqa.report import write_report
from kie_hvqa.runs.evaluator import evaluate, score_predictions
from kie_hvqa.runs.run_directory import read_record


class Truthful:
    name = identity = "truthful"

    def asks(self, row):
        return row.problem

    def read(self, tasks, done=frozenset()):
        for task in tasks:
            if task.row.id not in done:
                yield Answer(task.row.id, task.row.answer)


def declare(data: Path, private: object) -> None:
    file = data / "dataset.json"
    held = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(held | {"config": {**held.get("config", {}), "private": private}}))


def values(data: Path) -> set[str]:
    return {"".join(slot.char for slot in row.slots) for row in load_rows(data) if row.slots}


def leaks(page: str, data: Path) -> list[str]:
    return [value for value in values(data) if len(value) > 3 and value in page]


def test_a_dataset_says_whether_it_is_private(cards, tmp_path):
    assert not is_private(cards)
    declare(cards, True)
    assert is_private(cards) and is_private(cards / "metadata.jsonl")
    declare(cards, "no")
    with pytest.raises(InputError, match="true or false"):
        is_private(cards)


@pytest.mark.parametrize("declared", [True, False])
def test_a_report_about_private_data_shows_no_value_and_no_picture(cards, tmp_path, declared):
    out, page = tmp_path / "out", tmp_path / "report.html"
    evaluate(cards, Truthful(), out, progress=False)
    write_report([out], page)
    assert leaks(page.read_text(), cards) and "data:image" in page.read_text()
    if declared:
        declare(cards, True)
    evaluate(cards, Truthful(), out, progress=False, private=not declared)
    evaluate(cards, Truthful(), out, progress=False)  # once private, always
    assert read_record(out).private
    write_report([out], page)
    text = page.read_text()
    assert not leaks(text, cards) and "data:image" not in text
    assert "private" in text and "Ledger" in text


def test_scored_answers_can_be_private_and_issues_quote_nothing(tmp_path):
    file = tmp_path / "lines.jsonl"
    answer = json.dumps({"clear Char-level OCR": "A", "Final OCR": "A"})
    lines = [{"answer": f"<answer>{answer}</answer>", "response": "x"}, {"answer": "SECRET", "response": "x"}]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    score_predictions(file, tmp_path / "open")
    score_predictions(file, tmp_path / "closed", private=True)
    assert read_record(tmp_path / "closed").private and not read_record(tmp_path / "open").private
    issues = [json.loads((tmp_path / name / "data_issues.json").read_text())["issues"] for name in ("open", "closed")]
    assert issues[0] and [one["line"] for one in issues[0]] == [one["line"] for one in issues[1]]
    assert all("private" in one["what"] for one in issues[1])
