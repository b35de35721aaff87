"""Refusal tokens (Jain et al. 2024): a word for why, before the value and in the place of each character that cannot be read.

Behind the opener stands ``answer``, ``ambiguous`` (partial characters, none hidden: the value follows), or why there is nothing: ``occluded``,
``blurred``, ``glare``, ``absent``. Inside a value the same word stands for a hidden character, so the decision is made anew at each slot. A
category is written where its probability reaches its threshold, and never below it (``Thresholds``): one checkpoint, every operating point.

A control character of the tokenizer is a word here; no page prints one. Contrast rows are the same fields, lightly damaged and readable
(``pages.again``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from transformers import LogitsProcessor

from degradations.recipe import Recipe
from kie_hvqa.answers.answer import EXPLICIT_MARK
from kie_hvqa.confidence.signals.tokens import TOKEN_PROBABILITY
from kie_hvqa.data.ledger import Row
from kie_hvqa.readers.base import Task
from kie_hvqa.runs.run_directory import Run
from studies.refusal.arms.lessons import Lesson, marked, warm_start
from studies.refusal.frame import CLOSE, FinalReader, Frame, Said, symbol_tokens
from studies.refusal.judge import Curve
from studies.refusal.pages import again
from studies.refusal.study import Study

CATEGORIES = {"occluded": "\x03", "blurred": "\x04", "glare": "\x05", "absent": "\x06"}
ANSWER, AMBIGUOUS = "\x0e", "\x0f"
KEPT = "no_refusal_token"
SPARED = 0.05
_COVERS = ("occluder", "sticker", "finger", "tape", "stamp", "stain")
_LIGHT = ("glare", "shadow", "light", "contrast", "worn", "fade")


def category(row: Row) -> str:
    """Why something of ``row`` cannot be read: a cover before light before all else, because a cover hides for certain."""
    if row.question_kind == "absent":
        return "absent"
    names = [operator.name for operator in Recipe.from_json(row.recipe, row.capture).operators]
    for kind, words in (("occluded", _COVERS), ("glare", _LIGHT)):
        if any(word in name for name in names for word in words):
            return kind
    return "blurred"


def target(row: Row) -> str:
    word = CATEGORIES[category(row)]
    text = marked(row, word)
    if not text:
        return word + CLOSE
    faint = all(slot.legibility != "hidden" for slot in row.slots or ()) and any(
        slot.legibility == "partial" for slot in row.slots or ()
    )
    return (AMBIGUOUS if faint else ANSWER) + text + CLOSE


class Thresholds(LogitsProcessor):
    """Writes a category where its probability reaches its threshold, and none below; ``steps`` keeps the mass of all, [rows] a step."""

    def __init__(self, ids: Sequence[int], levels: Sequence[float], steps: list[torch.Tensor]) -> None:
        self._ids, self._levels, self._steps = torch.tensor(ids), torch.tensor(levels), steps

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        mass = scores.float().softmax(-1)[:, self._ids]
        self._steps.append(mass.sum(-1))
        allowed = mass >= self._levels
        only = torch.full_like(scores, -torch.inf)
        only[:, self._ids] = torch.where(allowed, scores[:, self._ids], -torch.inf)
        without = scores.clone()
        without[:, self._ids] = -torch.inf
        return torch.where(allowed.any(-1, keepdim=True), only, without)


class Worded(FinalReader):
    """A reader that says why, at ``levels`` (category → threshold; one number for all)."""

    signals = (*FinalReader.signals, KEPT)

    def __init__(self, frame: Frame, name: str, levels: float | Mapping[str, float]) -> None:
        every = {kind: levels if isinstance(levels, float) else levels[kind] for kind in CATEGORIES}
        super().__init__(frame, name, every)
        self._levels = list(every.values())
        self._ids = [frame.token(word) for word in CATEGORIES.values()]
        self._plain = {ord(word): EXPLICIT_MARK for word in CATEGORIES.values()} | {
            ord(ANSWER): None,
            ord(AMBIGUOUS): None,
        }
        self._steps: list[torch.Tensor] = []

    @contextmanager
    def watching(self, batch: Sequence[Task]) -> Iterator[Sequence[LogitsProcessor]]:
        self._steps = []
        yield [Thresholds(self._ids, self._levels, self._steps)]

    def said(self, row: int, tokens: Sequence[int], about: Sequence[Sequence[float]]) -> Said:
        found = self.symbols(tokens, about)
        owners = symbol_tokens(self.frame, tokens)
        mass = [float(step[row]) for step in self._steps]
        # The word before the value says whether there is one; it stands over no slot.
        kept = [place for place, owner in enumerate(owners) if owner > 0]
        sure = [found.sure[TOKEN_PROBABILITY][place] for place in kept]
        final = "".join(found.final[place] for place in kept).translate(self._plain)
        free = [1 - mass[owners[place]] for place in kept]
        whole = found.whole | {KEPT: mass[0]}
        if len(final) != len(kept):  # a word of the opening in the middle of a value
            return Said(final, {TOKEN_PROBABILITY: [0.0] * len(final), KEPT: [0.0] * len(final)}, whole)
        return Said(final, {TOKEN_PROBABILITY: sure, KEPT: free}, whole)


def lessons(study: Study) -> list[Lesson]:
    tasks = study.tasks("train")
    gone = [task for task in tasks if task.row.question_kind == "unreadable"][: 4 * study.setting.pairs]
    light = [task for task in again(gone, 1, study.out / "pages" / "again") if task.row.question_kind == "answerable"]
    return [Lesson(task, target(task.row)) for task in (*tasks, *light)]


def frames(study: Study) -> Frame:
    return warm_start(study, lessons(study), study.room / "tokens" / "model")


def readers(study: Study) -> dict[str, FinalReader]:
    return {"tokens": Worded(frames(study), "tokens", 0.5)}


def run(study: Study) -> dict[str, Any]:
    frame, judge = frames(study), study.judge
    points = []
    for level in study.setting.thresholds:
        own = judge.run(Worded(frame, f"tokens-{level:g}", level), f"tokens-{level:g}", "validation")
        points.append([level, *_point(own)])
    level = min((point[0] for point in points if point[1] <= SPARED), default=max(study.setting.thresholds))
    swept = [
        [each, *_point(judge.run(Worded(frame, f"tokens-{each:g}", each), f"tokens-{each:g}"))]
        for each in study.setting.thresholds
    ]
    chosen = Worded(frame, f"tokens-{level:g}", level)
    found = {"tokens": judge.against(chosen, f"tokens-{level:g}", study.reference, KEPT)}
    free = Worded(frame, "tokens-free", 2.0)  # never reached: it answers always, and its signals say the rest
    found["tokens_answering"] = judge.against(free, "tokens-free", study.reference, KEPT)
    found["tokens_answering_token_probability"] = judge.against(free, "tokens-free", study.reference)
    moved = {}
    for kind in ("occluded", "blurred"):
        levels = dict.fromkeys(CATEGORIES, 0.5) | {kind: 0.9}
        own = judge.run(Worded(frame, f"tokens-{kind}", levels), f"tokens-{kind}")
        before = judge.run(Worded(frame, "tokens-0.5", 0.5), "tokens-0.5")
        moved[kind] = {other: round(_rate(own, other) - _rate(before, other), 4) for other in CATEGORIES}
    retrained = {}
    curve = Curve.of(judge.run(free, "tokens-free"), KEPT)
    ones = judge.run(study.reference, "reference")
    for marks in study.setting.proportions:
        other = warm_start(study, lessons(study), study.room / "tokens" / f"model-{marks:g}", marks=marks)
        refused, invented, _ = _point(judge.run(Worded(other, f"tokens-x{marks:g}", 0.5), f"tokens-x{marks:g}"))
        base = Curve.of(ones, TOKEN_PROBABILITY)
        same = curve.invented_at(refused, base, np.ones(curve.documents))
        retrained[f"{marks:g}"] = {"refused": refused, "invented": invented, "one_checkpoint": round(same, 4)}
    return {"readers": found, "threshold": level, "validation": points, "test": swept, "moved": moved, "retrained": retrained,
            "parameters": 0}  # fmt: skip


def _point(run: Run) -> tuple[float, float, float]:
    """(clear slots refused, hidden slots asserted, coverage)."""
    overall = run.metrics["overall"]
    values = [overall[name]["value"] or 0.0 for name in ("over_refusal_rate", "invented_rate", "coverage")]
    return round(values[0], 4), round(values[1], 4), round(values[2], 4)


def _rate(run: Run, kind: str) -> float:
    """Share of the fields of ``kind`` that are refused whole or marked somewhere."""
    own = [
        row
        for row in run.rows
        if row.question_kind != "answerable" or any(s.legibility == "hidden" for s in row.slots or ())
    ]
    own = [row for row in own if category(row) == kind]
    said = [EXPLICIT_MARK in (run.response(row) or "") or '""' in (run.response(row) or "") for row in own]
    return sum(said) / len(said) if said else 0.0
