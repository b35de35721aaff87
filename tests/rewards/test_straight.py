"""The short ways of ``faithful``: whatever they say is what the long way says, and they are taken where it matters."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kie_hvqa.answers import answer
from kie_hvqa.answers.answer import Reading, parse, render, truth
from kie_hvqa.data.ledger import Slot
from kie_hvqa.scoring.scores import count
from rewards.contract import ledger
from rewards.golden import answers, goldens, make_slots
from rewards.redteam import attacks
from rewards.straight import Ledger, count_fast, straight_counts
from studies.benches.rewards import batch


@st.composite
def readings(draw: st.DrawFn) -> tuple[tuple[Slot, ...], str]:
    """A ledger over few letters, so that everything nearly fits everywhere, and an answer a few edits away from it."""
    value = draw(st.text("abc \u00a0", min_size=1, max_size=9))
    slots = make_slots(value, "".join("-" if c.isspace() else draw(st.sampled_from("cph")) for c in value))
    final = list(truth(slots).final or value)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(final)))
        symbol = draw(st.sampled_from("abcx "))
        change = draw(st.sampled_from(["put", "put", "put", "add", "drop", "swap"]))
        if change == "add":
            final.insert(at, symbol)
        elif final and change == "drop":
            del final[at % len(final)]
        elif final and change == "swap":
            i, j = at % len(final), (at + 1) % len(final)
            final[i], final[j] = final[j], final[i]
        elif final:
            final[at % len(final)] = symbol
    return slots, "".join(final)


@settings(max_examples=1500, deadline=None)
@given(readings(), st.sampled_from(["answerable", "unreadable", "absent"]))
@example((make_slots("abcd", "cccc"), "aXbd"), "answerable")  # a tie: X added, c left out
@example((make_slots("ab ca", "cc-cc"), "abc a"), "answerable")  # 9 against 10: the word space left out, a mark added
@example((make_slots("aab", "chc"), "ab "), "answerable")
def test_the_short_way_counts_what_the_alignment_counts(said, kind):
    slots, final = said
    for reading in (Reading(final, clear=final.replace(" ", "")), Reading(final)):
        assert count_fast(Ledger.of(slots), reading, kind) == count(slots, reading, kind)
    assert count_fast(Ledger.of(slots), None, kind) == count(slots, None, kind)


@pytest.mark.parametrize("golden", goldens(), ids=lambda golden: golden.name)
def test_attacks_are_counted_alike_by_both_ways(golden):
    for text in [*golden.answers.values(), *attacks(golden.slots).values()]:
        reading = parse(text).reading
        long_way = count(golden.slots, reading, golden.question_kind)
        assert count_fast(Ledger.of(golden.slots), reading, golden.question_kind) == long_way


def test_a_tie_is_left_to_the_alignment():
    assert straight_counts(Ledger.of(make_slots("abcd", "cccc")), "aXbd", "answerable") is None
    assert straight_counts(Ledger.of(make_slots("ab ca", "cc-cc")), "abc a", "answerable") is None


def test_most_answers_as_long_as_the_field_take_the_short_way():
    texts, columns = batch(512)
    pairs = [
        (Ledger.of(ledger(column)), parse(text).reading.final)
        for text, column in zip(texts, columns["slots"], strict=True)
    ]
    same = [straight_counts(truth, final, "answerable") for truth, final in pairs if len(final) == len(truth.value)]
    assert len(same) > 300
    assert sum(counts is not None for counts in same) > 0.9 * len(same)


printable = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)
exotic = st.text(st.sampled_from('ab <>[]"\\{}\t\n\u00e9e\u0301\u25a1'), max_size=6)


@settings(max_examples=400, deadline=None)
@given(*[st.one_of(printable, exotic)] * 3, *[st.one_of(st.integers(-5, 2_000_000), st.none())] * 2, st.booleans())
@example("S m t", "", "[UNREADABLE]", 3, 0, True)
@example("", "", "<answer>", 3, 0, True)
def test_an_answer_as_agreed_is_read_as_the_long_way_reads_it(clear, not_clear, final, number, other, ascii_only):
    fields = dict(zip(answer.KEYS.values(), (clear, not_clear, number, other, final), strict=True))
    text = f"<answer>{json.dumps(fields, ensure_ascii=ascii_only)}</answer>"
    assert parse(text) == answer._parse(text)


def test_what_render_writes_takes_the_short_way():
    """Names and numbers of documents do; an accent or a quotation mark may take the long one."""
    for golden in goldens():
        for text in answers(golden.slots).values():
            assert (answer._AS_AGREED.fullmatch(text) is not None) == text.startswith("<answer>")
    assert parse(render(truth(make_slots("O'Neil-3/4 #7", "cccccccccc-cc")), tags=True)).repairs == ()
