"""Each reward of a recipe put through the golden and red-team completions, and through the dataset's own rows."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kie_hvqa.errors import InputError
from rewards.golden import HONEST
from rewards.plugins.check import check
from rewards.plugins.sandbox import Sandbox, SandboxConfig
from rewards.plugins.spec import LoadedReward
from rl.rows.training import TrainingRows


def check_reward(reward: LoadedReward, base: Path, deadline_s: float) -> str:
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


LOOKED_AT = 64  # rows


def check_own_rows(rewards: Sequence[LoadedReward], rows: TrainingRows, config: SandboxConfig) -> str:
    """To how many of the dataset's own rows each reward applies, and what it pays their true answers.

    Raises InputError where the heaviest reward applies to none: the run would be trained by the others alone.
    """
    shown = any("image" in inspect.signature(reward.function).parameters for reward in rewards)
    items = [rows.item(at, image=shown) for at in rows.source.examples()[:LOOKED_AT]]
    prompts = [item["prompt"] for item in items]
    truths = [[{"role": "assistant", "content": f"<answer>{item['answer']}</answer>"}] for item in items]
    columns = {key: [item.get(key) for item in items] for key in items[0] if key not in ("prompt", "completion")}
    columns["completion_ids"] = [list(truth[0]["content"].encode()) for truth in truths]
    said = []
    heaviest = max(rewards, key=lambda reward: abs(reward.weight))
    with Sandbox(rewards, config) as sandbox:
        for reward in sandbox.rewards:
            found: Any = reward(prompts=prompts, completions=truths, **columns)
            values = asyncio.run(found) if inspect.iscoroutine(found) else found
            if getattr(reward, "failed", False):
                raise InputError(
                    f"it fails on rows of the dataset: {reward.last_failure.strip().splitlines()[-1]}",  # type: ignore[attr-defined]
                    file=rows.source.name,
                    field=f"rewards: {reward.spec.function}",
                    remedy="Mend the reward, or use other rows.",
                )
            applied = [value for value in values if value is not None]
            if not applied and reward.spec == heaviest.spec:
                raise InputError(
                    f"the heaviest reward, `{reward.name}`, applies to none of the {len(items)} rows looked at",
                    file=rows.source.name,
                    field=f"rewards: {reward.spec.function}",
                    remedy="It looks for what they do not have. `faithful` wants a ledger in `slots`, or official answers "
                    "whose lists and Final OCR agree; rewards.kie_hvqa_paper:kie_hvqa_paper pays any official answer.",
                )
            mean = f" and pays the truth {sum(applied) / len(applied):.2f} on the mean" if applied else ""
            said.append(f"{reward.name} applies to {len(applied)} of {len(items)} rows{mean}")
    return "; ".join(said)
