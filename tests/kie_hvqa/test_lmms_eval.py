"""The task file for lmms-eval: the same rows, prompts and scores as here, without it and, where it is installed, inside it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from kie_hvqa.answers.answer import Reading, render
from kie_hvqa.answers.prompt import fill, question
from kie_hvqa.data.dataset import load_rows
from kie_hvqa.data.ledger import Row
from kie_hvqa.errors import InputError
from kie_hvqa.scoring.metrics import SCORES, score_rows, summarise

TASK = Path(__file__).resolve().parents[2] / "configs" / "eval" / "lmms_eval"


def guess(row: Row) -> str:
    """Invents what is hidden, and cannot be parsed about every fourth row."""
    if row.id.endswith("1_name"):
        return "I cannot read this."
    value = "".join("x" if slot.legibility == "hidden" else slot.char for slot in row.slots or ()) or "170"
    return render(Reading(value, "", value.replace(" ", ""), len(value), 0), tags=True)


@pytest.fixture
def task(cards: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``task.py``, imported by its path as lmms-eval does it."""
    monkeypatch.setenv("KIE_HVQA_DATA", str(cards))
    monkeypatch.delenv("KIE_HVQA_SPLIT", raising=False)
    return imported()


def imported() -> Any:
    spec = importlib.util.spec_from_file_location("task", TASK / "task.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def config() -> dict[str, Any]:
    """The task file, ``!function`` tags as the names behind them."""

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))
    found: dict[str, Any] = yaml.load((TASK / "kie_hvqa.yaml").read_text(), Loader)
    return found


def test_every_name_of_the_task_file_is_there(task: Any) -> None:
    named = config()
    functions = {
        named[key] for key in ("dataset_kwargs", "process_docs", "doc_to_visual", "doc_to_text", "process_results")
    }
    functions |= {metric["aggregation"] for metric in named["metric_list"]}
    for name in functions:
        module, _, attribute = name.partition(".")
        assert module == "task" and getattr(task, attribute)
    assert {metric["metric"] for metric in named["metric_list"]} <= set(SCORES)


def test_its_name_is_no_directory_of_the_repository() -> None:
    assert not (TASK.parents[2] / config()["task"]).exists(), "lmms-eval would look for tasks in it"


def test_its_scores_are_those_of_eval(task: Any, cards: Path) -> None:
    rows = load_rows(cards)
    expected = summarise(score_rows(rows, {row.id: guess(row) for row in rows}))["overall"]
    items = [task.results({"id": row.id}, [guess(row)]) for row in rows]
    for metric in config()["metric_list"]:
        name = metric["metric"]
        found = task.ratio([item[name] for item in items])
        assert found == pytest.approx(expected[name]["value"], abs=1e-6), name
        assert [item[name]["document_id"] for item in items] == [row.document_id for row in rows]


def test_a_score_in_which_no_sample_has_a_say_is_no_number(task: Any) -> None:
    assert str(task.ratio([{"top": 0.0, "bottom": 0.0, "document_id": "d"}])) == "nan"


def test_its_prompt_is_word_for_word_that_of_eval(task: Any, cards: Path) -> None:
    row = load_rows(cards)[0]
    assert task.text({"id": row.id}, {"prompt": "official"}) == fill("official", question(row))
    assert task.text({"id": row.id}, {"prompt": "question"}) == question(row)


def test_without_a_directory_it_says_which_variable_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KIE_HVQA_DATA", raising=False)
    with pytest.raises(InputError, match="KIE_HVQA_DATA is not set"):
        _ = imported().DATASET


class _Server(BaseHTTPRequestHandler):
    """Chat completions that answer every question with the same text, and count them."""

    answer = ""
    asked: list[dict[str, Any]] = []

    def do_POST(self) -> None:
        self.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        message = {"role": "assistant", "content": self.answer}
        body = {"id": "1", "object": "chat.completion", "created": 0, "model": "fixed"}
        body["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]  # type: ignore[assignment]
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[str]:
    _Server.answer = render(Reading("170", "", "170", 3, 0), tags=True)
    _Server.asked = []
    running = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}/v1"
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("lmms_eval") is None,
    reason="lmms-eval is not installed: it pins av<16 and wandb, so `make test-lmms-eval` gives it an environment of its own",
)
def test_lmms_eval_runs_it(make_cards: Callable[..., Path], server: str, tmp_path: Path) -> None:
    cards = make_cards(tmp_path / "cards", 4)
    done = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "lmms_eval",
                "--model",
                "openai",
                "--include_path",
                str(TASK),
                "--tasks",
                "kie_hvqa_ledger",
            ),
            *("--model_args", f"model=fixed,base_url={server},api_key=none", "--output_path", str(tmp_path / "out")),
            *("--log_samples", "--batch_size", "1", "--verbosity", "DEBUG"),  # else it ends with 0 after an error
        ],
        env={**os.environ, "KIE_HVQA_DATA": str(cards), "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    rows = load_rows(cards)
    (file,) = (tmp_path / "out").rglob("*_results.json")  # lmms-eval puts it into a directory named after the model
    found = json.loads(file.read_text())["results"]["kie_hvqa_ledger"]
    expected = summarise(score_rows(rows, {row.id: _Server.answer for row in rows}))["overall"]
    for metric in config()["metric_list"]:
        assert found[f"{metric['metric']},none"] == pytest.approx(expected[metric["metric"]]["value"], abs=1e-6)
    assert len(_Server.asked) == len(rows)
    sent = {
        part["text"] for asked in _Server.asked for part in asked["messages"][-1]["content"] if part["type"] == "text"
    }
    assert sent == {fill("official", question(row)) for row in rows}
