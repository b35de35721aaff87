"""One training stage's directory: who owns it, what is finished, what to resume.

``OUT/training.json`` names the stage and the recipe that the directory belongs to; it is written first, so that a
second run with another recipe is refused before it touches anything. ``OUT/model/`` is the result, and
``OUT/history.json`` (written last) says that the stage is finished.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

from transformers.trainer_utils import get_last_checkpoint

from kie_hvqa.errors import InputError
from kie_hvqa.files import read_json, write_json
from rl.engine import engine_arguments, is_first_process
from rl.recipes import StageRecipe


class StageRun:
    """A stage at work in ``recipe.output_dir``. Raises InputError where another run owns the directory."""

    def __init__(self, name: str, recipe: StageRecipe) -> None:
        self.out = Path(recipe.output_dir)
        self.model = self.out / "model"
        self._owner = {"stage": name, "recipe": recipe.model_dump(mode="json")}
        self._claim = self.out / "training.json"
        self._history = self.out / "history.json"

    def __enter__(self) -> StageRun:
        if self.check() == "free" and is_first_process():
            write_json(self._claim, self._owner)
        return self

    def check(self) -> str:
        """What the directory holds for this recipe: ``free``, ``started``, a checkpoint's name, or ``finished``.

        Writes nothing. Raises InputError where it holds something else.
        """
        if not self._claim.exists():
            if self.model.exists():
                raise InputError(
                    "this directory holds a model that no training.json accounts for",
                    file=self.model,
                    remedy="Choose another output_dir.",
                )
            return "free"
        if read_json(self._claim) != self._owner:
            raise InputError(
                "this directory holds another run (its training.json names another recipe)",
                file=self._claim,
                remedy="Choose another output_dir, or move that run away.",
            )
        if self.finished:
            return "finished"
        last = self.last_checkpoint()
        return "started" if last is None else Path(last).name

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    @property
    def finished(self) -> bool:
        return self._history.exists()

    def last_checkpoint(self) -> str | None:
        """The newest checkpoint of an interrupted run, or None."""
        return get_last_checkpoint(str(self.out)) if self.out.is_dir() else None

    def finish(self, trainer: Any) -> None:
        if trainer.is_world_process_zero():
            write_json(self._history, {"steps": trainer.state.global_step, "log": _plain(trainer.state.log_history)})


def common_arguments(recipe: StageRecipe) -> dict[str, Any]:
    """What every stage sets, and no recipe may: where to write, columns kept for the rewards, the engine, the dtype."""
    return {
        "output_dir": recipe.output_dir,
        "remove_unused_columns": False,
        **engine_arguments(recipe.deepspeed, recipe.dtype),
    }


def _plain(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The trainer's log with numbers that JSON can hold; NaN becomes None."""
    return [
        {key: (None if isinstance(value, float) and value != value else value) for key, value in entry.items()}
        for entry in log
    ]
