"""The order of rows: TRL's own in every epoch, light damage first where it is asked for, and documents damaged anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trl.trainer.utils import RepeatSampler

from degradations.config import SimulateConfig
from degradations.replay import replay_file
from degradations.streaming import Stream
from kie_hvqa.answers.answer import parse
from kie_hvqa.answers.boxes import of_field, on_page, overlap
from kie_hvqa.config import load
from kie_hvqa.data.dataset import load_image
from kie_hvqa.data.files import read_json
from kie_hvqa.errors import InputError
from kie_hvqa.readers.checkpoint import read_contract
from rl import grpo, preflight, sft
from rl.recipes import DataConfig
from rl.rows.curriculum import Curriculum, check_enough, under_ceilings
from rl.rows.order import EpochOrder
from rl.rows.sources import Streamed
from rl.rows.training import TrainingRows

STREAM = """\
seed: 3
count: 5
splits: {train: 0.8, validation: 0.2}
templates: {us_licence: 1}
questions_per_document: 2
severities: {0: 1, 1: 1, 2: 1, 3: 1, 4: 1, 5: 1, 6: 1}
"""
LIGHT_FIRST = Curriculum(start=2, steps=10)


@pytest.fixture
def stream(tmp_path) -> Path:
    path = tmp_path / "stream.yaml"
    path.write_text(STREAM)
    return path


def sampler(count: int, seed: int = 0) -> RepeatSampler:
    return RepeatSampler(list(range(count)), mini_repeat_count=2, batch_size=3, repeat_count=1, seed=seed)


@pytest.mark.parametrize("seed", [0, 1])
def test_every_epoch_has_the_order_of_an_uninterrupted_run(seed):
    from trl.trainer.utils import RepeatSampler

    def sampler():
        return RepeatSampler(list(range(10)), mini_repeat_count=2, batch_size=3, repeat_count=1, seed=seed)

    uninterrupted = sampler()
    expected = [list(uninterrupted) for _ in range(3)]
    assert expected[0] != expected[1]
    for epoch in range(3):
        assert list(EpochOrder(sampler(), lambda epoch=epoch: epoch)) == expected[epoch]
    assert len(EpochOrder(sampler(), lambda: 0)) == len(expected[0])


@given(st.integers(1, 6), st.integers(1, 50))
def test_the_ceiling_rises_from_its_start_to_all(start, steps):
    found = [Curriculum(start=start, steps=steps).ceiling(step) for step in range(steps + 1)]
    assert found[0] == start and found[-1] == 6 and found == sorted(found)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40), st.randoms(use_true_random=False), st.integers(1, 6))
def test_no_row_is_heavier_than_its_place_allows_and_the_others_stay_where_they_were(severities, random, start):
    order = list(range(len(severities)))
    random.shuffle(order)
    severities[order[0]] = 0
    ceilings = Curriculum(start=start, steps=4).ceilings(0, len(order), 3)
    found = under_ceilings(order, severities, ceilings, seed=[1, 2], apart=1)
    assert found == under_ceilings(order, severities, ceilings, seed=[1, 2], apart=1)
    for before, row, ceiling in zip(order, found, ceilings, strict=True):
        assert severities[row] <= ceiling and (row == before or severities[before] > ceiling)
    assert under_ceilings(order, severities, [6] * len(order), seed=[1, 2], apart=1) == order


def test_what_the_ceiling_lets_in_is_drawn_alike_and_nothing_is_put_off_to_be_drawn_in_a_heap():
    severities = [index % 7 for index in range(1400)]
    order = np.random.default_rng(0).permutation(1400).tolist()
    ceilings = Curriculum(start=3, steps=60).ceilings(0, 1400, 20)
    found = under_ceilings(order, severities, ceilings, seed=[0, 0], apart=20)
    drawn = np.array([severities[row] for row in found])
    for first in range(0, 1400, 200):
        ceiling = ceilings[first]
        share = np.bincount(drawn[first : first + 200], minlength=7)[: ceiling + 1] / 200
        assert np.abs(share - 1 / (ceiling + 1)).max() < 0.12
    for first in range(0, 1400, 20):  # in which a step used to be made of what was put off
        assert (drawn[first : first + 20] == 6).sum() < 12
    assert all(len(set(found[first : first + 20])) == 20 for first in range(0, 1380, 20))


def test_a_start_below_every_row_is_refused():
    with pytest.raises(InputError, match="no row has a severity of 2 or less"):
        under_ceilings([0, 1], [3, 4], [2, 2], seed=[0], apart=1)


def test_a_step_of_more_questions_than_there_are_light_rows_is_refused_beforehand(small, tmp_path):
    check_enough(LIGHT_FIRST, [1, 2, 3], needed=2)
    recipe = small.recipe(tmp_path / "sft.yaml", "", "per_device_train_batch_size: 24")
    with pytest.raises(InputError, match="a step asks 24 questions, and only"):
        preflight.run("sft", recipe, ["data.curriculum={start: 1, steps: 6}"])


def test_light_rows_are_drawn_first_and_each_question_still_stands_in_its_group(small):
    contract = read_contract(small.model)
    data = DataConfig(path=str(small.data), curriculum=Curriculum(start=1, steps=6))
    rows = TrainingRows(data, contract)
    severities = [rows.source.row(index).severity for index in range(len(rows))]
    order = EpochOrder(sampler(len(rows)), lambda: 0, rows, per_step=3)
    drawn = list(order)
    assert drawn[0::2] == drawn[1::2] and len(drawn) == 2 * len(rows)
    assert max(severities[row] for row in drawn[:6]) <= 1 < max(severities)
    # In later epochs everything is drawn, in TRL's order.
    assert EpochOrder(sampler(24), lambda: 2, rows, 3).order(2) == EpochOrder(sampler(24), lambda: 2).order(2)


def test_a_stream_draws_its_rows_anew_in_every_epoch_and_no_worse_than_the_ceiling(stream, small):
    contract = read_contract(small.model)
    rows = TrainingRows(DataConfig(simulate=str(stream)), contract, target="official")
    assert isinstance(rows.source, Streamed) and len(rows) == 2 * len(
        {rows[i]["document_id"] for i in range(len(rows))}
    )
    before = [rows[index] for index in range(len(rows))]
    assert all(item["completion"][0]["content"] == f"<answer>{item['answer']}</answer>" for item in before)
    rows.source.turn(1, dict.fromkeys(range(len(rows)), 2))
    after = [rows[index] for index in range(len(rows))]
    assert [item["document_id"] for item in before] == [item["document_id"] for item in after]
    assert all(item["severity"] <= 2 for item in after) and any(item["severity"] > 2 for item in before)
    assert all(a["id"] != b["id"] for a, b in zip(before, after, strict=True))
    rows.source.turn(0, {})
    assert [rows[index]["recipe"] for index in range(len(rows))] == [item["recipe"] for item in before]
    assert len(TrainingRows(DataConfig(simulate=str(stream), limit=3), contract)) == 3


def test_a_row_has_its_box_as_the_model_writes_it(stream, small):
    contract = read_contract(small.model)
    for data in (DataConfig(simulate=str(stream)), DataConfig(path=str(small.data))):
        rows = TrainingRows(data, contract, target="with_box", coordinates="thousandths")
        items = [(rows.source.row(index), rows.source.size(index), rows[index]) for index in range(len(rows))]
        for row, page, item in items:
            said = parse(item["completion"][0]["content"])
            assert said.reading == parse(row.answer).reading and said.box == item["box"]
            assert (item["box"] is None) == said.reading.refused
            if item["box"] is not None:
                back = on_page(item["box"], page, (1, 1), "thousandths")
                assert overlap(back, of_field(row.slots)) > 0.8
    assert all(TrainingRows(data, contract)[index]["box"] is None for index in range(2))
    with pytest.raises(InputError, match="writes a box"):
        TrainingRows(data, contract, target="with_box")


def test_little_memory_changes_nothing_but_time(stream):
    wide, narrow = Streamed(str(stream), "train", None), Streamed(str(stream), "train", None, cache_mib=0)
    assert [wide.row(i) for i in (0, 3, 0, 5)] == [narrow.row(i) for i in (0, 3, 0, 5)]
    assert len(narrow._kept) == 1


@pytest.mark.parametrize("words", ["", "path: a\n    simulate: b"])
def test_data_come_from_one_place(tmp_path, words):
    from rl.recipes import SftRecipe

    file = tmp_path / "recipe.yaml"
    file.write_text(f"model: embedded\noutput_dir: out\ndata:\n    split: train\n    {words}\n")
    with pytest.raises(InputError, match="either path"):
        load(file, SftRecipe)


@pytest.mark.parametrize(
    ("stage", "text", "training"),
    [
        ("sft", "", "per_device_train_batch_size: 2"),
        (
            "grpo",
            "rewards: [{function: faithful}]",
            "per_device_train_batch_size: 4, num_generations: 2, max_completion_length: 8",
        ),
    ],
)
def test_a_run_damages_while_it_trains(small, stream, tmp_path, stage, text, training):
    """Two epochs over 8 rows, loader processes or not: light damage at first, and the evaluation on its own split."""
    seen = {}
    for workers in (0, 1):
        folder = tmp_path / f"{workers}"
        folder.mkdir()
        evaluation = "evaluation: {every: 4, limit: 2, batch_size: 2, max_new_tokens: 4}"
        recipe = small.recipe(folder / f"{stage}.yaml", f"{text}\n{evaluation}", f"{training}, report_to: [], seed: 1")
        overrides = [
            "data.path=null", f"data.simulate={stream}", "data.curriculum={start: 1, steps: 6}",
            "training.max_steps=8", f"training.dataloader_num_workers={workers}", "training.per_device_eval_batch_size=2",
        ]  # fmt: skip
        {"sft": sft, "grpo": grpo}[stage].run(recipe, overrides)
        history = read_json(folder / "out" / "history.json")
        assert history["steps"] == 8 and any("eval_invented_rate" in entry for entry in history["log"])
        seen[workers] = [entry["loss"] for entry in history["log"] if "loss" in entry]
        if stage == "grpo":
            rollouts = pd.read_parquet(folder / "out" / "rollouts").sort_values("step")
            assert rollouts[rollouts.step <= 1].severity.max() <= 1 and rollouts.severity.max() > 2
            assert {name.split("-e")[1][0] for name in rollouts.id} == {"0", "1"}
            again = replay_file(f"{folder / 'out' / 'rollouts'}#{rollouts.id.iloc[-1]}", folder / "again.png")
            last = Stream(load(stream, SimulateConfig), "train", 1)
            found = next(image for row, image in map(last.sample, range(len(last))) if row.id == again.row.id)
            # The ceiling is 6 by then.
            assert np.array_equal(again.image, found) and np.array_equal(
                np.asarray(load_image(folder / "again.png")), found
            )
    assert seen[0] == seen[1]


def test_loader_processes_that_outlive_an_epoch_are_refused(small, stream, tmp_path):
    recipe = small.recipe(tmp_path / "sft.yaml", "", "dataloader_num_workers: 1, dataloader_persistent_workers: true")
    with pytest.raises(InputError, match="first epoch's damage"):
        sft.run(recipe, ["data.path=null", f"data.simulate={stream}"])
