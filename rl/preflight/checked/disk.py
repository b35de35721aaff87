"""Is there room for the checkpoints? A disk that fills up in the night is known in the evening."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kie_hvqa.errors import InputError
from rl.preflight.planned.devices import gib
from rl.preflight.planned.states import Counts


@dataclass(frozen=True)
class CheckpointBytes:
    """One checkpoint: ``weights`` (of the adapter alone with LoRA) and ``optimiser`` of all processes; in bytes."""

    weights: int
    optimiser: int

    @property
    def total(self) -> int:
        return self.weights + self.optimiser


def checkpoint_bytes(counts: Counts, itemsize: int, *, adapter: bool, sharded: bool) -> CheckpointBytes:
    """``sharded``: DeepSpeed saves float32 weights and both moments of what is trained, beside the model's files."""
    weights = (counts.trained if adapter else counts.trained + counts.frozen) * itemsize
    return CheckpointBytes(weights, counts.trained * (12 if sharded else 2 * itemsize))


def check_disk(arguments: Any, out: Path, one: CheckpointBytes, steps: int, *, here: bool) -> str:
    """What the stage will write, held against what is free where it will run ``here``. Raises InputError."""
    kept = _kept(arguments, steps)
    each = one.weights if arguments.save_only_model else one.total
    needed = kept * each + one.weights  # the finished model
    free = shutil.disk_usage(_nearest(out)).free
    said = f"{gib(needed)} for {kept} checkpoint(s) of {gib(each)} and the model"
    if here and needed > free:
        raise InputError(
            f"this run needs {said}, and {gib(free)} are free there",
            file=out,
            field="training.save_total_limit",
            remedy="Keep fewer checkpoints, or write elsewhere (output_dir).",
        )
    return f"{said}; {gib(free)} free{'' if here else ' on this machine'}"


def _kept(arguments: Any, steps: int) -> int:
    """The most checkpoints that lie there at once: a new one is written before the oldest goes."""
    strategy = getattr(arguments.save_strategy, "value", arguments.save_strategy)
    if strategy == "no":
        return 0
    every = arguments.save_steps if arguments.save_steps >= 1 else max(1, round(arguments.save_steps * steps))
    written = max(1, int(steps // every)) if strategy == "steps" else max(1, int(arguments.num_train_epochs))
    if arguments.save_total_limit is None:
        return written
    best = arguments.save_total_limit == 1 and arguments.metric_for_best_model is not None  # it stays beside the last
    return min(written, arguments.save_total_limit + 1 + int(best))


def _nearest(path: Path) -> Path:
    """``path``, or the nearest directory above it that exists."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path
