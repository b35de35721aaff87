"""Official rows have no ledger: what their answers say instead, and that ``faithful`` pays for it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings

from kie_hvqa.answers.answer import KEYS, MARK, render, truth
from kie_hvqa.data.ledger import Slot
from rewards.derived import UNKNOWN, derived, ledger_of
from rewards.faithful import faithful
from tests.kie_hvqa.pieces import ledgers, says, slots

SMITH = '{"clear Char-level OCR": "S m t ", "not clear enough Char-level OCR": "", "clear number": 3, "not clear enough number": 0, "Final OCR": "Sm t "}'
EMILY = '{"clear Char-level OCR": "m i ", "not clear enough Char-level OCR": "E", "clear number": 2, "not clear enough number": 1, "Final OCR": "Emi  "}'


def kinds(answer: str) -> str | None:
    found = derived(answer)
    return None if found is None else "".join(slot.legibility[0] for slot in found)


def official(final: str, clear: str, not_clear: str = "") -> str:
    return json.dumps(dict(zip(KEYS.values(), (clear, not_clear, len(clear), len(not_clear), final), strict=True)))


@pytest.mark.parametrize(
    ("answer", "legibilities"),
    [
        (SMITH, "cchch"),
        (EMILY, "pcchh"),
        (official("", ""), ""),
        (official("   ", ""), "hhh"),
        (official("abab", "ab", "ab"), "ppcc"),  # more than one order: any that makes it up
        (official("abba", "ab", "ba"), "cpcp"),
        (official("ab", "ba"), "cc"),  # out of order, but no character is in both lists
        (official("aab", "ab", "a"), "pcc"),
        (official("aba", "aa", "b"), "cpc"),
        (official("abcb", "bb", "ca"), "pcpc"),
        (official("abcb", "cb", "ba"), None),  # out of order, and b is in both
        (official("Smith", "Smt"), None),  # Final OCR asserts what no list has
        (official("Smt", "Smith"), None),
        (
            '{"clear Char-level OCR": "S m t", "not clear enough Char-level OCR": "" "clear number": 3, "Final OCR": "Sm t "}',
            "cchch",
        ),
        ("what is this", None),
        ("", None),
    ],
)
def test_slots_of_an_official_answer(answer, legibilities):
    assert kinds(answer) == legibilities


@settings(deadline=None)
@given(ledgers("abc ", kinds="ccph"))
def test_the_truth_of_a_ledger_gives_back_all_that_it_says(ledger: tuple[Slot, ...]) -> None:
    found = derived(render(truth(ledger)))
    assert found is not None and truth(found).final == truth(ledger).final
    assert sorted(truth(found).clear) == sorted(truth(ledger).clear)
    assert all((slot.char == UNKNOWN) == (slot.legibility == "hidden") for slot in found)


def test_faithful_pays_official_rows_as_it_pays_a_ledger():
    ledger = slots("Smith", "cchch")
    said = [says("Sm t "), says("Smith"), says("Smt"), says("S  t "), "no answer", says("Sn t ")]
    with_ledger = faithful([None] * 6, said, slots=[[slot.to_json() for slot in ledger]] * 6, outcome_weight=1.0)
    # An official row is "answerable" to its file's reader, whatever it says; the answer knows better.
    official_rows = {"slots": [None] * 6, "answer": [SMITH] * 6, "question_kind": ["answerable"] * 6}
    assert faithful([None] * 6, said, outcome_weight=1.0, **official_rows) == with_ledger
    assert with_ledger[0] == 2.0 and all(paid < 1.0 for paid in with_ledger[1:])


def test_word_spaces_need_not_be_told_from_hidden_characters():
    row = {"answer": [official("MEMO 12", "MEMO12")] * 4}
    right, glued, filled, marked = faithful(
        [None] * 4, [says(f) for f in ("MEMO 12", "MEMO12", "MEMO-12", "MEMO  12")], **row
    )
    assert right == marked == 1.0 and max(glued, filled) < 0.5


def test_empty_and_contradictory_answers():
    refused, asserted = says(""), says("Miller")
    assert faithful(
        [None] * 2, [refused, asserted], answer=[official("", "")] * 2, question_kind=["answerable"] * 2
    ) == [1.0, -4.0]
    assert faithful([None], [refused], answer=[official("Smith", "Smt")]) == [None]
    assert faithful([None], [refused], answer=[None]) == [None]
    assert ledger_of([], official("a", "a")) == () and ledger_of(None, SMITH) == derived(SMITH) != None  # noqa: E711
    assert MARK not in UNKNOWN
