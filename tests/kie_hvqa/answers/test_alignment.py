"""Alignment against a plain edit table, its ties, and the readings that rewards meet most."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kie_hvqa.answers.alignment import MAX_EXTRA, Alignment, align
from kie_hvqa.answers.answer import truth
from kie_hvqa.data.ledger import Slot
from tests.kie_hvqa.pieces import ledgers, slots

TIE = {"hidden": 0, "partial": 1, "clear": 2}


def readings(alphabet: str) -> st.SearchStrategy[str]:
    return st.text(st.sampled_from(alphabet), max_size=10)


def edit_table(ledger: tuple[Slot, ...], final: str) -> tuple[int, int]:
    """(cost in tenths, ties) of the best alignment, by the whole table and the costs as they are documented."""
    table = [[(0, 0)] * (len(final) + 1) for _ in range(len(ledger) + 1)]
    for i in range(len(ledger) + 1):
        for j in range(len(final) + 1):
            steps = []
            if i:
                space, tie = not ledger[i - 1].scored, TIE[ledger[i - 1].legibility]
                cost, ties = table[i - 1][j]
                steps.append((cost + 3, ties) if space else (cost + 10, ties + tie))
            if j:
                cost, ties = table[i][j - 1]
                steps.append((cost + (6 if final[j - 1] == " " else 10), ties))
            if i and j:
                cost, ties = table[i - 1][j - 1]
                if ledger[i - 1].char == final[j - 1]:
                    steps.append((cost, ties))
                elif final[j - 1] == " " and not space:
                    steps.append((cost + 4, ties + tie))
                else:
                    steps.append((cost + 10, ties))
            if steps:
                table[i][j] = min(steps)
    return table[-1][-1]


def cost_of(ledger: tuple[Slot, ...], final: str, found: Alignment) -> tuple[int, int]:
    """(cost, ties) that an alignment has by its own account of what stands where."""
    assert len(found.symbols) == len(ledger)
    used = "".join(symbol for symbol in found.symbols if symbol is not None)
    assert sorted(used + found.added + " " * found.added_marks) == sorted(final)
    assert _is_subsequence(used, final) and _is_subsequence(found.added, final)
    cost, ties = 10 * len(found.added) + 6 * found.added_marks, 0
    for slot, symbol in zip(ledger, found.symbols, strict=True):
        if symbol is None:
            cost += 10 if slot.scored else 3
        elif symbol != slot.char:
            cost += 4 if symbol == " " else 10
        if slot.scored and symbol in (None, " "):
            ties += TIE[slot.legibility]
    assert cost == found.cost
    read = [None if place < 0 else final[place] for place in found.places]
    assert read == list(found.symbols) and sorted(p for p in found.places if p >= 0) == [
        p for p in found.places if p >= 0
    ]
    return cost, ties


def _is_subsequence(part: str, whole: str) -> bool:
    rest = iter(whole)
    return all(char in rest for char in part)


@settings(deadline=None, max_examples=600)
@given(
    st.sampled_from(["ab ", "abcdefgh ", "a ", "abc"]).flatmap(lambda a: st.tuples(ledgers(a, "ccph", 9), readings(a)))
)
@example((slots("  ", "cc"), "ab"))
@example((slots(" a ", "ccc"), "aaa"))
@example((slots("a b c", "chcpc"), " a cc"))
def test_it_is_the_cheapest_alignment_with_the_best_ties(drawn: tuple[tuple[Slot, ...], str]) -> None:
    ledger, final = drawn
    assert cost_of(ledger, final, align(ledger, final)) == edit_table(ledger, final)


edits = st.lists(st.tuples(st.sampled_from("ids"), st.integers(0, 40), st.sampled_from("abcXYZ ")), max_size=6)


@settings(deadline=None, max_examples=300)
@given(ledgers("abcdefgXYZ ", "ccph", 40), edits)
def test_and_so_it_is_for_long_fields_with_a_few_errors(ledger: tuple[Slot, ...], errors: list) -> None:
    read = list(truth(ledger).final)
    for kind, at, char in errors:
        at = min(at, len(read))
        read[at : at if kind == "i" else at + 1] = [] if kind == "d" else [char]
    final = "".join(read)
    assert cost_of(ledger, final, align(ledger, final)) == edit_table(ledger, final)


@pytest.mark.parametrize(
    ("value", "legibility", "final", "symbols", "added", "added_marks", "cost"),
    [
        ("Smith", "cchch", "Sm t ", ["S", "m", " ", "t", " "], "", 0, 8),
        ("Smith", "cchch", "Smith", list("Smith"), "", 0, 0),
        ("Smith", "cchch", "Smt", ["S", "m", None, "t", None], "", 0, 20),
        ("Smith", "cchch", "Smitth", list("Smith"), "t", 0, 10),
        ("Smith", "cchch", "Sm  t ", ["S", "m", " ", "t", " "], "", 1, 14),
        ("Smith", "cchch", "", [None] * 5, "", 0, 50),
        ("", "", "ab c", [], "abc", 1, 36),
        ("Al By", "ccccc", "AlBy", ["A", "l", None, "B", "y"], "", 0, 3),
        ("Al By", "ccccc", "Al_By", ["A", "l", "_", "B", "y"], "", 0, 10),
        # A gap in the wrong place costs: S and m are read over each other's slots.
        ("Smith", "cchhh", " Smit", ["S", "m", "i", "t", None], "", 1, 16),
    ],
)
def test_by_hand(
    value: str, legibility: str, final: str, symbols: list, added: str, added_marks: int, cost: int
) -> None:
    found = align(slots(value, legibility), final)
    assert (list(found.symbols), found.added, found.added_marks, found.cost) == (symbols, added, added_marks, cost)


def test_ties_put_omissions_and_marks_on_what_is_least_legible() -> None:
    assert list(align(slots("aa", "hc"), "a").symbols) == [None, "a"]
    assert list(align(slots("aa", "ch"), "a").symbols) == ["a", None]
    assert list(align(slots("ab", "pc"), "x").symbols) == [None, "x"]
    # One of two equal characters is marked, the other left out: both the hidden ones.
    assert list(align(slots("abab", "hhcc"), " ab").symbols) in ([" ", None, "a", "b"], [None, " ", "a", "b"])


@settings(deadline=None)
@given(ledgers("ab "), readings("ab "))
def test_legibility_never_changes_the_cost(ledger: tuple[Slot, ...], final: str) -> None:
    clear = tuple(Slot(slot.char, "clear", 1.0, slot.box) for slot in ledger)
    assert align(ledger, final).cost == align(clear, final).cost


def test_other_white_space_in_a_value_is_a_word_space() -> None:
    assert align(slots("a\u00a0b", "ccc"), "a b") == Alignment("a b", "", 0, 0, range(3))


def test_what_is_beyond_the_cap_is_added_without_being_aligned() -> None:
    ledger = slots("ab", "cc")
    found = align(ledger, "ab" + "x" * 500 + "   ")
    assert list(found.symbols) == ["a", "b"]
    assert (len(found.added), found.added_marks, found.cost) == (500, 3, 5018)
    late = align(ledger, " " * (2 * len(ledger) + MAX_EXTRA) + "ab")
    assert late.added == "ab"


def test_a_runaway_reading_takes_no_time() -> None:
    ledger = slots("ABCDEFGHIJKLMNOPQRSTUVWX", "cph" * 8)
    seconds = []
    for text in ["Q" * 1_000_000, "AB" * 500_000, " " * 1_000_000, "A " * 500_000] * 2:
        start = time.thread_time()
        align(ledger, text)
        seconds.append(time.thread_time() - start)
    assert max(map(min, zip(seconds[:4], seconds[4:], strict=True))) < 0.03


def test_an_honest_reading_is_aligned_in_microseconds() -> None:
    ledger = slots("ABCDEFG IJKLMNOPQ STUVWX", "cph" * 8)
    honest = truth(ledger).final
    start = time.thread_time()
    for _ in range(2000):
        align(ledger, honest)
    assert (time.thread_time() - start) / 2000 < 50e-6
