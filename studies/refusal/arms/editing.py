"""Representation editing (Liu et al. 2024): a direction added while a value is written, nothing trained.

The direction of a layer is the mean difference damaged − clean of at most 50 pairs at the token before a value, kept in the 30 % of dimensions
in which the pairs vary least and zero elsewhere. It is added, times a coefficient, to what the block gives at every position from the value's
start on. Layer and coefficient are chosen on validation: the most refusals of unreadable and absent fields at no more than two points of
answerable ones. Beside it a random vector of the same norm, and a direction of shuffled pairs (each difference with a sign by a coin).

The base has never seen a refusal, so the same is tried on a reader that refuses (``on``: the warm start with oracle marks, where
``four_cells`` has made one). Trap avoided: a layer's direction is taken where it is added (``frame.Layers``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import LogitsProcessor

from kie_hvqa.answers.answer import parse
from kie_hvqa.data.files import read_json
from kie_hvqa.readers.base import Task
from kie_hvqa.readers.checkpoint import CONTRACT_FILE
from studies.refusal.frame import FinalReader, Frame
from studies.refusal.pages import again
from studies.refusal.study import Study

QUIETEST = 0.3
_SPARED = 0.02


def direction(differences: torch.Tensor, share: float = QUIETEST) -> torch.Tensor:
    """[pairs, hidden] → [hidden]: the mean in the ``share`` of dimensions of least variance, zero in the others."""
    kept = max(1, round(share * differences.shape[1]))
    quiet = differences.var(0).topk(kept, largest=False).indices
    found = torch.zeros(differences.shape[1])
    found[quiet] = differences.mean(0)[quiet]
    return found


class Edited(FinalReader):
    """``vector`` added to what block ``layer`` gives, from the token before the value on."""

    def __init__(self, frame: Frame, name: str, layer: int, vector: torch.Tensor) -> None:
        super().__init__(frame, name, layer, [round(float(value), 6) for value in vector])
        self.layer, self.vector = layer, vector

    @contextmanager
    def watching(self, batch: Sequence[Task]) -> Iterator[Sequence[LogitsProcessor]]:
        def moved(module: Any, given: Any, gives: Any) -> Any:
            hidden = (gives[0] if isinstance(gives, tuple) else gives).clone()
            hidden[:, -1] += self.vector  # the last position of a pass: the value's start, then each of its tokens
            return (hidden, *gives[1:]) if isinstance(gives, tuple) else hidden

        hook = self.frame.blocks[self.layer].register_forward_hook(moved)
        try:
            yield ()
        finally:
            hook.remove()


def refusals(reader: FinalReader, tasks: Sequence[Task]) -> dict[str, float]:
    """Share of questions refused whole, by kind; "nothing" is unreadable and absent together."""
    kinds: dict[str, list[bool]] = {"answerable": [], "unreadable": [], "absent": [], "nothing": []}
    rows = {task.row.id: task.row for task in tasks}
    for answer in reader.read(tasks):
        reading, kind = parse(answer.response).reading, rows[answer.id].question_kind
        refused = reading is not None and reading.refused
        kinds[kind].append(refused)
        if kind != "answerable":
            kinds["nothing"].append(refused)
    return {kind: round(sum(own) / len(own), 4) if own else 0.0 for kind, own in kinds.items()}


def directions(study: Study, frame: Frame) -> torch.Tensor:
    """Differences damaged − clean at the token before the value, [pairs, layers, hidden]."""
    damaged = [task for task in study.tasks("train") if task.row.question_kind == "unreadable"][: study.setting.pairs]
    return frame.states(damaged) - frame.states(again(damaged, 0, study.out / "pages" / "again"))


def tried(study: Study, frame: Frame, name: str) -> dict[str, Any]:
    """What editing does to ``frame``: the choice on validation, the edited reader and its two controls on test."""
    differences = directions(study, frame)
    plain, held, test = FinalReader(frame, f"{name}-plain"), study.tasks("validation"), study.tasks("test")

    def gains(layer: int, vector: torch.Tensor, tasks: Sequence[Task], before: dict[str, float]) -> dict[str, float]:
        after = refusals(Edited(frame, "tried", layer, vector), tasks)
        return {kind: round(after[kind] - before[kind], 4) for kind in after}

    before = refusals(plain, held)
    looked: dict[str, dict[str, float]] = {}
    best = (0.0, 0, 0.0)  # gain, layer, coefficient
    for layer in range(differences.shape[1]):
        vector = direction(differences[:, layer])
        for coefficient in study.setting.coefficients:
            gain = looked[f"{layer}-{coefficient:g}"] = gains(layer, coefficient * vector, held, before)
            if gain["answerable"] <= _SPARED and gain["nothing"] > best[0]:
                best = (gain["nothing"], layer, coefficient)
    _, layer, coefficient = best
    rng = torch.Generator().manual_seed(study.seed)
    vector = coefficient * direction(differences[:, layer])
    noise = torch.randn(vector.shape, generator=rng)
    signs = torch.randint(0, 2, (len(differences), 1), generator=rng) * 2.0 - 1
    vectors = {
        "edited": vector,
        "random": noise / noise.norm() * vector.norm(),
        "shuffled": coefficient * direction(signs * differences[:, layer]),
    }
    known = refusals(plain, test)
    return {
        "pairs": len(differences), "layer": layer, "coefficient": coefficient, "before": known, "validation": looked,
        "gain": {kind: gains(layer, own, test, known) for kind, own in vectors.items()},
    }  # fmt: skip


def _frames(study: Study) -> dict[str, Frame]:
    oracle = study.room / "four_cells" / "oracle"
    return {"base": study.base} | ({"warm": study.frame(oracle)} if (oracle / CONTRACT_FILE).is_file() else {})


def readers(study: Study) -> dict[str, FinalReader]:
    """The edited readers, as ``run`` chose them."""
    chosen = read_json(study.room / "editing.json")
    made: dict[str, FinalReader] = {}
    for name, frame in _frames(study).items():
        if name in chosen:
            made[f"editing_{name}"] = _edited(study, frame, chosen[name])
    return made


def _edited(study: Study, frame: Frame, chosen: dict[str, Any]) -> FinalReader:
    layer = chosen["layer"]
    return Edited(frame, "edited", layer, chosen["coefficient"] * direction(directions(study, frame)[:, layer]))


def run(study: Study) -> dict[str, Any]:
    found: dict[str, Any] = {"readers": {}, "parameters": 0}
    for name, frame in _frames(study).items():
        found[name] = tried(study, frame, name)
        reader = _edited(study, frame, found[name])
        found["readers"][f"editing_{name}"] = study.judge.against(reader, f"editing-{name}", study.reference)
    return found
