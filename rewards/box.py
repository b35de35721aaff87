"""Whether the reader says where it read: overlap of its box with the field's, for readers that write one (``answer: with_box``).

It pays only where a character is asserted rightly: refusing a field earns nothing here and loses nothing, and a box about a value that was
made up is worth nothing, so that no character is asserted for the sake of its box. Use it beside a reward that pays for reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kie_hvqa.answers.answer import parse
from kie_hvqa.answers.boxes import overlap
from kie_hvqa.answers.verdicts import Ledger, verdicts
from rewards.contract import Completion, Rewards, completion_text, each, ledger


def box(
    prompts: Sequence[Any],
    completions: Sequence[Completion],
    box: Sequence[Any] | None = None,
    slots: Sequence[Any] | None = None,
    **columns: Any,
) -> Rewards:
    """Intersection over union, in [0, 1], of the answer's box and the field's (the column ``box``, in the numbers that the model writes).

    0 for an answer without a box, and for one that has no character right; None where the field's box is not known (a field of which
    nothing can be read has none), and where nothing is asserted.
    """
    rewards: Rewards = []
    count = len(completions)
    for completion, where, column in zip(completions, each(box, count), each(slots, count), strict=True):
        parsed = parse(completion_text(completion))
        about = ledger(column)
        if where is None or about is None or parsed.reading is None or parsed.reading.refused:
            rewards.append(None)
            continue
        found = verdicts(Ledger.of(about, None), parsed.reading).counts
        right = parsed.box is not None and found["clear_right"] + found["partial_right"] > 0
        rewards.append(overlap(parsed.box, tuple(where)) if right and parsed.box is not None else 0.0)
    return rewards
