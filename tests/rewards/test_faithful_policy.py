"""``faithful`` pays best for the policy that its documentation promises: found by enumeration, not by its formula."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kie_hvqa.answers.answer import MARK, Reading, parse, render, truth
from kie_hvqa.answers.verdicts import Counts, verdicts
from kie_hvqa.data.ledger import Slot, kind_of
from kie_hvqa.errors import InputError
from rewards.faithful import faithful, risen, score
from rewards.golden import make_slots
from rewards.plugins.spec import RewardSpec, load_reward
from rewards.prices import Prices, bar, bars, pay
from tests.kie_hvqa import pieces

PAGE = Path(__file__).parents[2] / "docs" / "rewards.md"
VALUE = "abcd"
WRONG = "#"  # nowhere in VALUE, so that no alignment can turn it into something else


@dataclass(frozen=True)
class Belief:
    """What a reader believes of one slot: the chances of each legibility, and of being right where legible."""

    clear: float
    partial: float
    hidden: float
    right: float

    def worlds(self) -> list[tuple[str, bool, float]]:
        """(legibility, the asserted character is the printed one, probability)."""
        legibilities = (("c", self.clear, self.right), ("p", self.partial, self.right), ("h", self.hidden, 0.5))
        return [
            (letter, is_right, chance * (right if is_right else 1.0 - right))
            for letter, chance, right in legibilities
            for is_right in (True, False)
            if chance and (right if is_right else 1.0 - right)
        ]


def known(letter: str, right: float) -> Belief:
    return Belief(float(letter == "c"), float(letter == "p"), float(letter == "h"), right)


def expected(
    policy: Sequence[bool | None],
    beliefs: Sequence[Belief],
    prices: Prices,
    value: Callable[[float, Counts], float] = lambda reward, counts: reward,
) -> float:
    """The mean ``value`` (the reward) over every possible world of asserting where ``policy`` says True, marking where
    False and leaving out where None. A character stands in the list that is likelier the right one."""
    total = 0.0
    for world in itertools.product(*(belief.worlds() for belief in beliefs)):
        chance = 1.0
        for _, _, probability in world:
            chance *= probability
        slots = make_slots(VALUE[: len(world)], "".join(letter for letter, _, _ in world))
        symbols = [
            (slot.char if is_right else WRONG) if asserts else "" if asserts is None else " "
            for slot, (_, is_right, _), asserts in zip(slots, world, policy, strict=True)
        ]
        lists = ["", ""]
        for symbol, belief in zip(symbols, beliefs, strict=True):
            lists[belief.clear >= belief.partial] += symbol.strip()
        total += chance * value(*score(Reading("".join(symbols), *lists), slots, prices))
    return total


def best_policy(beliefs: Sequence[Belief], prices: Prices) -> tuple[bool, ...]:
    policies = itertools.product((False, True), repeat=len(beliefs))
    return max(policies, key=lambda policy: expected(policy, beliefs, prices))


@pytest.mark.parametrize("target", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("margin", [-0.04, 0.04])
def test_partial_slots_are_asserted_exactly_above_the_confidence_target(target, margin):
    beliefs = [known("p", target + margin), known("c", 1.0), known("p", target - margin)]
    assert best_policy(beliefs, Prices.of(target)) == (margin > 0, True, margin < 0)


@pytest.mark.parametrize("target", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("price", [0.0, 0.25, 0.75])
@pytest.mark.parametrize("margin", [-0.01, 0.01])
def test_the_over_refusal_price_lowers_the_bar_on_clear_slots(target, price, margin):
    bar = target - (1.0 - target) * price
    beliefs = [known("c", bar + margin), known("p", 1.0)]
    assert best_policy(beliefs, Prices.of(target, over_refusal=price)) == (margin > 0, True)


@pytest.mark.parametrize("target", [0.5, 0.8, 0.95])
def test_hidden_slots_are_marked_even_by_a_reader_who_always_guesses_right(target):
    prices = Prices.of(target)
    slots = make_slots("abcd", "cchc")
    lucky, marked = Reading("abcd", clear="abcd"), Reading("ab d", clear="abd")
    wrong = Reading("ab#d", clear="ab#d")
    assert score(lucky, slots, prices)[0] == score(wrong, slots, prices)[0] == pytest.approx((3 - prices.wrong) / 4)
    assert score(marked, slots, prices)[0] == 1.0
    assert best_policy([known("h", 1.0), known("p", 0.99)], prices) == (False, True)


shares = st.tuples(*[st.integers(0, 10)] * 3).filter(any).map(lambda s: [x / sum(s) for x in s])
beliefs = st.builds(lambda s, r: Belief(*s, right=r), shares, st.integers(0, 20).map(lambda n: n / 20))


def bar_of(belief: Belief, prices: Prices, **field: float) -> float:
    return bar(prices, clear=belief.clear, partial=belief.partial, hidden=belief.hidden, **field)  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(beliefs, min_size=1, max_size=2),
    st.sampled_from([0.4, 0.5, 0.8, 0.95]),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.sampled_from([0.0, 0.3, 0.5]),
    st.sampled_from([0.0, 0.3]),
)
def test_under_doubt_of_legibility_the_documented_bar_is_the_best_policy(
    beliefs, target, hidden_mark, over_refusal, wrong_list
):
    prices = Prices.of(target, hidden_mark=hidden_mark, over_refusal=over_refusal, wrong_list=wrong_list)
    wanted = []
    for belief in beliefs:
        chance = (1.0 - belief.hidden) * belief.right
        if not wrong_list:  # as the docstring has it without an outcome to pay
            documented = target + (1.0 - target) * (belief.hidden * hidden_mark - belief.clear * over_refusal)
            assert bar_of(belief, prices) == pytest.approx(documented)
        assume(abs(chance - bar_of(belief, prices)) > 1e-6)
        wanted.append(chance > bar_of(belief, prices))
    assert best_policy(beliefs, prices) == tuple(wanted)


@pytest.mark.parametrize("weight", [0.5, 2.0])
@pytest.mark.parametrize("margin", [-0.01, 0.01])
@pytest.mark.parametrize(("clear", "partial"), [(0.0, 1.0), (1.0, 0.0), (0.8, 0.0), (0.3, 0.5)])
def test_the_outcome_weight_moves_the_bars_as_documented(weight, margin, clear, partial):
    """The other slot is clear, and right with chance 0.9: so is then the rest of the field."""
    prices = Prices.of(0.8, outcome_weight=weight)
    belief = Belief(clear, partial, 1.0 - clear - partial, 1.0)
    threshold = bar_of(belief, prices, slots=2, rest=0.9)
    doubtful = replace(belief, right=(threshold + margin) / (clear + partial))
    assert best_policy([doubtful, known("c", 0.9)], prices) == (margin > 0, True)


def test_the_effective_bars_are_those_of_the_shipped_recipes():
    """What t = 0.5 really asks for where the whole answer is paid as well."""
    even = bars(Prices.of(0.5, outcome_weight=1.0))
    assert even["partial"] == pytest.approx(0.89, abs=0.005) and even["clear"] == pytest.approx(0.05, abs=0.005)
    assert bars(Prices.of(0.5))["partial"] == 0.5
    told = load_reward(RewardSpec(function="faithful", kwargs={"confidence_target": 0.5, "outcome_weight": 1.0}))
    assert "partial 0.89; clear 0.05;" in told.explanation and "8 slots" in told.explanation


def test_the_effective_bars_on_the_page():
    table = PAGE.read_text(encoding="utf-8").partition("| the slot is | t = 0.5, v = 0 |")[2]
    lines = [line.strip("| ").split(" | ") for line in table.splitlines()[2:5]]
    prices = [Prices.of(t, outcome_weight=v) for t in (0.5, 0.8) for v in (0.0, 1.0)]
    assert lines == [[name, *(f"{bars(each)[name]:.2f}" for each in prices)] for name in bars(prices[0])]


def hallucination_free(policy: Sequence[bool], beliefs: Sequence[Belief]) -> float:
    """The chance that the evaluator counts the answer as hallucination-free."""
    return expected(policy, beliefs, Prices.of(0.5), value=lambda reward, counts: float(counts["free"]))


evens = st.tuples(st.integers(0, 10), st.integers(0, 20)).map(lambda s: Belief(1 - s[0] / 10, 0, s[0] / 10, s[1] / 20))


@settings(max_examples=60, deadline=None)
@given(st.lists(evens, min_size=1, max_size=2), st.sampled_from([0.4, 0.5, 0.8, 0.95]))
def test_the_prices_of_hallucination_free_accuracy_have_its_best_policy_at_every_target(beliefs, target):
    """h = 1 and c = w, on fields without partial slots: assert exactly when P > q_h, whatever t is."""
    prices = Prices.of(target, over_refusal=Prices.of(target).wrong)
    chances = [((1.0 - belief.hidden) * belief.right, belief.hidden) for belief in beliefs]
    # At certainty of failure nothing distinguishes the policies: the product is 0 either way.
    assume(all(abs(read - hidden) > 1e-6 and max(read, hidden) > 0 for read, hidden in chances))
    wanted = tuple(read > hidden for read, hidden in chances)
    assert best_policy(beliefs, prices) == wanted
    policies = itertools.product((False, True), repeat=len(beliefs))
    assert max(policies, key=lambda policy: hallucination_free(policy, beliefs)) == wanted


@settings(max_examples=60, deadline=None)
@given(st.lists(beliefs, min_size=1, max_size=2), st.sampled_from([0.4, 0.5, 0.8, 0.95]))
def test_under_the_prices_of_hallucination_free_accuracy_the_target_decides_partial_slots_alone(beliefs, target):
    prices = Prices.of(target, over_refusal=Prices.of(target).wrong, wrong_list=0.0)
    chances = [((1.0 - belief.hidden) * belief.right, belief.hidden + target * belief.partial) for belief in beliefs]
    assume(all(abs(chance - bar) > 1e-6 for chance, bar in chances))
    assert best_policy(beliefs, prices) == tuple(chance > bar for chance, bar in chances)


@pytest.mark.parametrize("target", [0.5, 0.8])
@pytest.mark.parametrize("even", [False, True])
def test_silence_is_never_best(target, even):
    """Over every way to assert, mark or leave out three slots, for readers of each kind of doubt."""
    prices = Prices.of(target, over_refusal=Prices.of(target).wrong if even else None)
    kinds = [known("c", 0.9), known("p", 0.3), known("h", 0.5), Belief(0.5, 0.0, 0.5, 0.5)]
    if not even:  # there a mark on a clear slot that cannot be read costs as much as silence
        kinds.append(known("c", 0.0))
    for three in itertools.combinations(kinds, 3):
        earned = {
            actions: expected(actions, three, prices) for actions in itertools.product((False, True, None), repeat=3)
        }
        best = max(earned.values())
        assert max(earns for actions, earns in earned.items() if None not in actions) == best
        # An answer without any character is the refusal of the field, and what is left out beside a mark lies in its gap.
        left_out = [earns for actions, earns in earned.items() if None in actions and {*actions} == {True, None}]
        assert max(left_out) < best


@pytest.mark.parametrize("target", [0.3, 0.5, 0.8, 0.95])
def test_a_mark_that_becomes_silence_never_gains(target):
    """Over every legibility, and over the dearest over-refusal that is allowed."""
    prices = Prices.of(target, over_refusal=Prices.of(target).wrong)
    for legibility in ("clear", "partial", "hidden", "derivable"):
        marked, silent = (Counts.of(**{f"{legibility}_{said}": 1, "clear_right": 1}) for said in ("marked", "dropped"))
        assert pay(silent, prices) <= pay(marked, prices)


said = st.sampled_from(["right", "mark", "mark", "silence"])


@settings(deadline=None, max_examples=200)
@given(st.data(), st.text("ccphd", min_size=1, max_size=12), st.sampled_from([0.5, 0.95]), st.sampled_from([0.0, 1.0]))
def test_in_whole_answers_neither(data, legibility, target, weight):
    value = "abcdefghijkl"[: len(legibility)]
    prices = Prices.of(target, outcome_weight=weight)
    field = pieces.slots(value, legibility)
    says = data.draw(st.lists(said, min_size=len(value), max_size=len(value)))
    marks = [place for place, one in enumerate(says) if one == "mark"]
    assume(marks)

    def earned() -> tuple[float, bool]:
        become = {"mark": " ", "silence": ""}
        reading = Reading("".join(become.get(one, char) for char, one in zip(value, says, strict=True)))
        return score(reading, field, prices)[0], reading.refused

    before, refused = earned()
    says[data.draw(st.sampled_from(marks))] = "silence"
    after, all_silent = earned()
    assert after <= before + 1e-12 or (all_silent and not refused)  # no character at all is a mark on every slot


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_the_order_of_a_list_is_paid_nothing(data):
    slots = data.draw(pieces.ledgers("abca "))
    final, clear, not_clear = (data.draw(st.text("abc", max_size=8)) for _ in range(3))
    mixed = ["".join(data.draw(st.permutations(listed))) for listed in (clear, not_clear)]
    prices = Prices.of(0.5, outcome_weight=1.0)
    assert score(Reading(final, not_clear, clear), slots, prices) == score(Reading(final, *mixed[::-1]), slots, prices)


def test_above_the_bound_a_character_that_is_certainly_wrong_would_beat_a_mark():
    """Why ``Prices.of`` refuses an over-refusal price above w: shown on a price list made without it."""
    beliefs = [known("c", 0.0), known("p", 1.0)]
    even = Prices.of(0.5, over_refusal=1.0)
    assert expected((True, True), beliefs, even) == expected((False, True), beliefs, even)
    assert best_policy(beliefs, replace(even, over_refusal=1.1)) == (True, True)
    assert best_policy(beliefs, replace(even, over_refusal=0.9)) == (False, True)


ROWS = {
    "partial": lambda right: known("p", right),
    "clear": lambda right: known("c", right),
    "clear, but for one chance in five that it is hidden": lambda right: Belief(0.8, 0.0, 0.2, right / 0.8),
}


def test_the_bars_on_the_page_are_where_the_best_policy_changes():
    table = PAGE.read_text(encoding="utf-8").partition("| the slot is known to be |")[2]
    lines = [line.strip("| ").split(" | ") for line in table.splitlines()[2:7]]
    assert [line[0].partition(" (")[0] for line in lines] == [*ROWS, *list(ROWS)[1:]]
    for name, _, *told in lines:
        row, _, which = name.partition(" (")
        for target, threshold in zip((0.5, 0.8, 0.95), map(float, told), strict=True):
            even = Prices.of(target).wrong if which == "c = w)" else None
            for right in (threshold - 0.005, threshold + 0.005):
                if 0.0 <= right <= (0.8 if "five" in row else 1.0):
                    beliefs = [ROWS[row](right), known("p", 1.0)]
                    prices = Prices.of(target, over_refusal=even)
                    assert best_policy(beliefs, prices) == (right > threshold, True), (name, target, right)


def test_what_a_mark_saves_beside_silence():
    prices = Prices.of(0.8)
    saves = {"c": prices.wrong - prices.over_refusal, "p": prices.wrong, "h": prices.wrong + prices.hidden_mark}
    for letter, saved in saves.items():
        slots = make_slots("abcd", "ccc" + letter)
        marked, left_out = (score(Reading(final, clear="abc"), slots, prices)[0] for final in ("abc ", "abc"))
        assert marked - left_out == pytest.approx(saved / 4)


def test_the_price_list_of_the_documentation():
    prices = Prices.of(0.8)
    assert (prices.wrong, prices.hidden_mark) == (pytest.approx(4.0), 1.0)
    assert (prices.over_refusal, prices.surplus, prices.wrong_list) == (0.5, 0.5, 0.3)
    slots = make_slots("Smith", "cchch")
    readings = {
        "Sm t ": 1.0,  # the official record
        "Sm t": (3 + 1 - 4) / 5,  # the last hidden one left out
        "Smit ": (3 + 1 - 4) / 5,  # lucky, but invented
        "S  t ": (2 + 2 - 0.5) / 5,
        "Sn t ": (2 + 2 - 4) / 5,
        "Sm t   ": 1.0,  # how many are hidden is not asked
        "Sm tx ": (3 + 1 + 1 - 4) / 5,  # one character too many: over no slot or over a hidden one
        "     ": (2 - 3 * 0.5) / 5,
        "": (2 - 3 * 0.5) / 5,  # refusing the field is marking every slot
    }
    for final, reward in readings.items():
        reading = Reading(final, clear=final.replace(" ", ""))
        assert score(reading, slots, prices)[0] == pytest.approx(reward), final
    assert score(Reading("Sm t ", "Smt"), slots, prices)[0] == pytest.approx((3 * 0.7 + 2) / 5)  # the other list
    assert score(Reading("Sm t "), slots, prices)[0] == pytest.approx((3 * 0.7 + 2) / 5)  # or none
    words = make_slots("Al By", "cc-cc")
    assert score(Reading("AlBy", clear="AlBy"), words, prices)[0] == pytest.approx((4 - 4) / 4)
    assert score(Reading("Al  By", clear="AlBy"), words, prices)[0] == pytest.approx((4 - 0.5) / 4)
    assert score(None, slots, prices)[0] == prices.low == pytest.approx(-4.0)


def test_derivable_slots_are_never_due_and_never_invented():
    slots = pieces.slots("abcd", "cccd")
    earned = [score(Reading(final, clear="abc"), slots, Prices.of(0.5))[0] for final in ("abcd", "abc ", "abc#", "abc")]
    assert earned == pytest.approx([1.0, 1.0, 2 / 3, 2 / 3])


def test_low_targets_keep_their_prices_below_a_mistake_and_wrong_ones_are_refused():
    prices = Prices.of(0.2)
    assert prices.over_refusal < prices.wrong == pytest.approx(0.25)
    with pytest.raises(InputError, match="guessing would beat a mark"):
        Prices.of(0.2, over_refusal=0.5)
    with pytest.raises(InputError, match="surplus: a price is not negative"):
        Prices.of(0.8, surplus=-0.1)
    for target, wrong in ((0.5, 1.0), (0.8, 4.0), (0.95, 19.0)):
        assert Prices.of(target, over_refusal=wrong).over_refusal == wrong  # the bound itself is allowed
    with pytest.raises(InputError, match="between 0 and 1"):
        Prices.of(1.0)


def test_whole_fields():
    prices = Prices.of(0.8)
    nothing, name = Reading(""), Reading("Miller", clear="Miller")
    unreadable = make_slots("Okafor", "hhhhhh")
    assert score(nothing, (), prices)[0] == score(nothing, unreadable, prices)[0] == 1.0
    assert score(name, (), prices)[0] == score(name, unreadable, prices)[0] == prices.low
    assert score(Reading("", clear="M"), (), prices)[0] == prices.low  # asserted in a list, with an empty Final OCR
    assert kind_of(()) == "absent" and kind_of(unreadable) == "unreadable"


def test_characters_that_only_the_lists_hold_are_paid_for():
    slots = make_slots("Smith", "cchch")
    prices = Prices.of(0.8)
    honest = truth(slots)
    hiding = Reading(honest.final, not_clear="ih", clear="Smt")
    assert score(honest, slots, prices)[1]["listed"] == 0 and score(hiding, slots, prices)[1]["listed"] == 2
    assert score(hiding, slots, prices)[0] == pytest.approx(1.0 - 2 * prices.wrong / 5)


def test_long_fields_do_not_drown_short_ones():
    prices = Prices.of(0.8)
    for value in ("ab", "abcdefgh" * 3):
        slots = make_slots(value, "c" * len(value))
        half = value[: len(value) // 2] + " " * (len(value) // 2)
        reading = Reading(half, clear=half.strip())
        assert score(reading, slots, prices)[0] == pytest.approx((1 - prices.over_refusal) / 2)


letters = st.sampled_from("cph")
values = st.text("abcdeAB12 -", min_size=1, max_size=12).filter(lambda v: v.strip() == v)


@st.composite
def ledgers(draw: st.DrawFn) -> tuple[Slot, ...]:
    value = draw(values)
    return make_slots(value, "".join("-" if c == " " else draw(letters) for c in value))


@settings(max_examples=200, deadline=None)
@given(ledgers(), st.text("abcdeAB12 -xyz", max_size=30), st.text("abx", max_size=4), st.sampled_from([0.5, 0.8, 0.95]),
       st.sampled_from([0.0, 1.0]))  # fmt: skip
def test_no_reading_beats_the_honest_one_and_all_stay_in_range(slots, final, listed, target, weight):
    prices = Prices.of(target, outcome_weight=weight)
    best, counts = score(truth(slots), slots, prices)
    assert best == pytest.approx(prices.high) and counts["free"] == 1
    reward, _ = score(Reading(final, clear=listed), slots, prices)
    assert prices.low <= reward <= best + 1e-12


@settings(max_examples=100, deadline=None)
@given(ledgers(), st.text("abcdeAB12 -xyz", max_size=16))
def test_the_reward_is_paid_for_the_evaluators_own_counts(slots, final):
    prices = Prices.of(0.8)
    reading = Reading(final, clear=final.replace(" ", ""))
    reward, counts = score(reading, slots, prices)
    assert counts == verdicts(slots, reading, kind_of(slots)).counts
    assert reward == pay(counts, prices)


def test_trl_contract_with_missing_ledgers_message_lists_and_metrics():
    slots = make_slots("Smith", "cchch")
    column = [slot.to_json() for slot in slots]
    said = [[{"role": "assistant", "content": render(truth(slots), tags=True)}], "I see Smith."]
    logged: dict[str, float] = {}
    rewards = faithful(
        prompts=[None] * 3,
        completions=[*said, "x"],
        slots=[column, column, None],
        severity=[1, 1, 1],
        log_metric=logged.__setitem__,
    )
    assert rewards == [1.0, pytest.approx(-4.0), None]
    assert logged == {
        "ledger/hallucination_free_accuracy": 0.5,
        "ledger/reading_recall": 0.5,
        "ledger/refusal_recall": 0.5,
        "ledger/invented_rate": 0.0,
        "ledger/misread_rate": 0.0,
        "ledger/over_refusal_rate": 0.0,
    }
    assert faithful(prompts=["p"], completions=["x"]) == [None]
    assert faithful(prompts=[], completions=[]) == []


def test_the_row_decides_not_the_neighbours():
    """Equal completions about different ledgers, and about equal ledgers of different kinds, are told apart."""
    text = render(Reading("ab", clear="ab", clear_number=2, not_clear_number=0), tags=True)
    columns = [[s.to_json() for s in make_slots("ab", letters)] for letters in ("cc", "ch", "cc")]
    assert faithful(prompts=[None] * 3, completions=[text] * 3, slots=columns) == [1.0, pytest.approx(-1.5), 1.0]
    kinds = ["answerable", "unreadable"]
    assert faithful(
        prompts=[None] * 2, completions=[text] * 2, slots=[columns[0]] * 2, question_kind=kinds, outcome_weight=1.0
    ) == [2.0, 1.0]


def test_a_target_that_rises_begins_at_one_half_and_stays_where_it_was_to_go():
    assert [risen(0.8, step, 100) for step in (0, 50, 100, 500)] == pytest.approx([0.5, 0.65, 0.8, 0.8])
    assert [risen(0.3, step, 100) for step in (0, 50)] == [0.3, 0.3] and risen(0.95, 0, 0) == 0.95


def test_prices_follow_the_target_as_it_rises():
    slots = make_slots("ab", "cc")
    rows = [[slot.to_json() for slot in slots]]
    answer = render(Reading("a" + WRONG, "", "a" + WRONG, 2, 0), tags=True)

    def paid(step, text=answer, **kwargs):
        state = SimpleNamespace(global_step=step)
        return faithful(["p"], [text], slots=rows, trainer_state=state, rise_steps=10, **kwargs)[0]

    for step, target in ((0, 0.5), (5, 0.65), (10, 0.8)):
        expected, _ = score(parse(answer).reading, slots, Prices.of(target))
        assert paid(step, confidence_target=0.8) == pytest.approx(expected)
    assert paid(0) > paid(5) > paid(10)
    # An over-refusal price that is only allowed at the end is cut to a mistake's price until then.
    refused = render(Reading("", "", MARK * 2, 0, 0), tags=True)
    assert paid(0, refused, over_refusal=3.0) == pytest.approx(-1.0)
    assert paid(10, refused, over_refusal=3.0) == pytest.approx(-3.0)
