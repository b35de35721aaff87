"""Evaluation that can be stopped anywhere: nothing read twice, nothing served stale, nothing of another run touched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from kie_hvqa.data.dataset import load_rows
from kie_hvqa.data.files import beside
from kie_hvqa.errors import InputError, WorkError
from kie_hvqa.runs.evaluator import evaluate, score_predictions
from kie_hvqa.scoring.metrics import OVERALL_SCORES
from kie_hvqa.runs.predictions import read_predictions
from kie_hvqa.readers import Answer
from kie_hvqa.runs.run_directory import load_run

ROOT = Path(__file__).resolve().parents[3]


class Oracle:
    """Answers the truth, backwards, and remembers what it was asked; ``stop_after`` answers it is interrupted."""

    def __init__(self, name="oracle", identity="1", stop_after=None, wrap="{}"):
        self.name, self.identity, self.stop_after, self.wrap = name, identity, stop_after, wrap
        self.asked = []

    def asks(self, row):
        return row.problem

    def read(self, tasks, done=frozenset()):
        for task in reversed(tasks):
            if task.row.id in done:
                continue
            if self.stop_after == len(self.asked):
                raise KeyboardInterrupt
            self.asked.append(task.row.id)
            yield Answer(task.row.id, self.wrap.format(task.row.answer), 0.5)


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_a_perfect_reader_scores_perfectly(cards, tmp_path):
    metrics = evaluate(cards, Oracle(), tmp_path / "out", progress=False)
    assert metrics["overall"]["hallucination_free_accuracy"]["value"] == 1.0
    assert metrics["overall"]["average"]["value"] == 100.0
    assert metrics["overall"]["invented_rate"]["value"] == 0.0
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == metrics
    assert {"document_type", "severity", "question_kind"} <= set(metrics["by"])
    assert list(read_predictions(tmp_path / "out" / "predictions.jsonl")) == [row.id for row in load_rows(cards)]


def test_an_interrupted_run_reads_only_the_rest_and_ends_byte_identical(cards, tmp_path):
    whole = Oracle()
    evaluate(cards, whole, tmp_path / "whole", progress=False)
    with pytest.raises(KeyboardInterrupt):
        evaluate(cards, Oracle(stop_after=5), tmp_path / "cut", progress=False)
    assert len(read_predictions(tmp_path / "cut" / "predictions.jsonl")) == 5
    assert not (tmp_path / "cut" / "metrics.json").exists()
    rest = Oracle()
    evaluate(cards, rest, tmp_path / "cut", progress=False)
    assert rest.asked == whole.asked[5:]
    assert files(tmp_path / "cut") == files(tmp_path / "whole")


@pytest.mark.parametrize("kept", [1, 30, 111, -1])
def test_a_half_written_line_is_dropped_and_read_again(cards, tmp_path, kept):
    evaluate(cards, Oracle(), tmp_path / "out", progress=False)
    whole = files(tmp_path / "out")
    lines = whole["predictions.jsonl"].splitlines(keepends=True)
    (tmp_path / "out" / "predictions.jsonl").write_bytes(b"".join(lines[:4]) + lines[4][:kept])
    again = Oracle()
    evaluate(cards, again, tmp_path / "out", progress=False)
    assert sorted(again.asked) == sorted(json.loads(line)["id"] for line in lines[4:])
    assert files(tmp_path / "out") == whole


def test_a_kill_loses_no_answer_that_was_written(cards, tmp_path):
    """A process killed for good between two answers: the file holds whole lines, and the run goes on."""
    code = f"""
import sys, time
sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]
from test_evaluator import Oracle
from kie_hvqa.runs.evaluator import evaluate
from pathlib import Path
class Slow(Oracle):
    def read(self, tasks, done=frozenset()):
        for answer in super().read(tasks, done):
            yield answer
            time.sleep(0.2)
evaluate({str(cards)!r}, Slow(), Path({str(tmp_path / "out")!r}), progress=False)
"""
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "1"})
    log = tmp_path / "out" / "predictions.jsonl"
    deadline = time.monotonic() + 300
    try:
        while not (log.exists() and log.read_bytes().count(b"\n") >= 3):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    kept = len(read_predictions(log, repeated=True))
    assert 3 <= kept < 12
    rest = Oracle()
    metrics = evaluate(cards, rest, tmp_path / "out", progress=False)
    assert len(rest.asked) == 12 - kept
    assert metrics["missing"] == 0
    evaluate(cards, Oracle(), tmp_path / "whole", progress=False)
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_killed_anywhere_it_ends_byte_identical(cards, tmp_path):
    """Killed after any share of its time, between answers, within a line or while scores are written, and run again."""
    code = f"""
import os, random, signal, sys, time
sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]
from pathlib import Path
from test_evaluator import Oracle, evaluate, files
out = Path({str(tmp_path)!r})
evaluate({str(cards)!r}, Oracle(), out / "warm", progress=False)
began = time.perf_counter()
evaluate({str(cards)!r}, Oracle(), out / "whole", progress=False)
took = time.perf_counter() - began
finished = []
for share in (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95):
    cut = out / f"cut_{{share}}"
    child = os.fork()
    if not child:
        evaluate({str(cards)!r}, Oracle(), cut, progress=False)
        os._exit(0)
    time.sleep(share * took)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    finished.append(not os.WIFSIGNALED(status))
    evaluate({str(cards)!r}, Oracle(), cut, progress=False)
    # What was being written beside its place is swept, but for run.json, which is written before the lock is held.
    assert {{k: v for k, v in files(cut).items() if not k.startswith(".run.json.")}} == files(out / "whole"), share
print(finished.count(False))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0, "no run was cut"


def test_what_a_kill_left_beside_its_place_is_swept(cards, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    for name in ("metrics.json", "predictions.jsonl", "data_issues.json"):
        beside(out / name).write_text("half")
    (out / ".mine").write_text("a person's")
    evaluate(cards, Oracle(), out, progress=False)
    assert [path.name for path in out.iterdir() if path.name[0] == "."] == [".mine"]


def test_a_finished_run_reads_nothing(cards, tmp_path):
    evaluate(cards, Oracle(), tmp_path / "out", progress=False)
    before = files(tmp_path / "out")
    again = Oracle()
    evaluate(cards, again, tmp_path / "out", progress=False)
    assert again.asked == []
    assert files(tmp_path / "out") == before


def test_a_changed_image_is_read_again_and_only_that(cards, tmp_path):
    from PIL import Image

    evaluate(cards, Oracle(), tmp_path / "out", progress=False)
    Image.new("RGB", (192, 96), "white").save(cards / "images" / "card_2.png")
    again = Oracle()
    evaluate(cards, again, tmp_path / "out", progress=False)
    assert sorted(again.asked) == ["card_2_height", "card_2_name", "card_2_number"]


def test_changed_weights_or_questions_are_read_again(cards, tmp_path):
    evaluate(cards, Oracle(), tmp_path / "out", progress=False)
    retrained = Oracle(identity="2")
    evaluate(cards, retrained, tmp_path / "out", progress=False)
    assert len(retrained.asked) == 12
    metadata = cards / "metadata.jsonl"
    metadata.write_text(metadata.read_text().replace("What is the number", "What's the number", 1))
    asked = Oracle(identity="2")
    evaluate(cards, asked, tmp_path / "out", progress=False)
    assert asked.asked == ["card_0_number"]


def test_another_run_is_refused_and_left_alone(cards, make_cards, tmp_path):
    evaluate(cards, Oracle(), tmp_path / "out", progress=False)
    before = files(tmp_path / "out")
    for data, reader in ((cards, Oracle("other", "2")), (make_cards(tmp_path / "other", 2), Oracle())):
        with pytest.raises(InputError, match="holds another run") as caught:
            evaluate(data, reader, tmp_path / "out", progress=False)
        assert "--out" in caught.value.remedy
        assert files(tmp_path / "out") == before


def test_a_run_that_never_got_to_an_answer_does_not_hold_its_directory(cards, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        evaluate(cards, Oracle("mistyped", "0", stop_after=0), tmp_path / "out", progress=False)
    evaluate(cards, Oracle(), tmp_path / "out", progress=False)
    assert load_run(tmp_path / "out").record.reader == "oracle"


def test_a_moved_dataset_is_the_same_run(cards, tmp_path):
    evaluate(cards, Oracle(), tmp_path / "out", progress=False)
    moved = cards.rename(tmp_path / "moved")
    again = Oracle()
    evaluate(moved, again, tmp_path / "out", progress=False)
    assert again.asked == []
    assert load_run(tmp_path / "out").record.data == str(moved)


def test_answers_of_unknown_origin_are_left_alone(cards, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "predictions.jsonl").write_text('{"id": "a", "response": "b"}\n')
    with pytest.raises(InputError, match="unknown run"):
        evaluate(cards, Oracle(), tmp_path / "out", progress=False)


def test_a_second_evaluation_is_refused_before_it_changes_a_byte(cards, tmp_path):
    """Two start on an empty directory; the second must not put its name over the first one's answers."""
    out = tmp_path / "out"
    seen = {}

    class Slow(Oracle):
        def read(self, tasks, done=frozenset()):
            for answer in super().read(tasks, done):
                if not seen:
                    before = {path.name: path.read_bytes() for path in out.iterdir()}
                    other = Thread(target=second)
                    other.start()
                    other.join()
                    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
                yield answer

    def second():
        with pytest.raises(InputError, match="another evaluation") as caught:
            evaluate(cards, Oracle("somebody else", "2"), out, progress=False)
        seen["refused"] = caught.value

    evaluate(cards, Slow(), out, progress=False)
    assert f"process {os.getpid()}" in seen["refused"].what
    assert load_run(out).record.reader == "oracle"


def test_a_limit_scores_its_rows_and_keeps_the_others(cards, tmp_path):
    evaluate(cards, Oracle(), tmp_path / "out", progress=False)
    limited = Oracle()
    assert evaluate(cards, limited, tmp_path / "out", limit=4, progress=False)["samples"] == 6  # two documents
    assert limited.asked == []
    assert len(read_predictions(tmp_path / "out" / "predictions.jsonl")) == 12
    assert len(load_run(tmp_path / "out").rows) == 6


def test_a_truncated_image_stops_the_run_before_anything_is_read(cards, tmp_path):
    evaluate(cards, Oracle(), tmp_path / "out", limit=3, progress=False)
    before = read_predictions(tmp_path / "out" / "predictions.jsonl")
    image = cards / "images" / "card_3.png"
    image.write_bytes(image.read_bytes()[:-200])
    reader = Oracle()
    with pytest.raises(InputError, match=r"card_3\.png.*truncated.*'card_3_name'"):
        evaluate(cards, reader, tmp_path / "out", progress=False)
    assert reader.asked == []
    assert read_predictions(tmp_path / "out" / "predictions.jsonl") == before


def test_what_a_model_writes_cannot_break_the_file(cards, tmp_path):
    odd = Oracle(wrap="\ud800\u2028\x00\r\n{}<script>")
    evaluate(cards, odd, tmp_path / "out", progress=False)
    kept = read_predictions(tmp_path / "out" / "predictions.jsonl")
    assert len(kept) == 12
    assert kept["card_0_name"].response.startswith("\ud800\u2028\x00\r\n")
    again = Oracle()
    evaluate(cards, again, tmp_path / "out", progress=False)
    assert again.asked == []


ODD = {
    "a megabyte": "x" * (1 << 20),
    "a megabyte of answer": '<answer>{"Final OCR": "' + "x" * (1 << 20) + '"}</answer>',
    "deeply nested": "<answer>" + '{"a":' * 50_000 + "}" * 50_000 + "</answer>",
    "a nested value": '<answer>{"Final OCR": ' + "[" * 50_000 + "]" * 50_000 + "}</answer>",
    "NUL bytes": "\0" * 1000,
    "surrogates": '<answer>{"Final OCR": "\ud800x\udc00"}</answer>',
    "right to left": '<answer>{"Final OCR": "\u202e\u200f\u0627\u0644"}</answer>',
    "look-alikes": '<answer>{"Final OCR": "\u0410\u0392\u217d\uff21"}</answer>',
    "nothing": "",
}


@pytest.mark.parametrize("name", ODD)
def test_nothing_that_a_model_writes_stops_an_evaluation(cards, tmp_path, name):
    class Odd(Oracle):
        def read(self, tasks, done=frozenset()):
            for answer in super().read(tasks, done):
                yield Answer(answer.id, ODD[name])

    metrics = evaluate(cards, Odd(), tmp_path / "out", progress=False)
    assert metrics["samples"] == 12 and metrics["overall"]["hallucination_free_accuracy"]["value"] < 1.0
    found = load_run(tmp_path / "out")
    assert {found.response(row) for row in found.rows} == {ODD[name]}, "kept as it was written"
    again = score_predictions(tmp_path / "out" / "predictions.jsonl", tmp_path / "scored", data=cards)
    assert again == metrics


class Forgetful(Oracle):
    def read(self, tasks, done=frozenset()):
        yield from list(super().read(tasks, done))[:-1]


class Repeating(Oracle):
    def read(self, tasks, done=frozenset()):
        for answer in super().read(tasks, done):
            yield answer
            yield answer


@pytest.mark.parametrize(("reader", "what"), [(Forgetful(), "left out 1 rows"), (Repeating(), "was not asked")])
def test_a_reader_that_breaks_its_contract_is_a_failure_of_the_work(cards, tmp_path, reader, what):
    with pytest.raises(WorkError, match=what):
        evaluate(cards, reader, tmp_path / "out", progress=False)
    assert not (tmp_path / "out" / "metrics.json").exists()


def test_a_real_checkpoint_goes_the_whole_way(cards, tiny_model, tmp_path):
    out = tmp_path / "out"
    metrics = evaluate(cards, str(tiny_model), out, progress=False, batch_size=4, max_new_tokens=8)
    assert metrics["overall"]["parse_failure_rate"]["value"] == 1.0
    lines = (out / "predictions.jsonl").read_bytes().splitlines(keepends=True)
    (out / "predictions.jsonl").write_bytes(b"".join(lines[:5]))
    again = evaluate(cards, str(tiny_model), out, progress=False, batch_size=4, max_new_tokens=8)
    assert again == metrics
    assert (out / "predictions.jsonl").read_bytes().splitlines(keepends=True) == lines


# --- scoring what already exists ---

OFFICIAL = [
    # (truth, response), the two published records; the guess "Smith" for "Sm t " earns 0.60 as Final OCR.
    (("S m t ", "", "Sm t "), ("S m i t h", "", "Smith")),
    (("m i ", "E", "Emi  "), ("m i", "E", "Emi  ")),
]


def official(clear: str, not_clear: str, final: str) -> str:
    text = {
        "clear Char-level OCR": clear,
        "not clear enough Char-level OCR": not_clear,
        "clear number": 0,
        "not clear enough number": 0,
        "Final OCR": final,
    }
    return f"<answer>{json.dumps(text)}</answer>"


def test_the_official_evaluators_lines_are_scored(tmp_path):
    lines = [json.dumps({"answer": official(*truth), "response": official(*said)}) for truth, said in OFFICIAL]
    (tmp_path / "lines.jsonl").write_text("\n".join(lines) + "\n")
    overall = score_predictions(tmp_path / "lines.jsonl", tmp_path / "out")["overall"]
    assert overall["final"]["value"] == pytest.approx(100 * (0.6 + 1.0) / 2)
    assert overall["clear"]["value"] == pytest.approx(100 * (0.6 + 1.0) / 2)
    assert overall["not_clear"]["value"] == pytest.approx(100.0)
    assert overall["hallucination_free_accuracy"]["value"] is None, "no ledger: missing, not zero"
    assert load_run(tmp_path / "out").rows[1].answer == official(*OFFICIAL[1][0])


def test_answers_by_id_score_as_the_run_that_wrote_them(cards, tmp_path):
    metrics = evaluate(cards, Oracle(), tmp_path / "run", progress=False)
    predictions = tmp_path / "run" / "predictions.jsonl"
    assert score_predictions(predictions, tmp_path / "out", data=cards) == metrics
    assert score_predictions(predictions, tmp_path / "out", data=cards) == metrics


def test_a_row_without_an_answer_counts_as_wrong(cards, tmp_path):
    evaluate(cards, Oracle(), tmp_path / "run", progress=False, limit=9)
    metrics = score_predictions(tmp_path / "run" / "predictions.jsonl", tmp_path / "out", data=cards)
    assert metrics["missing"] == 3
    assert metrics["overall"]["hallucination_free_accuracy"]["value"] == pytest.approx(9 / 12)
    assert (
        score_predictions(tmp_path / "run" / "predictions.jsonl", tmp_path / "nine", data=cards, limit=9)["missing"]
        == 0
    )


@pytest.mark.parametrize(
    ("line", "field", "what"),
    [
        ('{"id": "card_9_name", "response": ""}', "id", "no row 'card_9_name'"),
        ('{"id": "card_0_name", "response": ""}', None, "already answered"),
        ('{"id": "card_1_name"}', "response", "missing"),
        ('{"id": "card_1_name", "response": 7}', "response", "must be str"),
        ("{", None, "not JSON"),
        ("[]", None, "JSON object"),
    ],
)
def test_a_wrong_line_is_named(cards, tmp_path, line, field, what):
    path = tmp_path / "answers.jsonl"
    path.write_text('{"id": "card_0_name", "response": "x"}\n\n' + line + "\n")
    with pytest.raises(InputError, match=what) as caught:
        score_predictions(path, tmp_path / "out", data=cards)
    assert (caught.value.file, caught.value.line, caught.value.field) == (str(path), 3, field)
    assert not (tmp_path / "out").exists()


def test_predictions_by_id_without_their_data_are_told_apart(tmp_path):
    (tmp_path / "answers.jsonl").write_text('{"id": "a", "response": "x"}\n')
    with pytest.raises(InputError, match="--data"):
        score_predictions(tmp_path / "answers.jsonl", tmp_path / "out")


def test_every_score_has_its_four_numbers(cards, tmp_path):
    overall = evaluate(cards, Oracle(), tmp_path / "out", progress=False)["overall"]
    assert set(overall) == set(OVERALL_SCORES)
    assert all(set(score) == {"value", "low", "high", "n"} for score in overall.values())


def test_signals_are_kept_beside_their_answers(cards, tmp_path):
    from kie_hvqa.confidence.symbols import SymbolConfidence

    class Sure(Oracle):
        def read(self, tasks, done=frozenset()):
            for answer in super().read(tasks, done):
                yield replace(answer, signals={"nose": SymbolConfidence((0.25, None), 0.5)})

    out = tmp_path / "out"
    evaluate(cards, Sure(), out, progress=False)
    evaluate(cards, Sure(stop_after=0), out, progress=False)  # nothing is read again
    kept = read_predictions(out / "predictions.jsonl")
    assert {str(each.signals) for each in kept.values()} == {str({"nose": SymbolConfidence((0.25, None), 0.5)})}


def test_a_broken_signal_is_named_by_its_line(tmp_path):
    file = tmp_path / "predictions.jsonl"
    file.write_text('{"id": "a", "response": "", "signals": {"nose": {"symbols": [3], "refusal": null}}}\n')
    with pytest.raises(InputError) as refused:
        read_predictions(file)
    assert (refused.value.line, refused.value.field) == (1, "signals")
