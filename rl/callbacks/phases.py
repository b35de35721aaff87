"""Where a step's time goes: generate, reward, log-probabilities, backward, optimiser, and what is left.

Phases nest, and each counts only its own time, so the shares of a step add up to one. They are logged with everything
else (``time/generate`` … in seconds a step, ``share/generate`` … of the whole), and the stall watchdog names the phase
in which a process stands still.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

OUTSIDE = "data"
"""What no phase claims: loading the next batch, logging, saving."""


class PhaseTimer:
    """Exclusive seconds by phase since the last ``take``. ``clock`` is in seconds; ``beat`` hears of every change."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._stack = [OUTSIDE]
        self._seconds: dict[str, float] = defaultdict(float)
        self._since = clock()
        self.beat: Callable[[str], None] = lambda phase: None

    @property
    def current(self) -> str:
        return self._stack[-1]

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        self._switch()
        self._stack.append(phase)
        self.beat(phase)
        try:
            yield
        finally:
            self._switch()
            self._stack.pop()
            self.beat(self.current)

    def take(self) -> dict[str, float]:
        """Seconds by phase since the last call, and start anew."""
        self._switch()
        seconds, self._seconds = dict(self._seconds), defaultdict(float)
        return seconds

    def skip(self) -> None:
        """Count nothing since the last change of phase."""
        self._since = self._clock()

    def _switch(self) -> None:
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            torch.cuda.synchronize()  # kernels run on after their launch: they belong to the phase that launched them
        now = self._clock()
        self._seconds[self.current] += now - self._since
        self._since = now


def phase_scalars(seconds: dict[str, float], steps: int) -> dict[str, float]:
    """``time/<phase>`` in seconds a step and ``share/<phase>`` of all time, for the trainer's log."""
    whole = sum(seconds.values())
    if not whole or not steps:
        return {}
    times = {f"time/{phase}": value / steps for phase, value in seconds.items()}
    return times | {f"share/{phase}": value / whole for phase, value in seconds.items()}


class OptimiserPhase(TrainerCallback):
    """The optimiser's phase lies between two callbacks."""

    def __init__(self, phases: PhaseTimer) -> None:
        self._phases = phases
        self._open: Any = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._phases.take()

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._open = self._phases("optimiser")
        self._open.__enter__()

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self._open is not None:
            self._open.__exit__(None, None, None)
            self._open = None
