"""Reference readers, ceilings and the balanced headline: computed by columns, held to real answers; none is won by silence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kie_hvqa.answers.answer import REFUSAL, Reading, parse, render
from kie_hvqa.answers.verdicts import COLUMNS, Counts, verdicts
from kie_hvqa.data.ledger import Row, Slot, value_of
from kie_hvqa.scoring.metrics import score_rows, summarise
from kie_hvqa.scoring.references import REFERENCES, ceiling
from kie_hvqa.scoring.strata import STRATA, stratum_of
from tests.kie_hvqa.pieces import row, says, slots

UNIQUE = "abcdefghijkl"
# Characters that are all different, so that an alignment has one best answer.
distinct = st.text("ccphd-", max_size=len(UNIQUE)).map(
    lambda kinds: slots("".join(" " if k == "-" else c for c, k in zip(UNIQUE, kinds, strict=False)), kinds)
).filter(lambda ledger: not value_of(ledger) or (value_of(ledger).strip() == value_of(ledger) and "  " not in value_of(ledger)))  # fmt: skip


def refuses(ledger: tuple[Slot, ...]) -> Reading:
    return REFUSAL


def prints(ledger: tuple[Slot, ...]) -> Reading:
    value = value_of(ledger) or "#"
    return Reading(value, "", value.replace(" ", ""))


def drops(ledger: tuple[Slot, ...]) -> Reading:
    kept = "".join(slot.char for slot in ledger if not slot.scored or slot.legibility == "clear")
    final = " ".join(kept.split())
    return Reading(final, "", final.replace(" ", ""))


READERS: dict[str, Callable[[tuple[Slot, ...]], Reading]] = {
    "refuses_all": refuses,
    "prints_all": prints,
    "drops_all": drops,
}


def counts_of(numbers: np.ndarray) -> dict[str, int]:
    """Without word spaces left out, which no reference says anything about."""
    return Counts.of(**{name: int(n) for name, n in zip(COLUMNS, numbers, strict=True) if name != "glued"}).named()


@pytest.mark.parametrize("name", REFERENCES)
@settings(deadline=None, max_examples=200)
@given(distinct)
def test_a_reference_is_what_such_answers_come_to(name: str, ledger: tuple[Slot, ...]) -> None:
    assert tuple(READERS) == tuple(REFERENCES)
    own = verdicts(ledger, Reading("?a", "b", "c")).counts  # anybody's answer to the same question
    counted = np.array([own.numbers], dtype=float)
    assert counts_of(REFERENCES[name](counted)[0]) == counts_of(np.array(verdicts(ledger, READERS[name](ledger)).counts.numbers))  # fmt: skip


said = st.lists(st.sampled_from(["right", "right", "wrong", "mark", "silence"]), min_size=12, max_size=12)


@settings(deadline=None, max_examples=200)
@given(distinct, said)
def test_a_ceiling_is_the_same_reading_with_perfect_marks(ledger: tuple[Slot, ...], policy: list[str]) -> None:
    """Clear slots as they are; a mark wherever something is hidden, or partial and not read rightly."""
    become = {"wrong": "#", "mark": " ", "silence": ""}
    symbols = [become.get(say, slot.char) if slot.scored else " " for slot, say in zip(ledger, policy, strict=False)]
    found = verdicts(ledger, Reading("".join(symbols)))
    best = ceiling(np.array([found.counts.numbers], dtype=float))[0]
    numbers = dict(zip(COLUMNS, best, strict=True))
    assert numbers["free"] >= found.free
    assert numbers["hidden_marked"] == found.counts["hidden"]
    for name in ("clear_right", "clear_wrong", "clear_marked", "clear_dropped", "partial_right"):
        assert numbers[name] == found.counts[name]
    if found.counts["clear_right"] == found.counts["clear"] and not found.counts["inserted"]:
        assert numbers["free"] == 1
    assert sum(numbers[name] for name in COLUMNS[:16]) == sum(found.counts.numbers[:16])


@pytest.mark.parametrize(
    ("legibility", "stratum"),
    [("ccc", "whole"), ("cpc", "faint"), ("cdc", "faint"), ("chc", "mixed"), ("cph", "mixed"), ("ppp", "partial_only"),
     ("php", "partial_only"), ("dhh", "partial_only"), ("hhh", "nothing"), ("", "nothing")],
)  # fmt: skip
def test_strata_by_hand(legibility: str, stratum: str) -> None:
    assert stratum_of(verdicts(slots("abc"[: len(legibility)], legibility), None).counts) == stratum


def test_a_derivable_slot_is_never_due_and_never_invented() -> None:
    for final in ("ab", "a "):
        counts = verdicts(slots("ab", "cd"), Reading(final)).counts
        assert counts["free"] and not counts["hidden"] and not counts["invented"] and not counts["missing"]


def rows_of(ledgers: list[tuple[Slot, ...]]) -> list[Row]:
    return [row(f"d{i}_1", ledger) for i, ledger in enumerate(ledgers)]


A_SET = [
    *(slots(value, "c" * len(value)) for value in ("1987-05-12", "Quist", "470001", "Oslo", "Berg")),
    *(slots("1987-05-12", kinds) for kinds in ("cccchhcccc", "hhcccccccc", "cccccccchh", "chchchchch", "cchhhhhhcc")),
    *((), slots("Weiss", "hhhhh"), slots("42", "hh"), (), slots("A", "h")),
    *(slots("Irene", "ccpcc"), slots("Salo", "pppp"), slots("ab", "cd")),
]


def summary_of(read: Callable[[tuple[Slot, ...]], Reading]) -> dict:
    rows = rows_of(A_SET)
    return summarise(score_rows(rows, {r.id: render(read(r.slots or ()), tags=True) for r in rows}))


@pytest.mark.parametrize("text", ["", "   ", "1987-05-12", "Quist", "A", "1 8 5", "42 ", "#"])
def test_no_constant_answer_has_more_than_a_third_and_its_luck(text: str) -> None:
    rows = rows_of(A_SET)
    metrics = summarise(score_rows(rows, {r.id: says(text) for r in rows}))
    free, strata = metrics["overall"], metrics["by"]["stratum"]
    # By luck it is right of the fields that happen to say just that.
    lucky = sum(verdicts(ledger, parse(says(text)).reading).free for ledger in A_SET if any(s.legibility == "clear" for s in ledger)) / 5 / 3  # fmt: skip
    assert free["balanced"]["value"] <= 1 / 3 + lucky + 1e-6
    if not text.strip():
        assert free["balanced"]["value"] == pytest.approx(1 / 3, abs=1e-6) and not lucky
    assert free["informedness"]["value"] <= (0.2 if text.strip() else 0)
    assert free["balanced"]["value"] == pytest.approx(
        sum(strata[name]["hallucination_free_accuracy"]["value"] for name in ("whole", "mixed", "nothing")) / 3,
        abs=2e-6,
    )


def test_the_references_of_a_summary_are_the_summaries_of_the_references() -> None:
    beside = summary_of(lambda ledger: Reading("#"))["references"]
    for name, read in READERS.items():
        own = summary_of(read)
        for score, value in beside[name]["overall"].items():
            if value is not None:
                assert value == own["overall"][score]["value"], (name, score)
        assert beside[name]["by"]["stratum"].keys() == own["by"]["stratum"].keys() <= STRATA.keys()
        for stratum, scores in beside[name]["by"]["stratum"].items():
            assert scores["hallucination_free_accuracy"] == own["by"]["stratum"][stratum]["hallucination_free_accuracy"]["value"]  # fmt: skip
    assert beside["refuses_all"]["overall"]["balanced"] == beside["prints_all"]["overall"]["balanced"] == 0.333333
    assert beside["prints_all"]["overall"]["informedness"] == beside["refuses_all"]["overall"]["informedness"] == 0
    assert beside["drops_all"]["by"]["stratum"]["mixed"]["hallucination_free_accuracy"] == 0


def test_the_ceiling_of_a_summary_tells_reading_from_marking() -> None:
    metrics = summary_of(prints)
    best = metrics["ceiling"]
    assert metrics["overall"]["balanced"]["value"] == 0.333333
    assert (
        best["overall"]["balanced"]
        == best["overall"]["hallucination_free_accuracy"]
        == best["overall"]["informedness"]
        == 1
    )
    half = summary_of(lambda ledger: prints(ledger) if len(ledger) % 2 else REFUSAL)["ceiling"]
    assert 0 < half["by"]["stratum"]["mixed"]["hallucination_free_accuracy"] < 1 or half["by"]["stratum"]["whole"]["hallucination_free_accuracy"] < 1  # fmt: skip
    assert half["by"]["stratum"]["nothing"]["hallucination_free_accuracy"] == 1
