"""How a stage's rows become steps: batch arithmetic, which TRL does while it runs and this does beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kie_hvqa.errors import InputError


@dataclass(frozen=True)
class Batches:
    """``step`` rows (SFT) or completions (GRPO) an optimiser step, over all processes; ``generated`` completions of
    one process a generation (0 for SFT); ``steps`` optimiser steps in all, ``epochs`` passes over the dataset.
    """

    step: int
    generated: int
    steps: int
    epochs: float
    text: str


def batches(stage: str, arguments: Any, rows: int, world_size: int, file: Path) -> Batches:
    """What ``arguments`` (SFTConfig or GRPOConfig, of the planned world) make of ``rows``.

    TRL has checked that a generation batch holds whole groups. Raises InputError where a process would get a part of a
    group, or where no step would ever be taken.
    """
    step = arguments.per_device_train_batch_size * arguments.gradient_accumulation_steps * world_size
    if stage != "grpo":
        steps, epochs = _steps(arguments, -(-rows // step))
        return Batches(step, 0, steps, epochs, f"{step} questions a step, {_said(steps, epochs)}")
    group = arguments.num_generations
    prompts = arguments.generation_batch_size // group
    if rows < prompts:
        raise InputError(
            f"{rows} questions do not fill one generation batch of {prompts}, so no step would ever be taken",
            file=file,
            field="training.per_device_train_batch_size",
            remedy="Use more questions, a smaller batch or more num_generations.",
        )
    reused = arguments.steps_per_generation * arguments.num_iterations
    steps, epochs = _steps(arguments, rows // prompts * reused // arguments.gradient_accumulation_steps)
    shape = f"{prompts} questions x {group} completions a generation, {step} completions a step"
    return Batches(
        step,
        arguments.per_device_train_batch_size * arguments.steps_per_generation,
        steps,
        epochs,
        f"{shape}, {_said(steps, epochs)}",
    )


def _steps(arguments: Any, per_epoch: int) -> tuple[int, float]:
    if arguments.max_steps > 0:
        return arguments.max_steps, arguments.max_steps / max(1, per_epoch)
    return int(per_epoch * arguments.num_train_epochs), float(arguments.num_train_epochs)


def _said(steps: int, epochs: float) -> str:
    return f"{steps} steps ({epochs:.2f} epochs)" if epochs != int(epochs) else f"{steps} steps ({epochs:g} epochs)"
