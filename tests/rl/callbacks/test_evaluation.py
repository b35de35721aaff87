"""Scores during training are the evaluator's, and the best checkpoint is kept beside the last."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kie_hvqa.answers.answer import Reading, render, truth
from kie_hvqa.answers.verdicts import Counts
from kie_hvqa.config import load
from kie_hvqa.data.files import read_json
from kie_hvqa.data.ledger import Legibility, Row, Slot, kind_of
from kie_hvqa.errors import InputError
from kie_hvqa.scoring.rates import parts, rates
from rl import preflight, sft
from rl.callbacks.evaluation import decided_by, scores_of
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
    from rl.callbacks import evaluation
    from rl.callbacks.evaluation import Evaluation

    scores = iter([0.5, 0.25, 0.75])  # plain accuracy is best at the last step, the headline at the first
    balanced = iter([0.75, 0.25, 0.5])
    found = Evaluation.rates

    def told(self, trainer):
        real = found(self, trainer)  # the random reader never answers well: only the order is made up
        assert real["hallucination_free_accuracy"] == 0.0
        return {**real, "hallucination_free_accuracy": next(scores), "balanced": next(balanced)}

    monkeypatch.setattr(Evaluation, "rates", told)
    monkeypatch.setattr(evaluation, "decided_by", lambda rows: ("balanced", "as where every stratum has rows"))
    recipe = small.recipe(tmp_path / "sft.yaml", EVALUATED, TRAINING)
    steps = ["training.max_steps=6", "training.save_strategy=steps", "training.save_steps=2"]
    model = sft.run(recipe, steps)
    out = tmp_path / "out"
    assert sorted(path.name for path in out.glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-6"]
    state = read_json(out / "checkpoint-6" / "trainer_state.json")
    assert state["best_model_checkpoint"] == str(out / "checkpoint-2")
    best, last = ((out / f"checkpoint-{n}" / "model.safetensors").read_bytes() for n in (2, 6))
    assert (model / "model.safetensors").read_bytes() == best != last
    logged = [e for e in read_json(out / "history.json")["log"] if "eval_balanced" in e]
    assert [(e["step"], e["eval_balanced"]) for e in logged] == [(2, 0.75), (4, 0.25), (6, 0.5)]
    assert "Best balanced: 0.750 at step 2" in (model / "README.md").read_text()


def _row(number: int, legibility: str) -> Row:
    names: dict[str, Legibility] = {"c": "clear", "h": "hidden", "p": "partial"}
    slots = tuple(Slot("A", names[letter], 0.5, (0, 0, 9, 9)) for letter in legibility)
    kind, answer = kind_of(slots), render(truth(slots))
    return Row(str(number), "a.png", str(number), "id_card", "validation", "surname", kind, "<image>?", answer, slots)


BALANCED_ROWS = [_row(0, "cc"), _row(1, "ch"), *(_row(2 + n, "hh") for n in range(6))]


def test_refusing_everything_is_not_the_best_checkpoint_where_there_is_much_to_refuse():
    """Plain accuracy prefers it, the headline does not."""
    refused = {row.id: render(Reading("")) for row in BALANCED_ROWS}
    read = {row.id: row.answer if int(row.id) < 4 else "<answer>nonsense" for row in BALANCED_ROWS}
    timid, able = (scores_of(BALANCED_ROWS, answers) for answers in (refused, read))
    assert timid["hallucination_free_accuracy"] == 0.75 > able["hallucination_free_accuracy"] == 0.5
    assert timid["balanced"] == pytest.approx(1 / 3) and able["balanced"] == pytest.approx((1 + 1 + 2 / 6) / 3)
    assert decided_by(BALANCED_ROWS)[0] == "balanced"


def test_what_decides_where_the_headline_cannot_is_said():
    name, said = decided_by([_row(0, "cc"), _row(1, "hh"), _row(2, "cp")])
    assert name == "hallucination_free_accuracy" and "no row is of stratum mixed" in said
    official = [replace(row, slots=None) for row in BALANCED_ROWS]
    name, said = decided_by(official)
    assert name == "average" and "no ledger" in said
    assert scores_of(official, {row.id: row.answer for row in official})["average"] == 100.0
    with pytest.raises(InputError, match="not one of these rows"):
        decided_by([replace(row, slots=None, answer="") for row in BALANCED_ROWS])


def test_the_trainer_and_the_dry_run_go_by_what_the_rows_allow(small, tmp_path):
    recipe = small.recipe(tmp_path / "sft.yaml", EVALUATED, TRAINING)
    on_disk = ["training.save_strategy=steps", "training.save_steps=2"]
    found = {one.check: one.text for one in preflight.run("sft", recipe, on_disk)}
    loaded = load(recipe, SftRecipe, on_disk)
    trainer, _ = sft.build(loaded, sft.arguments_of(loaded, recipe))
    assert trainer.args.metric_for_best_model == trainer._evaluation.decides
    assert trainer._evaluation.said in found["evaluation"]
    with pytest.raises(InputError, match=r"evaluation\.split"):
        preflight.run("sft", recipe, [*on_disk, "evaluation.split=validation"])


def test_an_evaluation_that_meets_no_checkpoint_is_refused(small, tmp_path):
    recipe = small.recipe(tmp_path / "sft.yaml", "evaluation: {every: 3, split: train}")
    with pytest.raises(InputError, match=r"evaluation\.every"):
        sft.arguments_of(load(recipe, SftRecipe, ["training.save_strategy=steps", "training.save_steps=2"]), recipe)
