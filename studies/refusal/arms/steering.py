"""AutoSteer (Wu et al. 2025) on a frozen base: where the damage shows, a prober that says so, a head that it gates.

1. **Layer.** The hidden state at the token before a value, on a clean page and on the same page damaged. The layer whose differences point the same
   way (mean pairwise cosine) is taken. Pairs are exact here: same page, same capture, same question.
2. **Prober.** A small MLP on that state says "unreadable" (nothing of the field is to be had). A second one, of the same shape, says it of each
   character, from the states before the characters that the base writes: the signal ``readable``.
3. **Head.** A linear map of the last hidden state, added to the base's logits where the gate is open, trained to end the answer at once. The
   paper gates once an answer; here the gate is asked at each field's start (one field an answer), its threshold chosen on validation.

Traps of the released code that are avoided: cross-entropy is taken of logits, not of probabilities; the layer that is chosen is the layer that is
probed and hooked (``frame.Layers`` in both places), which a test holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import LogitsProcessor

from kie_hvqa.answers.alignment import align
from kie_hvqa.answers.answer import parse
from kie_hvqa.answers.verdicts import Ledger
from kie_hvqa.data.files import replacing
from kie_hvqa.readers.base import Task
from kie_hvqa.scoring.risk import auroc
from studies.refusal.arms.probers import Prober, chosen_threshold, cosine, fitted, restored, state, trained_head
from studies.refusal.frame import FinalReader, Frame, Layers, Said, symbol_tokens
from studies.refusal.judge import auroc_interval
from studies.refusal.pages import again
from studies.refusal.study import Study

READABLE = "readable"


def unreadable(task: Task) -> bool:
    return task.row.question_kind != "answerable"


def pairs_of(study: Study) -> tuple[torch.Tensor, list[Task]]:
    """States [pairs, 2, layers, hidden] (damaged, clean) before the values of fields that damage made unreadable, and their tasks."""
    damaged = [task for task in study.tasks("train") if task.row.question_kind == "unreadable"][: study.setting.pairs]
    clean = again(damaged, 0, study.out / "pages" / "again")
    return torch.stack([study.base.states(damaged), study.base.states(clean)], dim=1), damaged


class Steered(FinalReader):
    """The base, watched by both probers; where ``threshold`` is not None the head writes where the field's prober is above it."""

    signals = (*FinalReader.signals, READABLE)

    def __init__(
        self, frame: Frame, name: str, layer: int, field: Prober, slot: Prober, head: nn.Linear, threshold: float | None
    ) -> None:
        super().__init__(frame, name, layer, threshold, *(_sum(part) for part in (field, slot, head)))
        self.layer, self.field, self.slot, self.head, self.threshold = layer, field, slot, head, threshold
        self._seen: torch.Tensor | None = None

    @contextmanager
    def watching(self, batch: Sequence[Task]) -> Iterator[Sequence[LogitsProcessor]]:
        last: list[torch.Tensor] = []
        norm = self.frame.model.model.language_model.norm
        hook = norm.register_forward_hook(lambda module, given, gives: last.append(gives[:, -1]))
        try:
            with Layers(self.frame, [self.layer]) as seen:
                yield [] if self.threshold is None else [_Gate(self, seen, last)]
                self._seen = torch.stack(seen.steps(self.layer), dim=1)
        finally:
            hook.remove()

    def said(self, row: int, tokens: Sequence[int], about: Sequence[Sequence[float]]) -> Said:
        found = self.symbols(tokens, about)
        assert self._seen is not None
        shown = 1 - self.slot.probability(self._seen[row, : len(tokens)])
        owners = symbol_tokens(self.frame, tokens)
        found.sure[READABLE] = [float(shown[place]) for place in owners]
        found.whole[READABLE] = float(self.field.probability(self._seen[row, :1])[0])
        return found


class _Gate(LogitsProcessor):
    """Adds the head's logits in the rows whose field's prober was above the threshold at the field's start."""

    def __init__(self, reader: Steered, seen: Layers, last: list[torch.Tensor]) -> None:
        self._reader, self._seen, self._last = reader, seen, last
        self._open: torch.Tensor | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        reader = self._reader
        if self._open is None:
            state = self._seen.steps(reader.layer)[0]
            self._open = torch.tensor(reader.field.probability(state) >= (reader.threshold or 0.0))
        with torch.no_grad():
            return scores + self._open[:, None] * reader.head(self._last[-1])


def _sum(module: nn.Module) -> list[float]:
    return [round(float(part.double().sum()), 6) for part in module.state_dict().values()]


def slot_states(study: Study, tasks: Sequence[Task], layer: int) -> tuple[torch.Tensor, np.ndarray]:
    """States [n, hidden] before the characters that the base writes about ``tasks``, and whether each lies over nothing legible."""
    frame = study.base
    states: list[torch.Tensor] = []
    hidden: list[bool] = []
    for items in frame.reader.batches(tasks):
        batch = [item.task for item in items]
        with Layers(frame, [layer]) as seen:
            written, about = frame.write(batch)
        steps = torch.stack(seen.steps(layer), dim=1)
        for row, (task, tokens, said) in enumerate(zip(batch, written, about, strict=True)):
            reading = parse(study.reference.said(row, tokens, said).answer("").response).reading
            owners = symbol_tokens(frame, tokens)
            if reading is None or len(reading.final) != len(owners):
                continue
            ledger = Ledger.of(task.row.slots or (), task.row.question_kind)
            kinds = ["h" if task.row.question_kind == "absent" else "?"] * len(owners)
            for slot, place in enumerate(
                align(ledger.slots, reading.final, ledger.value).places if ledger.slots else ()
            ):
                if place >= 0:
                    kinds[place] = ledger.kinds[slot]
            for place, kind in enumerate(kinds):
                if kind in "ch":
                    states.append(steps[row, owners[place]])
                    hidden.append(kind == "h")
    return torch.stack(states), np.array(hidden)


def learnt(study: Study) -> dict[str, Any]:
    """Layer, probers of every layer, the slots' prober, the head and the gate's threshold; kept in ``steering.pt``."""
    steps = study.setting.probing
    file, seed, base = study.room / "steering.pt", study.seed, study.base
    if file.is_file():
        return restored(torch.load(file), base)
    train, held = study.tasks("train"), study.tasks("validation")
    pairs, _ = pairs_of(study)
    agree = [cosine(pairs[:, 1, layer] - pairs[:, 0, layer]) for layer in range(pairs.shape[2])]
    layer = int(np.argmax(agree))
    states = base.states(train)
    labels = np.array([unreadable(task) for task in train])
    mixed_up = np.random.default_rng(seed).permutation(labels)
    probers = [fitted(states[:, each], labels, seed, steps) for each in range(states.shape[1])]
    before, over = slot_states(study, train[: study.setting.probed], layer)
    head = trained_head(base, [task for task in train if unreadable(task)], seed)
    sure = probers[layer].probability(base.states(held)[:, layer])
    found = {
        "layer": layer,
        "cosines": agree,
        "pairs": len(pairs),
        "probers": probers,
        "shuffled": fitted(states[:, layer], mixed_up, seed, steps),
        "slot": fitted(before, over, seed, steps),
        "head": head,
        "threshold": chosen_threshold(sure, np.array([unreadable(task) for task in held])),
    }
    kept = {key: state(value) for key, value in found.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file, "wb") as stream:
        torch.save(kept, stream)
    return found


def readers(study: Study) -> dict[str, FinalReader]:
    """The base with its probers looking on, gated by the field's prober, and always steered."""
    own = learnt(study)
    gates = {"prober": None, "gated": own["threshold"], "always_on": -1.0}
    field = own["probers"][own["layer"]]
    return {
        f"steering_{name}": Steered(study.base, name, own["layer"], field, own["slot"], own["head"], gate)
        for name, gate in gates.items()
    }


def run(study: Study) -> dict[str, Any]:
    own = learnt(study)
    layer, field, resamples = own["layer"], own["probers"][own["layer"]], study.setting.resamples
    judged = {name: study.tasks(name) for name in study.setting.judged}
    seen = {name: study.base.states(tasks) for name, tasks in judged.items()}
    truths = {name: np.array([unreadable(task) for task in tasks]) for name, tasks in judged.items()}

    def found(
        prober: Prober, name: str, kinds: Sequence[str] = ("answerable", "unreadable", "absent")
    ) -> dict[str, float]:
        keep = np.array([task.row.question_kind in kinds for task in judged[name]])
        documents = [task.row.document_id for task, own in zip(judged[name], keep, strict=True) if own]
        return auroc_interval(truths[name][keep], prober.probability(seen[name][keep][:, layer]), documents, resamples)

    by_layer = [
        auroc(truths["test"], each.probability(seen["test"][:, place])) for place, each in enumerate(own["probers"])
    ]
    slots = {name: slot_states(study, tasks, layer) for name, tasks in judged.items()}
    steered = {
        name: study.judge.against(reader, name, study.reference, READABLE) for name, reader in readers(study).items()
    }
    return {
        "readers": steered,
        "layer": layer,
        "pairs": own["pairs"],
        "cosines": [round(value, 4) for value in own["cosines"]],
        "auroc": {name: found(field, name) for name in study.setting.judged},
        "auroc_without_absent": {
            name: found(field, name, ("answerable", "unreadable")) for name in study.setting.judged
        },
        "auroc_by_layer": [round(value, 4) for value in by_layer],
        "auroc_shuffled": found(own["shuffled"], "test"),
        "auroc_slots": {
            name: round(auroc(truth, own["slot"].probability(state)), 4) for name, (state, truth) in slots.items()
        },
        "threshold": own["threshold"],
        "parameters": sum(part.numel() for module in (field, own["slot"], own["head"]) for part in module.parameters()),
    }
