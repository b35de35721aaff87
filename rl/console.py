"""What a training run shows on the terminal: one line that moves, and nothing that a user cannot act on.

Everything else that is logged goes to TensorBoard and ``OUT/history.json``; ``--verbose`` (or ``KIE_HVQA_VERBOSE=1``, which
``launch.sh`` hands on) shows the libraries' own output as it is.
"""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from tqdm import tqdm
from transformers import PrinterCallback, ProgressCallback, TrainerCallback
from transformers.utils import logging as transformers_logging

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
    """``grpo: 33% 60/180, 2:24 left, loss 0.013, reward 0.41, …``, in place on a terminal, one line a log in a file."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._bar: Any = None
        self._last: dict[str, Any] = {}
        self._begun = (0.0, 0)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._begun = (time.monotonic(), state.global_step)
        if state.is_world_process_zero and sys.stderr.isatty():
            self._bar = tqdm(
                total=state.max_steps,
                initial=state.global_step,
                desc=self._stage,
                dynamic_ncols=True,
                bar_format="{desc}: {percentage:.0f}% |{bar:20}| {n_fmt}/{total_fmt}, {remaining} left{postfix}",
            )

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._bar is not None:
            self._bar.update(state.global_step - self._bar.n)

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        if not state.is_world_process_zero or not logs or not (news := {k: v for k, v in logs.items() if k in SHOWN}):
            return
        self._last |= news
        if self._bar is not None:
            self._bar.set_postfix_str(", ".join(described(self._last)))
        else:
            print(self._line(state), file=sys.stderr, flush=True)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _line(self, state: Any) -> str:
        since, first = self._begun
        done, left = state.global_step - first, state.max_steps - state.global_step
        seconds = left * (time.monotonic() - since) / done if done else float("nan")
        remaining = tqdm.format_interval(seconds) if done else "?"
        share = f"{state.global_step / max(1, state.max_steps):.0%} {state.global_step}/{state.max_steps}"
        return ", ".join([f"{self._stage}: {share}", f"{remaining} left", *described(self._last)])
