"""What a training run shows on the terminal: one line that moves, and nothing that a user cannot act on.

Everything else that is logged goes to TensorBoard and ``OUT/history.json``; ``--verbose`` (or ``KIE_HVQA_VERBOSE=1``, which
``launch.sh`` hands on) shows the libraries' own output as it is.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from transformers import PrinterCallback, ProgressCallback, TrainerCallback
from transformers.utils import logging as transformers_logging

from kie_hvqa.console import Progress

VERBOSE = "KIE_HVQA_VERBOSE"
# What is logged → what it is called on the line, in this order.
SHOWN = {
    "loss": "loss",
    "reward": "reward",
    "mean_token_accuracy": "tokens right",
    "ledger/hallucination_free_accuracy": "hallucination-free",
    "ledger/invented_rate": "invented",
    "ledger/over_refusal_rate": "over-refused",
    "eval_hallucination_free_accuracy": "held out",
}
# Message → its category. None of them can be acted on from a recipe.
SILENCED = {
    r"`is_gradient_checkpointing` is deprecated": FutureWarning,  # transformers calls its own old name
}
_LOGGERS = {"DeepSpeed": ("Setting accelerator to",)}  # on every start without a GPU


def verbose() -> bool:
    return os.environ.get(VERBOSE, "") not in ("", "0")


def quiet_libraries() -> None:
    """Silences, by name, what libraries say that nobody can act on; nothing where the user asked to see it."""
    if verbose():
        return
    transformers_logging.disable_progress_bar()  # bars of a second for the weights of a file
    for message, category in SILENCED.items():
        warnings.filterwarnings("ignore", message, category)
    for name, starts in _LOGGERS.items():
        logging.getLogger(name).addFilter(_without(starts))


def _without(starts: tuple[str, ...]) -> Callable[[logging.LogRecord], bool]:
    return lambda record: not record.getMessage().startswith(starts)


def show_progress(trainer: Any, stage: str) -> None:
    """One line of progress in place of transformers' dictionaries; ``training.disable_tqdm`` shows none at all."""
    if verbose():
        return
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    if not trainer.args.disable_tqdm:
        trainer.add_callback(ProgressLine(stage))


def described(log: Mapping[str, Any]) -> list[str]:
    """The parts of the line that ``log`` has a say in."""
    return [f"{said} {_number(log[key])}" for key, said in SHOWN.items() if isinstance(log.get(key), int | float)]


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.3g}"


class ProgressLine(TrainerCallback):
    """``grpo: 33% 60/180, 02:24 left, loss 0.013, reward 0.41, …``, in place on a terminal, one line a log in a file."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._line = Progress(stage, 1, shown=False)
        self._last: dict[str, Any] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        first = state.is_world_process_zero
        self._line = Progress(self._stage, state.max_steps, done=state.global_step, shown=first, every=float("inf"))
        self._line.__enter__()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._line.at(state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        if logs and (news := {key: value for key, value in logs.items() if key in SHOWN}):
            self._last |= news
            self._line.at(state.global_step)
            self._line.note(", ".join(described(self._last)), now=True)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._line.__exit__(None)
