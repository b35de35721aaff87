"""The calibration of severities: rungs are where the measured share meets the aim."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from degradations.operators import OPERATORS
from degradations.operators.base import OUT_OF_CLEAR
from studies.ladders.rungs import Lost, find_rungs, places_of


@given(st.floats(0.3, 3.0), st.floats(-0.2, 0.3))
def test_rungs_of_a_known_curve_are_found(slope, start):
    def share(place):
        return float(np.clip((place - start) * slope, 0, 1))

    places = np.linspace(start, start + 1 / slope, 12)
    found = find_rungs(places, [Lost(share(place), share(place)) for place in places])
    for (rung, gives), aim in zip(found, OUT_OF_CLEAR, strict=True):
        assert gives.out == pytest.approx(aim, abs=0.01) and share(rung) == pytest.approx(aim, abs=0.01)


def test_an_aim_out_of_reach_takes_the_nearer_end():
    found = find_rungs([0.0, 1.0], [Lost(0.3, 0.0), Lost(0.5, 0.0)])
    assert [rung for rung, _ in found] == [0.0, 0.0, 0.3, 1.0, 1.0, 1.0]
    assert [share.out for _, share in found] == pytest.approx([0.3, 0.3, 0.36, 0.5, 0.5, 0.5])


def test_the_top_rung_goes_on_until_half_is_hidden():
    places = [0.0, 1.0, 2.0, 3.0]
    shares = [Lost(0.0, 0.0), Lost(1.0, 0.0), Lost(1.0, 0.4), Lost(1.0, 0.6)]
    rungs = [rung for rung, _ in find_rungs(places, shares)]
    assert rungs == [*OUT_OF_CLEAR[:-1], 2.5]
    covered = [Lost(place / 3, 0.9 * place / 3) for place in places]
    assert find_rungs(places, covered)[-1][0] == pytest.approx(3 * OUT_OF_CLEAR[-1])


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_rungs_rise(name):
    rungs = OPERATORS[name].rungs
    assert len(rungs) == len(OUT_OF_CLEAR) and list(rungs) == sorted(rungs)
    places = places_of(OPERATORS[name])
    assert list(places) == sorted(set(places)) and places[0] < rungs[0] and places[-1] > rungs[-1]
