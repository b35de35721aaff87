"""What an evaluation would do: rows, tokens, time, and nothing written."""

from __future__ import annotations

import pytest

from kie_hvqa.errors import InputError
from kie_hvqa.runs.evaluator import evaluate
from kie_hvqa.data.pixels import image_tokens
from kie_hvqa.runs.plan import plan
from kie_hvqa.readers import open_reader


def test_a_plan_counts_rows_pages_and_tokens_and_writes_nothing(cards, tiny_model, tmp_path):
    out = tmp_path / "out"
    found = plan(cards, str(tiny_model), out, max_new_tokens=4)
    assert (found.rows, found.pages, found.missing, found.issues) == (12, 4, 12, 0)
    budget = open_reader(str(tiny_model)).budget
    small, large = (image_tokens(width, 96, budget) for width in (192, 224))
    assert found.image_tokens == (6 * small + 6 * large, large)
    assert found.new_tokens == 48 and found.text_tokens > 12
    assert 0 < found.seconds < 600
    assert "image tokens: " in found.text() and "time: about " in found.text()
    assert not out.exists()


def test_what_is_answered_is_not_planned_again(cards, tiny_model, tmp_path):
    out = tmp_path / "out"
    evaluate(cards, str(tiny_model), out, limit=5, progress=False, max_new_tokens=4)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert plan(cards, str(tiny_model), out, limit=5, max_new_tokens=4).missing == 0
    assert plan(cards, str(tiny_model), out, limit=5, max_new_tokens=4).seconds == 0
    assert plan(cards, str(tiny_model), out, limit=5, max_new_tokens=5).missing == 6, "another reader"
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_server_is_asked_nothing(cards, tmp_path):
    found = plan(cards, "openai:m@http://127.0.0.1:9/v1", tmp_path / "out", samples=3, max_new_tokens=10)
    assert (found.new_tokens, found.seconds, found.image_tokens) == (12 * 3 * 10, None, None)
    assert "unknown, it depends on the server" in found.text()


def test_a_plan_refuses_what_the_evaluation_would_refuse(cards, tmp_path):
    (cards / "images" / "card_0.png").unlink()
    with pytest.raises(InputError, match="no such image"):
        plan(cards, "openai:m@http://127.0.0.1:9/v1", tmp_path / "out")


def test_the_command_line_plans(kie_hvqa, cards, tmp_path):
    done = kie_hvqa(
        "eval", "--data", cards, "--reader", "openai:m@http://127.0.0.1:9/v1", "--out", tmp_path / "out", "--dry-run"
    )
    assert done.returncode == 0, done.stderr
    assert "rows: 12 about 4 images; 12 of them are to be read" in done.stdout
    assert not (tmp_path / "out").exists()
