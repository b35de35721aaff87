"""The scores of one sample, against values worked out by hand, and the laws they obey."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kie_hvqa.answers.answer import REFUSAL, Reading, render, truth
from kie_hvqa.data.ledger import LEGIBILITIES, Row, Slot
from kie_hvqa.scoring.scores import Counts, Official, char_accuracy, count, score, similarity

NAMES = {"c": "clear", "p": "partial", "h": "hidden"}


def slots(value: str, legibility: str) -> tuple[Slot, ...]:
    return tuple(Slot(char, NAMES[kind], 0.5, (0, 0, 1, 1)) for char, kind in zip(value, legibility, strict=True))


def row(answer: str, ledger: tuple[Slot, ...] | None, kind: str = "answerable") -> Row:
    return Row("r", "r.png", "d", "id_card", "test", "LN", kind, "What is the LN in the image?", answer, ledger)  # type: ignore[arg-type]


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
    found = score(row(record, None), answer)
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
    found = score(row("Smith", None), response("S", "", "S"))
    assert found.official is None and not found.unparsable


def test_a_missing_response_is_unparsable_and_said_to_be_missing() -> None:
    found = score(row(SMITH, slots("Smith", "cchch")), None)
    assert (found.missing, found.unparsable, found.repairs) == (True, True, ())
    garbage = score(row(SMITH, slots("Smith", "cchch")), "Smith")
    assert (garbage.missing, garbage.unparsable, garbage.repairs) == (False, True, ("no tags", "no JSON"))
    assert garbage.counts == found.counts


def tally(**numbers: int) -> dict[str, int]:
    return {"questions": 1, **numbers}


# Smith: S m t clear, i and h hidden. Emily: E partial, m i clear, l y hidden.
COUNTED = [
    ("Smith", "cchch", "Sm t ", tally(right_clear=3, marked_hidden=2, hallucination_free=1)),
    ("Smith", "cchch", "Smt", tally(right_clear=3, omitted_hidden=2, hallucination_free=1)),
    ("Smith", "cchch", "Smith", tally(right_clear=3, invented=2, lucky=2)),
    ("Smith", "cchch", "Smyt ", tally(right_clear=3, invented=1, marked_hidden=1)),
    ("Smith", "cchch", "Sn t ", tally(right_clear=2, misread_clear=1, marked_hidden=2)),
    ("Smith", "cchch", "S  t ", tally(right_clear=2, marked_clear=1, marked_hidden=2)),
    ("Smith", "cchch", "Sm   ", tally(right_clear=2, marked_clear=1, marked_hidden=2)),
    ("Smith", "cchch", "Sm t  ", tally(right_clear=3, marked_hidden=2, surplus_marks=1, hallucination_free=1)),
    ("Smith", "cchch", "Sm t x", tally(right_clear=3, marked_hidden=2, inserted=1)),
    ("Smith", "cchcc", "Sm txh", tally(right_clear=4, marked_hidden=1, inserted=1)),
    ("Emily", "pcchh", "Emi  ", tally(right_partial=1, right_clear=2, marked_hidden=2, hallucination_free=1)),
    ("Emily", "pcchh", " mi  ", tally(marked_partial=1, right_clear=2, marked_hidden=2, hallucination_free=1)),
    ("Emily", "pcchh", "mi  ", tally(omitted_partial=1, right_clear=2, marked_hidden=2, hallucination_free=1)),
    ("Emily", "pcchh", "emi  ", tally(misread_partial=1, right_clear=2, marked_hidden=2)),
    ("Emily", "pcchh", "", tally(marked_partial=1, marked_clear=2, marked_hidden=2)),
    ("Emily", "pcchh", "     ", tally(marked_partial=1, marked_clear=2, marked_hidden=2)),
    ("Al By", "ccccc", "Al By", tally(right_clear=4, hallucination_free=1)),
    ("Al By", "ccccc", "AlBy", tally(right_clear=4, hallucination_free=1)),
    ("Al By", "ccccc", "Al_By", tally(right_clear=4, inserted=1)),
    ("Al By", "ccccc", "Al B", tally(right_clear=3, omitted_clear=1)),
]


@pytest.mark.parametrize(("value", "legibility", "final", "expected"), COUNTED)
def test_counts_by_hand(value: str, legibility: str, final: str, expected: dict[str, int]) -> None:
    found = count(slots(value, legibility), Reading(final))
    for name in ("clear", "partial", "hidden"):
        expected = {**expected, name: sum(k == name[0] for c, k in zip(value, legibility, strict=True) if c != " ")}
    assert found == Counts(**expected)


def test_a_word_space_is_never_scored() -> None:
    for legibility in "cph":
        assert count(slots("a b", f"c{legibility}c"), Reading("a b")).scored == 2


def test_an_unparsable_answer_asserts_and_refuses_nothing() -> None:
    found = count(slots("Emily", "pcchh"), None)
    assert found == Counts(1, clear=2, partial=1, hidden=2, omitted_clear=2, omitted_partial=1, omitted_hidden=2)


@pytest.mark.parametrize(
    ("kind", "legibility", "reading", "free", "false_answers"),
    [
        ("absent", "", REFUSAL, 1, 0),
        ("absent", "", Reading("   "), 1, 0),
        ("absent", "", Reading("a"), 0, 1),
        ("absent", "", Reading("", clear="a"), 0, 1),
        ("absent", "", None, 0, 0),
        ("unreadable", "hh", REFUSAL, 1, 0),
        ("unreadable", "hh", Reading("  "), 1, 0),
        ("unreadable", "hh", Reading("a "), 0, 0),
        ("unreadable", "hh", Reading("  ", clear="ab"), 0, 0),
        ("unreadable", "hh", None, 0, 0),
    ],
)
def test_what_must_be_refused_whole(
    kind: str, legibility: str, reading: Reading | None, free: int, false_answers: int
) -> None:
    found = count(slots("ab"[: len(legibility)], legibility), reading, kind)  # type: ignore[arg-type]
    assert (found.hallucination_free, found.false_answers) == (free, false_answers)
    assert found.absent == (kind == "absent")


def test_counts_add_up() -> None:
    one = count(slots("Smith", "cchch"), Reading("Smith"))
    two = count(slots("Emily", "pcchh"), Reading("emi  "))
    both = one + two
    assert both.questions == 2 and both.scored == 10 and both.asserted == 8 and both.misread == 1
    assert {f.name: getattr(one, f.name) + getattr(two, f.name) for f in fields(Counts)} == {
        f.name: getattr(both, f.name) for f in fields(Counts)
    }


ledgers = st.lists(st.tuples(st.sampled_from("abcde "), st.sampled_from(LEGIBILITIES)), max_size=12).map(
    lambda drawn: tuple(Slot(char, kind, 0.5, (0, 0, 1, 1)) for char, kind in drawn)  # type: ignore[arg-type]
)
finals = st.text(st.sampled_from("abcde "), max_size=14)


@settings(deadline=None)
@given(ledgers)
def test_a_perfect_reading_scores_1_everywhere(ledger: tuple[Slot, ...]) -> None:
    perfect = truth(ledger)
    legible = perfect.clear or perfect.not_clear
    kind = "answerable" if legible else "unreadable" if ledger else "absent"
    found = score(row(render(perfect), ledger, kind), render(perfect, tags=True))
    assert found.repairs == () and found.official is not None and found.counts is not None
    assert found.official[:3] == (1, 1, 1)
    counts = found.counts
    assert counts.hallucination_free == 1
    assert (counts.right_clear, counts.right_partial, counts.marked_hidden) == (
        counts.clear,
        counts.partial,
        counts.hidden,
    )
    assert counts.invented == counts.misread == counts.over_refused == counts.inserted == counts.surplus_marks == 0


@settings(deadline=None)
@given(ledgers, finals)
def test_every_scored_slot_is_counted_once(ledger: tuple[Slot, ...], final: str) -> None:
    counts = count(ledger, Reading(final))
    assert counts.clear == counts.right_clear + counts.misread_clear + counts.marked_clear + counts.omitted_clear
    assert counts.partial == (
        counts.right_partial + counts.misread_partial + counts.marked_partial + counts.omitted_partial
    )
    assert counts.hidden == counts.invented + counts.marked_hidden + counts.omitted_hidden
    assert counts.lucky <= counts.invented
    if final.strip():
        assert counts.asserted + counts.inserted == len(final.replace(" ", ""))


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
    before = score(row(render(truth(ledger)), ledger), response(value, "", value))
    after = score(row(render(truth(ledger)), ledger), response("".join(swapped), "", "".join(swapped)))
    assert before.official is not None and after.official is not None and before.counts and after.counts
    assert all(a <= b for a, b in zip(after.official, before.official, strict=True))
    assert after.counts.right_clear <= before.counts.right_clear
    assert after.counts.hallucination_free == (swapped == list(value))


@settings(deadline=None)
@given(ledgers, st.data())
def test_one_more_invention_cannot_lower_what_is_invented(ledger: tuple[Slot, ...], data: st.DataObject) -> None:
    honest = list(truth(ledger).final)
    hidden = [i for i, slot in enumerate(ledger) if slot.scored and slot.legibility == "hidden"]
    if not hidden or not honest:
        return
    order = data.draw(st.permutations(hidden))
    before = count(ledger, Reading("".join(honest)))
    assert before.invented == 0
    for already, i in enumerate(order):
        honest[i] = data.draw(st.sampled_from("VWXYZ"))  # letters no value has, so nothing else explains them
        now = count(ledger, Reading("".join(honest)))
        assert now.invented == before.invented + 1 == already + 1
        assert now.hallucination_free == 0
        before = now
