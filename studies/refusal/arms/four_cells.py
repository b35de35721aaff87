"""Four-cell warm start (after R-Tuning, Zhang et al. 2024): what the un-tuned reader gets right decides what it is taught to say.

=====================  ==============================  =========================
the base, sampled      visible (no slot hidden)        hidden
=====================  ==============================  =========================
right                  the value, sure                 **marks** (it was luck)
wrong                  the value, *unsure*             marks
=====================  ==============================  =========================

Arms of equal size, steps and rows: ``always`` (the printed value), ``oracle`` (marks by the ledger), ``naive`` (R-Tuning as it is: the printed
value, sure where the base is right and unsure where not, whatever can be seen) and ``four``. The last token of an answer says
sure or unsure; its probability is the signal ``sureness``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from transformers import LogitsProcessor

from kie_hvqa.answers.answer import parse
from kie_hvqa.answers.verdicts import verdicts
from kie_hvqa.confidence.signals.tokens import TOKEN_PROBABILITY
from kie_hvqa.data.files import read_json, write_json
from kie_hvqa.readers.base import Task
from studies.refusal.arms.lessons import Lesson, marked, printed, warm_start
from studies.refusal.frame import CLOSE, FinalReader, Frame, Said
from studies.refusal.judge import average_precision, draws, interval, precision_of
from studies.refusal.study import Study

SURE, UNSURE = "\x01", "\x02"
SURENESS = "sureness"
ARMS = ("always", "oracle", "naive", "four")
_SAYS = {"always": TOKEN_PROBABILITY, "oracle": TOKEN_PROBABILITY, "naive": SURENESS, "four": SURENESS}


def probed(study: Study, tasks: Sequence[Task], name: str) -> dict[str, list[float]]:
    """Row id → of the base's samples: share with every visible slot right, share with the whole value right, agreement. Kept."""
    file = study.room / f"probed-{name}.json"
    if not file.is_file():
        write_json(file, _probed(study, tasks))
    return read_json(file)


def _probed(study: Study, tasks: Sequence[Task]) -> dict[str, list[float]]:
    drawn: dict[str, list[str]] = {task.row.id: [] for task in tasks}
    for items in study.base.reader.batches(tasks):
        batch = [item.task for item in items]
        for sample in range(study.setting.samples):
            tokens, about = study.base.write(batch, sample=study.seed * 1000 + sample)
            for task, own, said in zip(batch, tokens, about, strict=True):
                drawn[task.row.id].append(study.reference.said(0, own, said).final)
    found = {}
    for task in tasks:
        slots, kind, samples = task.row.slots or (), task.row.question_kind, drawn[task.row.id]
        visible = whole = 0
        for final in samples:
            reading = parse(Said(final, {TOKEN_PROBABILITY: [1.0] * len(final)}, {}).answer("").response).reading
            counts = verdicts(slots, reading, kind).counts
            seen = counts["clear"] + counts["partial"]
            visible += seen > 0 and counts["clear_right"] + counts["partial_right"] == seen
            whole += bool(slots) and final.replace(" ", "") == printed(task.row).replace(" ", "")
        most = max(samples.count(final) for final in samples)
        found[task.row.id] = [round(part / len(samples), 4) for part in (visible, whole, most)]
    return found


def lessons(arm: str, tasks: Sequence[Task], known: dict[str, list[float]]) -> list[Lesson]:
    """What ``arm`` is taught about ``tasks``; ``known`` is what ``probed`` found."""
    made = []
    for task in tasks:
        visible, whole, _ = known[task.row.id]
        text = marked(task.row) if arm in ("oracle", "four") else printed(task.row)
        if arm == "naive":
            end = SURE if whole > 0.5 else UNSURE
        elif arm == "four":
            nothing = not text  # a refusal is what the ledger says: of that it may be sure
            end = SURE if nothing or visible > 0.5 else UNSURE
        else:
            end = CLOSE
        made.append(Lesson(task, text + end))
    return made


class Sure(FinalReader):
    """Reads the end that the model wrote as sure or unsure: the share of ``SURE`` at the answer's last step, for all of its symbols."""

    signals = (*FinalReader.signals, SURENESS)

    def __init__(self, frame: Frame, name: str) -> None:
        super().__init__(frame, name, SURENESS)
        self._ids = [frame.token(SURE), frame.token(UNSURE)]
        frame.ends = [*dict.fromkeys([*frame.ends, *self._ids])]
        self._steps: list[torch.Tensor] = []

    @contextmanager
    def watching(self, batch: Sequence[Task]) -> Iterator[Sequence[LogitsProcessor]]:
        self._steps = []
        yield [_Shares(self._ids, self._steps)]

    def said(self, row: int, tokens: Sequence[int], about: Sequence[Sequence[float]]) -> Said:
        found = self.symbols(tokens, about)
        share = float(self._steps[len(tokens) - 1][row])
        found.sure[SURENESS] = [share] * len(found.final)
        found.whole[SURENESS] = share
        return found


class _Shares(LogitsProcessor):
    def __init__(self, ids: Sequence[int], steps: list[torch.Tensor]) -> None:
        self._ids, self._steps = list(ids), steps

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self._steps.append(scores[:, self._ids].float().softmax(-1)[:, 0])
        return scores


def taught(study: Study) -> list[Task]:
    """The training rows that all four learn from: those that were probed."""
    tasks = study.tasks("train")
    rng = np.random.default_rng(study.seed)
    return [tasks[place] for place in sorted(rng.permutation(len(tasks))[: study.setting.probed])]


def readers(study: Study) -> dict[str, FinalReader]:
    """The four trained readers, trained where they are not there yet."""
    tasks = taught(study)
    known = probed(study, tasks, "train")
    made: dict[str, FinalReader] = {}
    for arm in ARMS:
        frame = warm_start(study, lessons(arm, tasks, known), study.room / "four_cells" / arm)
        made[arm] = Sure(frame, arm) if _SAYS[arm] == SURENESS else FinalReader(frame, arm)
    return made


def run(study: Study) -> dict[str, Any]:
    made = readers(study)
    found = {f"four_cells_{arm}": study.judge.against(reader, f"four_cells-{arm}", study.reference, _SAYS[arm])
             for arm, reader in made.items()}  # fmt: skip
    precision: dict[str, Any] = {}
    for judged in study.setting.judged:
        runs = {arm: study.judge.run(reader, f"four_cells-{arm}", judged) for arm, reader in made.items()}
        agreed = (
            {name: own[2] for name, own in probed(study, study.tasks(judged), judged).items()}
            if judged == "test"
            else None
        )
        kept = {arm: precision_of(own, _SAYS[arm]) for arm, own in runs.items()}
        if agreed is not None:
            kept["four_by_entropy_of_samples"] = precision_of(runs["four"], None, agreed)
        owners = kept["always"][2]
        weights = draws(int(owners.max()) + 1, study.setting.resamples)[:, owners]
        drawn = {
            arm: [average_precision(right, sure, weight) for weight in weights]
            for arm, (right, sure, _) in kept.items()
        }
        precision[judged] = {arm: interval(own) for arm, own in drawn.items()}
        for arm in drawn:
            if arm != "always":
                apart = [a - b for a, b in zip(drawn[arm], drawn["always"], strict=True)]
                precision[judged][f"{arm}-always"] = interval(apart)
    cells = probed(study, taught(study), "train")
    return {
        "readers": found,
        "average_precision": precision,
        "probed": len(cells),
        "right": round(float(np.mean([own[1] for own in cells.values()])), 4),
        "parameters": 0,
    }
