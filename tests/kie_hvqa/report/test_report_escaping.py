"""Whatever the folders that a report is made of say, its page has the shape that it has for harmless names."""

from __future__ import annotations

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pytest
from jinja2 import UndefinedError
from pyarrow.parquet import write_table

from kie_hvqa.report import write_report
from kie_hvqa.report.markup import fill
from kie_hvqa.runs.evaluator import score_predictions
from kie_hvqa.runs.run_directory import RUN
from kie_hvqa.suites import SCHEMA

# No policy of a page stops a refresh. One string breaks out of text, of either kind of attribute, of <style> and of <script>.
HOSTILE = """x\"'><meta http-equiv=refresh content="0;url=http:elsewhere"><script>alert(1)<\\script><!--{{ 7*7 }}<b onclick=a()>&quot;"""


class Shape(HTMLParser):
    """Every tag of a page with the names of its attributes, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, tuple(name for name, _ in attributes)))


def everything(directory: Path, cards: Path, word: str) -> list[Path]:
    """A run, a suite and a training run with rollouts, in which all that anybody else may have written is ``word``."""
    run = directory / word
    lines = [json.loads(line) for line in (cards / "metadata.jsonl").read_text().splitlines()]
    told = "".join(json.dumps({"id": line["id"], "response": word, "confidence": 0.5}) + "\n" for line in lines)
    (directory / "said.jsonl").write_text(told)
    score_predictions(directory / "said.jsonl", run, data=cards)
    record = json.loads((run / RUN).read_text())
    record |= {"reader": word, "versions": {"kie_hvqa": word}}
    (run / RUN).write_text(json.dumps(record))
    metrics = json.loads((run / "metrics.json").read_text())
    for groups in metrics["by"].values():
        for value in list(groups):
            groups[f"{value}{word}"] = groups.pop(value)
    (run / "metrics.json").write_text(json.dumps(metrics))

    suite = directory / f"suite-{word}"
    suite.mkdir()
    rate = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 4}
    result = {"schema": SCHEMA, "suite": "clean", "reader": word, "questions": 4, "documents": 2, "passed": False}
    result |= {"rates": {"marked": rate}, "marked_documents": {"count": word, "of": word, "at_most": 0.5}}
    (suite / "suite.json").write_text(json.dumps(result))

    trained = directory / f"trained-{word}"
    (trained / "rollouts").mkdir(parents=True)
    log = [{"step": step, "reward": 0.1, f"rewards/{word}/mean": 0.2, f"ledger/{word}": 0.3} for step in (1, 2)]
    (trained / "history.json").write_text(json.dumps({"log": log}))
    text = dict.fromkeys(("id", "document_id", "field", "problem", "severity", "answer", "question_kind"), word)
    entries = [text | {"step": 1, "completion": word, f"reward/{word}": 0.5, "advantage": 0.5}]
    write_table(pa.Table.from_pylist(entries), trained / "rollouts" / "step_000001.parquet")
    return [run, suite, trained]


@pytest.fixture
def page(make_cards: Callable[..., Path], tmp_path: Path) -> Callable[[str], str]:
    def made(word: str) -> str:
        place = tmp_path / str(len(list(tmp_path.iterdir())))
        place.mkdir()
        directories = everything(place, make_cards(place / "cards"), word)
        write_report([*directories, directories[0]], place / "report.html")
        return (place / "report.html").read_text(encoding="utf-8")

    return made


def test_nothing_foreign_is_markup(page):
    hostile, harmless = page(HOSTILE), page("harmless")
    assert "refresh" in hostile and 'id="rollouts"' in hostile and 'id="suite-0"' in hostile
    assert Shape(hostile).tags == Shape(harmless).tags
    assert hostile.lower().count("<meta") == harmless.lower().count("<meta") == 3


def test_a_template_escapes_by_default_and_wants_every_name():
    empty = {"grid": [], "texts": [], "series": [], "references": [], "guide": None}
    assert "&lt;b&gt;" in fill("chart.svg", title="<b>", width=1.0, height=1.0, **empty)
    with pytest.raises(UndefinedError):
        fill("chart.svg", title="without the rest", width=1.0, height=1.0)
