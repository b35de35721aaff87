"""One training stage's directory: who owns it, what is finished, what to resume.

The first process holds a lock on the directory for the run's life, so that a second run is refused before it touches
anything. ``OUT/training.json`` names the stage and the recipe that the directory belongs to, and is written first, so
that another recipe is refused later as well. ``OUT/model/`` is the result, and
``OUT/history.json`` (written last) says that the stage is finished.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from pydantic import ValidationError
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from kie_hvqa.data.files import read_json, sweep, write_json
from kie_hvqa.data.lock import Lock
from kie_hvqa.errors import InputError, WorkError
from kie_hvqa.scoring.rates import HEADLINE
from rl.checkpoints.owner import check_owner
from rl.checkpoints.same_run import differences
from rl.checkpoints.whole import last_checkpoint
from rl.recipes import StageRecipe
from rl.rollouts.engine import engine_arguments, is_first_process


class StageRun:
    """A stage's directory, ``recipe.output_dir``. Nothing is written before ``claim``."""

    def __init__(self, name: str, recipe: StageRecipe, processes: int | None = None) -> None:
        """``processes`` of the run; None takes those that the launcher started."""
        self.name = name
        self.out = Path(recipe.output_dir)
        self.model = self.out / "model"
        self._recipe = recipe
        self._processes = processes or int(os.environ.get("WORLD_SIZE", "1"))
        self._owner: dict[str, Any] = {
            "stage": name,
            "recipe": recipe.model_dump(mode="json"),
            "processes": self._processes,
        }
        self._training = self.out / "training.json"
        self._history = self.out / "history.json"
        self._lock: Lock | None = None

    def claim(self) -> StageRun:
        """Take the directory until ``release``. Raises InputError where another run owns it, or is at work in it."""
        if self.check() == "finished" or not is_first_process():
            return self
        self._lock = Lock(self.out, "training")
        try:
            self.check()
            write_json(self._training, self._owner)  # also where a key that may change has
            sweep(self.out)
        except BaseException:
            self.release()
            raise
        return self

    def release(self) -> None:
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> StageRun:
        return self.claim()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def check(self) -> str:
        """What the directory holds for this recipe: ``free``, ``started``, a checkpoint's name, or ``finished``.

        Writes nothing. Raises InputError where it holds something else.
        """
        if not self._training.exists():
            # A run replaces its model and deletes its older checkpoints: these would be somebody else's.
            for foreign in (self.model, self._history, *self.out.glob(f"{PREFIX_CHECKPOINT_DIR}-*")):
                if foreign.exists():
                    raise InputError(
                        f"this directory holds a {foreign.name.partition('-')[0]} that no training.json accounts for",
                        file=foreign,
                        remedy="Choose another output_dir.",
                    )
            return "free"
        if differing := self._differences(read_json(self._training)):
            others = f", and {len(differing) - 3} more" if len(differing) > 3 else ""
            raise InputError(
                f"this directory holds another run: {'; '.join(differing[:3])}{others}",
                file=self._training,
                remedy="Choose another output_dir, or move that run away.",
            )
        if self.finished:
            return "finished"
        last = self.last_checkpoint()
        return "started" if last is None else Path(last).name

    def _differences(self, owner: Any) -> list[str]:
        """In what the run of ``owner``, out of a training.json, is another; keys that came later are at their defaults."""
        if not isinstance(owner, dict) or owner.get("stage") != self.name:
            return [f"the stage was {owner.get('stage') if isinstance(owner, dict) else owner!r}, is {self.name}"]
        try:
            before = type(self._recipe).model_validate(owner.get("recipe")).model_dump(mode="json")
        except ValidationError as error:
            return [f"its recipe is of another version ({error.errors()[0]['loc']})"]
        processes = owner.get("processes", self._processes)
        return differences(before, self._owner["recipe"], (processes, self._processes))

    @property
    def finished(self) -> bool:
        return self._history.exists()

    def last_checkpoint(self) -> str | None:
        """The newest whole checkpoint of an interrupted run, or None; says which newer ones are not whole.

        Raises InputError for one that others could have written (``rl.checkpoints.owner``).
        """
        last = last_checkpoint(self.out, say=_say if is_first_process() else lambda line: None)
        if last is not None:
            check_owner(Path(last))
        return last

    def finish(self, trainer: Any) -> None:
        if trainer.is_world_process_zero():
            write_json(self._history, {"steps": trainer.state.global_step, "log": _plain(trainer.state.log_history)})


def common_arguments(recipe: StageRecipe) -> dict[str, Any]:
    """What every stage sets, and no recipe may: where to write, columns kept for the rewards, the engine, the dtype."""
    arguments = engine_arguments(recipe.deepspeed, recipe.dtype)
    if recipe.autocast == "never":
        arguments["bf16"] = False
    elif recipe.autocast == "fast" and arguments["use_cpu"] and recipe.deepspeed is None:
        arguments["bf16"] = has_amx()
    if recipe.evaluation is not None:
        arguments |= {
            "eval_strategy": "steps",
            "eval_steps": recipe.evaluation.every,
            "metric_for_best_model": HEADLINE,
            "greater_is_better": True,
            "load_best_model_at_end": recipe.evaluation.take == "best",
        }
    return {"output_dir": recipe.output_dir, "remove_unused_columns": False, **arguments}


def has_amx() -> bool:
    """Whether this CPU multiplies bfloat16 matrices in tiles: several times as fast as float32. Emulated, it is slower."""
    import torch

    return bool(torch.cpu._is_amx_tile_supported())


@contextlib.contextmanager
def explained_memory() -> Iterator[None]:
    """Turns running out of memory into a WorkError that says what to lower."""
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        host = isinstance(error, MemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(error)
        if not host and not isinstance(error, torch.OutOfMemoryError):
            raise
        raise WorkError(
            f"out of memory ({(str(error).splitlines() or ['MemoryError'])[0][:200]}). Lower, in this order: "
            "training.per_device_train_batch_size (raise training.gradient_accumulation_steps as much), max_pixels, "
            "training.max_completion_length; or set training.activation_checkpointing: true, or a higher ZeRO stage. "
            "The last checkpoint is intact: the same command goes on from there."
        ) from error


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _plain(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The trainer's log with numbers that JSON can hold; NaN becomes None."""
    return [
        {key: (None if isinstance(value, float) and value != value else value) for key, value in entry.items()}
        for entry in log
    ]
