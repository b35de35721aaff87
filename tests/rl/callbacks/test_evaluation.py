"""Scores during training are the evaluator's, and the best checkpoint is kept beside the last."""

from __future__ import annotations

import pytest

from kie_hvqa.answers.verdicts import Counts
from kie_hvqa.config import load
from kie_hvqa.data.files import read_json
from kie_hvqa.errors import InputError
from kie_hvqa.scoring.rates import parts, rates
from rl import sft
from rl.recipes import SftRecipe


def test_rates_add_up_over_processes_and_leave_out_what_has_no_slots():
    first = parts([Counts.of(questions=1, clear_right=3, clear_marked=1)])
    second = parts([Counts.of(questions=1, clear_right=4, free=1)])
    together = {name: (first[name][0] + second[name][0], first[name][1] + second[name][1]) for name in first}
    assert rates(together) == {
        "hallucination_free_accuracy": 0.5,
        "reading_recall": 0.875,
        "misread_rate": 0.0,
        "over_refusal_rate": 0.125,
    }


EVALUATED = "evaluation: {every: 2, split: train, limit: 6, batch_size: 4, max_new_tokens: 8, take: best}"
TRAINING = "per_device_train_batch_size: 4, save_total_limit: 2, report_to: []"


@pytest.mark.slow
def test_the_best_checkpoint_survives_and_becomes_the_model(small, tmp_path, monkeypatch):
    from rl.callbacks.evaluation import Evaluation

    scores = iter([0.75, 0.25, 0.5])
    found = Evaluation.rates

    def told(self, trainer):
        real = found(self, trainer)  # the random reader never answers well: only the order is made up
        assert real["hallucination_free_accuracy"] == 0.0
        return {**real, "hallucination_free_accuracy": next(scores)}

    monkeypatch.setattr(Evaluation, "rates", told)
    recipe = small.recipe(tmp_path / "sft.yaml", EVALUATED, TRAINING)
    steps = ["training.max_steps=6", "training.save_strategy=steps", "training.save_steps=2"]
    model = sft.run(recipe, steps)
    out = tmp_path / "out"
    assert sorted(path.name for path in out.glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-6"]
    state = read_json(out / "checkpoint-6" / "trainer_state.json")
    assert state["best_model_checkpoint"] == str(out / "checkpoint-2")
    best, last = ((out / f"checkpoint-{n}" / "model.safetensors").read_bytes() for n in (2, 6))
    assert (model / "model.safetensors").read_bytes() == best != last
    logged = [e for e in read_json(out / "history.json")["log"] if "eval_hallucination_free_accuracy" in e]
    assert [(e["step"], e["eval_hallucination_free_accuracy"]) for e in logged] == [(2, 0.75), (4, 0.25), (6, 0.5)]
    assert "0.750 at step 2" in (model / "README.md").read_text()


def test_an_evaluation_that_meets_no_checkpoint_is_refused(small, tmp_path):
    recipe = small.recipe(tmp_path / "sft.yaml", "evaluation: {every: 3, split: train}")
    with pytest.raises(InputError, match=r"evaluation\.every"):
        sft.arguments_of(load(recipe, SftRecipe, ["training.save_strategy=steps", "training.save_steps=2"]), recipe)
