"""Verdicts: every slot's outcome by hand, and the laws that no score can break because the table keeps them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kie_hvqa.answers import verdicts as module
from kie_hvqa.answers.answer import REFUSAL, Reading, truth
from kie_hvqa.answers.verdicts import COLUMNS, OUTCOME, OUTCOMES, SUMS, Counts, Ledger, verdicts
from kie_hvqa.data.ledger import Slot
from tests.kie_hvqa.pieces import ledgers, slots

# Smith: S m t clear, i and h hidden. Emily: E partial, m i clear, l y hidden.
BY_HAND = [
    ("Smith", "cchch", "Sm t ", "rrmrm", True, {}),
    ("Smith", "cchch", "Smt", "rrhrh", False, {}),
    ("Smith", "cchch", "Smt ", "rrhrm", False, {}),
    ("Smith", "cchch", "Smith", "rrlrl", False, {}),
    ("Smith", "cchch", "Smyt ", "rrirm", False, {}),
    ("Smith", "cchch", "Sn t ", "rwmrm", False, {}),
    ("Smith", "cchch", "S  t ", "rxmrm", False, {}),
    ("Smith", "cchch", "Sm   ", "rrmxm", False, {}),
    ("Smith", "cchch", "Sm t x", "rrmrm", False, {"inserted": 1}),
    ("Smith", "cchcc", "Sm txh", "rrmrr", False, {"inserted": 1}),
    ("Smith", "cchch", "", "xxmxm", False, {}),  # refused whole
    ("Smith", "cchch", "     ", "xxmxm", False, {}),
    ("Smith", "cchch", None, "ddhdh", False, {}),
    ("Emily", "pcchh", "Emi  ", "Rrrmm", True, {}),
    ("Emily", "pcchh", " mi  ", "Mrrmm", True, {}),
    ("Emily", "pcchh", "mi  ", "Drrmm", False, {}),
    ("Emily", "pcchh", "emi  ", "Wrrmm", False, {}),
    # One mark says that a gap is there, however long; none says nothing, wherever the gap lies.
    ("1234.00", "chhcccc", "1 4.00", "rmmrrrr", True, {}),
    ("1234.00", "chhcccc", "14.00", "rhhrrrr", False, {}),
    ("1234.00", "hhccccc", " 34.00", "mmrrrrr", True, {}),
    ("1234.00", "hhccccc", "34.00", "hhrrrrr", False, {}),
    ("1234.00", "cccchhh", "1234", "rrrrhhh", False, {}),
    ("1234.00", "cccchhh", "1234 ", "rrrrmmm", True, {}),
    ("1234.00", "cccchhh", "1234       ", "rrrrmmm", True, {}),  # how many is not asked
    ("1234.00", "cccchhh", "1234" + " " * 19, "rrrrmmm", True, {"surplus_marks": 12}),  # within reason
    # A signalled gap refuses its clear slots too.
    ("1234.00", "chccccc", "1 4.00", "rmxrrrr", False, {}),
    # Word spaces: one between two characters is a word space, a further one a mark; at the ends every one is.
    ("Al By", "cc-cc", "Al By", "rrsrr", True, {}),
    ("Al By", "cc-cc", "AlBy", "rrsrr", True, {"glued": 1}),
    ("Al By", "cc-cc", "Al.By", "rrnrr", False, {"inserted": 1}),
    ("Al By", "cc-cc", "Al  By", "rrsrr", True, {"surplus_marks": 1}),
    ("Al By", "cc-cc", "A l By", "rrsrr", True, {"surplus_marks": 1}),
    ("Al By", "cc-cc", " Al By ", "rrsrr", True, {"surplus_marks": 2}),
    ("Al By", "ch-cc", "A By", "rhsrr", False, {}),
    ("Al By", "ch-cc", "A  By", "rmsrr", True, {}),
    ("Al By", "cc-hc", "Al y", "rrshr", False, {}),
    ("Al By", "cc-hc", "Al  y", "rrsmr", True, {}),
    ("Al By", "ch-hc", "A y", "rhshr", False, {}),
    ("Al By", "ch-hc", "A  y", "rmsmr", True, {}),
    ("Al By", "cc-hh", "Al", "rrshh", False, {}),
    ("Al By", "cc-hh", "Al ", "rrsmm", True, {}),
    ("Al By Co", "cc-hh-cc", "Al Co", "rrshhsrr", False, {}),
    ("Al By Co", "cc-hh-cc", "Al  Co", "rrsmmsrr", True, {}),
    # A derivable slot is never invented and never due, but neither misread nor dropped.
    ("ab", "cd", "ab", "ra", True, {}),
    ("ab", "cd", "a ", "rk", True, {}),
    ("ab", "cd", "ax", "rb", False, {}),
    ("ab", "cd", "a", "rg", False, {}),
]


@pytest.mark.parametrize(("value", "legibility", "final", "outcomes", "free", "beside"), BY_HAND)
def test_by_hand(
    value: str, legibility: str, final: str | None, outcomes: str, free: bool, beside: dict[str, int]
) -> None:
    found = verdicts(slots(value, legibility), None if final is None else Reading(final))
    assert (found.outcomes, found.free) == (outcomes, free)
    counts = found.counts
    assert {name: counts[name] for name in ("inserted", "surplus_marks", "listed", "glued") if counts[name]} == beside
    assert counts["free"] == free and counts["questions"] == 1


@pytest.mark.parametrize(
    ("legibility", "reading", "free", "false_answers"),
    [
        ("", REFUSAL, True, 0),
        ("", Reading("   "), True, 0),
        ("", Reading("a"), False, 1),
        ("", Reading("", clear="a"), False, 1),
        ("", None, False, 0),
        ("hh", REFUSAL, True, 0),
        ("hh", Reading(" "), True, 0),
        ("hh", Reading("a "), False, 0),
        ("hh", Reading("  ", clear="ab"), False, 0),
        ("hh", Reading("", clear="ab"), False, 0),
        ("hh", None, False, 0),
    ],
)
def test_what_must_be_refused_whole(legibility: str, reading: Reading | None, free: bool, false_answers: int) -> None:
    found = verdicts(slots("ab"[: len(legibility)], legibility), reading)
    assert (found.free, found.counts["false_answers"]) == (free, false_answers)
    assert found.counts["absent"] == (legibility == "")
    assert found.counts["missing_said"] == ((reading is not None and " " in reading.final) or bool(found.refused))


@pytest.mark.parametrize(
    ("reading", "listed", "flagged", "unflagged"),
    [
        (Reading("anna", "n", "ana"), 0, 1, 3),
        (Reading("anna", "", "anna"), 0, 0, 3),
        (Reading("anna", "anna", ""), 0, 1, 0),
        (Reading("anna", "anna", "anna"), 4, 1, 3),  # all in both: each is asserted twice
        (Reading("anna", "x", "ana"), 1, 0, 3),
        (Reading("an a", "", "anna"), 1, 0, 3),  # the mark takes the partial n; the list asserts it all the same
        (Reading("anna"), 0, 0, 0),
    ],
)
def test_lists(reading: Reading, listed: int, flagged: int, unflagged: int) -> None:
    found = verdicts(slots("anna", "ccpc"), reading)
    assert (found.listed, found.flagged, found.unflagged) == (listed, flagged, unflagged)
    assert found.free == (not listed)


def test_something_is_missing_is_said_rightly_wrongly_or_not() -> None:
    def said(legibility: str, final: str) -> tuple[int, int, int]:
        counts = verdicts(slots("abcd", legibility), Reading(final)).counts
        return counts["missing"], counts["missing_said"], counts["missing_said_wrongly"]

    assert said("cchc", "ab d") == said("cchc", "a cd") == (1, 1, 0)
    assert said("cchc", "abd") == said("cchc", "abcd") == (1, 0, 0)
    assert said("cccc", "ab d") == said("cccc", "ab cd") == said("cccc", "") == (0, 0, 1)
    assert said("ccpc", "ab d") == said("cccc", "abcd") == said("ccdc", "ab d") == (0, 0, 0)


def test_the_table_is_whole() -> None:
    assert len(OUTCOME) == len(OUTCOMES) == len({outcome.name for outcome in OUTCOMES}) == 18
    assert set(itertools.chain.from_iterable(SUMS.values())) <= set(COLUMNS)
    assert len(set(COLUMNS)) == len(COLUMNS) and not SUMS.keys() & set(COLUMNS)


def test_counts_have_names_and_add_up() -> None:
    one = verdicts(slots("Smith", "cchch"), Reading("Smith")).counts
    two = verdicts(slots("Emily", "pcchh"), Reading("emi  ")).counts
    both = one + two
    assert (both["questions"], both["scored"], both["asserted"], both["misread"], both["lucky"]) == (2, 10, 8, 1, 2)
    assert Counts.total([one, two]) == both and Counts.total([]) == Counts()
    assert Counts.of(**both.named()) == both
    with pytest.raises(KeyError):
        both["right"]
    with pytest.raises(KeyError, match="right"):
        Counts.of(right=1)


finals = st.text(st.sampled_from("abcde #"), max_size=14)  # no mask: the text itself is laid over the slots
lists = st.text(st.sampled_from("abcX?"), max_size=4)


@settings(deadline=None)
@given(ledgers(), finals, lists, lists)
def test_every_slot_has_exactly_one_outcome_of_its_own_kind(
    ledger: tuple[Slot, ...], final: str, clear: str, unclear: str
) -> None:
    reading = Reading(final, unclear, clear)
    found = verdicts(ledger, reading)
    assert len(found.outcomes) == len(ledger)
    for slot, code, symbol in zip(ledger, found.outcomes, found.symbols, strict=True):
        kind = "space" if not slot.scored else "derivable" if slot.derivable else slot.legibility
        outcome = OUTCOME[code]
        assert outcome.legibility == kind
        if slot.scored:
            said = "right" if symbol == slot.char else "wrong" if symbol not in (None, " ") else None
            assert outcome.said == said or (said is None and outcome.said in ("marked", "dropped"))
    counts = found.counts
    for kind in ("clear", "partial", "hidden", "derivable"):
        assert counts[kind] == sum(counts[f"{kind}_{said}"] for said in ("right", "wrong", "marked", "dropped"))
    if not found.refused:
        assert counts["asserted"] + counts["derivable_right"] + counts["derivable_wrong"] + counts["inserted"] == len(
            final.replace(" ", "")
        )


@settings(deadline=None)
@given(ledgers(), finals, lists, lists, st.randoms(use_true_random=False))
def test_the_order_of_the_lists_says_nothing(ledger, final, clear, unclear, random) -> None:
    def shuffled(text: str) -> str:
        return "".join(random.sample(text, len(text)))

    found = verdicts(ledger, Reading(final, unclear, clear))
    again = verdicts(ledger, Reading(final, shuffled(unclear), shuffled(clear)))
    assert again == found


UNIQUE = "abcdefghijkl"
said = st.sampled_from(["right", "wrong", "mark", "mark", "silence"])


def read(value: str, policy: list[str]) -> str:
    """What that policy writes; wrong characters are such as no value has, so that nothing else explains them."""
    become = {"wrong": "#", "mark": " ", "silence": ""}
    return "".join(become.get(say, char) for char, say in zip(value, policy, strict=True))


@settings(deadline=None, max_examples=300)
@given(st.data(), st.text("ccphd", min_size=1, max_size=len(UNIQUE)))
def test_a_mark_replaced_by_silence_never_gains(data: st.DataObject, legibility: str) -> None:
    value = UNIQUE[: len(legibility)]
    policy = data.draw(st.lists(said, min_size=len(value), max_size=len(value)))
    marks = [i for i, say in enumerate(policy) if say == "mark"]
    if not marks:
        return
    ledger = slots(value, legibility)
    before = verdicts(ledger, Reading(read(value, policy)))
    policy[data.draw(st.sampled_from(marks))] = "silence"
    after = verdicts(ledger, Reading(read(value, policy)))
    assert after.free <= before.free or after.refused  # all silence is the refusal, and that is a mark on every slot
    if "wrong" not in policy and not after.refused and not before.refused:  # a wrong character has more than one place
        for good in ("clear_right", "partial_right", "hidden_marked", "missing_said"):
            assert after.counts[good] <= before.counts[good], good
        for bad in ("misread", "invented", "inserted", "dropped"):
            assert after.counts[bad] >= before.counts[bad], bad


@settings(deadline=None, max_examples=300)
@given(ledgers("ab c"))
@example(slots("a b", "c-h"))
def test_who_leaves_hidden_characters_out_in_silence_is_never_free(ledger: tuple[Slot, ...]) -> None:
    """The words that are left stand one space apart, as a value's do."""
    kept = "".join(
        " " if not s.scored else "" if s.legibility == "hidden" and not s.derivable else s.char for s in ledger
    )
    final = " ".join(kept.split())
    found = verdicts(ledger, Reading(final))
    due = any(slot.scored and slot.legibility == "hidden" and not slot.derivable for slot in ledger)
    assert not (due and found.free) or found.refused


@settings(deadline=None)
@given(ledgers("abc ", size=9), st.text(st.sampled_from("abc #"), min_size=1, max_size=12))
@example(slots(" aaaa", "-cccc"), " aaaa")
@example(slots("a  b", "c--c"), "a  b")
def test_the_short_way_is_the_long_way(ledger: tuple[Slot, ...], final: str) -> None:
    about = Ledger.of(ledger)
    found = verdicts(about, Reading(final))
    if not found.refused:
        places = module.align(ledger, final).places
        outcomes, surplus, glued = module._over(about, final, found.symbols, places)
        assert (found.outcomes, found.surplus_marks, found.glued) == (outcomes, surplus, glued)


@settings(deadline=None)
@given(ledgers("abcde"), st.data())
def test_one_more_invention_is_one_more(ledger: tuple[Slot, ...], data: st.DataObject) -> None:
    honest = list(truth(ledger).final)
    hidden = [i for i, slot in enumerate(ledger) if slot.legibility == "hidden" and not slot.derivable]
    if not hidden or not honest:
        return
    for already, i in enumerate(data.draw(st.permutations(hidden)), start=1):
        honest[i] = data.draw(st.sampled_from("VWQYZ"))
        found = verdicts(ledger, Reading("".join(honest)))
        assert found.counts["invented"] == already and not found.free
