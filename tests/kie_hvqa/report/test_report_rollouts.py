"""The rollouts of a training run in the report: which are shown, and that what a model wrote is text."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image
from pyarrow.parquet import write_table

from kie_hvqa.data.dataset import spread
from kie_hvqa.errors import InputError
from kie_hvqa.report import write_report
from kie_hvqa.report.rollouts import QUESTIONS, STEPS


def answer(final: str) -> str:
    said = {"clear Char-level OCR": " ".join(final), "not clear enough Char-level OCR": "", "Final OCR": final}
    return f"<answer>{json.dumps(said)}</answer>"


@pytest.fixture
def trained(tmp_path) -> Path:
    """Nine steps of five questions with two answers each."""
    folder = tmp_path / "run" / "rollouts"
    folder.mkdir(parents=True)
    log = [{"step": step, "reward": 0.1 * step} for step in range(1, 10)]
    (tmp_path / "run" / "history.json").write_text(json.dumps({"steps": 9, "log": log}))
    for step in range(1, 10):
        rows = [
            {
                "step": step, "id": f"q{question}-{step}", "document_id": "d", "document_type": "id_card", "split": "train",
                "field": "sex", "question_kind": "answerable", "problem": "<image>What is the sex?", "severity": question,
                "answer": answer("F"), "completion": said, "reward/faithful": reward, "advantage": reward - 0.5,
                "page": json.dumps({"seed": 1}), "recipe": "[]",
            }
            for question in range(5)
            for said, reward in ((answer("M"), 0.0), (answer("F"), 1.0))
        ]  # fmt: skip
        if step == 1:
            rows[0]["completion"] = "<script>alert(1)</script>" * 20
        write_table(pa.Table.from_pylist(rows), folder / f"step_{step:06d}.parquet")
    return tmp_path / "run"


def test_some_questions_of_some_steps_with_image_answers_and_pay(trained, tmp_path):
    asked = []

    def replay(row):
        asked.append((row.id, row.page))
        return Image.new("RGB", (50, 30), "red") if row.severity else None

    write_report([trained], tmp_path / "report.html", replay=replay)
    page = (tmp_path / "report.html").read_text()
    body = page[page.index('<section id="rollouts"') : page.index("</section>", page.index('<section id="rollouts"'))]
    assert len(asked) == body.count('class="rollout"') == STEPS * QUESTIONS
    assert [name for name, _ in asked[:3]] == ["q0-1", "q2-1", "q4-1"] and asked[-1] == ("q4-9", {"seed": 1})
    assert body.count("<img ") == STEPS * (QUESTIONS - 1)  # severity 0 could not be made again
    assert "<script>" not in body and "&lt;script&gt;" in body and len(body) < 100_000
    last = body[body.rindex('class="rollout"') :]
    assert last.index("<code>F</code></td>") < last.index("<code>M</code></td>")  # the best paid first
    assert "+0.50" in last and "-0.50" in last and "What is the sex?" in last


def test_a_run_without_rollouts_has_no_such_section(trained, tmp_path):
    for file in (trained / "rollouts").iterdir():
        file.unlink()
    write_report([trained], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert 'id="training"' in page and 'id="rollouts"' not in page


def test_a_log_that_was_cut_short_is_named(trained, tmp_path):
    last = trained / "rollouts" / "step_000009.parquet"
    last.write_bytes(last.read_bytes()[:100])
    with pytest.raises(InputError, match="not a log of rollouts"):
        write_report([trained], tmp_path / "report.html")


def test_a_spread_has_both_ends():
    assert spread(list(range(10)), 4) == [0, 3, 6, 9] and spread([1, 2], 4) == [1, 2] and spread([1, 2], 1) == [1]
