"""The study's warm start: rows and what to write about each, a frozen tower, the recipe's own numbers.

What ``configs/sft/tiny.yaml`` does with TRL's trainer, at a fifth of its cost: the tower's features are known, and only Final OCR is written. Rows are
drawn by stratum with the recipe's weights, so all arms see the same rows in the same order and differ in their targets alone.
"""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from kie_hvqa.answers.answer import EXPLICIT_MARK
from kie_hvqa.config import load
from kie_hvqa.data.files import write_json
from kie_hvqa.data.ledger import Row, value_of
from kie_hvqa.readers import embedded_directory
from kie_hvqa.readers.base import Task
from kie_hvqa.readers.checkpoint import CONTRACT_FILE, write_contract
from kie_hvqa.shipped import recipe
from rl.recipes import SftRecipe
from rl.rows.strata import by_strata, row_strata
from rl.stage import has_amx
from studies.refusal.frame import CLOSE, OPENER, Frame
from studies.refusal.study import Study

COST = "cost.json"
"""Beside a warm start's weights: the processor's seconds that it took, encoding of new pages included."""


class Lesson(NamedTuple):
    """A question and what is to be written behind ``OPENER``, the end included."""

    task: Task
    target: str


def printed(row: Row) -> str:
    """The value as it was printed, whatever is left of it; nothing about an absent field."""
    return value_of(row.slots or ())


def marked(row: Row, marks: str = EXPLICIT_MARK) -> str:
    """Final OCR of the perfect answer, hidden slots marked; nothing where nothing is legible."""
    slots = row.slots or ()
    if not any(slot.scored and slot.legibility != "hidden" for slot in slots):
        return ""
    return "".join(marks if slot.scored and slot.legibility == "hidden" else slot.char for slot in slots)


def strata_weights() -> dict[str, float]:
    weights = load(recipe("sft", "tiny"), SftRecipe, []).data.strata
    return {str(name): weight for name, weight in (weights or {}).items()}


def warm_start(
    study: Study, lessons: Sequence[Lesson], directory: Path, *, marks: float = 1.0, longer: int = 1
) -> Frame:
    """The base after ``longer`` times ``setting.steps`` steps over ``lessons``, in ``directory``, trained where it is not there yet.

    ``marks`` multiplies how often fields with something to refuse are drawn.
    """
    steps = longer * study.setting.steps
    if not (directory / CONTRACT_FILE).is_file():
        frame, began = study.frame(embedded_directory()), time.process_time()
        _train(study, frame, lessons, marks, steps)
        cost = {
            "cpu_seconds": round(time.process_time() - began, 1),
            "lessons": len(lessons),
            "steps": steps,
        }
        made = directory.with_name(f".{directory.name}.part")
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(parents=True)
        frame.model.save_pretrained(made)
        frame.processor.save_pretrained(made)
        write_contract(made, frame.reader.contract)
        write_json(made / COST, cost)
        os.replace(made, directory)
        study.features.save()
    return study.frame(directory)


def _train(study: Study, frame: Frame, lessons: Sequence[Lesson], marks: float, steps: int) -> None:
    setting, model = study.setting, frame.model
    weights = strata_weights()
    weights |= {name: weights[name] * marks for name in ("mixed", "nothing", "absent")}
    strata = row_strata([lesson.task.row for lesson in lessons], weights, name="lessons")
    order = by_strata(range(len(lessons)), strata, weights, steps * setting.batch, seed=[study.seed])
    model.requires_grad_(True)
    model.model.visual.requires_grad_(False)
    model.train()
    parameters = [part for part in model.parameters() if part.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=setting.learning_rate, weight_decay=0.0)
    warm = max(1, steps // 10)

    def rate(step: int) -> float:
        return min(1.0, (step + 1) / warm) * 0.5 * (1 + math.cos(math.pi * max(0, step - warm) / max(1, steps - warm)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
    for step in range(steps):
        batch = [lessons[row] for row in order[step * setting.batch : (step + 1) * setting.batch]]
        optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=has_amx()):
            loss = loss_of(frame, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
    model.eval()


def loss_of(frame: Frame, batch: Sequence[Lesson]) -> torch.Tensor:
    """Mean cross-entropy of the targets' tokens, taken of logits."""
    tokenizer = frame.processor.tokenizer
    wanted = [tokenizer.encode(lesson.target, add_special_tokens=False) for lesson in batch]
    longest = max(map(len, wanted))
    inputs = frame.inputs([lesson.task for lesson in batch], [OPENER + lesson.target for lesson in batch])
    logits = frame.model(**inputs, logits_to_keep=longest + 1).logits[:, :-1].float()
    labels = torch.full((len(batch), longest), -100)  # padding is on the left: targets end together
    for row, ids in enumerate(wanted):
        labels[row, longest - len(ids) :] = torch.tensor(ids)
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)


def plain(tasks: Sequence[Task]) -> list[Lesson]:
    """The oracle's marks: what the project's own warm start learns."""
    return [Lesson(task, marked(task.row) + CLOSE) for task in tasks]
