"""Boxes: from a ledger to what a model writes and back, and what an answer with one says beside the box."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kie_hvqa.answers import answer
from kie_hvqa.answers.answer import Reading, parse, perfect, render
from kie_hvqa.answers.boxes import FAMILIES, of_field, on_page, overlap, written
from kie_hvqa.scoring.metrics import score_rows, summarise
from rewards.box import box as box_reward
from rewards.format import well_formed
from tests.kie_hvqa.pieces import ledgers, row, says, slots

BOX = (3.0, 4.0, 50.0, 20.0)
SIDES = st.integers(1, 3000)


@st.composite
def boxes(draw, width: int = 3000, height: int = 3000):
    x0, y0 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    return (float(x0), float(y0), float(draw(st.integers(x0 + 1, width))), float(draw(st.integers(y0 + 1, height))))


@given(st.data(), SIDES, SIDES, st.sampled_from(sorted(set(FAMILIES.values()))), st.floats(0.3, 3))
def test_a_box_comes_back_up_to_rounding(data, width, height, coordinates, scale):
    page, shown = (width, height), (max(28, round(width * scale)), max(28, round(height * scale)))
    where = data.draw(boxes(width, height))
    said = written(where, page, shown, coordinates)
    ends = (1000, 1000) if coordinates == "thousandths" else shown
    assert all(side == int(side) >= 0 for side in said) and said[0] < said[2] and said[1] < said[3]
    back = on_page(said, page, shown, coordinates)
    for axis, (one, other) in enumerate(zip(where, back, strict=True)):
        assert abs(one - other) <= 1.01 * page[axis % 2] / ends[axis % 2]


@given(boxes(60, 60), boxes(60, 60))
def test_overlap_is_a_share_and_knows_no_first(one, other):
    assert 0 <= overlap(one, other) == overlap(other, one) <= 1
    assert (overlap(one, other) == 1) == (one == other)


def test_half_of_a_box_is_half():
    assert overlap((0, 0, 10, 10), (0, 0, 10, 5)) == 0.5 and overlap((0, 0, 1, 1), (1, 0, 2, 1)) == 0


@given(ledgers())
def test_an_answer_with_a_box_reads_as_one_without(ledger):
    said, plain = perfect(ledger, "with_box", BOX), perfect(ledger, "explicit")
    found = parse(said)
    assert (found.reading, found.repairs) == (parse(plain).reading, parse(plain).repairs) and found == answer._parse(
        said
    )
    assert found.box == (None if found.reading.refused else BOX) and well_formed(found) == 1.0


@pytest.mark.parametrize(
    ("value", "box", "repairs"),
    [
        ("[3, 4, 50, 20]", BOX, ()),
        ('["3", "4", 50.0, 20]', BOX, ()),
        ("null", None, ()),
        ("[]", None, ()),
        ("[50, 4, 3, 20]", None, ("bad box",)),
        ("[3, 4, 50]", None, ("bad box",)),
        ("[3, 4, 50, 1e9]", None, ("bad box",)),
        ("[-3, 4, 50, 20]", None, ("bad box",)),
        ('{"x": 1}', None, ("bad box",)),
        ("7", None, ("bad box",)),
        ('[1, 2, 3, 4], "bbox_2d": [3, 4, 50, 20]', BOX, ("repeated key",)),
        ("[3, 4, 50, 20", BOX, ("malformed JSON", "truncated JSON", "unclosed string")),
    ],
)
def test_what_is_no_box_is_ignored_and_said(value, box, repairs):
    whole = render(Reading("Sm", "", "Sm", 2, 0), tags=True, style="explicit")
    said = whole.replace("}", f', "bbox_2d": {value}' + ("}" if "]" in value or "[" not in value else ""))
    found = parse(said)
    assert found.reading == Reading("Sm", "", "Sm", 2, 0)
    assert (found.box, found.repairs) == (box, repairs)


def test_the_score_counts_answered_fields_of_readers_that_give_boxes():
    rows = [
        row("a_1", slots("Smith", "ccccc")),
        row("b_1", slots("Smith", "ccccc")),
        row("c_1", slots("Smith", "hhhhh")),
        row("d_1", (), question_kind="absent"),
        row("e_1", slots("Smith", "ccccc")),
    ]
    said = {one.id: says("Smith") for one in rows} | {"c_1": says("")}
    field = of_field(rows[0].slots)
    assert field == (0, 0, 45, 9) and of_field(()) is None
    where = {"a_1": field, "b_1": (0.0, 0.0, 20.0, 9.0), "d_1": field}  # e has none
    score = summarise(score_rows(rows, said, None, where))["overall"]["box_overlap"]
    assert (score["value"], score["n"]) == (pytest.approx(1 / 3, abs=1e-6), 3)
    assert summarise(score_rows(rows, said, None, {}))["overall"]["box_overlap"]["n"] == 0


def test_a_box_is_paid_where_something_is_read_rightly_and_nowhere_else():
    smith, hidden = slots("Smith", "ccchh"), slots("Smith", "hhhhh")

    def paid(final, where, ledger=smith, due=BOX):
        said = render(Reading(final, "", final.replace(" ", ""), len(final.replace(" ", "")), 0), tags=True, box=where)
        (reward,) = box_reward([None], [said], box=[due], slots=[[slot.to_json() for slot in ledger]])
        return reward

    assert paid("Smi  ", BOX) == 1 and paid("Smi  ", (3, 4, 50, 12)) == pytest.approx(0.5)
    assert paid("Smi  ", None) == 0 and paid("xxxxx", BOX) == 0
    assert paid("", BOX) is None, "refusing earns nothing and loses nothing"
    assert paid("Smi  ", BOX, due=None) is None and paid("Smith", BOX, hidden) == 0
