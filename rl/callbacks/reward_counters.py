"""The reward pool's counters in every checkpoint: failures, cuts, and which rewards were left out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from rewards.plugins.sandbox import SandboxedReward

logger = logging.getLogger(__name__)


class RewardCounters(TrainerCallback, ExportableState):
    """transformers writes ``state()`` into trainer_state.json; a resumed run takes its counters from there.

    The counters are the first process's: every process has a pool of its own.
    """

    def __init__(self, rewards: Sequence[Any] = ()) -> None:
        self._rewards = [reward for reward in rewards if isinstance(reward, SandboxedReward)]

    def state(self) -> dict[str, Any]:
        return {"args": {}, "attributes": {"counters": {reward.name: reward.counters() for reward in self._rewards}}}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        # A checkpoint of an earlier version has none; transformers expects the key when it saves.
        kept = state.stateful_callbacks.setdefault(type(self).__name__, self.state())
        counters = kept["attributes"].get("counters", {})
        for reward in self._rewards:
            if reward.name in counters:
                reward.restore(counters[reward.name])
                if reward.quarantined:
                    logger.warning(
                        "reward %s stays left out, as before the run was interrupted (%s); to try it again, start with "
                        "another output_dir",
                        reward.name,
                        reward.last_failure,
                    )
