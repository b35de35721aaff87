"""Steps by plain TRL and by this project, one after the other from the same weights: seconds, losses, peak memory.

Completions are drawn by each trainer, and timed; but sampling in bfloat16 turns rounding into other tokens, and other tokens
into other losses. So what plain TRL drew takes the place of what this project drew, and losses can be compared.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from kie_hvqa.config import load
from rewards.plugins.spec import load_rewards
from rl import grpo, sft
from rl.gpu_check.models import random_checkpoint
from rl.recipes import GrpoRecipe, SftRecipe

ROUNDING = {"float32": 1e-4, "bfloat16": 2**-6}
"""How far losses and entropies may differ, as a share of them or of 1: bfloat16 keeps 8 bits, and sums lose two of them. The
norm of a gradient may differ by ten times as much: GRPO's is a difference of nearly equal sums."""
_FOR_PLAIN = 0.55  # of a part's time; it is the slower of the two

Completions = list[list[int]]


def compare(stage: str, file: Path, until: float, note: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Both trainers over the recipe in ``file``, while ``time.monotonic()`` is below ``until``; ``note`` gets what is known so far."""
    found: dict[str, Any] = {}
    drawn: list[Completions] = []
    now = time.monotonic()
    for name, end in (("plain", now + _FOR_PLAIN * (until - now)), ("ours", until)):
        steps = len(found["plain"]["seconds"]) if "plain" in found and found["plain"]["seconds"] else None
        found[name] = {}
        clock = Clock(end, found[name], lambda: note(found))
        try:
            _train(stage, file, name == "plain", clock, drawn, found[name], steps)
        except torch.OutOfMemoryError as error:
            found[name]["error"] = f"out of memory: {str(error).splitlines()[0]}"
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    note(found)
    return found


class Clock(TrainerCallback):
    """Notes every step's seconds, loss and gradient in ``into``, and ends training once the time is over."""

    def __init__(self, until: float, into: dict[str, Any], changed: Callable[[], None]) -> None:
        self._until, self._into, self._changed = until, into, changed
        self._since = 0.0
        into.update(seconds=[], loss=[], gradient=[], entropy=[])

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if not self._since:
            self._since = _now()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        now = _now()
        self._into["seconds"].append(now - self._since)
        self._since = now
        if now > self._until:
            control.should_training_stop = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if logs and "loss" in logs:
            self._into["loss"].append(logs["loss"])
            self._into["gradient"].append(logs["grad_norm"])
            self._into["entropy"].append(logs["entropy"])
            if "sampling/sampling_logp_difference/mean" in logs:
                self._into.setdefault("gap", []).append(logs["sampling/sampling_logp_difference/mean"])
            self._changed()


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.monotonic()


def _train(
    stage: str,
    file: Path,
    plain: bool,
    clock: Clock,
    drawn: list[Completions],
    into: dict[str, Any],
    steps: int | None,
) -> None:
    overrides = [] if steps is None else [f"training.max_steps={steps}"]
    trainer: Any
    if stage == "sft":
        recipe: Any = load(file, SftRecipe, overrides)
        arguments = sft.arguments_of(recipe, file)
        checkpoint = random_checkpoint(recipe)
        trainer, _ = (sft.build_plain if plain else sft.build)(recipe, arguments, checkpoint)
    else:
        recipe = load(file, GrpoRecipe, overrides)
        rewards = load_rewards(recipe.rewards, file.parent)
        grpo_arguments = grpo.arguments_of(recipe, file, rewards)
        checkpoint = random_checkpoint(recipe)
        trainer, _ = (grpo.build_plain if plain else grpo.build)(recipe, grpo_arguments, rewards, checkpoint)
        into["same_tokens"] = None
        _one_drawing(trainer, plain, drawn, into)
    into["held"] = _allocated()  # weights, before a step
    trainer.add_callback(clock)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    trainer.train()
    into["peak"] = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None


def _one_drawing(trainer: Any, plain: bool, drawn: list[Completions], into: dict[str, Any]) -> None:
    """Keep what ``trainer`` draws, or put what was drawn before in its place and note how much of it is the same."""
    generate = trainer._generate_single_turn
    calls = iter(list(drawn))
    same = total = 0

    def generated(*args: Any, **kwargs: Any) -> Any:
        nonlocal same, total
        own, logprobs = generate(*args, **kwargs)
        if plain:
            drawn.append(own)
            return own, logprobs
        theirs = next(calls, own)
        pairs = [(a, b) for one, other in zip(own, theirs, strict=True) for a, b in zip(one, other, strict=False)]
        same, total = same + sum(a == b for a, b in pairs), total + len(pairs)
        into["same_tokens"] = same / max(1, total)
        return theirs, logprobs

    trainer._generate_single_turn = generated


def _allocated() -> int | None:
    return torch.cuda.memory_allocated() if torch.cuda.is_available() else None


def differences(found: dict[str, Any], dtype: str) -> dict[str, Any]:
    """What ``compare`` found, as one line: ``ratio`` of plain TRL's seconds to this project's (the first step is warm-up),
    the largest difference of a loss or an entropy (a share of it, or of 1) and of a gradient's norm (a share), and whether all
    are within rounding. A GRPO step on its own completions has a loss near zero: entropy and gradient say more.
    """
    plain, ours = found.get("plain", {}), found.get("ours", {})
    said: dict[str, Any] = {"ratio": None, "loss_difference": None, "gradient_difference": None, "agree": None}
    timed = min(len(plain.get("seconds", [])), len(ours.get("seconds", [])))
    if timed > 1:
        said["ratio"] = sum(plain["seconds"][1:timed]) / sum(ours["seconds"][1:timed])
    if plain.get("loss") and ours.get("loss"):
        pairs = [pair for key in ("loss", "entropy") for pair in zip(plain[key], ours[key], strict=False)]
        said["loss_difference"] = max(abs(a - b) / max(1.0, abs(a)) for a, b in pairs)
        norms = zip(plain["gradient"], ours["gradient"], strict=False)
        said["gradient_difference"] = max(abs(a - b) / max(abs(a), 1e-12) for a, b in norms)
        bar = ROUNDING[dtype]
        said["agree"] = said["loss_difference"] <= bar and said["gradient_difference"] <= 10 * bar
    return said
