"""What a generation says about the reader, logged beside TRL's own scalars, and every completion of it kept.

The evaluator's ledger rates over the completions (``ledger/…``), and the share of groups whose completions all earned
the same, by severity (``zero_variance/severity_N``): such groups teach nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object

from kie_hvqa.answers.answer import parse
from kie_hvqa.answers.verdicts import verdicts
from kie_hvqa.scoring.rates import SCORE, parts, rates
from rewards.contract import completion_text
from rewards.derived import ledger_of
from rl.callbacks.completion_table import CompletionTable, tensorboard_of
from rl.rollouts.record import file_name, rollout_table, write_rollouts


@dataclass(frozen=True)
class Scored:
    """This process's completions and their token ids, and the ``rewards`` of all processes' by function."""

    completions: Sequence[Any]
    ids: Sequence[Sequence[int]]
    rewards: torch.Tensor

    @classmethod
    def nothing(cls) -> Scored:
        return cls([], [], torch.empty(0, 0))


class RolloutObserver:
    """``directory`` is where every completion is written; None keeps none. ``table`` shows some in TensorBoard."""

    def __init__(self, directory: Path | None = None, table: CompletionTable | None = None) -> None:
        self._directory = directory
        self._table = table or CompletionTable(0)
        self._part: Counter[int] = Counter()

    def see(
        self, trainer: Any, rows: list[dict[str, Any]], scored: Scored, advantages: torch.Tensor, *, rated: bool
    ) -> None:
        """``rows`` are the dataset's, one a completion; ``advantages`` float [B], or [B, T] by token; ``rated`` says that
        the ledger's rates are logged already."""
        mode = "train" if trainer.model.training else "eval"
        metrics = trainer._metrics[mode]
        whole = (scored.rewards * trainer.reward_weights.to(scored.rewards.device)).nansum(dim=1)
        if not rated:
            for name, value in ledger_rates(trainer.accelerator, rows, scored.completions).items():
                metrics[name].append(value)
        severities = gather_object([row.get("severity") for row in rows])
        for name, value in zero_variance(severities, whole, trainer.num_generations).items():
            metrics[name].append(value)
        if mode == "train":
            each = advantages if advantages.ndim == 1 else advantages.mean(dim=1)
            self._keep(trainer, rows, scored, whole, each.tolist())

    def show(self, trainer: Any) -> None:
        """Put what is held for TensorBoard into it."""
        if (writer := tensorboard_of(trainer)) is not None:
            self._table.write(writer, trainer.state.global_step)

    def _keep(
        self, trainer: Any, rows: list[dict[str, Any]], scored: Scored, whole: torch.Tensor, advantages: list[float]
    ) -> None:
        step, accelerator = trainer.state.global_step + 1, trainer.accelerator
        own = slice(accelerator.process_index * len(rows), (accelerator.process_index + 1) * len(rows))
        if self._table.due(step) and tensorboard_of(trainer) is not None:
            self._table.hold(rows, scored.completions, whole[own].tolist(), advantages, trainer.num_generations)
        if self._directory is None:
            return
        paid = scored.rewards[own]
        rewards: dict[str, Sequence[float]] = {
            name: paid[:, index].tolist() for index, name in enumerate(trainer.reward_func_names)
        }
        table = rollout_table(
            step, rows, scored.completions, scored.ids, rewards, advantages, set(trainer.eos_token_ids)
        )
        tables = gather_object([table])
        if accelerator.is_main_process:
            write_rollouts(self._directory, file_name(step, self._part[step]), tables)
        self._part = Counter({step: self._part[step] + 1})


def logged(trainer: Any) -> list[float]:
    """The ledger's main rate as it was logged since the last step."""
    return trainer._metrics["train" if trainer.model.training else "eval"].get(f"ledger/{SCORE}", [])


def ledger_rates(accelerator: Any, rows: Sequence[dict[str, Any]], completions: Sequence[Any]) -> dict[str, float]:
    """The evaluator's rates over the completions of all processes; of a row without slots by those that its official answer
    implies."""
    counted = []
    for row, completion in zip(rows, completions, strict=True):
        slots = ledger_of(row.get("slots"), row.get("answer"))
        if slots is not None:
            reading = parse(completion_text(completion)).reading
            counted.append(verdicts(slots, reading, row.get("question_kind")).counts)
    own = parts(counted)
    local = torch.tensor(list(own.values()), dtype=torch.float32, device=accelerator.device)
    sums = accelerator.gather(local[None]).sum(0).tolist()
    found = rates(dict(zip(own, map(tuple, sums), strict=True)))
    return {f"ledger/{name}": value for name, value in found.items()}


def zero_variance(severities: Sequence[int | None], rewards: torch.Tensor, group: int) -> dict[str, float]:
    """The share of groups of ``group`` neighbouring rewards that are all equal, by the severity of their prompt."""
    grouped = rewards.view(-1, group)
    same = (grouped == grouped[:, :1]).all(dim=1).tolist()
    by: dict[Any, list[bool]] = defaultdict(list)
    for index, flat in enumerate(same):
        by[severities[index * group]].append(flat)
    return {
        f"zero_variance/severity_{severity}": sum(flat) / len(flat)
        for severity, flat in sorted(by.items(), key=lambda entry: -1 if entry[0] is None else entry[0])
        if severity is not None
    }
