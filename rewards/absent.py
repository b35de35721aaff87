"""Questions about fields that are not there: the one answer is the refusal of the whole field.

Applies to those questions only (None elsewhere), so that it can carry its own weight in a recipe. Alone it would
teach to refuse everything: use it beside a reward that pays for reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kie_hvqa.answers.answer import parse
from rewards.contract import Completion, Rewards, completion_text, each


def absent(
    prompts: Sequence[Any],
    completions: Sequence[Completion],
    question_kind: Sequence[str | None] | None = None,
    slots: Sequence[Any] | None = None,
    unreadable: bool = False,
    **columns: Any,
) -> Rewards:
    """1 for refusing a field that is not there, -1 for asserting anything or for no answer; None elsewhere.

    ``unreadable`` also takes in the questions about fields of which nothing can be read. Without a
    ``question_kind`` column an absent field is one whose ledger is there and empty.
    """
    kinds = {"absent", "unreadable"} if unreadable else {"absent"}
    rewards: Rewards = []
    count = len(completions)
    for completion, kind, ledger in zip(completions, each(question_kind, count), each(slots, count), strict=True):
        if kind is None and ledger is not None and not len(ledger):
            kind = "absent"
        if kind not in kinds:
            rewards.append(None)
            continue
        reading = parse(completion_text(completion)).reading
        rewards.append(1.0 if reading is not None and reading.refused else -1.0)
    return rewards
