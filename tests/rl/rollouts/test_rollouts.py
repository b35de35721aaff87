"""Every completion is kept with what is needed to judge it, and to draw its image again."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import pandas as pd
import torch

from kie_hvqa.answers.answer import Reading, render
from rl.rollouts.observer import ledger_rates, zero_variance
from rl.rollouts.record import file_name, rollout_table, write_rollouts

ROW = {
    "id": "a-q0",
    "document_id": "a",
    "document_type": "id_card",
    "field": "surname",
    "question_kind": "answerable",
    "severity": 3,
    "recipe": [{"operator": "jpeg", "parameters": '{"quality":12}'}],
    "answer": "{}",
    "image": object(),
    "prompt": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is the surname?"}]}],
}


def _table():
    said = [[{"role": "assistant", "content": "<answer>x</answer>"}], [{"role": "assistant", "content": "y"}]]
    rewards = {"faithful": [0.5, math.nan], "format": [1.0, 0.0]}
    return rollout_table(7, [ROW, ROW], said, [[5, 9], [5, 6, 7]], rewards, [0.7, -0.7], ends={9})


def test_a_row_holds_question_answer_every_reward_part_and_the_recipe(tmp_path):
    write_rollouts(tmp_path / "rollouts", file_name(7, 0), [_table()])
    frame = pd.read_parquet(tmp_path / "rollouts")
    first, second = frame.to_dict("records")
    assert [file.name for file in (tmp_path / "rollouts").iterdir()] == ["step_000007.parquet"]
    assert first["id"] == "a-q0" and first["severity"] == 3 and first["step"] == 7
    assert first["prompt"] == "<image>What is the surname?"
    assert first["completion"] == "<answer>x</answer>"
    assert (first["tokens"], first["finish_reason"]) == (2, "stop")
    assert (second["tokens"], second["finish_reason"]) == (3, "length")
    assert first["reward/faithful"] == 0.5 and math.isnan(second["reward/faithful"])
    assert (second["reward/format"], second["advantage"]) == (0.0, -0.7)
    assert json.loads(first["recipe"]) == ROW["recipe"]
    assert "image" not in frame


def test_a_file_of_the_same_step_is_replaced_and_not_added_to(tmp_path):
    for _ in range(2):
        write_rollouts(tmp_path, file_name(7, 0), [_table()])
    assert len(pd.read_parquet(tmp_path)) == 2


def test_file_names_tell_steps_and_generations_apart():
    assert file_name(12, 0) == "step_000012.parquet"
    assert file_name(12, 1) == "step_000012_part1.parquet"


def test_groups_that_teach_nothing_are_counted_by_severity():
    rewards = torch.tensor([1.0, 1.0, 0.0, 2.0, 3.0, 3.0, 0.5, 0.5])
    severities = [0, 0, 2, 2, 2, 2, None, None]
    assert zero_variance(severities, rewards, 2) == {"zero_variance/severity_0": 1.0, "zero_variance/severity_2": 0.5}


def test_an_official_row_without_slots_is_rated_by_those_that_its_answer_implies():
    """``AB C``: A and C clear, B partial, the space hidden; a row of the same with slots is rated alike."""
    alone = SimpleNamespace(device="cpu", gather=lambda sums: sums)
    truth = render(Reading("AB C", clear="AC", not_clear="B", clear_number=2, not_clear_number=1), tags=True)
    over = render(Reading("ABXC", clear="ABXC", not_clear="", clear_number=4, not_clear_number=0), tags=True)
    official = {"answer": truth, "question_kind": "answerable"}
    box = [0.0, 0.0, 1.0, 1.0]
    legibility = {"A": "clear", "B": "partial", "C": "clear", "X": "hidden"}
    slots = [{"char": char, "legibility": legibility[char], "evidence": 0.5, "box": box} for char in "ABXC"]
    for row in (official, official | {"slots": slots}):
        right, wrong = (ledger_rates(alone, [row], [said]) for said in (truth, over))
        assert (right["ledger/hallucination_free_accuracy"], right["ledger/invented_rate"]) == (1.0, 0.0)
        assert (wrong["ledger/hallucination_free_accuracy"], wrong["ledger/invented_rate"]) == (0.0, 1.0)
    contradictory = official | {"answer": render(Reading("AB C", clear="Z"), tags=True)}
    assert not ledger_rates(alone, [contradictory], [truth])
