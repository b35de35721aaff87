"""What leaves for texts and spreadsheets: comparisons as Markdown and CSV, and answers as CSV."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest

from kie_hvqa import cli
from kie_hvqa.answers.answer import render, truth
from kie_hvqa.data.dataset import load_rows
from kie_hvqa.report.exports import comparison
from kie_hvqa.report.exports.answers import answers_csv
from kie_hvqa.report.exports.spreadsheet import spreadsheet
from kie_hvqa.runs.evaluator import score_predictions
from kie_hvqa.runs.run_directory import load_runs, names_of
from kie_hvqa.scoring.comparison import compare_runs
from kie_hvqa.scoring.metrics import OVERALL_SCORES

ODD = '=1+1,"a"\n\ud800|'


@pytest.fixture
def runs(cards: Path, tmp_path: Path) -> list[Path]:
    """Three runs: refuses everything, is honest, and honest but for one answer that nothing can read."""
    rows = load_rows(cards)
    for name, special in (("refuses", None), ("honest", ""), ("a|b", ODD)):
        said = {row.id: render(truth(row.slots or () if special is not None else ()), tags=True) for row in rows}
        if special:
            said[rows[0].id] = special
        lines = [{"id": key, "response": text, "confidence": -0.25} for key, text in said.items()]
        (tmp_path / "said.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        score_predictions(tmp_path / "said.jsonl", tmp_path / name, data=cards)
    return [tmp_path / name for name in ("refuses", "honest", "a|b")]


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_a_comparison_as_csv_has_every_number_of_it(runs):
    loaded = load_runs(runs)
    found = {(line["score"], line["run"], line["minus"]): line for line in table(comparison.csv(loaded))}
    expected = compare_runs(loaded)
    assert len(found) == len(OVERALL_SCORES) * (3 + 3)
    for name, row in expected.items():
        for run in ("refuses", "honest", "a|b"):
            assert found[name, run, ""]["value"] == ("" if row[run] is None else str(row[run]))
        for later, earlier in (("honest", "refuses"), ("a|b", "honest"), ("a|b", "refuses")):
            mean, line = row[f"{later}-{earlier}"]["mean"], found[name, later, earlier]
            assert line["value"] == ("" if mean is None else str(mean))
            assert line["n"] == str(row[f"{later}-{earlier}"]["n"])


def test_a_comparison_as_markdown_has_whole_tables_whatever_a_run_is_called(runs):
    text = comparison.markdown(load_runs(runs))
    strata, scores, note = text.rstrip("\n").split("\n\n")
    for lines in (strata.splitlines(), scores.splitlines()):
        assert {line.replace("\\|", "").count("|") for line in lines} == {lines[1].count("|")}
    assert "a\\|b-honest" in scores.splitlines()[0]
    (free,) = [line for line in scores.splitlines() if line.startswith("| hallucination-free accuracy")]
    assert [cell.strip() for cell in free.split(" | ")][1:4] == ["33.3", "100.0", "91.7"]
    assert "12 questions about 4 documents" in note


def test_compare_prints_or_writes_what_the_name_says(runs, tmp_path, capsys):
    told = [str(path) for path in runs]
    assert cli.main(["compare", *told]) == 0
    assert capsys.readouterr().out == comparison.markdown(load_runs(runs))
    assert cli.main(["compare", *told, "--out", str(tmp_path / "c.csv")]) == 0
    assert (tmp_path / "c.csv").read_bytes().decode() == comparison.csv(load_runs(runs))
    capsys.readouterr()
    for wrong in ([*told, "--out", str(tmp_path / "c.txt")], told[:1], [told[0], told[0]]):
        assert cli.main(["compare", *wrong]) == 2
    assert "two runs" in capsys.readouterr().err


def test_answers_as_csv_say_what_became_of_each(runs, cards, tmp_path, capsys):
    out = tmp_path / "answers.csv"
    assert cli.main(["report", *map(str, runs), "--out", str(out)]) == 0
    lines = table(out.read_bytes().decode())
    assert len(lines) == 3 * 12
    found = {(line["run"], line["id"]): line for line in lines}
    name = found["honest", "card_0_name"]
    assert (name["printed"], name["legibility"], name["read"]) == ("Marta Quist", "cchhc_ccccc", "Ma··a·Quist")
    assert (name["hallucination_free"], name["errors"], name["stratum"]) == ("1", "", "mixed")
    assert name["confidence"] == "-0.25" and len(name["outcomes"]) == 11
    odd = found["a|b", "card_0_name"]
    assert odd["response"] == ODD.replace("\ud800", "?") and odd["hallucination_free"] == "0"
    assert (odd["read"], odd["errors"]) == ("", "unparsable")


def test_answers_to_private_data_leave_without_a_value(runs, cards, tmp_path):
    score_predictions(tmp_path / "said.jsonl", tmp_path / "private", data=cards, private=True)
    text = answers_csv(load_runs([tmp_path / "private"]))
    assert "Quist" not in text and "Final OCR" not in text and "What is" not in text
    (name,) = [line for line in table(text) if line["id"] == "card_1_name"]
    assert name["legibility"] and name["outcomes"] and name["hallucination_free"] == "1"


def test_a_cell_may_hold_whatever_it_likes():
    written = spreadsheet([("a", "b"), ('x,"y"\r\n', None), ("\0\ud800", True)])
    assert written.isprintable() is False and "\0" not in written
    assert list(csv.reader(io.StringIO(written, newline=""))) == [["a", "b"], ['x,"y"\r\n', ""], ["\ufffd?", "1"]]


def test_runs_are_called_by_as_much_of_their_path_as_tells_them_apart(tmp_path):
    paths = [tmp_path / "a/x/run", tmp_path / "b/x/run", tmp_path / "b/y/run", tmp_path / "other"]
    assert names_of(paths) == ["a/x/run", "b/x/run", "y/run", "other"]
    assert names_of([paths[0], paths[0]]) == ["run", "run"]


def test_a_copied_run_is_another(runs, tmp_path):
    copy = shutil.copytree(runs[1], tmp_path / "else" / "honest")
    assert [run.name for run in load_runs([runs[1], copy])][1] == "else/honest"
