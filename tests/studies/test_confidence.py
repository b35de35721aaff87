"""The experiment about promises, on a run whose truth is planted: what is promised is kept there, and not where it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from kie_hvqa.confidence.symbols import SymbolConfidence
from kie_hvqa.runs.evaluator import evaluate
from kie_hvqa.runs.run_directory import load_run
from studies.confidence.guarantee import carried, elsewhere, guarantee
from studies.confidence.page import rendered, signals_table
from studies.confidence.results import results
from studies.confidence.worth import beside, votes
from tests.kie_hvqa.confidence.pieces import Guesser, pages


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("promises")
    evaluate(pages(folder / "pages", 160), Guesser(), folder / "run", progress=False)
    return load_run(folder / "run")


def test_promises_are_kept_and_infeasible_ones_are_not_made(run):
    found = guarantee(run, "token_probability", splits=30)
    assert found["documents"] == 160 and 0.08 < found["error"] < 0.15
    halves = found["of"]["0.1"]["splits"]
    assert halves["feasible"] > 25 and halves["broken"] == 0 and halves["coverage"] > 0.8
    assert halves["coverage_with_hindsight"] >= halves["coverage"]
    assert found["of"]["0.01"]["splits"] == {
        **found["of"]["0.01"]["splits"],
        "feasible": 0,
        "broken": 0,
        "coverage": 0.0,
    }
    assert found["of"]["0.01"]["redrawn"]["1000"]["feasible"] == 30, "with documents enough it can be had"


def test_a_promise_ends_where_other_documents_begin(run, tmp_path):
    class Worse(Guesser):
        """On these documents it is as sure of what it makes up as of what it reads."""

        def read(self, tasks, done=frozenset()):
            for answer in super().read(tasks, done):
                own = answer.signals["token_probability"].symbols
                yield replace(answer, signals={"token_probability": SymbolConfidence((0.99,) * len(own))})

    evaluate(pages(tmp_path / "pages", 40, prefix="other"), Worse(), tmp_path / "run", progress=False)
    found = carried(run, load_run(tmp_path / "run"), "token_probability")
    assert found["0.1"]["feasible"] and found["0.1"]["risk"] > 0.1
    same = elsewhere(run, "token_probability", times=3)
    assert set(same) == {"operator", "template"}


def test_the_page_holds_what_the_experiment_found(run, tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    (folder / "trained").symlink_to(run.directory)
    found = json.loads(json.dumps(results(folder, splits=4, sizes=(100,))))
    assert found["readers"]["trained"]["units"]["field"]["betting"]["of"]["0.1"]["splits"]["promises"] == 4
    parts = rendered(found)
    assert parts["promises"].count("| trained reader |") == 16 and "AURC" in parts["signals"]


def test_the_page_says_what_its_results_do():
    root = Path(__file__).resolve().parents[2]
    kept = json.loads((root / "docs" / "confidence.json").read_text())
    page = (root / "docs" / "confidence.md").read_text()
    for section, body in rendered(kept).items():
        assert f"<!-- {section}: begin -->\n{body}\n<!-- {section}: end -->" in page, section


def test_votes_agree_over_hidden_slots_as_far_as_they_were_drawn_alike(run):
    class Drawn(Guesser):
        """Says the same in three of four draws."""

        def read(self, tasks, done=frozenset()):
            for answer in super().read(tasks, done):
                own = answer.signals["token_probability"].symbols
                votes = SymbolConfidence(tuple(0.75 for _ in own))
                yield replace(answer, signals={**answer.signals, "agreement": votes}, samples=(answer.response,) * 4)

    folder = run.directory.parent
    evaluate(folder / "pages", Drawn(identity="drawn"), folder / "drawn", progress=False)
    drawn = load_run(folder / "drawn")
    said = beside(drawn)
    assert {"answer_calibration - agreement", "combined - token_probability"} <= set(said["differences"])
    assert said["samples"] == 4 and said["regimes"] == [0.8, 0.25] and len(said["alphas"]) == 2
    seen = {(own["over"], own["mean"]) for own in votes(drawn)}
    assert seen == {("clear, right", 0.75), ("hidden, wrong", 0.75)}


def test_the_tables_and_the_plot_are_one_command_each(run, tmp_path):
    text = signals_table(run.metrics["signals"])
    assert text.count("\n") == 1 + len(run.metrics["signals"]["of"]) and "| token probability |" in text
    out = tmp_path / "plot.svg"
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "studies.confidence", "plot", str(run.directory), "--out", str(out)]
    subprocess.run(command, check=True, cwd=root, timeout=300)
    assert ElementTree.parse(out).getroot().tag.endswith("svg") and "token probability" in out.read_text()
    assert json.loads((run.directory / "metrics.json").read_text())["signals"]["compared_with"] == "token_probability"
