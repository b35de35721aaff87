"""``format``, ``length``, ``draft_leak`` and ``absent``: what each pays for, and what it must not fall for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kie_hvqa.answers.answer import Reading, parse, render, truth
from kie_hvqa.data.ledger import Slot
from rewards.absent import absent
from rewards.draft_leak import MAX_THINK, draft_leak, leaked
from rewards.faithful import faithful
from rewards.format import format, well_formed
from rewards.golden import make_slots
from rewards.length import length, overlong

SMITH = make_slots("Smith", "cchch")
HONEST = truth(SMITH)


def column(slots: tuple[Slot, ...]) -> list[dict[str, Any]]:
    return [slot.to_json() for slot in slots]


@pytest.mark.parametrize(
    ("text", "score"),
    [
        (render(HONEST, tags=True), 1.0),
        (render(Reading("", clear_number=0, not_clear_number=0), tags=True), 1.0),  # a whole refusal
        (render(HONEST), 0.75),  # without the tags
        (render(replace(HONEST, clear_number=4), tags=True), 0.875),
        (render(replace(HONEST, clear_number=4, not_clear_number=9), tags=True), 0.75),
        (render(replace(HONEST, clear="Smit", clear_number=4), tags=True), 0.75),  # a list that Final does not bear out
        (render(replace(HONEST, clear="tmS"), tags=True), 1.0),  # the lists have no positions
        ("Sure! " + render(HONEST, tags=True) * 2, 0.75),  # several answers
        ('<answer>{"Final OCR": "Smt"}</answer>', 0.25),
        ("Smith", 0.0),
        ("", 0.0),
    ],
)
def test_format_gradations(text: str, score: float):
    assert format([None], [text]) == [pytest.approx(score)]
    assert well_formed(parse(text)) == pytest.approx(score)


def test_an_explicit_mark_is_no_repair():
    explicit = render(replace(HONEST, final="Sm\u25aft\u25af"), tags=True)
    assert parse(explicit).repairs == ("explicit marks",) and well_formed(parse(explicit)) == 1.0


def test_form_multiplies_what_faithful_pays_above_its_minimum():
    """It breaks no tie at the floor, where an addend would pay for the best written invention."""

    def paid(text: str, slots: Any = SMITH, **kwargs: Any) -> float:
        (reward,) = faithful([None], [text], slots=[column(slots)], confidence_target=0.5, **kwargs)
        return reward

    honest, untagged = render(HONEST, tags=True), render(HONEST)
    assert paid(honest) == 1.0 and paid(untagged) == -1.0 + 2.0 * (1 - 0.5 * 0.25)
    assert (
        paid(untagged, outcome_weight=1.0) == -1.0 + 3.0 * (1 - 0.5 * 0.25) and paid(untagged, format_weight=0.0) == 1.0
    )
    invented = Reading("Quark", clear="Quark", clear_number=5, not_clear_number=0)
    assert paid(render(invented, tags=True)) == paid(render(invented)) == paid("no answer") == -1.0


def test_format_does_not_know_the_truth():
    assert format([None], [render(truth(make_slots("Wrong", "ccccc")), tags=True)]) == [1.0]


def test_length_is_flat_then_linear_then_flat():
    assert [overlong(n, 100, 20) for n in (0, 80, 85, 90, 100, 101, 10**9)] == [0, 0, -0.25, -0.5, -1, -1, -1]
    assert [overlong(n, 100, 0) for n in (100, 101)] == [0.0, -1.0]
    assert overlong(50, 100, 1000) == -0.5  # a soft part longer than the limit begins at 0


def test_length_counts_tokens_or_characters():
    ids = [[7] * 450, [7] * 10]
    assert length([None] * 2, ["x", "y"], completion_ids=ids) == [pytest.approx(-66 / 128), 0.0]
    assert length([None], ["x" * 90], unit="character", limit=100, soft=20) == [-0.5]
    assert length([None], ["x" * 90]) == [None]


THINKS = {
    "nothing": ("The card is blurred; two letters cannot be read.", 0.0),
    "the honest draft": ("I read S, m, then something, t, then something: Sm_t_.", 0.0),
    "marks of other kinds": ("It says Sm?t? or Sm*t*, perhaps Sm□t□.", 0.0),
    "the name": ("This must be Smith.", 1.0),
    "another name that fits": ("It is probably Smuts or so.", 1.0),
    "in other letter case": ("SMITH", 1.0),
    "one of two": ("So Smit_ it is.", 0.5),
    "spelt": ("S m i t h", 1.0),
    "spelt with dashes": ("that is S-m-i-t-h", 1.0),
    "a longer word": ("Smithson is not what I see", 0.0),
    "a name that disagrees with the clear slots": ("Jones", 0.0),  # a documented blind spot
}


@pytest.mark.parametrize("name", THINKS)
def test_draft_leak_finds_inventions_in_the_thinking(name: str):
    think, share = THINKS[name]
    completion = f"<think>{think}</think>{render(HONEST, tags=True)}"
    assert draft_leak([None], [completion], slots=[column(SMITH)]) == [pytest.approx(-share)]


def test_draft_leak_reads_drafted_answers():
    invented = Reading("Smath", clear="Smath", clear_number=5, not_clear_number=0)
    draft = f"<think>First try: {render(invented)} No.</think>{render(HONEST, tags=True)}"
    honest = f"<think>{render(HONEST)}</think>{render(HONEST, tags=True)}"
    assert draft_leak([None] * 2, [draft, honest], slots=[column(SMITH)] * 2) == [-1.0, 0.0]


def test_draft_leak_looks_at_the_thinking_only():
    said = render(Reading("Smith", clear="Smith", clear_number=5, not_clear_number=0), tags=True)
    completions = [said, f"<think>Let me look.</think>{said}", f"It is Smith. {said}"]
    assert draft_leak([None] * 3, completions, slots=[column(SMITH)] * 3) == [0.0, 0.0, 0.0]


def test_draft_leak_applies_only_where_something_is_hidden():
    clean = make_slots("Smith", "ccccc")
    think = "<think>Smith</think>"
    assert draft_leak([None] * 2, [think, think], slots=[column(clean), None]) == [0.0, None]


def test_draft_leak_on_fields_with_too_few_anchors_knows_only_the_printed_value():
    unreadable = make_slots("Okafor", "hhhhhh")
    assert leaked("I would say Okafor.", unreadable) == 1.0
    assert leaked("I would say Miller.", unreadable) == 0.0
    one_anchor = make_slots("And", "chh")
    assert leaked("and so on and on", one_anchor) == 0.0


def test_draft_leak_on_absent_fields_sees_drafted_answers():
    drafted = render(Reading("Miller", clear="Miller", clear_number=6, not_clear_number=0))
    assert leaked(f"Maybe {drafted}", ()) == 1.0
    assert leaked("There is no such field.", ()) == 0.0


def test_draft_leak_partial_slots_may_be_read_either_way():
    slots = make_slots("AB-1234", "cc-pchh")
    assert leaked("AB-7256", slots) == 1.0
    assert leaked("AB-12__", slots) == 0.0


def test_draft_leak_looks_at_so_much_thinking_and_no_more():
    long = "x " * (MAX_THINK // 2)
    assert leaked(f"It is Smith. {long}", SMITH) == 1.0
    assert leaked(f"{long} It is Smith.", SMITH) == 0.0


def test_absent_pays_refusals_of_absent_fields_and_nothing_else():
    refusal = render(Reading("", clear_number=0, not_clear_number=0), tags=True)
    name = render(truth(make_slots("Miller", "cccccc")), tags=True)
    in_list = render(Reading("", clear="M", clear_number=1, not_clear_number=0), tags=True)
    kinds = ["absent", "absent", "absent", "absent", "answerable", "unreadable"]
    said = [refusal, name, in_list, "There is none.", refusal, refusal]
    assert absent([None] * 6, said, question_kind=kinds) == [1.0, -1.0, -1.0, -1.0, None, None]
    assert absent([None] * 6, said, question_kind=kinds, unreadable=True)[-1] == 1.0
    assert absent([None] * 2, [refusal] * 2, slots=[[], column(SMITH)]) == [1.0, None]
    assert absent([None], [refusal]) == [None]
