"""Agreement, against the textbook's example and values worked out by hand."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kie_hvqa.suites.agreement import agreement, fleiss_kappa

# Fleiss 1971's kind of table: ten subjects, fourteen raters, five categories; κ = 0.210 (a much copied worked example).
TABLE = [
    (0, 0, 0, 0, 14),
    (0, 2, 6, 4, 2),
    (0, 0, 3, 5, 6),
    (0, 3, 9, 2, 0),
    (2, 2, 8, 1, 1),
    (7, 7, 0, 0, 0),
    (3, 2, 6, 3, 0),
    (2, 5, 3, 2, 2),
    (6, 5, 2, 1, 0),
    (0, 2, 2, 3, 7),
]


def test_the_textbook_example() -> None:
    items = [[category for category, count in enumerate(row) for _ in range(count)] for row in TABLE]
    assert fleiss_kappa(items) == pytest.approx(0.2099, abs=1e-4)
    found = agreement(items, [f"d{i}" for i in range(10)], (1, 2))
    assert found["pairwise"]["value"] == pytest.approx(0.378, abs=1e-3)
    assert found["kappa"]["value"] == pytest.approx(0.2099, abs=1e-4)
    assert found["kappa"]["low"] < 0.21 < found["kappa"]["high"]
    assert found["all_agree"]["2"]["null"] == pytest.approx(0.2128, abs=1e-3)


def test_agreement_at_its_edges() -> None:
    assert fleiss_kappa([["a", "a"], ["b", "b"]]) == 1
    assert fleiss_kappa([["a", "b"], ["b", "a"]]) == -1
    assert math.isnan(fleiss_kappa([["a", "a"], ["a", "a"]]))  # one category only: agreement says nothing
    nothing = agreement([["a"], []], ["d", "e"], (1, 3))
    assert nothing["pairwise"] == {"value": None, "low": None, "high": None, "n": 0}
    assert nothing["all_agree"]["1"]["value"] == 1 and nothing["all_agree"]["3"]["value"] is None
    assert nothing["items"] == 0


ratings = st.lists(st.lists(st.sampled_from("abc"), max_size=5), min_size=1, max_size=6)


@settings(deadline=None)
@given(ratings, st.integers(1, 5))
def test_all_agree_is_every_choice_of_k_ratings(items: list[list[str]], size: int) -> None:
    sets = [chosen for item in items for chosen in combinations(item, size)]
    expected = sum(len(set(chosen)) == 1 for chosen in sets) / len(sets) if sets else None
    found = agreement(items, [f"d{i}" for i in range(len(items))], (size,))["all_agree"][str(size)]
    assert found["value"] == (None if expected is None else pytest.approx(expected, abs=1e-6))
