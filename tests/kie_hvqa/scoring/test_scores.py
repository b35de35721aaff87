"""The scores of one sample, against values worked out by hand, and the laws they obey."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kie_hvqa.answers.answer import REFUSAL, Reading, render, truth
from kie_hvqa.data.ledger import Slot
from kie_hvqa.scoring.scores import Official, char_accuracy, score, similarity
from tests.kie_hvqa.pieces import ledgers, row, slots

SMITH = (
    '{"clear Char-level OCR": "S m t ", "not clear enough Char-level OCR": "", "clear number": 3, '
    '"not clear enough number": 0, "Final OCR": "Sm t "}'
)
EMILY = (
    '{"clear Char-level OCR": "m i ", "not clear enough Char-level OCR": "E", "clear number": 2, '
    '"not clear enough number": 1, "Final OCR": "Emi  "}'
)


def response(clear: str, unclear: str, final: str) -> str:
    return render(Reading(final, unclear, clear, len(clear), len(unclear)), tags=True)


@pytest.mark.parametrize(
    ("record", "answer", "expected"),
    [
        (SMITH, f"<answer>{SMITH}</answer>", (1, 1, 1, 1, 0, 1)),
        # Guessing the whole name: clear S m t in Smith is 1 - 2/5, Final the same; positions S, m agree, i and t do not.
        (SMITH, response("Smith", "", "Smith"), (0.6, 1, 0.6, 2 / 3, 0, 2 / 3)),
        # A gap in the wrong place costs nothing.
        (SMITH, response("Smt", "", "  Smt"), (1, 1, 1, 1, 0, 1)),
        (SMITH, response("Sm", "t", "Sm t "), (2 / 3, 0, 1, 2 / 3, 0, 1)),
        (SMITH, render(REFUSAL, tags=True), (0, 1, 0, 0, 0, 0)),
        (SMITH, "It says Smith.", (0, 0, 0, 0, 0, 0)),
        (EMILY, f"<answer>{EMILY}</answer>", (1, 1, 1, 1, 1, 1)),
        # Emily read as clear throughout: m i in Emily 1 - 3/5; E in nothing 0; Emi in Emily 1 - 2/5.
        (EMILY, response("Emily", "", "Emily"), (0.4, 0, 0.6, 0, 0, 1)),
        # emi: case counts. clear m i right, not clear e for E wrong, Final 1 - 1/3.
        (EMILY, response("mi", "e", "emi  "), (1, 0, 2 / 3, 1, 0, 2 / 3)),
        (EMILY, None, (0, 0, 0, 0, 0, 0)),
    ],
)
def test_official_scores_of_the_published_records(record: str, answer: str | None, expected: tuple) -> None:
    found = score(row("r_1", None, answer=record), answer)
    assert found.official == pytest.approx(Official(*expected))
    assert found.official is not None
    assert found.official.average == pytest.approx(sum(expected[:3]) / 3)
    assert found.counts is None  # the published file has no ledger, and a missing number is not 0


def test_similarity_and_char_accuracy_at_their_edges() -> None:
    assert similarity("", "  ") == 1 and char_accuracy("", "") == 0
    assert similarity("", "a") == similarity("a", "") == 0
    assert similarity("a b", "ab") == char_accuracy("a b", "ab") == 1
    assert similarity("kitten", "sitting") == pytest.approx(1 - 3 / 7)
    assert char_accuracy("abc", "xbcde") == pytest.approx(2 / 3)


def test_an_unreadable_truth_has_no_official_scores() -> None:
    found = score(row("r_1", None, answer="Smith"), response("S", "", "S"))
    assert found.official is None and not found.unparsable


def test_a_missing_response_is_unparsable_and_said_to_be_missing() -> None:
    found = score(row("r_1", slots("Smith", "cchch")), None)
    assert (found.missing, found.unparsable, found.repairs) == (True, True, ())
    garbage = score(row("r_1", slots("Smith", "cchch")), "Smith")
    assert (garbage.missing, garbage.unparsable, garbage.repairs) == (False, True, ("no tags", "no JSON"))
    assert garbage.counts == found.counts


@settings(deadline=None)
@given(ledgers())
def test_a_perfect_reading_scores_1_everywhere(ledger: tuple[Slot, ...]) -> None:
    perfect = truth(ledger)
    found = score(row("r_1", ledger), render(perfect, tags=True))
    assert found.repairs == () and found.official is not None and found.counts is not None
    assert found.official[:3] == (1, 1, 1)
    counts = found.counts
    assert counts["free"] == 1
    assert all(
        counts[top] == counts[whole]
        for top, whole in [
            ("clear_right", "clear"),
            ("partial_right", "partial"),
            ("hidden_marked", "hidden"),
            ("derivable_marked", "derivable"),
            ("flagged", "partial"),
            ("unflagged", "clear"),
            ("missing_said", "missing"),
        ]
    )
    faults = ("invented", "misread", "over_refused", "dropped", "inserted", "listed", "glued", "surplus_marks")
    assert not any(counts[name] for name in (*faults, "missing_said_wrongly", "false_answers"))


@settings(deadline=None)
@given(st.text(st.sampled_from("abcde"), min_size=2, max_size=12), st.data())
def test_swapping_two_different_characters_of_a_right_reading_cannot_raise_a_score(
    value: str, data: st.DataObject
) -> None:
    i = data.draw(st.integers(0, len(value) - 1))
    j = data.draw(st.integers(0, len(value) - 1))
    swapped = list(value)
    swapped[i], swapped[j] = value[j], value[i]
    ledger = slots(value, "c" * len(value))
    before = score(row("r_1", ledger), response(value, "", value))
    after = score(row("r_1", ledger), response("".join(swapped), "", "".join(swapped)))
    assert before.official is not None and after.official is not None and before.counts and after.counts
    assert all(a <= b for a, b in zip(after.official, before.official, strict=True))
    assert after.counts["clear_right"] <= before.counts["clear_right"]
    assert after.counts["free"] == (swapped == list(value))
