"""What all processes have to know about each other's reward calls before an advantage is taken.

A call that failed paid nothing for its samples. Were they scored by the remaining rewards alone, they would stand in their
group on another scale; so they are not scored at all (TRL leaves out what no reward paid). And a reward that is given up
ends the run on every process in the same step: a process that raised alone would leave the others waiting for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from accelerate.utils import gather_object

from kie_hvqa.errors import WorkError


def agreed(rewards: torch.Tensor, functions: Sequence[Any], rows: int) -> torch.Tensor:
    """``rewards`` [rows of all processes, functions] with NaN for the ``rows`` of each process in which a call failed.

    Every process must call this. Raises WorkError on all of them where one gave a reward up.
    """
    failed = any(getattr(function, "failed", False) for function in functions)
    given_up = next((message for one in functions if (message := getattr(one, "given_up", None))), None)
    said: list[tuple[bool, str | None]] = gather_object([(failed, given_up)])
    if (message := next((message for _, message in said if message), None)) is not None:
        raise WorkError(message)
    rewards = rewards.clone()
    for process, (failed, _) in enumerate(said):
        if failed:
            rewards[process * rows : (process + 1) * rows] = torch.nan
    return rewards
