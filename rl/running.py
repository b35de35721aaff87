"""From a built trainer to a finished stage: train or resume, write the model whole, its card beside it, the history."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from kie_hvqa.data.files import put
from rl.callbacks.watchdog import Watchdog
from rl.checkpoints.model_card import model_card
from rl.checkpoints.models import Checkpoint, save_checkpoint
from rl.checkpoints.whole import agreed_beside, disk_errors
from rl.console import show_progress
from rl.recipes import StageRecipe
from rl.stage import StageRun, explained_memory


def train(stage: StageRun, recipe: StageRecipe, trainer: Any, checkpoint: Checkpoint) -> None:
    """Train to the end from the newest whole checkpoint, and leave ``stage.model`` and ``stage``'s history.

    Raises WorkError where the machine gives out (memory, disk) or the numbers do, with what to do.
    """
    watchdog = Watchdog(recipe.stall_seconds, stage.out / "stalls", rank=int(os.environ.get("RANK", "0")))
    trainer.phases.beat = watchdog.beat
    watchdog.start()
    show_progress(trainer, stage.name)
    try:
        with explained_memory(), disk_errors("the model", stage.out):
            trainer.train(resume_from_checkpoint=stage.last_checkpoint())
            write_model(stage, recipe, trainer, checkpoint)
    finally:
        watchdog.stop()
    stage.finish(trainer)


def write_model(stage: StageRun, recipe: StageRecipe, trainer: Any, checkpoint: Checkpoint) -> None:
    """The model directory, beside its place until every process has written its part."""
    beside = agreed_beside(stage.model)
    first = trainer.is_world_process_zero()
    save_checkpoint(trainer, checkpoint, beside)
    trainer.accelerator.wait_for_everyone()
    if first:
        card = model_card(
            stage.name, recipe, checkpoint.directory, trainer.state, processes=trainer.accelerator.num_processes
        )
        Path(beside / "README.md").write_text(card, encoding="utf-8")
        put(beside, stage.model)  # in place of one of a run that was killed before it could say so
    trainer.accelerator.wait_for_everyone()
