"""The GRPO trainer of this project: TRL's, with shared work, timed phases, whole checkpoints, and every rollout kept.

What a rollout says about the reader is logged beside TRL's own scalars: the evaluator's ledger rates over the
completions (``ledger/…``) and the share of groups whose completions all earned the same, by severity
(``zero_variance/severity_N``): such groups teach nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object

from kie_hvqa.answers.answer import parse
from kie_hvqa.answers.verdicts import verdicts
from kie_hvqa.scoring.rates import SCORE, parts, rates
from rewards.contract import completion_text, ledger
from rl.callbacks.completion_table import CompletionTable, tensorboard_of
from rl.callbacks.evaluation import EvaluatedTrainer
from rl.callbacks.phases import TimedTrainer
from rl.keeping import KeptTrainer
from rl.rollouts.record import file_name, rollout_table, write_rollouts
from rl.rollouts.trust import RolloutCheck
from rl.rows.order import OrderedTrainer
from rl.sharing.trainer import SharingGRPOTrainer


class GroupTrainer(OrderedTrainer, TimedTrainer, EvaluatedTrainer, KeptTrainer, SharingGRPOTrainer):
    """``rollouts`` is where every completion is written; None keeps none. ``table`` shows some in TensorBoard."""

    def __init__(
        self, *args: Any, rollouts: Path | None = None, table: CompletionTable | None = None, **kwargs: Any
    ) -> None:
        self._rollouts = rollouts
        self._table = table or CompletionTable(0)
        self._scored: dict[str, Any] = {}
        self._part: Counter[int] = Counter()
        super().__init__(*args, **kwargs)
        self._trust = RolloutCheck(self)

    # --- phases

    def _generate_single_turn(self, *args: Any, **kwargs: Any) -> Any:
        with self.phases("generate"):
            return super()._generate_single_turn(*args, **kwargs)

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> Any:
        with self.phases("log_probabilities"):
            return super()._get_per_token_logps_and_entropies(*args, **kwargs)

    def _calculate_rewards(
        self, inputs: list[dict[str, Any]], prompts: list, completions: list, completion_ids_list: list
    ) -> torch.Tensor:
        with self.phases("reward"):
            rewards = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        self._scored = {"completions": completions, "ids": completion_ids_list, "rewards": rewards}
        return rewards

    # --- what a generation batch says

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        mode = "train" if self.model.training else "eval"
        metrics = self._metrics[mode]
        logged = len(metrics.get(f"ledger/{SCORE}", ()))
        output = super()._generate_and_score_completions(inputs)
        self._trust.after_generation(output)
        scored, self._scored = self._scored, {}
        if len(metrics.get(f"ledger/{SCORE}", ())) == logged:  # the reward `faithful` logs the same rates itself
            for name, value in self._ledger_rates(inputs, scored["completions"]).items():
                metrics[name].append(value)
        for name, value in self._zero_variance(inputs, scored["rewards"]).items():
            metrics[name].append(value)
        if mode == "train":
            self._keep(inputs, scored, output["advantages"].tolist())
        return output

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        super().log(logs, *args, **kwargs)
        if (writer := tensorboard_of(self)) is not None:
            self._table.write(writer, self.state.global_step)

    def _ledger_rates(self, inputs: Sequence[dict[str, Any]], completions: Sequence[Any]) -> dict[str, float]:
        counted = []
        for row, completion in zip(inputs, completions, strict=True):
            slots = ledger(row.get("slots"))
            if slots is not None:
                reading = parse(completion_text(completion)).reading
                counted.append(verdicts(slots, reading, row.get("question_kind")).counts)
        own = parts(counted)
        local = torch.tensor(list(own.values()), dtype=torch.float32, device=self.accelerator.device)
        sums = self.accelerator.gather(local[None]).sum(0).tolist()
        found = rates(dict(zip(own, map(tuple, sums), strict=True)))
        return {f"ledger/{name}": value for name, value in found.items()}

    def _zero_variance(self, inputs: Sequence[dict[str, Any]], rewards: torch.Tensor) -> dict[str, float]:
        severities = gather_object([row.get("severity") for row in inputs])
        weights = self.reward_weights.to(rewards.device)
        return zero_variance(severities, (rewards * weights).nansum(dim=1), self.num_generations)

    def _keep(self, inputs: list[dict[str, Any]], scored: dict[str, Any], advantages: list[float]) -> None:
        step, process = self.state.global_step + 1, self.accelerator.process_index
        own = scored["rewards"][process * len(inputs) : (process + 1) * len(inputs)]
        if self._table.due(step) and tensorboard_of(self) is not None:
            whole = (own * self.reward_weights.to(own.device)).nansum(dim=1).tolist()
            self._table.hold(inputs, scored["completions"], whole, advantages, self.num_generations)
        if self._rollouts is None:
            return
        rewards = {name: own[:, index].tolist() for index, name in enumerate(self.reward_func_names)}
        table = rollout_table(
            step, inputs, scored["completions"], scored["ids"], rewards, advantages, set(self.eos_token_ids)
        )
        name = file_name(step, self._part[step], process, self.accelerator.num_processes)
        write_rollouts(self._rollouts, name, table)
        self._part = Counter({step: self._part[step] + 1})


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
