"""What is counted as asserted and wrong is what the table of outcomes counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kie_hvqa.answers.answer import REFUSAL, Reading
from kie_hvqa.answers.verdicts import Ledger, verdicts
from kie_hvqa.confidence.losses import Scored, at_thresholds, counts_of, right_symbols
from kie_hvqa.confidence.marks import keep
from tests.kie_hvqa.pieces import ledgers, slots


@pytest.mark.parametrize(
    ("value", "kinds", "final", "right"),
    [
        ("Smith", "ccccc", "Smith", (True,) * 5),
        ("Smith", "cchcc", "Smith", (True, True, False, True, True)),  # lucky
        ("Smith", "ccpcc", "Smyth", (True, True, False, True, True)),
        ("Smith", "ccdcc", "Smith", (True,) * 5),  # another print says it
        ("Smith", "cchcc", "Sm th", (True, True, None, True, True)),
        ("Smith", "ccccc", "Smiths", (True,) * 5 + (False,)),  # inserted
        ("A B", "c-c", "A B", (True, None, True)),
        ("", "", "AB", (False, False)),  # absent
    ],
)
def test_each_symbol_is_judged_where_it_stands(value, kinds, final, right):
    assert right_symbols(Ledger.of(slots(value, kinds)), Reading(final)) == right


@given(ledgers(), st.text("abcdeX ", max_size=14), st.text("abX", max_size=4))
def test_the_counts_are_those_of_the_table(field, final, listed):
    about, reading = Ledger.of(field), Reading(final, "", listed)
    found = verdicts(about, reading)
    asserted, wrong = counts_of(about, reading)
    if reading.refused:
        assert (asserted, wrong) == (0, 0)
        return
    counts = found.counts
    derivable = counts["derivable_right"] + counts["derivable_wrong"]
    assert asserted == counts["asserted"] + derivable + counts["inserted"] + counts["listed"]
    assert wrong == (
        counts["misread"] + counts["derivable_wrong"] + counts["invented"] + counts["inserted"] + counts["listed"]
    )


@given(ledgers(size=8), st.data())
def test_every_threshold_is_judged_anew(field, data):
    final = data.draw(st.text("abcde ", max_size=8))
    scores = tuple(data.draw(st.lists(st.sampled_from([0.0, 0.3, 0.6, 1.0]), min_size=len(final), max_size=len(final))))
    about, reading = Ledger.of(field), Reading(final)
    answers = [Scored(about, reading, scores, "d"), Scored(about, None, (), "e"), Scored(about, REFUSAL, (), "d")]
    levels = (2.0, 0.5, 0.0)
    asserted, wrong, names = at_thresholds(answers, levels, "character")
    assert names == ["d", "e"]
    assert not asserted[1].any() and not asserted[:, 0].any()
    for column, level in enumerate(levels):
        left = keep(reading, [score >= level for score in scores])
        assert (asserted[0, column], wrong[0, column]) == counts_of(about, left)
    assert (np.diff(asserted, axis=1) >= 0).all(), "a lower threshold asserts no less"


def test_a_field_is_one_assertion():
    about = Ledger.of(slots("AB", "cc"))
    answers = [Scored(about, Reading("AX"), (0.9, 0.5), "d"), Scored(about, Reading("AB"), (0.9, 0.9), "d")]
    asserted, wrong, _ = at_thresholds(answers, (0.8, 0.4, 0.0), "field")
    assert asserted.tolist() == [[1, 2, 2]]
    assert wrong.tolist() == [[0, 1, 1]]
