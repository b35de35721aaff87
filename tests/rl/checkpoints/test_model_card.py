"""The card beside a model is made of the run's own facts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import yaml

from kie_hvqa.data.files import write_json
from rl.checkpoints.model_card import licence_of, model_card
from rl.recipes import SftRecipe


def _state(*entries: dict) -> SimpleNamespace:
    return SimpleNamespace(global_step=40, epoch=1.5, log_history=list(entries))


def _recipe(tmp_path: Path, **changes) -> SftRecipe:
    (tmp_path / "data").mkdir(exist_ok=True)
    (tmp_path / "data" / "metadata.jsonl").touch()
    write_json(tmp_path / "data" / "dataset.json", {"kind": "simulate", "config": {"seed": 77, "scale": "tiny"}})
    plain = {"model": "models/base", "data": {"path": str(tmp_path / "data")}, "output_dir": str(tmp_path / "warm")}
    return SftRecipe.model_validate(plain | changes)


def _base(tmp_path: Path) -> Path:
    base = tmp_path / "base"
    base.mkdir(exist_ok=True)
    (base / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Base\n")
    return base


def _head(card: str) -> dict:
    return yaml.safe_load(card.split("---\n")[1])


def test_it_names_base_data_recipe_scores_and_licence(tmp_path):
    scores = {"step": 40, "eval_hallucination_free_accuracy": 0.5, "eval_invented_rate": 0.125}
    better = {"step": 20, "eval_hallucination_free_accuracy": 0.625}
    recipe = _recipe(tmp_path, training={"max_steps": 40})
    card = model_card("sft", recipe, _base(tmp_path), _state(better, scores), processes=2)
    head = _head(card)
    assert head["license"] == "apache-2.0" and head["base_model"] == "models/base"
    assert head["library_name"] == "transformers"
    assert "40 steps" in card and "2 process(es)" in card
    assert "kind simulate" in card and "seed 77" in card
    assert "| hallucination_free_accuracy | 0.500 |" in card and "| invented_rate | 0.125 |" in card
    assert "0.625 at step 20" in card
    assert "max_steps: 40" in card
    assert "apache-2.0, as the model" in card


def test_a_run_without_scores_and_a_base_without_licence_say_so(tmp_path):
    card = model_card("sft", _recipe(tmp_path), tmp_path / "nowhere", _state(), processes=1)
    assert "license" not in _head(card)
    assert "names none here" in card and "Not scored during training" in card


def test_an_adapter_says_that_it_is_one(tmp_path):
    card = model_card("sft", _recipe(tmp_path, lora={"rank": 4, "alpha": 8}), _base(tmp_path), _state(), processes=1)
    assert _head(card)["library_name"] == "peft"
    assert "A LoRA adapter; `kie-hvqa merge` folds it into its base." in card


def test_a_damaged_card_names_no_licence(tmp_path):
    (tmp_path / "README.md").write_text("---\n: [\n---\n")
    assert licence_of(tmp_path) is None
