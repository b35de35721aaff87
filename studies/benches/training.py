"""GRPO as it runs here against plain TRL, on the embedded reader: the ratio of steps a second, and the losses.

Three trainers take the same steps from the same weights and seeds: plain TRL (``plain``), this project's trainer with
all sharing off (``off``) and with all of it on (``on``). They run in one process and take turns step by step, each
with its own random state, so that whatever else the machine does meets all three alike. The ratio is plain seconds over
ours, with a bootstrap interval over steps; the same of processor seconds says what a busy machine hides.

``--lengths`` takes the large GRPO recipe's own lengths (whole pages, groups of 5, completions of 256 tokens) with a model two
layers deep and random weights (configs/gpu_check/thin.yaml): what sharing saves depends on how long a prompt is beside its
completions, and the embedded reader's is short. ``--pieces`` also times prompts alone, and prompts and generation.

Run: python -m studies.benches.training [--lengths] [--pieces] [--data DIR] [--steps 20] [--out FILE.json] [key=value …]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from degradations.simulate import SimulateConfig, write_dataset
from kie_hvqa.config import load
from kie_hvqa.data.files import write_json
from rewards.plugins.spec import load_rewards
from rl import grpo
from rl.callbacks.phases import PhaseTimer
from rl.recipes import GrpoRecipe

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
OFF = {"features": False, "prompts": False, "generation": False}
KINDS: dict[str, dict[str, bool]] = {"plain": OFF, "off": OFF, "on": {}}
PIECES = {"prompts": OFF | {"prompts": True}, "prompts and generation": {"features": False}}
BARS = {"ratio": 1.5, "overhead": 0.02, "loss_difference": 1e-5}


class OneAtATime:
    """Lets one of several threads run at a time, in turn, each with its own random state."""

    def __init__(self, states: dict[str, torch.Tensor]) -> None:
        self._order = list(states)
        self._states = states
        self._turn = threading.Condition()
        self._holder = self._order[0]

    def wait(self, name: str) -> None:
        with self._turn:
            self._turn.wait_for(lambda: self._holder == name)
        torch.set_rng_state(self._states[name])

    def hand_over(self, name: str, *, last: bool = False) -> None:
        self._states[name] = torch.get_rng_state()
        with self._turn:
            following = self._order[(self._order.index(name) + 1) % len(self._order)]
            if last:
                self._order.remove(name)
            self._holder = following
            self._turn.notify_all()


class Turns(TrainerCallback):
    """Hands the turn on at every step's end and notes how long each turn took."""

    def __init__(self, turn: OneAtATime, name: str, phases: PhaseTimer | None) -> None:
        self._turn, self._name, self._phases = turn, name, phases
        self.seconds: list[float] = []
        self.processor_seconds: list[float] = []
        self._since = (0.0, 0.0)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._since = _now()

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if len(self.seconds) == state.global_step:
            return  # the summary at the end
        wall, processor = _now()
        self.seconds.append(wall - self._since[0])
        self.processor_seconds.append(processor - self._since[1])
        self._turn.hand_over(self._name)
        self._turn.wait(self._name)
        if self._phases is not None:
            self._phases.skip()
        self._since = _now()


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def compare(
    data: Path, steps: int, overrides: Sequence[str] = (), kinds: Mapping[str, dict[str, bool]] = KINDS
) -> dict[str, Any]:
    """Run the three (or more: what is shared by name) side by side; returns seconds, losses, ratios and phase shares."""
    with tempfile.TemporaryDirectory() as scratch:
        trainers, states = {}, {}
        for name, shared in kinds.items():
            trainers[name] = _trainer(name, shared, data, steps, Path(scratch) / name, overrides)
            states[name] = torch.get_rng_state()  # the trainer has set its seed
        turn = OneAtATime(states)
        turns = {name: Turns(turn, name, getattr(trainer, "phases", None)) for name, trainer in trainers.items()}
        threads = [
            threading.Thread(target=_guarded(trainer, turns[name], turn, name), name=name)
            for name, trainer in trainers.items()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    logs = {name: [e for e in t.state.log_history if "loss" in e] for name, t in trainers.items()}
    wall = {name: turn.seconds for name, turn in turns.items()}
    processor = {name: turn.processor_seconds for name, turn in turns.items()}
    return {**comparison(logs), "wall": ratios(wall), "processor": ratios(processor), "seconds": wall}


def ratios(seconds: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Plain TRL's seconds over each other trainer's, from paired steps; the first step is warm-up and left out."""
    rng = np.random.default_rng(0)
    plain = np.array(seconds["plain"][1:])
    drawn = rng.integers(0, len(plain), (2000, len(plain)))
    found = {}
    for name in [name for name in seconds if name != "plain"]:
        other = np.array(seconds[name][1:])
        low, high = np.quantile(plain[drawn].sum(1) / other[drawn].sum(1), (0.025, 0.975))
        median = float(np.median(plain / other))
        value = float(plain.sum() / other.sum())
        found[name] = {"value": value, "median": median, "low": float(low), "high": float(high)}
    return found


def comparison(logs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """What the three logs say about losses and phases."""

    losses = {name: [entry["loss"] for entry in log] for name, log in logs.items()}
    difference = {
        name: float(np.abs(np.array(losses[name]) - np.array(losses["plain"])).max()) for name in ("off", "on")
    }
    shares = {
        key.removeprefix("share/"): float(np.mean([entry[key] for entry in logs["on"][1:] if key in entry]))
        for key in sorted({key for entry in logs["on"] for key in entry if key.startswith("share/")})
    }
    return {"loss_difference": difference, "losses": losses, "shares": shares}


def _trainer(name: str, shared: dict[str, bool], data: Path, steps: int, out: Path, overrides: Sequence[str]) -> Any:
    recipe = load(
        CONFIGS / "grpo" / "tiny.yaml",
        GrpoRecipe,
        [
            "model=embedded",
            f"data.path={data}",
            f"output_dir={out}",
            f"training.max_steps={steps}",
            "advantages={credit: answer, whole: 0}",  # what plain TRL has
            "training.logging_steps=1",
            'training.save_strategy="no"',
            *overrides,
            f"sharing={json.dumps(shared)}",
        ],
    )
    rewards = load_rewards(recipe.rewards, CONFIGS)
    arguments = grpo.arguments_of(recipe, CONFIGS / "grpo" / "tiny.yaml", rewards)
    arguments.disable_tqdm = True
    if name == "plain":
        return grpo.build_plain(recipe, arguments, rewards)[0]
    return grpo.build(recipe, arguments, rewards)[0]


def thin(out: Path) -> tuple[Path, list[str]]:
    """Pages and a model of configs/gpu_check/thin.yaml under ``out``: the pages' directory, and what names both to a recipe."""
    from rl.checkpoints.models import model_directory
    from rl.gpu_check.models import random_checkpoint, write_directory
    from rl.gpu_check.setting import page_recipe, setting_of, write_recipe

    setting = setting_of("thin")
    write_dataset(page_recipe(setting.pages), out / "pages")
    write_directory(setting.models["7b"], out / "models" / "7b")
    recipe = load(write_recipe(setting, "grpo-7b-lora", out), GrpoRecipe)
    random_checkpoint(recipe).model.save_pretrained(model_directory(recipe.model))
    kept = ("num_generations", "per_device_train_batch_size", "max_completion_length", "temperature", "top_p", "top_k")
    training = [f"training.{key}={json.dumps(recipe.training[key])}" for key in kept]
    rewards = json.dumps([reward.model_dump(mode="json") for reward in recipe.rewards])
    return out / "pages", [f"model={recipe.model}", f"rewards={rewards}", *training]


def _guarded(trainer: Any, turns: Turns, turn: OneAtATime, name: str) -> Callable[[], None]:
    trainer.add_callback(turns)

    def train() -> None:
        turn.wait(name)
        try:
            trainer.train()
        finally:  # whoever fails must not leave the others waiting
            turn.hand_over(name, last=True)

    return train


def report(found: dict[str, Any]) -> str:
    shares = ", ".join(f"{name} {share:.0%}" for name, share in sorted(found["shares"].items(), key=lambda e: -e[1]))
    means = {name: np.mean(values[1:]) for name, values in found["seconds"].items()}
    lines = [
        f"{len(found['seconds']['plain']) - 1} paired steps after one of warm-up; seconds a step: "
        + ", ".join(f"{name} {value:.2f}" for name, value in means.items())
    ]
    for kind in ("wall", "processor"):
        on, off = found[kind]["on"], found[kind]["off"]
        lines += [
            f"{kind} time, sharing on:  {on['value']:.2f} x plain TRL's steps a second"
            f" [{on['low']:.2f}, {on['high']:.2f}] (bar {BARS['ratio']})",
            f"{kind} time, sharing off: {1 / off['value'] - 1:+.1%} of plain TRL's time"
            f" [{1 / off['high'] - 1:+.1%}, {1 / off['low'] - 1:+.1%}] (bar {BARS['overhead']:.0%})",
        ]
    lines += [
        f"processor time, sharing {name}: {found['processor'][name]['value']:.2f} x"
        for name in found["processor"]
        if name in PIECES
    ]
    difference = found["loss_difference"]
    lines += [
        f"largest difference of a step's loss from plain TRL: on {difference['on']:.1e}, off {difference['off']:.1e}"
        f" (bar {BARS['loss_difference']:.0e})",
        f"where a step's time goes, sharing on: {shares}",
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a dataset directory; a small one is simulated where none is named")
    parser.add_argument("--lengths", action="store_true", help="the large recipe's lengths, with a thin model")
    parser.add_argument("--pieces", action="store_true", help="what each kind of sharing adds")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        data, overrides = arguments.data or Path(scratch) / "data", arguments.overrides
        if arguments.lengths:
            data, own = thin(Path(scratch))
            overrides = [*own, *overrides]
        elif arguments.data is None:
            config = load(CONFIGS / "simulate" / "tiny.yaml", SimulateConfig, ["count=120", "splits={train: 1.0}"])
            write_dataset(config, data)
        found = compare(data, arguments.steps, overrides, KINDS | (PIECES if arguments.pieces else {}))
    print(report(found))
    if arguments.out is not None:
        write_json(arguments.out, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
