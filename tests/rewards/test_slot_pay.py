"""Pay by slot is ``faithful``'s own pay, taken apart."""

from __future__ import annotations

from operator import mul
from types import SimpleNamespace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kie_hvqa.answers.answer import Reading, render, truth
from kie_hvqa.answers.verdicts import verdicts
from kie_hvqa.data.ledger import Slot
from rewards.contract import SlotPay
from rewards.faithful import faithful
from rewards.plugins.sandbox import Sandbox
from rewards.plugins.spec import RewardSpec, load_reward
from rewards.prices import Prices, pay, slot_pay
from tests.kie_hvqa.pieces import ledgers, says, slots


@settings(deadline=None, max_examples=400)
@given(
    ledgers("abc "), st.text("abcx ", max_size=14), st.text("abcx", max_size=5), st.text("abcx", max_size=5),
    st.sampled_from([0.5, 0.8]),
)  # fmt: skip
@example(slots("a b c", "c-c-p"), "abc", "ab", "c", 0.5)
@example(slots("a  b", "c--c"), "ab", "ab", "", 0.5)
@example((), "ab", "", "", 0.8)
@example((), "", "", "", 0.8)
def test_the_parts_are_the_pay(ledger: tuple[Slot, ...], final: str, clear: str, not_clear: str, target: float) -> None:
    prices = Prices.of(target, over_refusal=0.75)
    found = verdicts(ledger, Reading(final, not_clear, clear))
    apart = slot_pay(found, prices)
    assert len(apart.slots) == len(ledger)
    total = sum(apart.slots) + apart.rest
    assert total == pytest.approx(sum(map(mul, found.counts.numbers, prices.columns)))
    if not found.counts["false_answers"]:
        assert pay(found.counts, prices) == pytest.approx(max(prices.low, total / (found.counts["scored"] or 1)))


@given(st.text("ab ", min_size=1, max_size=8).map(lambda text: f"x{text}"), st.data())
def test_over_an_absent_field_every_mark_in_place_of_a_character_pays(final: str, data: st.DataObject) -> None:
    """So a group that never refuses still learns which way a refusal lies; all that is short of one costs."""
    prices = Prices.of(0.8)

    def paid(text: str) -> float:
        return pay(verdicts((), Reading(text, "", "")).counts, prices)

    place = data.draw(st.sampled_from([n for n, char in enumerate(final) if char != " "]))
    marked = f"{final[:place]} {final[place + 1 :]}"
    assert prices.low <= paid(final) < 0 and paid(final) < paid(marked)
    assert paid(" " * len(final)) == paid("") == prices.hidden_mark
    assert paid(final.replace(" ", "")) == prices.low


W = Prices.of(0.5).wrong
CASES = [
    # value, legibility, Final OCR, clear list, not-clear list, pay by slot, rest
    ("Smith", "cchch", "Sm t ", "Smt", "", [1, 1, 1, 1, 1], 0),
    ("Smith", "cchch", "Sm t", "Smt", "", [1, 1, 1, 1, -W], 0),  # the last one dropped
    ("Smith", "cchch", "Smit ", "Smit", "", [1, 1, -W, 1, 1], 0),  # a lucky guess
    ("Emily", "pcchh", "Emi  ", "mi", "E", [1, 1, 1, 1, 1], 0),
    ("Emily", "pcchh", "Emi  ", "Emi", "", [0.7, 1, 1, 1, 1], 0),  # partial, and in the clear list
    ("aab", "pcc", "aab", "ab", "a", [1, 1, 1], 0),  # equal characters: a list serves the slots of its own class
    ("aab", "ccc", "aab", "ab", "", [1, 0.7, 1], 0),  # and the first of them
    ("Smith", "cchch", "Sm t ", "Smit", "", [1, 1, 1, 1, 1], -W),  # asserted in a list alone
    ("ab", "cc", "abx", "abx", "", [1, 1], -W),  # over no slot
    ("a b", "c-c", "ab", "ab", "", [1, -W, 1], 0),  # glued
    ("a b", "c-c", "axb", "axb", "", [1, -W, 1], 0),  # over the word space
    ("ab", "cc", "ab ", "ab", "", [1, 1], -0.5),  # a mark where nothing is missing
    ("abc", "chh", "a ", "a", "", [1, 1, 1], 0),  # one mark signals the whole gap
    ("abc", "ccc", "", "", "", [-0.5, -0.5, -0.5], 0),  # the whole field refused
    ("abd", "ccd", "abd", "abd", "", [1, 1, 0], 0),  # derivable: never due
    ("", "", "", "", "", [], 1),
    ("", "", "x", "x", "", [], -2 * W),  # over an absent field: for the answer, and for its character
]


@pytest.mark.parametrize(("value", "kinds", "final", "clear", "not_clear", "earned", "rest"), CASES)
def test_what_each_slot_earns(value, kinds, final, clear, not_clear, earned, rest):
    apart = slot_pay(verdicts(slots(value, kinds), Reading(final, not_clear, clear)), Prices.of(0.5))
    assert apart.slots == pytest.approx(earned) and apart.rest == pytest.approx(rest)


def test_an_answer_that_cannot_be_parsed_drops_every_slot():
    assert slot_pay(verdicts(slots("ab", "ch"), None), Prices.of(0.5)) == SlotPay([-1.0, -1.0], 0.0)
    assert slot_pay(verdicts((), None), Prices.of(0.5)) == SlotPay([], -1.0)


def test_the_plug_in_contract_gives_it_with_the_recipes_prices():
    ledger = slots("Smith", "cchch")
    reward = load_reward(RewardSpec(function="faithful", kwargs={"confidence_target": 0.8, "rise_steps": 10}))
    assert reward.pays_slots and not load_reward("format").pays_slots
    row = {"slots": [[slot.to_json() for slot in ledger]] * 2, "question_kind": ["answerable"] * 2}
    said = [render(truth(ledger), tags=True), says("Smit ")]
    assert reward.slot_pay([None] * 2, said, **row) == [
        SlotPay([1.0] * 5, 0.0),
        SlotPay([1.0, 1.0, -4.0, 1.0, 1.0], 0.0),
    ]
    early = reward.slot_pay([None] * 2, said, trainer_state=SimpleNamespace(global_step=0), severity=[1, 1], **row)
    assert early[1] == SlotPay([1.0, 1.0, -1.0, 1.0, 1.0], 0.0)
    assert reward.slot_pay([None], ["x"]) == [None]
    # Where nothing is cut, and the form is as agreed, the mean is what the reward pays.
    paid = faithful([None] * 2, said, confidence_target=0.8, **row)
    assert paid == pytest.approx([sum(one.slots) / 5 for one in reward.slot_pay([None] * 2, said, **row) if one])
    with Sandbox([reward]) as sandbox:
        assert sandbox.rewards[0].slot_pay([None] * 2, said, **row) == reward.slot_pay([None] * 2, said, **row)
