"""The paper's reward and the follow-up's: what they pay, by hand, and where they fail.

The failures are theirs and are kept: the tests named ``test_known_failure_…`` say what each reward pays for, so
that a table which compares them with ``faithful`` can be read.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kie_hvqa.answers.answer import Reading, render, truth
from rewards.golden import answers, make_slots
from rewards.kie_hvqa_paper import kie_hvqa_paper, mismatch, product_reward
from rewards.uncertainty_tags import tagged_reward, tags_of_lists, tags_of_text, uncertainty_tags

SMITH = make_slots("Smith", "cchch")
EMILY = make_slots("Emily", "pcchh")


def paper(final: str, clear: str, not_clear: str = "", numbers: tuple[int | None, int | None] | None = None) -> float:
    numbers = (len(clear), len(not_clear)) if numbers is None else numbers
    return product_reward(Reading(final, not_clear, clear, *numbers), truth(SMITH))


def test_paper_reward_by_hand_on_the_official_records():
    assert paper("Sm t ", "Smt") == 3.0
    # final "Smit" against "Smt": 3/4; clear list "Smt" right; counts right
    assert paper("Smit ", "Smt") == pytest.approx(1 + 1 + 3 / 4)
    # one clear character misread in both: 2/3 + 1 + 2/3
    assert paper("Sn t ", "Snt") == pytest.approx(2 / 3 + 1 + 2 / 3)
    # clear list one short: 2/3, count mismatch 1/3
    assert paper("Sm t ", "Sm") == pytest.approx((2 / 3 + 1 + 1) * (1 - 1 / 3))
    assert product_reward(None, truth(SMITH)) == 0.0
    assert product_reward(truth(EMILY), truth(EMILY)) == 3.0


def test_paper_reward_counts():
    assert mismatch(None, 3, "abc") == 1.0
    assert mismatch(3, None, "abc") == 0.0
    assert mismatch(0, 0, "") == 0.0
    assert mismatch(10**6, 3, "abc") == pytest.approx(1.0, abs=1e-5)
    assert paper("Sm t ", "Smt", numbers=(None, None)) == 0.0  # both mismatches are cut at 1 together
    assert paper("zzzzzzz", "", numbers=(0, 9)) == 0.0  # and two bad factors do not make a good one


def test_paper_reward_needs_an_answer_and_no_ledger():
    official = render(truth(SMITH))
    rewards = kie_hvqa_paper([None] * 3, [official] * 3, answer=[official, None, "not an answer"])
    assert rewards == [3.0, None, None]
    assert kie_hvqa_paper([None], [official]) == [None]


def test_known_failure_paper_pays_most_of_the_reward_for_inventing_with_right_counts():
    assert paper("Smith", "Smt") == pytest.approx(1 + 1 + 3 / 5)  # 0.87 of the honest 3, every hidden slot invented
    assert paper("Smuck", "Smt") > 2.0  # and nearly as much where they are not even right


def test_known_failure_paper_cannot_see_a_gap_in_the_wrong_place():
    assert paper("S m t", "Smt") == paper(" Smt ", "Smt") == paper("Sm t ", "Smt") == 3.0


def test_known_failure_paper_cannot_tell_inventing_from_misreading():
    """A hidden slot invented beside one clear slot marked earns what honest reading of another field would."""
    swapped = paper("S it ", "Sit")  # m marked, i invented
    misread = paper("Si t ", "Sit")  # m read as i
    assert swapped == misread


def test_known_failure_paper_pays_a_reader_that_leaves_out_what_it_cannot_see_in_full():
    assert paper("Smt", "Smt") == 3.0  # no mark anywhere


def test_known_failure_paper_pays_the_guesser_more_than_the_timid():
    """One partial character marked, everything else right: the not-clear count is then wholly wrong, and F is 0."""
    timid = Reading(" mi  ", "", "mi", 2, 0)
    guessed = Reading("Emiqq", "E", "miqq", 4, 1)
    assert product_reward(timid, truth(EMILY)) == 0.0
    assert product_reward(guessed, truth(EMILY)) == pytest.approx((1 / 2 + 1 + 3 / 5) * (1 - 1 / 2))


def test_follow_up_by_hand():
    truth_words = [f"w{i}" for i in range(10)]
    nothing_tagged = [False] * 10
    assert tagged_reward(truth_words, nothing_tagged, truth_words) == 1.0
    one_wrong = ["x", *truth_words[1:]]
    assert tagged_reward(one_wrong, nothing_tagged, truth_words) == pytest.approx(0.9)
    tagged = [True] + [False] * 9
    assert tagged_reward(one_wrong, tagged, truth_words) == pytest.approx(0.9 + 0.9 * 0.1)
    # tagging what is right helps nobody
    assert tagged_reward(truth_words, tagged, truth_words) == 1.0
    assert tagged_reward(one_wrong, [False] * 9 + [True], truth_words) == pytest.approx(0.9)
    # twice too long: η = 0.5; e = 1, every error tagged
    twice = [*truth_words, *(["x"] * 10)]
    assert tagged_reward(twice, [False] * 10 + [True] * 10, truth_words) == pytest.approx(0.45)
    assert tagged_reward([], [], truth_words) == 0.0
    assert tagged_reward([], [], []) == 1.0


def test_known_failure_follow_up_pays_for_adding_an_invented_word_and_tagging_it():
    truth_words = [f"w{i}" for i in range(10)]
    one_wrong = ["x", *truth_words[1:]]
    left_untagged = tagged_reward(one_wrong, [False] * 10, truth_words)
    with_invention = tagged_reward([*one_wrong, "invented"], [False] * 10 + [True], truth_words)
    assert left_untagged == pytest.approx(0.90)
    assert with_invention == pytest.approx(0.95)


def test_known_failure_follow_up_pays_for_garbage_that_is_tagged():
    truth_words = [f"w{i}" for i in range(50)]
    garbage = [f"g{i}" for i in range(50)]
    assert tagged_reward(garbage, [True] * 50, truth_words) == pytest.approx(0.90)
    assert tagged_reward(truth_words[:44] + garbage[44:], [False] * 50, truth_words) < 0.90  # 44 words read rightly


def test_known_failure_follow_up_pays_a_tagged_guess_more_than_an_honest_mark():
    said = answers(EMILY)
    honest = render(truth(EMILY), tags=True)
    guessed = Reading("Emiqq", not_clear="qq", clear="Emi", clear_number=3, not_clear_number=2)
    lucky = replace(guessed, final="Emily", not_clear="", clear="Emily", clear_number=5, not_clear_number=0)
    column = [[slot.to_json() for slot in EMILY]] * 3
    texts = [honest, render(guessed, tags=True), render(lucky, tags=True)]
    marked, tagged, invented = uncertainty_tags([None] * 3, texts, slots=column)
    assert honest == said["honest"]
    assert marked == pytest.approx(0.6)
    assert tagged == pytest.approx(0.6 + 0.9 * 0.4)
    assert invented == 1.0


@pytest.mark.parametrize(
    ("text", "unit", "units", "tagged"),
    [
        ("a <C>b</C> c", "word", ["a", "b", "c"], [False, True, False]),
        ("a<C>b</C>c d", "word", ["abc", "d"], [True, False]),
        ("<C>a <C>b</C> c</C>", "word", ["a", "b", "c"], [True, True, False]),
        ("a <C>b c", "word", ["a", "b", "c"], [False, True, True]),
        ("a</C> b", "word", ["a", "b"], [False, False]),
        ("a <C>b</C>", "character", ["a", "b"], [False, True]),
        ("", "word", [], []),
    ],
)
def test_tags_of_text(text: str, unit: Any, units: list[str], tagged: list[bool]):
    assert tags_of_text(text, unit) == (units, tagged)


def test_tags_of_lists_follow_final_from_left_to_right():
    assert tags_of_lists("Emi  ", "E", "character") == (["E", "m", "i"], [True, False, False])
    assert tags_of_lists("abab", "ab", "character")[1] == [True, True, False, False]
    assert tags_of_lists("ab", "x", "character")[1] == [False, False]


def test_follow_up_reads_tagged_text_after_the_thinking():
    reward = uncertainty_tags(
        [None] * 2,
        ["<think>perhaps <C>Lopez</C></think>Anna <C>Lopes</C>", "<answer>Anna Lopez</answer>"],
        slots=[[slot.to_json() for slot in make_slots("Anna Lopez", "cccc-ccccc")]] * 2,
        unit="word",
        source="text",
    )
    assert reward == [pytest.approx(0.5 + 0.9 * 0.5), 1.0]


def test_follow_up_without_a_ledger_compares_with_the_official_answer():
    official = render(truth(SMITH))
    assert uncertainty_tags([None] * 2, [official, "nothing"], answer=[official] * 2) == [1.0, 0.0]
    assert uncertainty_tags([None], [official]) == [None]
