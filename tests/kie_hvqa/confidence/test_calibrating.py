"""From a run to an operating point and back into `eval` and `score`: what a user does, with a reader whose mistakes are planted."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from kie_hvqa.answers.answer import Reading
from kie_hvqa.cli import main
from kie_hvqa.confidence.calibrating import calibrate
from kie_hvqa.confidence.operating_point import OperatingPoint
from kie_hvqa.confidence.saying import sentence
from kie_hvqa.confidence.symbols import SymbolConfidence
from kie_hvqa.errors import InputError
from kie_hvqa.runs.evaluator import evaluate, score_predictions
from kie_hvqa.runs.predictions import read_predictions
from kie_hvqa.runs.run_directory import load_run
from tests.kie_hvqa.confidence.pieces import Guesser, pages


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return pages(tmp_path_factory.mktemp("pages") / "cards", 150)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "guesser"
    evaluate(data, Guesser(), out, progress=False)
    return out


def test_a_point_keeps_the_characters_and_drops_the_inventions(run, data, tmp_path, capsys):
    file = tmp_path / "point.json"
    assert main(["calibrate", str(run), "--risk", "0.05", "--out", str(file)]) == 0
    said = capsys.readouterr().out
    point = OperatingPoint.load(file)
    assert 0.69 < point.threshold <= 0.9 and f"token_probability at least {point.threshold:.8g}" in said
    assert point.evidence["coverage"] == pytest.approx(8 / 9, abs=0.03) and point.evidence["risk"] == 0.0
    assert "Without a threshold 1" in said
    # The same reader on other documents, with the point: the answers stay as they were read, the scores do not.
    other = pages(tmp_path / "other", 20, prefix="new")
    plain, kept = tmp_path / "plain", tmp_path / "kept"
    before = evaluate(other, Guesser(), plain, progress=False)
    after = evaluate(other, Guesser(), kept, operating_point=file, progress=False)
    assert (plain / "predictions.jsonl").read_text() == (kept / "predictions.jsonl").read_text()
    assert before["overall"]["invented_rate"]["value"] > 0.3 and after["overall"]["invented_rate"]["value"] == 0
    assert after["overall"]["reading_recall"] == before["overall"]["reading_recall"]
    assert after["operating_point"]["risk"] == 0.05 and before["operating_point"] is None
    loaded = load_run(kept)
    assert [loaded.scores([r])[0].counts["invented"] for r in loaded.rows] == [0] * 40
    # `score` of the kept answers gives the same numbers; without the point the old ones come back.
    scored = score_predictions(plain / "predictions.jsonl", tmp_path / "scored", data=other, operating_point=file)
    assert scored["overall"] == after["overall"]
    assert evaluate(other, Guesser(), kept, progress=False)["overall"] == before["overall"]


def test_another_reader_or_question_is_refused(run, data, tmp_path):
    file = tmp_path / "point.json"
    calibrate(load_run(run), risk=0.05).save(file)
    for reader, field in ((Guesser(identity="2"), "reader_identity"), (Guesser(told="otherwise"), "asks")):
        with pytest.raises(InputError) as refused:
            evaluate(data, reader, tmp_path / "never", operating_point=file, progress=False)
        assert refused.value.field == field and not (tmp_path / "never").exists()
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "predictions.jsonl").write_bytes((run / "predictions.jsonl").read_bytes())
    with pytest.raises(InputError, match=r"run\.json"):
        score_predictions(foreign / "predictions.jsonl", tmp_path / "never", data=data, operating_point=file)


def test_a_risk_that_cannot_be_had_is_infeasible_and_says_why(run, tmp_path, capsys):
    file = tmp_path / "point.json"
    assert main(["calibrate", str(run), "--risk", "0.01", "--out", str(file), "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == json.loads(file.read_text())
    assert main(["calibrate", str(run), "--risk", "0.01", "--out", str(file)]) == 1
    said = capsys.readouterr().out
    assert "infeasible" in said and "fewer than 299" in said and re.search(r"at least 1\d % must be refused", said)
    point = OperatingPoint.load(file)
    assert point.infeasible
    reading = Reading("AB", "", "AB", 2, 0)
    assert point.apply(reading, {"token_probability": SymbolConfidence((1.0, 1.0))}).refused


def test_a_reader_that_is_as_sure_of_what_it_makes_up_gets_no_promise(data, tmp_path):
    evaluate(data, Guesser(honest=False), tmp_path / "run", progress=False)
    point = calibrate(load_run(tmp_path / "run"), risk=0.05)
    assert point.infeasible or point.evidence["coverage"] < 0.5
    assert sentence(point)


def test_fields_are_refused_whole(run):
    point = calibrate(load_run(run), risk=0.1, unit="field")
    assert not point.infeasible
    assert point.evidence["coverage"] == pytest.approx(0.5, abs=0.1), "every second field is made up in part"
    assert point.field_calibrated(Reading("A"), {"token_probability": SymbolConfidence((0.99,))}) > 0.7


def test_all_signals_together_are_one_of_the_choices(run):
    point = calibrate(load_run(run), risk=0.05, signal="combined")
    assert point.signal == "combined" and set(point.needs) == {"token_probability"}
    assert point.evidence["coverage"] == pytest.approx(8 / 9, abs=0.03)


def test_what_is_worth_nothing_as_a_promise_is_refused(run, data, tmp_path):
    with pytest.raises(InputError, match="does not have this signal"):
        calibrate(load_run(run), risk=0.05, signal="agreement")
    with pytest.raises(InputError, match="between 0 and 1"):
        calibrate(load_run(run), risk=1.5)
    test = pages(tmp_path / "test", 5, split="test")
    evaluate(test, Guesser(), tmp_path / "tested", progress=False)
    with pytest.raises(InputError, match="test split"):
        calibrate(load_run(tmp_path / "tested"), risk=0.05)

    class Silent(Guesser):
        signals = ()

        def read(self, tasks, done=frozenset()):
            for answer in super().read(tasks, done):
                yield replace(answer, signals=None)

    evaluate(data, Silent(), tmp_path / "silent", progress=False)
    with pytest.raises(InputError, match="no confidence a symbol") as refused:
        calibrate(load_run(tmp_path / "silent"), risk=0.05)
    assert "--signals agreement" in str(refused.value)


def test_metrics_say_what_each_signal_is_worth(run):
    found = json.loads((run / "metrics.json").read_text())["signals"]
    assert found["compared_with"] == "token_probability" and set(found["of"]) == {
        "token_probability",
        "checks",
        "verified",
        "combined",
    }
    own = found["of"]["token_probability"]["characters"]
    assert own["failure_auroc"]["value"] == 1.0 and own["coverage_at"]["0.01"]["value"] > 0.88
    assert own["aurc"]["value"] < found["of"]["checks"]["characters"]["aurc"]["low"]
    assert found["of"]["checks"]["characters"]["aurc"]["difference"]["low"] > 0
    sure = found["of"]["token_probability"]["probability"]
    assert sure["after"]["ece"] < 0.02 < sure["before"]["ece"]
    assert read_predictions(run / "predictions.jsonl")["doc0_0"].signals
