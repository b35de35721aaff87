"""What commands show: a line that moves on a terminal, few lines in a file, nothing when quiet, one object for a script."""

from __future__ import annotations

import io
import json
import sys

import pytest

from kie_hvqa import cli, console
from kie_hvqa.console import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    monkeypatch.delenv(console.QUIET, raising=False)
    return now


def work(clock: list[float], seconds: float, **named: object) -> None:
    for _ in Progress("eval data", 4, "rows", **named).over(range(4)):
        clock[0] += seconds


def test_a_file_gets_a_line_every_half_minute_and_one_at_the_end(clock, capsys):
    work(clock, 20)
    assert capsys.readouterr().err.splitlines() == [
        "eval data: 50% 2/4 rows, 00:40 left",
        "eval data: 100% 4/4 rows, 00:00 left",
        "eval data: 100% 4/4 rows in 01:20",
    ]


def test_short_work_leaves_no_line_in_a_file(clock, capsys):
    work(clock, 5)
    assert capsys.readouterr().err == ""


def test_a_file_of_work_that_failed_does_not_say_that_it_ended(clock, capsys):
    with pytest.raises(KeyError), Progress("eval", 100, "rows", done=40) as bar:
        clock[0] += 60
        bar.advance(20)
        raise KeyError
    assert (
        capsys.readouterr().err == "eval: 60% 60/100 rows, 02:00 left\n"
    )  # what was there before says nothing of speed


def test_a_terminal_gets_one_line_that_moves_and_is_no_longer_than_it(clock, monkeypatch):
    monkeypatch.setattr(sys, "stderr", made := Terminal())
    monkeypatch.setenv("COLUMNS", "30")
    work(clock, 5)
    assert made.getvalue().count("\n") == 1 and made.getvalue().endswith("\n")
    drawn = made.getvalue().strip("\n").split(console._CLEAR)
    assert all(len(line) < 30 for line in drawn) and drawn[-1].startswith("eval data: 100%")
    monkeypatch.setattr(sys, "stderr", late := Terminal())
    work(clock, 0.3, delay=2)
    assert late.getvalue() == ""


@pytest.mark.parametrize("where", [Terminal, io.StringIO])
def test_quiet_is_quiet_and_a_warning_is_heard(clock, monkeypatch, where):
    monkeypatch.setattr(sys, "stderr", made := where())
    with console.quieted(True):
        work(clock, 60)
        console.say("nobody hears this")
        console.tell("kie-hvqa: a warning")
    assert made.getvalue().removeprefix(console._CLEAR) == "kie-hvqa: a warning\n"
    assert not console.quiet()


def test_colours_are_for_terminals_and_for_who_wants_them(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert console.coloured(Terminal()) and not console.coloured(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not console.coloured(Terminal())


@pytest.fixture
def run_of(cards, tmp_path, capsys):
    rows = [json.loads(line) for line in (cards / "metadata.jsonl").read_text().splitlines()]

    def score(name: str, *more: str, response: str | None = None):
        answers = tmp_path / f"{name}.jsonl"
        answers.write_text(
            "".join(json.dumps({"id": row["id"], "response": response or row["answer"]}) + "\n" for row in rows)
        )
        line = ["score", "--predictions", answers, "--data", cards, "--out", tmp_path / name, *more]
        assert cli.main([*map(str, line)]) == 0
        return tmp_path / name, capsys.readouterr()

    return score


def test_scores_for_a_script_are_those_of_the_file(run_of):
    out, said = run_of("json", "--json")
    assert json.loads(said.out) == json.loads((out / "metrics.json").read_text())
    assert run_of("quiet", "--quiet")[1] == ("", "")
    assert "wrote" in run_of("plain")[1].out


def test_a_comparison_for_a_script(run_of, tmp_path, capsys):
    good, _ = run_of("good")
    bad, _ = run_of("bad", response="<answer></answer>")
    file = tmp_path / "differences.json"
    assert cli.main(["compare", str(bad), str(good), "--json", "--out", str(file)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads(file.read_text())
    assert found["balanced"]["good-bad"]["mean"] == found["balanced"]["good"] - found["balanced"]["bad"] > 0
    assert cli.main(["compare", str(bad), str(good), "--quiet"]) == 0
    assert capsys.readouterr().out.startswith("|")  # what was asked for is no chatter


def test_a_plan_for_a_script(cards, tmp_path, capsys):
    line = ["eval", "--data", cards, "--reader", "openai:m@http://127.0.0.1:9/v1", "--out", tmp_path / "out"]
    assert cli.main([*map(str, line), "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out).items() >= {"rows": 12, "missing": 12, "seconds": None}.items()
