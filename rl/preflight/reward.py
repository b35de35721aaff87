"""Each reward of a recipe put through the golden and red-team completions, inside its deadline."""

from __future__ import annotations

from pathlib import Path

from kie_hvqa.errors import InputError
from rewards.check import check
from rewards.golden import HONEST
from rewards.spec import LoadedReward


def checked_reward(reward: LoadedReward, base: Path, deadline_s: float) -> str:
    """What ``reward`` pays an honest reading, and what its arguments really ask. Raises InputError where it breaks the contract."""
    report = check(reward, base=base, deadline_s=deadline_s)
    if not report.ok:
        raise InputError(
            report.failures[0],
            field=f"rewards: {reward.spec.function}",
            remedy=f"See `kie-hvqa rewards check {reward.spec.function}`.",
        )
    honest = [score.reward for score in report.scores if score.answer == HONEST and score.reward is not None]
    pays = (
        f"pays an honest reading {min(honest):.2f} to {max(honest):.2f}" if honest else "applies to no golden question"
    )
    warned = f", {len(report.warnings)} warning(s)" if report.warnings else ""
    asks = f"; {reward.explanation}" if reward.explanation else ""
    return f"{reward.name} x {reward.weight:g} {pays}, {report.microseconds or 0:.0f} µs a completion{warned}{asks}"
