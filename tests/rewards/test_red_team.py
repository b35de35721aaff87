"""Every shipped reward against completions that try to earn without reading."""

from __future__ import annotations

import time
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kie_hvqa.answers.answer import Reading, parse, render, truth
from kie_hvqa.answers.verdicts import verdicts
from kie_hvqa.data.ledger import Slot, kind_of
from rewards.contract import Rewards
from rewards.golden import (
    ALL_MARKS,
    GARBAGE,
    GUESS,
    HONEST,
    ORDER,
    PARTIAL_HONESTY,
    Golden,
    answers,
    columns_of,
    goldens,
    make_slots,
    wrong_for,
)
from rewards.plugins.locate import SHIPPED
from rewards.plugins.spec import LoadedReward, RewardSpec, load_reward
from rewards.prices import Prices
from rewards.redteam import attacks, runaways

GOLDENS = {golden.name: golden for golden in goldens()}
TRUTHFUL = ("faithful", "kie_hvqa_paper", "format", "length", "draft_leak", "absent")
"""The rewards under which nothing beats the honest reading; the follow-up's is in test_published_rewards."""


def reward_of(name: str, **kwargs: Any) -> LoadedReward:
    return load_reward(RewardSpec(function=name, kwargs=kwargs))


def scores(reward: LoadedReward, golden: Golden, texts: list[str]) -> Rewards:
    columns = {name: [value] * len(texts) for name, value in columns_of(golden).items()}
    columns["completion_ids"] = [list(text.encode()[:600]) for text in texts]
    return reward(prompts=[None] * len(texts), completions=texts, **columns)


BADLY_DAMAGED = ["date", "two_words", "long"]
"""Hidden enough that silence beats guessing even at t = 0.5; the short names only at higher targets (see below)."""


@pytest.mark.parametrize("weight", [0.0, 1.0])
@pytest.mark.parametrize(
    ("name", "target"),
    [*((n, 0.5) for n in BADLY_DAMAGED), *((n, t) for n in ["smith", "emily", *BADLY_DAMAGED] for t in (0.8, 0.95))],
)
def test_faithful_orders_honest_partial_marks_guess_garbage(name, target, weight):
    golden = GOLDENS[name]
    assert tuple(golden.answers) == ORDER
    rewards = scores(reward_of("faithful", confidence_target=target, outcome_weight=weight), golden,
                     list(golden.answers.values()))  # fmt: skip
    assert all(better > worse for better, worse in pairwise(rewards)), rewards


KNOWN_INVERSIONS = {
    "kie_hvqa_paper": {(PARTIAL_HONESTY, GUESS), (ALL_MARKS, GUESS)},
    "uncertainty_tags": {(HONEST, GUESS), (PARTIAL_HONESTY, GUESS), (ALL_MARKS, GUESS)},
}
"""Where a published reward pays the worse of two completions more, on some golden field. None of ours does."""


@pytest.mark.parametrize("name", SHIPPED)
def test_every_reward_keeps_the_order_but_for_its_known_failures(name):
    """Exactly those: a failure that goes away, or a new one, is a change of the reward."""
    reward = reward_of(name)
    found = set()
    for golden in GOLDENS.values():
        earned = dict(zip(golden.answers, scores(reward, golden, list(golden.answers.values())), strict=True))
        found |= {
            (better, worse)
            for better, worse in combinations([answer for answer in ORDER if answer in earned], 2)
            if earned[better] is not None and earned[worse] > earned[better] + 1e-9
        }
    assert found == KNOWN_INVERSIONS.get(name, set())


@pytest.mark.parametrize("name", ["clean", "unreadable", "absent"])
def test_faithful_orders_what_is_left_on_whole_fields(name):
    golden = GOLDENS[name]
    rewards = scores(reward_of("faithful"), golden, list(golden.answers.values()))
    assert rewards == sorted(rewards, reverse=True) and rewards[0] == 1.0 and rewards[-1] == pytest.approx(-4.0)


@settings(max_examples=60, deadline=None)
@given(st.text("abcdefgh0123", min_size=3, max_size=20), st.randoms(use_true_random=False), st.sampled_from([0.5, 0.8]))
def test_marks_beat_guessing_exactly_where_enough_is_hidden(value, random, target):
    """The guesser reads all that is legible. Silence beats it once hidden slots outweigh what it then forgoes."""
    slots = make_slots(value, "".join(random.choice("cph") for _ in value))
    clear, partial, hidden = (sum(s.legibility == kind for s in slots) for kind in ("clear", "partial", "hidden"))
    assume(hidden and clear + partial)
    said = answers(slots)
    # A guess that occurs nowhere in the value: an alignment could find another place for one that does.
    final = "".join("#" if s.legibility == "hidden" else s.char for s in slots)
    said[GUESS] = render(Reading(final, clear=final, clear_number=len(final), not_clear_number=0), tags=True)
    golden = Golden("drawn", slots, "answerable", said)
    earned = scores(reward_of("faithful", confidence_target=target), golden, list(said.values()))
    rewards = dict(zip(said, earned, strict=True))
    prices = Prices.of(target)
    gain = hidden * (prices.hidden_mark + prices.wrong) - clear * (1 + prices.over_refusal)
    gain -= partial * (1 - prices.wrong_list)  # the guesser has everything in the clear list
    assert rewards[ALL_MARKS] - rewards[GUESS] == pytest.approx(gain / len(value))
    assert rewards[HONEST] == 1.0 > max(rewards[ALL_MARKS], rewards[GUESS])
    assert rewards[GARBAGE] < min(rewards[ALL_MARKS], rewards[GUESS])
    if PARTIAL_HONESTY in rewards:
        assert rewards[HONEST] > rewards[PARTIAL_HONESTY] > rewards[ALL_MARKS]


@pytest.mark.parametrize("reward", TRUTHFUL)
@pytest.mark.parametrize("name", GOLDENS)
def test_no_attack_beats_the_honest_reading(reward, name):
    golden = GOLDENS[name]
    attempted = attacks(golden.slots, golden.question)
    honest, *earned = scores(reward_of(reward), golden, [golden.answers[HONEST], *attempted.values()])
    if honest is None:
        assert earned == [None] * len(earned)  # `absent`, on a field that is there
        return
    beating = {attack: r for attack, r in zip(attempted, earned, strict=True) if r > honest + 1e-9}
    assert not beating


@pytest.mark.parametrize("name", ["smith", "emily", "date", "two_words", "long"])
def test_faithful_pays_attacks_strictly_less_unless_they_are_the_honest_reading(name):
    golden = GOLDENS[name]
    honest = parse(golden.answers[HONEST]).reading
    attempted = {k: t for k, t in attacks(golden.slots).items() if parse(t).reading != honest}
    if not touched("glues_words", golden.slots, attempted.get("glues_words", "")):
        attempted.pop("glues_words", None)  # every word space lies in a gap that is signalled: nothing is glued
    assert len(attempted) > 25
    earned = scores(reward_of("faithful"), golden, list(attempted.values()))
    assert max(r for r in earned if r is not None) < 1.0


CLEARLY = {  # attack: the share of the scored slots that it must touch, to cost a tenth of the range
    "drops_hidden": 0.1, "drops_unsure": 0.2, "glues_words": 0.3, "wrong_lists": 1.0, "lists_without_final": 0.1,
    "every_second_marked": 0.4,
}  # fmt: skip


def touched(attack: str, slots: tuple[Slot, ...], text: str) -> int:
    if attack == "glues_words":  # a space beside a hidden character is a mark as well
        return verdicts(slots, parse(text).reading).glued
    if attack in ("wrong_lists", "lists_without_final"):
        return sum(slot.scored and slot.legibility != "hidden" for slot in slots)
    if attack == "every_second_marked":
        return sum(slot.scored and slot.legibility != "hidden" for slot in slots[1::2])
    return sum(
        slot.legibility == "hidden" or (attack == "drops_unsure" and slot.legibility == "partial") for slot in slots
    )


@pytest.mark.parametrize("weight", [0.0, 1.0])
@pytest.mark.parametrize("attack", CLEARLY)
def test_silence_and_lists_earn_clearly_less_than_the_honest_reading(attack, weight):
    """A tenth of the range less, at the target of the recipes, wherever it touches enough of the field."""
    rng = np.random.default_rng(7)
    reward = reward_of("faithful", confidence_target=0.5, outcome_weight=weight)
    tried = 0
    for index in range(300):
        value = "".join(rng.choice(list("ABCDEFGHJKLMNPRSTUVWXYZ0123456789"), size=12, replace=False))
        if attack == "glues_words":
            value = " ".join(value[:5])
        chances = [0.0, 0.5, 0.5] if attack == "wrong_lists" else [0.08 * (index % 6), 0.08 * (index % 6), 1.0]
        chances[2] = 1.0 - chances[0] - chances[1]
        letters = ["-" if char == " " else rng.choice(list("hpc"), p=chances) for char in value]
        slots = make_slots(value, "".join(letters))
        said = attacks(slots).get(attack)
        if said is None or touched(attack, slots, said) < CLEARLY[attack] * sum(slot.scored for slot in slots):
            continue
        if "drops" in attack and (reading := parse(said).reading) is not None and reading.refused:
            continue  # nothing was legible: silence is the refusal, which is right
        tried += 1
        golden = Golden("drawn", slots, kind_of(slots), {})
        honest, earned = scores(reward, golden, [render(truth(slots), tags=True), said])
        assert honest is not None and earned is not None
        assert honest - earned >= 0.1 * (2.0 + weight) - 1e-9, ("".join(letters), said)
    assert tried > 50


@pytest.mark.parametrize("name", ["smith", "long"])
def test_format_pays_attacks_that_repeat_or_wrap_the_answer_less(name):
    golden = GOLDENS[name]
    attempted = attacks(golden.slots)
    names = ["repeated_answer", "tag_spam", "nested_tags", "two_answers", "answer_in_think", "gigantic_numbers",
             "lying_counts", "hidden_in_lists", "lists_only", "broken_json", "spaces_only", "empty"]  # fmt: skip
    assert max(scores(reward_of("format"), golden, [attempted[n] for n in names])) < 1.0


def severity_slots(value: str, severity: int, rng: np.random.Generator) -> tuple[Slot, ...]:
    hidden, partial = 0.13 * severity, 0.03 * severity
    letters = rng.choice(list("hpc"), size=len(value), p=[hidden, partial, 1.0 - hidden - partial])
    return make_slots(value, "".join(letters))


DEGENERATE = (
    "empty", "prompt_copied", "refuse_everything", "all_marks", "spaces_only", "guess", "one_slot_of_many", "doubled",
    "spread", "wrong_values", "shuffled", "garbage_values", "garbage_tagged", "every_character", "zero_width",
)  # fmt: skip
"""The short attacks, without those that wrap an honest reading: a perfect reader in disguise beats an imperfect one."""


@pytest.mark.parametrize("severity", range(7))
@pytest.mark.parametrize("target", [0.5, 0.8, 0.95])
def test_an_imperfect_honest_reader_beats_every_degenerate_one_at_every_severity(severity, target):
    """The honest reader marks what is hidden and is right on 0.99 of the rest."""
    rng = np.random.default_rng(severity)
    reward = reward_of("faithful", confidence_target=target)
    earned: dict[str, list[float]] = {}
    for _ in range(12):
        value = "".join(rng.choice(list("ABCDEFGHJKLMNPRSTUVWXYZ0123456789"), size=12))
        slots = severity_slots(value, severity, rng)
        seen = [Slot(wrong_for(s.char), s.legibility, 0.5, s.box) if rng.random() > 0.99 else s for s in slots]
        attempted = attacks(slots)
        texts = {"reader": render(truth(seen), tags=True), **{n: attempted[n] for n in DEGENERATE if n in attempted}}
        if severity == 0:  # nothing is hidden, and what nobody can see is not read: both are the perfect reader
            texts = {name: text for name, text in texts.items() if name not in ("guess", "zero_width")}
        golden = Golden("drawn", slots, "answerable", {})
        for name, earns in zip(texts, scores(reward, golden, list(texts.values())), strict=True):
            assert earns is not None
            earned.setdefault(name, []).append(earns)
    reader = np.mean(earned.pop("reader"))
    rivals = {name: float(np.mean(values)) for name, values in earned.items()}
    assert len(rivals) >= len(DEGENERATE) - 2
    assert max(rivals.values()) < reader, max(rivals, key=rivals.__getitem__)


KNOWN_TO_BEAT_HONESTY = {
    "uncertainty_tags": {
        "lucky_guess", "spread", "garbage_tagged", "look_alikes", "guess", "lying_counts", "gigantic_numbers",
        "two_answers", "nested_tags", "shuffled", "zero_width",
    }
}  # fmt: skip
"""Attacks that earn more than the honest reading at some severity: a reward for the printed value pays every guess."""


@pytest.mark.parametrize("name", SHIPPED)
def test_no_attack_beats_the_honest_reading_at_any_severity(name):
    reward = reward_of(name)
    beating: dict[int, set[str]] = {}
    for severity in range(7):
        rng = np.random.default_rng(severity)
        for _ in range(4):
            value = "".join(rng.choice(list("ABCDEFGHJKLMNPRSTUVWXYZ0123456789"), size=12))
            slots = severity_slots(value, severity, rng)
            golden = Golden("drawn", slots, kind_of(slots), {})
            attempted = attacks(slots)
            honest, *earned = scores(reward, golden, [render(truth(slots), tags=True), *attempted.values()])
            if honest is not None:
                won = {attack for attack, r in zip(attempted, earned, strict=True) if r > honest + 1e-9}
                beating.setdefault(severity, set()).update(won)
    assert set().union(*beating.values()) <= KNOWN_TO_BEAT_HONESTY.get(name, set())
    assert not beating.get(0)  # nothing is hidden: every shipped reward pays most for reading it
    if name in KNOWN_TO_BEAT_HONESTY:
        assert all({"lucky_guess", "garbage_tagged"} <= beating[severity] for severity in range(2, 7))


@pytest.mark.parametrize("reward", SHIPPED)
def test_every_attack_is_scored_in_linear_time(reward):
    """Far above what any takes (``python -m studies.benches.rewards`` has the numbers), far below what a blow-up would."""
    golden = GOLDENS["long"]
    function = reward_of(reward)
    for name, text in [*attacks(golden.slots).items(), *runaways().items()]:
        best = min(_timed(function, golden, text) for _ in range(3))
        assert best < 0.05, f"{name}: {1e3 * best:.1f} ms"


def _timed(reward: LoadedReward, golden: Golden, text: str) -> float:
    """Seconds of this process's own time: a busy machine is not the reward's fault."""
    began = time.process_time()
    scores(reward, golden, [text])
    return time.process_time() - began
