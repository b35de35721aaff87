"""What a run's completions would have earned at the prices that it ended with.

Where prices rise over a run (``rise_steps`` of ``faithful``) the same answer earns less and less, and the reward as it was
logged does not tell whether answers got better. The rollouts are there, so they are paid again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from kie_hvqa.data.ledger import Row
from kie_hvqa.errors import InputError
from kie_hvqa.runs.rollout_log import read, steps
from rewards.plugins.spec import LoadedReward, RewardSpec, load_rewards


def rises(specs: Sequence[RewardSpec]) -> bool:
    return any(spec.kwargs.get("rise_steps") for spec in specs)


def repaid(specs: Sequence[RewardSpec], rollouts: Path, rows: Mapping[str, Row]) -> dict[int, float]:
    """By step, the mean over its completions of the weighted sum that GRPO is paid; ``rows`` by id.

    Raises InputError for a log about other rows.
    """
    rewards = load_rewards(specs)
    found = {}
    for step, files in steps(rollouts).items():
        said = [entry for file in files for entry in read(file)]
        missing = next((entry["id"] for entry in said if entry["id"] not in rows), None)
        if missing is not None:
            raise InputError(
                f"the dataset has no row {missing}",
                file=rollouts,
                remedy="Name the dataset that the run was trained on.",
            )
        texts, asked = [entry["completion"] for entry in said], [rows[entry["id"]] for entry in said]
        found[step] = sum(reward.weight * _earned(reward, texts, asked) for reward in rewards) / len(said)
    return found


def over(paid: Mapping[int, float], logged: Sequence[int]) -> list[float | None]:
    """The mean since the step logged before, at each of the ``logged`` ones; None where no rollout was kept."""
    means: list[float | None] = []
    before = 0
    for step in logged:
        values = [value for at, value in paid.items() if before < at <= step]
        means.append(sum(values) / len(values) if values else None)
        before = step
    return means


def _earned(reward: LoadedReward, texts: Sequence[str], asked: Sequence[Row]) -> float:
    """By all completions together. One that the reward does not apply to earns nothing by it, as in TRL's own sum."""
    columns = {name: [getattr(row, name) for row in asked] for name in ("slots", "question_kind", "answer")}
    paid = reward(prompts=[""] * len(texts), completions=texts, **columns)  # no trainer state: the last prices
    return sum(value for value in paid if value is not None)
