"""Rows by stratum: in proportion over any stretch, each once before any comes again, and the same for the same seed."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from trl.trainer.utils import RepeatSampler

from kie_hvqa.data.ledger import Row, Slot
from kie_hvqa.errors import InputError
from kie_hvqa.readers.checkpoint import read_contract
from rl.recipes import DataConfig
from rl.rows.order import EpochOrder
from rl.rows.strata import by_strata, row_strata

NAMES = ("whole", "mixed", "nothing", "absent")


@given(
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=60),
    st.dictionaries(st.sampled_from(NAMES), st.floats(0.1, 5), min_size=1),
    st.integers(0, 200),
)
def test_any_stretch_holds_strata_in_proportion_and_rows_come_round(strata, weights, count):
    pool = range(len(strata))
    present = {name: weight for name, weight in weights.items() if name in strata}
    if not present:
        if count:
            with pytest.raises(InputError, match="no row is of a stratum"):
                by_strata(pool, strata, weights, count, seed=[0])
        return
    found = by_strata(pool, strata, weights, count, seed=[0])
    assert found == by_strata(pool, strata, weights, count, seed=[0]) and len(found) == count
    whole = sum(present.values())
    for end in range(count + 1):
        drawn = Counter(strata[row] for row in found[:end])
        for name, weight in present.items():
            assert abs(drawn[name] - end * weight / whole) < len(present)
    for name in present:
        own = [row for row in found if strata[row] == name]
        size = strata.count(name)
        for first in range(0, len(own) - size + 1, size):
            assert len(set(own[first : first + size])) == size


def bare(id: str, kind: str = "answerable", slots: tuple[Slot, ...] | None = None) -> Row:
    return Row(id, "a.png", "d", "id_card", "train", "name", kind, "<image>?", "{}", slots)


def row(kind: str, legibilities: str) -> Row:
    names = {"c": "clear", "h": "hidden"}
    slots = [Slot("A", names[one], 1.0, (0, 0, 1, 1)) for one in legibilities]
    return bare(f"{kind}{legibilities}", kind=kind, slots=tuple(slots))


def test_absent_questions_are_a_stratum_of_their_own_only_where_they_are_weighed():
    rows = [row("answerable", "cc"), row("answerable", "ch"), row("unreadable", "hh"), row("absent", "")]
    assert row_strata(rows, {"mixed": 1}, name="d") == ["whole", "mixed", "nothing", "nothing"]
    assert row_strata(rows, {"absent": 1}, name="d") == ["whole", "mixed", "nothing", "absent"]


def test_rows_without_a_ledger_are_refused_by_name():
    with pytest.raises(InputError, match="row bare carries no slots"):
        row_strata([bare("bare")], {"mixed": 1}, name="d")


@pytest.mark.parametrize("wrong", [{"simulate": "a.yaml"}, {"path": "d", "curriculum": {"steps": 3}}])
def test_strata_go_with_a_dataset_and_no_curriculum(wrong):
    with pytest.raises(ValidationError, match="strata are drawn from a dataset"):
        DataConfig(strata={"mixed": 1.0}, **wrong)


def test_a_run_draws_by_stratum_in_every_epoch_and_when_groups_are_refilled(small):
    from rl.rows.training import TrainingRows

    data = DataConfig(path=str(small.data), strata={"mixed": 1, "whole": 1})
    rows = TrainingRows(data, read_contract(small.model))
    names = row_strata(rows.source.rows, data.strata, name="d")
    sampler = RepeatSampler(list(range(len(rows))), mini_repeat_count=2, batch_size=4, repeat_count=1, seed=0)
    order = EpochOrder(sampler, lambda: 0, rows, 4)
    drawn = list(order)[::2]
    assert {names[index] for index in drawn} == {"mixed", "whole"}
    assert list(EpochOrder(sampler, lambda: 0, rows, 4))[::2] == drawn
    assert list(EpochOrder(sampler, lambda: 1, rows, 4))[::2] != drawn
    assert {names[index] for index in order.more(6, 3, 1)} == {"mixed", "whole"}
