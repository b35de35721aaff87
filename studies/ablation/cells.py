"""Trains and evaluates the cells of a plan, each in a directory of its own, and skips what is finished.

    OUT/data, OUT/warm_start      made once, where the plan does not name them
    OUT/base, OUT/no_rl           the readers before and after the warm start, evaluated
    OUT/<reward>/seed-<n>         one cell: training.json, history.json and model/ of the training, run.json,
                                  predictions.jsonl and metrics.json of the evaluation, cell.json when it is done

The seeds go round in the outer loop, so that an interrupted ablation is a whole one with fewer seeds. The same command
may run several times at once, with a core or a GPU each: a process takes the first cell that is neither done nor taken.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kie_hvqa.config import load
from kie_hvqa.data.files import read_json, write_json
from kie_hvqa.errors import InputError
from rewards.plugins.spec import load_rewards
from rl.recipes import GrpoRecipe
from studies.ablation.claims import claimed
from studies.ablation.config import AblationConfig, watched


@dataclass(frozen=True)
class Cell:
    """One reward with one seed."""

    reward: str
    seed: int
    directory: Path

    @property
    def done(self) -> bool:
        return (self.directory / "cell.json").is_file()


def cells_of(plan: AblationConfig, out: Path) -> list[Cell]:
    """Every cell in the order in which they are run."""
    return [Cell(reward, seed, out / reward / f"seed-{seed}") for seed in plan.seeds for reward in plan.rewards]


def finished_seeds(plan: AblationConfig, out: Path) -> list[int]:
    """The seeds with which every reward is done."""
    cells = cells_of(plan, out)
    return [seed for seed in plan.seeds if all(cell.done for cell in cells if cell.seed == seed)]


@dataclass(frozen=True)
class Estimate:
    """How long what is left will take, in seconds, and what that is made of."""

    left: int
    cells: int
    steps: int
    questions: int
    step: float
    question: float
    warm_start: float
    measured: bool

    @property
    def seconds(self) -> float:
        return self.left * (self.steps * self.step + self.questions * self.question) + self.warm_start

    def __str__(self) -> str:
        where = "measured in finished cells here" if self.measured else "as the plan says"
        return (
            f"{self.left} of {self.cells} cells to do, {self.steps} steps and {self.questions} questions each: "
            f"about {self.seconds / 3600:.1f} hours "
            f"({self.step:.3g} s a step, {self.question:.2g} s a question, {where})"
        )


def estimate(plan: AblationConfig, out: Path) -> Estimate:
    """From the times of finished cells where there are any, otherwise from the plan's own."""
    cells = cells_of(plan, out)
    recipe = load(plan.grpo, GrpoRecipe, _overrides(plan, out, cells[0]))
    steps = int(recipe.training.get("max_steps", 0))
    if steps < 1:
        raise InputError(
            "a budget needs a number of steps", file=plan.grpo, field="training.max_steps", remedy="Set it."
        )
    times = [read_json(cell.directory / "cell.json") for cell in cells if cell.done]
    training = [entry["train_seconds"] / steps for entry in times if entry["train_seconds"]]
    reading = [entry["evaluate_seconds"] / entry["questions"] for entry in times if entry["questions"]]
    warm = plan.sft is not None and not (out / "warm_start" / "history.json").exists()
    return Estimate(
        left=sum(not cell.done for cell in cells),
        cells=len(cells),
        steps=steps,
        questions=_questions(plan, out),
        step=statistics.median(training) if training else plan.seconds.step,
        question=statistics.median(reading) if reading else plan.seconds.question,
        warm_start=plan.seconds.warm_start if warm else 0.0,
        measured=bool(training),
    )


def run(plan: AblationConfig, out: Path) -> Iterator[list[int]]:
    """Do what is missing and nobody else is doing; yields the seeds that are whole, after each that has become so.

    Raises InputError where a finished cell was trained by another recipe than the plan now has for it.
    """
    from rl.stage import StageRun

    with claimed(out, wait=True):
        prepare(plan, out)
        for cell in cells_of(plan, out):
            if cell.done:
                StageRun("grpo", load(plan.grpo, GrpoRecipe, _overrides(plan, out, cell))).check()
        for reader in ("base", "no_rl"):
            if (spec := reader_of(plan, out, reader)) is not None:
                _evaluate(plan, out, spec, out / reader)
    before = finished_seeds(plan, out)
    if before:
        yield before
    for cell in cells_of(plan, out):
        with claimed(cell.directory) as mine:
            if mine and not cell.done:
                _say(f"{cell.reward}, seed {cell.seed}: {estimate(plan, out)}")
                _run_cell(plan, out, cell)
        if (whole := finished_seeds(plan, out)) != before:
            before = whole
            yield whole


def prepare(plan: AblationConfig, out: Path) -> None:
    """The dataset and the warm start, where the plan does not name them."""
    from degradations.simulate import SimulateConfig, write_dataset
    from rl import sft

    if plan.simulate is not None:
        _say("dataset")
        write_dataset(load(plan.simulate, SimulateConfig, plan.overrides.get("simulate", [])), data_of(plan, out))
    if plan.sft is not None:
        _say("warm start")
        base = [] if plan.base is None else [f"model={plan.base}"]
        where = [f"data.path={data_of(plan, out)}", f"output_dir={out / 'warm_start'}", *base]
        sft.run(plan.sft, [*plan.overrides.get("sft", []), *where])


def data_of(plan: AblationConfig, out: Path) -> Path:
    return out / "data" if plan.data is None else Path(plan.data)


def reader_of(plan: AblationConfig, out: Path, name: str) -> str | None:
    """The reader spec of ``base`` or ``no_rl``; None where the plan has no base."""
    if name == "base":
        return plan.base
    return str(out / "warm_start" / "model") if plan.model is None else plan.model


def _run_cell(plan: AblationConfig, out: Path, cell: Cell) -> None:
    from rl import grpo

    model = grpo.run(plan.grpo, _overrides(plan, out, cell))
    gc.collect()  # the trainer is a circle of references, and the next one needs its memory
    seconds, questions = _evaluate(plan, out, str(model), cell.directory)
    log = read_json(cell.directory / "history.json")["log"]
    trained = next((entry["train_runtime"] for entry in reversed(log) if "train_runtime" in entry), None)
    write_json(
        cell.directory / "cell.json",
        {"train_seconds": trained, "evaluate_seconds": seconds, "questions": questions},
    )


def _overrides(plan: AblationConfig, out: Path, cell: Cell) -> list[str]:
    """What makes the common recipe this cell's. JSON is YAML, so a list of rewards fits into one override."""
    specs = plan.rewards[cell.reward]
    rewards = [spec.model_dump() for spec in watched(specs)]
    whole = cell.reward in plan.answer_credit or not any(reward.pays_slots for reward in load_rewards(specs))
    return [
        *plan.overrides.get("grpo", []),
        f"model={reader_of(plan, out, 'no_rl')}",
        f"data.path={data_of(plan, out)}",
        f"output_dir={cell.directory}",
        f"rewards={json.dumps(rewards)}",
        f"training.seed={cell.seed}",
        *(["advantages.credit=answer"] if whole else []),
    ]


def _evaluate(plan: AblationConfig, out: Path, reader: str, directory: Path) -> tuple[float, int]:
    """Read the held-out questions; (seconds, questions), both 0 where most of the answers were there already."""
    from kie_hvqa.runs.evaluator import evaluate

    began, whole = time.monotonic(), not (directory / "predictions.jsonl").exists()
    metrics: dict[str, Any] = evaluate(
        data_of(plan, out),
        reader,
        directory,
        split=plan.split,
        limit=plan.limit,
        batch_size=plan.batch_size,
        max_new_tokens=plan.max_new_tokens,
    )
    return (time.monotonic() - began, int(metrics["samples"])) if whole else (0.0, 0)


def _questions(plan: AblationConfig, out: Path) -> int:
    from degradations.simulate import SimulateConfig
    from kie_hvqa.data.dataset import load_rows

    data = data_of(plan, out)
    if plan.data is not None or (data / "metadata.jsonl").exists():
        return len(load_rows(data, split=plan.split, limit=plan.limit))
    assert plan.simulate is not None
    config = load(plan.simulate, SimulateConfig, plan.overrides.get("simulate", []))
    shares = {str(split): weight for split, weight in config.splits.items()}
    documents = round(config.count * shares.get(plan.split, 0.0) / sum(shares.values()))
    questions = documents * config.questions_per_document
    return questions if plan.limit is None else min(questions, plan.limit)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
