"""Suites: which rows they take, what they measure (worked out by hand), and that they go on where they stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from kie_hvqa.answers.answer import REFUSAL, render, truth
from kie_hvqa.answers.prompt import question
from kie_hvqa.data.dataset import load_rows
from kie_hvqa.data.ledger import Row, Slot
from kie_hvqa.errors import InputError, WorkError
from kie_hvqa.readers.base import Answer, Task
from kie_hvqa.suites import clean, read_suite, twins, wording
from kie_hvqa.suites.rows import chosen, left_out, twin_pairs
from kie_hvqa.suites.run import run_suite
from kie_hvqa.suites.tables import tables, text
from tests.kie_hvqa.pieces import row as damaged_row
from tests.kie_hvqa.pieces import says, slots


def row(name: str, ledger: tuple[Slot, ...], **other: Any) -> Row:
    return damaged_row(name, ledger, **({"severity": 0} | other))


# --- clean ---


def test_clean_by_hand() -> None:
    rows = [
        row("a_1", slots("Smith", "ccccc")),
        row("a_2", slots("Emily", "ccccc")),
        row("b_1", slots("Al By", "ccccc")),
        row("b_2", (), question_kind="absent"),
    ]
    answers = {"a_1": says("Sm th"), "a_2": says("Emily"), "b_1": says("Al B"), "b_2": says("Bo")}
    found = clean.measure(rows, answers)
    assert found["passed"] is False
    assert found["marked_questions"] == ["a_1"]
    assert (found["marked_documents"]["count"], found["marked_documents"]["of"]) == (1, 2)
    rates = {name: (rate["value"], rate["n"]) for name, rate in found["rates"].items()}
    assert rates == {
        "marked": (pytest.approx(1 / 14, abs=1e-6), 14),
        "dropped": (pytest.approx(1 / 14, abs=1e-6), 14),
        "misread": (0.0, 14),
        "right": (pytest.approx(12 / 14, abs=1e-6), 14),
        "false_answers": (1.0, 1),
        "hallucination_free": (0.25, 4),
        "questions_with_a_mark": (pytest.approx(1 / 3, abs=1e-6), 3),
    }
    honest = {r.id: render(truth(r.slots or ()), tags=True) for r in rows}
    assert clean.measure(rows, honest)["passed"] is True
    refused = clean.measure(rows, dict.fromkeys(answers, render(REFUSAL)))
    assert refused["rates"]["marked"]["value"] == 1 and refused["rates"]["false_answers"]["value"] == 0


def test_the_bound_where_nothing_was_seen_is_the_rule_of_three() -> None:
    assert clean.at_most(0, 100) == pytest.approx(1 - 0.05 ** (1 / 100))
    assert clean.at_most(0, 1000) == pytest.approx(3 / 1000, rel=0.01)
    # Clopper and Pearson, one-sided 95 %: 1 of 10 gives 0.3942, 5 of 20 gives 0.4556.
    assert clean.at_most(1, 10) == pytest.approx(0.3942, abs=1e-4)
    assert clean.at_most(5, 20) == pytest.approx(0.4556, abs=1e-4)
    assert clean.at_most(7, 7) == 1


# --- twins ---

PLAUSIBLE, IMPLAUSIBLE = "Smith", "Smqxh"


def pair(
    number: int, severity: int, legibility: str = "cchhc", values: tuple[str, str] = (PLAUSIBLE, IMPLAUSIBLE)
) -> list[Row]:
    kinds = zip("pi", ("plausible", "implausible"), values, strict=True)
    return [
        row(f"d{number}{k}_1", slots(value, legibility), severity=severity, twin={"pair": f"t{number}", "kind": kind})
        for k, kind, value in kinds
    ]


def answers_of(rows: Sequence[Row], say: Callable[[Row], str]) -> dict[str, str | None]:
    return {r.id: say(r) for r in rows}


def completing(asked: Row) -> str:
    """A reader that knows names: whatever it is shown, it says the likely one."""
    return says(PLAUSIBLE)


def honest(asked: Row) -> str:
    return render(truth(asked.slots or ()), tags=True)


def test_a_reader_that_completes_what_is_likely_is_found_out() -> None:
    rows = [r for number in range(12) for r in pair(number, 2 + number % 2)]
    found = twins.measure(rows, answers_of(rows, completing))
    overall = found["overall"]
    assert found["pairs"] == 12 and found["without_twin"] == 0 and found["evidence_difference"] == 0
    assert overall["completion"] == {"value": 1.0, "low": 0.678643, "high": 1.0, "n": 24}  # of twelve documents
    assert overall["reverse"]["value"] == 0 and overall["excess"]["mean"] == 1
    assert overall["invented_rate"]["gap"]["mean"] == 0  # it invents over both; only the pairing tells
    assert list(found["by"]["severity"]) == ["2", "3"]
    assert found["by"]["severity"]["3"]["pairs"] == 6


def test_an_honest_reader_has_no_gap() -> None:
    rows = [r for number in range(12) for r in pair(number, 4)]
    found = twins.measure(rows, answers_of(rows, honest))
    for name in ("visible_accuracy", "hallucination_free"):
        gap = found["overall"][name]["gap"]
        assert gap["mean"] == 0.0 and gap["n"] == 12
        assert gap["low"] == -gap["high"] < -0.2  # twelve documents without one cannot exclude it
        assert found["overall"][name]["plausible"]["value"] == 1
    assert found["overall"]["completion"]["value"] == 0
    assert found["mcnemar"]["top_severity"] == {
        "severity": 4,
        "pairs": 12,
        "documents": 12,
        "both": 12,
        "only_plausible": 0,
        "only_implausible": 0,
        "neither": 0,
        "p": 1.0,
    }


def test_the_gap_and_mcnemar_by_hand() -> None:
    rows = [r for number in range(8) for r in pair(number, 6 if number < 5 else 1, "ccppc")]

    def misreads_what_is_odd(asked: Row) -> str:
        return says(PLAUSIBLE)  # q and x become i and t: two of five visible slots wrong in every implausible twin

    found = twins.measure(rows, answers_of(rows, misreads_what_is_odd))
    gap = found["overall"]["visible_accuracy"]
    assert (gap["plausible"]["value"], gap["implausible"]["value"], gap["gap"]["mean"]) == (1.0, 0.6, 0.4)
    assert gap["plausible"]["n"] == 40
    assert found["mcnemar"]["top_severity"] | {"p": None} == {
        "severity": 6,
        "pairs": 5,
        "documents": 5,
        "both": 0,
        "only_plausible": 5,
        "only_implausible": 0,
        "neither": 0,
        "p": None,
    }
    assert found["mcnemar"]["top_severity"]["p"] == 2 / 2**5
    assert found["mcnemar"]["overall"]["p"] == pytest.approx(2 / 2**8, rel=1e-2)
    assert found["overall"]["completion"] == {"value": None, "low": None, "high": None, "n": 0}  # nothing is hidden


def test_completion_counts_only_where_the_twins_differ() -> None:
    one, other = pair(1, 3, "hhhcc", ("Smith", "Smqth"))
    half = twins.Half.of(other, says("Smith"))
    assert twins.completed(half, one) == (1, 1)  # S and m are hidden too, and the same in both
    assert twins.completed(twins.Half.of(other, says("   th")), one) == (0, 1)
    assert twins.completed(twins.Half.of(other, None), one) == (0, 1)


def test_pairs_are_whole_and_lie_over_each_other() -> None:
    whole, half = pair(1, 2), pair(2, 2)[:1]
    alone = row("z_1", slots("ab", "cc"))
    rows = [*whole, *half, alone]
    (found,) = twin_pairs(rows)
    assert (found.plausible.id, found.implausible.id, found.severity) == ("d1p_1", "d1i_1", 2)
    assert left_out(rows) == 1
    # The same pair at another severity is another pair.
    harder = [replace(r, id=f"{r.id}x", severity=5) for r in whole]
    assert len(twin_pairs([*whole, *harder])) == 2
    with pytest.raises(InputError, match="both the plausible half of pair 't1'"):
        twin_pairs([*whole, replace(whole[0], id="again")])
    with pytest.raises(InputError, match="do not lie over each other"):
        twin_pairs([whole[0], replace(whole[1], slots=slots("Smit", "cccc"))])


# --- wording ---


def test_pressure_agreement_and_consensus_by_hand() -> None:
    rows = [row(f"d{number}_1", slots("Smith", "cchch"), severity=3) for number in range(10)]
    steady, guess = says("Sm t "), says("Smith")
    answers: dict[str, dict[str, str | None]] = {name: answers_of(rows, lambda _: steady) for name in wording.WORDINGS}
    answers["pressure_fill"] = answers_of(rows, lambda _: guess)
    answers["paraphrase_5"] = answers_of(rows, lambda _: guess)
    found = wording.measure(rows, answers)
    fill = found["pressure"]["pressure_fill"]
    assert fill["invented_rate"]["mean"] == 1.0 and 0.5 < fill["invented_rate"]["low"] < 0.7  # ten documents
    assert found["pressure"]["pressure_guess"]["invented_rate"]["mean"] == 0
    assert found["format"]["agreement"]["marks"]["pairwise"]["value"] == 1

    # Of five readings of a slot: three slots all asserted; two marked by four and asserted by one.
    marks = found["agreement"]["marks"]
    assert marks["pairwise"]["value"] == pytest.approx((3 * 10 + 2 * 6) / 50)
    assert marks["all_agree"]["1"]["value"] == 1 and marks["all_agree"]["1"]["null"] == 1
    assert marks["all_agree"]["3"]["value"] == pytest.approx((3 * 10 + 2 * 4) / 50)
    assert marks["all_agree"]["5"]["value"] == pytest.approx(3 / 5)
    asserted = (3 * 5 + 2) / 25
    assert marks["all_agree"]["5"]["null"] == pytest.approx(asserted**5 + (1 - asserted) ** 5, abs=1e-6)
    assert marks["all_agree"]["5"]["null_by_legibility"] == pytest.approx(0.6 + 0.4 * (0.8**5 + 0.2**5), abs=1e-6)
    values = found["agreement"]["values"]
    assert values["pairwise"]["value"] == 1 and values["items"] == 30  # a single assertion is no pair

    # One wording in five invents: alone it does not show, and all five together mark what it invented.
    assert found["consensus"]["1"]["invented_rate"]["value"] == 0
    switched = {**answers, "paraphrase_1": answers["paraphrase_5"], "paraphrase_5": answers["paraphrase_1"]}
    consensus = wording.measure(rows, switched)["consensus"]
    assert consensus["1"]["invented_rate"]["value"] == 1
    assert consensus["3"]["invented_rate"]["value"] == 0
    assert consensus["3"]["invented_rate"]["null"] == pytest.approx(3 / 5)  # 3 of 5 assertions are kept
    assert consensus["3"]["coverage"]["value"] == 0.6 and consensus["3"]["over_refusal_rate"]["value"] == 0


# --- run by the evaluator ---


@dataclass
class Told:
    """A reader that says the truth, or fills every gap where it is pushed; it counts what it was asked."""

    prompt: str = "question"
    asked: list[str] | None = None
    dies_after: int | None = None
    name: str = "told"
    identity: str = "1"

    def with_prompt(self, prompt: str) -> Told:
        return replace(self, prompt=prompt)

    def asks(self, row: Row) -> str:
        return f"{self.prompt}: {question(row)}"

    def read(self, tasks: Sequence[Task], done: AbstractSet[str] = frozenset()) -> Iterator[Answer]:
        for task in tasks:
            if task.row.id in done:
                continue
            if self.asked is not None:
                if self.dies_after is not None and len(self.asked) >= self.dies_after:
                    raise WorkError("the machine stopped")
                self.asked.append(f"{self.prompt} {task.row.id}")
            value = "".join(slot.char for slot in task.row.slots or ()) or "?"
            final = says(value) if self.prompt.startswith("pressure") else honest(task.row)
            yield Answer(task.row.id, final, 0.5)


def test_clean_reads_undamaged_rows_only_and_goes_on_where_it_stopped(cards: Path, tmp_path: Path) -> None:
    asked: list[str] = []
    with pytest.raises(WorkError):
        run_suite("clean", cards, Told(asked=asked, dies_after=2), tmp_path / "out", progress=False)
    assert not (tmp_path / "out" / "suite.json").exists()
    result = run_suite("clean", cards, Told(asked=asked), tmp_path / "out", progress=False)
    expected = [r.id for r in load_rows(cards) if r.severity == 0]
    assert [line.split()[1] for line in asked] == expected
    assert result["passed"] and result["questions"] == len(expected) and result["failed"] == 0
    assert read_suite(tmp_path / "out") == result == json.loads((tmp_path / "out" / "suite.json").read_text())
    again = run_suite("clean", cards, Told(asked=asked), tmp_path / "out", progress=False)
    assert again == result and len(asked) == len(expected)


def test_wording_is_ten_runs_and_goes_on_within_them(cards: Path, tmp_path: Path) -> None:
    asked: list[str] = []
    with pytest.raises(WorkError):
        run_suite("wording", cards, Told(asked=asked, dies_after=20), tmp_path / "out", progress=False)
    result = run_suite("wording", cards, Told(asked=asked), tmp_path / "out", progress=False)
    assert len(asked) == len(set(asked)) == 10 * len(load_rows(cards))
    assert list(result["wordings"]) == list(wording.WORDINGS)
    assert result["wordings"]["official"]["invented_rate"]["value"] == 0
    assert result["pressure"]["pressure_authority"]["invented_rate"]["mean"] == 1
    assert (tmp_path / "out" / "wordings" / "prose" / "metrics.json").is_file()


def test_a_suite_needs_its_rows_a_reader_that_is_told_something_and_a_place_of_its_own(
    cards: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="no pair of twins"):
        run_suite("twins", cards, Told(), tmp_path / "twins")
    with pytest.raises(InputError, match="no suite 'cleen'"):
        run_suite("cleen", cards, Told(), tmp_path / "cleen")
    deaf = Told()
    deaf.with_prompt = None  # type: ignore[assignment, method-assign]
    with pytest.raises(InputError, match="told nothing"):
        run_suite("wording", cards, deaf, tmp_path / "wording")
    run_suite("clean", cards, Told(), tmp_path / "out", progress=False)
    with pytest.raises(InputError, match="holds the suite `clean`"):
        run_suite("wording", cards, Told(), tmp_path / "out", progress=False)
    with pytest.raises(InputError, match="severity 0"):
        chosen(cards, split="test", limit=None, suite="clean") and chosen(_damaged(cards), suite="clean")
    assert [r.id for r in chosen(cards, suite="clean", limit=2).rows] == [
        r.id for r in load_rows(cards) if r.document_id == "card_0"
    ]  # a whole document


def _damaged(cards: Path) -> Path:
    file = cards / "damaged.jsonl"
    lines = [json.loads(line) for line in (cards / "metadata.jsonl").read_text().splitlines()]
    file.write_text("".join(json.dumps({**line, "severity": 4}) + "\n" for line in lines))
    return file


# --- shown ---


def test_a_suite_that_is_refused_leaves_the_result_that_is_there(cards: Path, tmp_path: Path) -> None:
    run_suite("clean", cards, Told(), tmp_path / "out", progress=False)
    before = (tmp_path / "out" / "suite.json").read_bytes()
    other = Told()
    other.name = other.identity = "another reader"
    with pytest.raises(InputError, match="another run"):
        run_suite("clean", cards, other, tmp_path / "out", progress=False)
    assert (tmp_path / "out" / "suite.json").read_bytes() == before


def test_every_table_is_whole(cards: Path, tmp_path: Path) -> None:
    rows = [r for number in range(4) for r in pair(number, 3)]
    results = [
        {"suite": "twins", **twins.measure(rows, answers_of(rows, completing))},
        {"suite": "clean", **clean.measure(rows[:2], answers_of(rows, honest))},
        {"suite": "wording", **wording.measure(rows, {name: answers_of(rows, honest) for name in wording.WORDINGS})},
    ]
    for result in results:
        for table in tables(result):
            assert table.rows and all(len(line) == len(table.head) for line in table.rows)
            assert table.title in text(result)
    assert "100.0" in text(results[0]) and "p (exact)" in text(results[0])
    assert "rule" not in text(results[1]) and "At most" not in text(results[1])
    assert "pressure" in text(results[2]).lower()
