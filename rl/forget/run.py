"""``kie-hvqa forget``: checks, training to the end or to little leak, and a report on the model before and after.

Run: kie-hvqa forget --model M --forget ROWS --retain ROWS --out DIR, or ./launch.sh forget CONFIG for several processes
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers.integrations.deepspeed import unset_hf_deepspeed_config
from trl import SFTConfig

from kie_hvqa.config import load
from kie_hvqa.data.dataset import spread
from kie_hvqa.data.files import read_json, write_json, write_text
from kie_hvqa.readers.model_source import model_source
from kie_hvqa.readers.transformers_reader import TransformersReader
from rl.checkpoints.models import Checkpoint, adapter, model_directory, open_checkpoint
from rl.console import quiet_libraries
from rl.forget.attacks import membership, probe, relearned
from rl.forget.measure import leak_of, measured
from rl.forget.recipe import ForgetRecipe
from rl.forget.report import report
from rl.forget.rows import ForgetRows, Sets
from rl.forget.trainer import EnoughForgotten, ForgetTrainer
from rl.recipes import training_arguments
from rl.rollouts.engine import check_launched, is_first_process
from rl.running import train
from rl.stage import StageRun, common_arguments
from rl.tower.attention import faster_tower

MEASURES = "forgetting.json"
REPORT = "report.md"
LOOKED_AT = 32  # rows trained on, while it trains
LOOK_TOKENS = 48  # Final OCR comes first


def run(config_path: str | Path, overrides: Sequence[str] = ()) -> Path:
    """Forget as the recipe says; returns the model directory. Raises InputError before anything is loaded or written."""
    check_launched(os.environ)
    quiet_libraries()
    recipe = load(config_path, ForgetRecipe, overrides)
    arguments = arguments_of(recipe, config_path)
    sets = Sets.of(recipe)
    reader = reader_of(recipe, str(model_directory(recipe.model)))
    with StageRun("forget", recipe) as stage:
        if not stage.finished:
            trainer, checkpoint = build(recipe, arguments, sets)
            train(stage, recipe, trainer, checkpoint)
        unset_hf_deepspeed_config()  # under ZeRO-3 a model that is opened now would be shared out to processes that are gone
        if is_first_process():
            look(stage, recipe, sets, reader, arguments.learning_rate)
    return stage.model


def arguments_of(recipe: ForgetRecipe, file: str | Path, arguments_class: type[SFTConfig] = SFTConfig) -> SFTConfig:
    """TRL's arguments for the recipe in ``file``. Raises InputError for a key or value that TRL does not take."""
    return training_arguments(recipe, arguments_class, file, max_length=None, **common_arguments(recipe))


def build(recipe: ForgetRecipe, arguments: SFTConfig, sets: Sets) -> tuple[ForgetTrainer, Checkpoint]:
    """The trainer over the recipe's model and rows, and the opened checkpoint."""
    checkpoint = open_checkpoint(recipe)
    faster_tower(checkpoint.model)
    reference = None
    if recipe.adds.compares and recipe.lora is None:
        reference = open_checkpoint(recipe).model.eval().requires_grad_(False)
        faster_tower(reference)
    rows = ForgetRows(recipe, checkpoint.contract, sets)
    reader = reader_of(recipe, str(checkpoint.directory), max_new_tokens=LOOK_TOKENS)
    shown = spread(sets.train["covered"], LOOKED_AT)

    def leak(model: Any) -> float:
        return leak_of(reader.over(model, checkpoint.processor), sets.forgotten, shown)["value"]

    enough = EnoughForgotten(recipe, leak)
    trainer = ForgetTrainer(
        recipe=recipe, reference=reference, rows=rows, model=checkpoint.model, args=arguments, callbacks=[enough],
        train_dataset=rows.as_dataset(), processing_class=checkpoint.processor, peft_config=adapter(recipe, checkpoint.model),
    )  # fmt: skip
    enough.trainer = trainer
    return trainer, checkpoint


def reader_of(recipe: ForgetRecipe, model: str, **options: Any) -> TransformersReader:
    """The evaluator's reader over ``model``, a directory, under the recipe's contract. Raises InputError for another one's."""
    given: dict[str, Any] = {"batch_size": recipe.batch_size, "max_new_tokens": recipe.max_new_tokens} | options
    asked: dict[str, Any] = {"prompt": recipe.prompt, "min_pixels": recipe.min_pixels, "max_pixels": recipe.max_pixels}
    return TransformersReader(model_source(model), **given, **asked)


def look(stage: StageRun, recipe: ForgetRecipe, sets: Sets, before: TransformersReader, rate: float) -> dict[str, Any]:
    """Measure what is missing of the model before and after, and write ``forgetting.json`` and ``report.md`` beside it."""
    path = stage.out / MEASURES
    found: dict[str, Any] = read_json(path) if path.is_file() else {}
    for name, opened in (("before", lambda: before), ("after", lambda: reader_of(recipe, str(stage.model)))):
        if name in found:
            continue
        reader = opened()
        found[name] = measured(reader, sets, recipe.measured)
        found[name] |= {"probe": probe(reader, sets, recipe), "membership": membership(reader, sets, recipe)}
        if name == "after":
            found[name]["relearning"] = relearned(reader, sets, recipe, rate)
            found["steps"] = read_json(stage.out / "history.json")["steps"]
        write_json(path, found)
    write_text(stage.out / REPORT, report(recipe, sets, found))
    return found
