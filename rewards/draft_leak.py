"""Inventions in the reasoning cost too: a name made up inside ``<think>`` and left out of the answer lives on.

A reward that looks only at the answer teaches to guess in the draft and to mark in the answer; whoever shows or
logs the reasoning then shows an invented identity. This looks, inside ``<think>`` only, for

1. a draft of the official answer that asserts characters over hidden slots (aligned as an answer would be);
2. a string that agrees with the clear slots of the field and fills hidden ones ("Smith" where the pixels say
   "Sm t "), spelt together or letter by letter;
3. the whole printed value where too little of it is clear for (2): nothing in the pixels could have said it.

What it cannot see: an invention that disagrees with the clear slots, one over a field with fewer than
``min_anchors`` clear characters that is not the true value, anything said in other words, and what stands behind the
first ``MAX_THINK`` characters of the thinking. A chance agreement is possible on short fields: hence the anchors, and the
small weight that this reward should have.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any

from pydantic import Field

from kie_hvqa.answers.answer import parse
from kie_hvqa.answers.verdicts import verdicts
from kie_hvqa.data.ledger import Slot, value_of
from rewards.contract import Completion, Rewards, completion_text, each, ledger

MIN_VALUE = 4  # a shorter value turns up by chance in any prose

MAX_THINK = 1 << 16
"""Characters of the thinking that are looked at; the cost is linear, some 70 ns a character."""

_SPELT = re.compile(r"(?<![^\W_])(?:[^\W_][ ,\-]{1,2}){2,64}[^\W_](?![^\W_])")
_SEPARATOR = re.compile(r"[ ,\-]+")


def leaked(think: str, slots: Sequence[Slot], min_anchors: int = 2) -> float:
    """The share of the hidden slots that the draft ``think`` fills, in [0, 1]; for a field without slots
    (absent), 1 if a drafted answer asserts anything."""
    think = think[:MAX_THINK]
    draft = parse(think).reading
    if not slots:
        return float(draft is not None and not draft.refused)
    slots = tuple(slots)
    hidden = sum(slot.scored and slot.legibility == "hidden" and not slot.derivable for slot in slots)
    if not hidden:
        return 0.0
    filled = 0 if draft is None else verdicts(slots, draft).counts["invented"]
    pattern = _pattern(slots, min_anchors)
    if pattern is None:
        value = value_of(slots)
        if len(value) >= MIN_VALUE and value.casefold() in think.casefold():
            return 1.0
        return filled / hidden
    together = _SPELT.sub(lambda run: _SEPARATOR.sub("", run[0]), think)
    for text in {think, together}:
        for match in pattern.finditer(text):
            filled = max(filled, sum(group is not None for group in match.groups()))
    return filled / hidden


@lru_cache(maxsize=4096)
def _pattern(slots: tuple[Slot, ...], min_anchors: int) -> re.Pattern[str] | None:
    """Finds strings that agree with the clear slots; one group a hidden slot, set where a character fills it.

    Every slot takes at most one character and no quantifier nests, so the search is linear in the text.
    """
    if sum(slot.scored and slot.legibility == "clear" for slot in slots) < min_anchors:
        return None
    parts = []
    for slot in slots:
        char = re.escape(slot.char)
        if not slot.scored:
            parts.append(r"\s?+")  # possessive: a mark may be a space too, and every such choice would double the ways
        elif slot.legibility == "hidden":
            parts.append(rf"(?:({char}|[^\W_])|[\W_])")  # a sign in its place is a mark: "Sm_t_", "Sm?t?"
        else:
            parts.append(char if slot.legibility == "clear" else rf"(?:{char}|[^\W_])")
    return re.compile(rf"(?<![^\W_]){''.join(parts)}(?![^\W_])", re.IGNORECASE)


def draft_leak(
    prompts: Sequence[Any],
    completions: Sequence[Completion],
    slots: Sequence[Any] | None = None,
    min_anchors: Annotated[int, Field(ge=1)] = 2,
    **columns: Any,
) -> Rewards:
    """Costs characters invented inside ``<think>``: minus the share of hidden slots filled there. Range [-1, 0].

    0 without thinking or without hidden slots; None without a ledger.
    """
    rewards: Rewards = []
    for completion, column in zip(completions, each(slots, len(completions)), strict=True):
        truth = ledger(column)
        if truth is None:
            rewards.append(None)
            continue
        think = parse(completion_text(completion)).think
        rewards.append(-leaked(think, truth, min_anchors) if think else 0.0)
    return rewards
