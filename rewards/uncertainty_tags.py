"""The closest follow-up's reward, for comparison: read everything, and tag what you may have read wrongly.

"Teaching VLMs to Admit Uncertainty in OCR from Lossy Visual Inputs" (ICLR 2026): a transcription with doubtful
spans in ``<C>…</C>`` earns ``R = max(0, (1 - e) + λ·η·e·F_β)`` with e the word error rate, F_β how well the tags
agree with the words that are wrong, λ = 0.9, β = 0.5, and η = 0.5 once the transcription is more than 1.3 times
as long as the truth. Range [0, 1].

Where this departs from it: a field is a word or two, so e counts characters by default (``unit: word`` is the
published form); and the official answer has no tags, so its "not clear enough" list is taken as the tagged
characters, found in Final OCR from left to right (``source: text`` reads ``<C>`` tags). The truth is the printed
value, hidden characters included, since that is what the follow-up asks for: a guess is an answer here.

Known failures, all kept as they are and shown in ``tests/rewards/test_published_rewards.py``: adding an invented
word and tagging it pays more than leaving a true error untagged (0.95 against 0.90), and a page of garbage, all
of it tagged, earns 0.90.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field
from rapidfuzz.distance import Levenshtein

from kie_hvqa.answers.answer import parse
from kie_hvqa.data.ledger import value_of
from rewards.contract import Completion, Rewards, completion_text, each, ledger

MAX_CHARACTERS = 20_000
"""Text beyond this is not looked at: a transcription of a whole page is shorter."""

_OPEN, _CLOSE = "<C>", "</C>"


def tagged_reward(
    said: Sequence[str],
    tagged: Sequence[bool],
    truth: Sequence[str],
    *,
    lam: float = 0.9,
    beta: float = 0.5,
    long_ratio: float = 1.3,
    long_factor: float = 0.5,
) -> float:
    """R over units (words or characters) ``said`` [N], which of them are ``tagged`` [N], and the ``truth`` [M]."""
    length = max(1, len(truth))
    eta = long_factor if len(said) > long_ratio * length else 1.0
    # R <= 1 - e (1 - λη), and e is at least the difference of the lengths: a runaway need not be aligned.
    if len(said) - len(truth) >= length / max(1e-9, 1.0 - lam * eta):
        return 0.0
    operations = Levenshtein.editops(truth, said)
    error_rate = len(operations) / length
    wrong = {operation.dest_pos for operation in operations if operation.tag != "delete"}
    tags = {position for position, is_tagged in enumerate(tagged) if is_tagged}
    hits = len(wrong & tags)
    if not hits:
        return max(0.0, 1.0 - error_rate)
    precision, recall = hits / len(tags), hits / len(wrong)
    f_beta = (1 + beta**2) * precision * recall / (beta**2 * precision + recall)
    return max(0.0, 1.0 - error_rate + lam * eta * error_rate * f_beta)


def tags_of_text(text: str, unit: Literal["word", "character"]) -> tuple[list[str], list[bool]]:
    """The units of a ``<C>``-tagged text and which are tagged; a word is tagged where any of it is.

    An open tag that never closes runs to the end; tags do not nest, so an inner opening changes nothing.
    """
    characters: list[str] = []
    flags: list[bool] = []
    for number, opened in enumerate(text.split(_OPEN)):
        inside, *after = opened.split(_CLOSE)
        characters.extend(inside)
        flags.extend([number > 0] * len(inside))
        for piece in after:
            characters.extend(piece)
            flags.extend([False] * len(piece))
    return _units(characters, flags, unit)


def tags_of_lists(final: str, doubtful: str, unit: Literal["word", "character"]) -> tuple[list[str], list[bool]]:
    """The units of Final OCR, tagged where its characters are those of the not-clear list, from left to right."""
    waiting = iter(doubtful)
    expected = next(waiting, None)
    flags = []
    for character in final:
        flags.append(character == expected)
        if flags[-1]:
            expected = next(waiting, None)
    return _units(final, flags, unit)


def _units(
    characters: Sequence[str], flags: Sequence[bool], unit: Literal["word", "character"]
) -> tuple[list[str], list[bool]]:
    units: list[str] = []
    tagged: list[bool] = []
    start_new = True
    for character, flag in zip(characters, flags, strict=True):
        if character.isspace():
            start_new = True
        elif start_new or unit == "character":
            units.append(character)
            tagged.append(flag)
            start_new = False
        else:
            units[-1] += character
            tagged[-1] = tagged[-1] or flag
    return units, tagged


def uncertainty_tags(
    prompts: Sequence[Any],
    completions: Sequence[Completion],
    slots: Sequence[Any] | None = None,
    answer: Sequence[str] | None = None,
    lam: Annotated[float, Field(ge=0, le=1)] = 0.9,
    beta: Annotated[float, Field(gt=0)] = 0.5,
    unit: Literal["word", "character"] = "character",
    source: Literal["answer", "text"] = "answer",
    **columns: Any,
) -> Rewards:
    """The follow-up's reward: 1 − error rate, errors that were tagged mostly forgiven. Range [0, 1].

    None where there is neither a ledger nor an answer to compare with; 0 for an answer that cannot be parsed.
    """
    rewards: Rewards = []
    count = len(completions)
    for completion, slot_column, official in zip(completions, each(slots, count), each(answer, count), strict=True):
        truth = _truth(slot_column, official)
        text = completion_text(completion)
        if truth is None:
            rewards.append(None)
            continue
        if source == "text":
            said, tagged = tags_of_text(_body(text), unit)
        else:
            reading = parse(text).reading
            if reading is None:
                rewards.append(0.0)
                continue
            said, tagged = tags_of_lists(reading.final[:MAX_CHARACTERS], reading.not_clear, unit)
        units = truth.split() if unit == "word" else [c for c in truth if not c.isspace()]
        rewards.append(tagged_reward(said, tagged, units, lam=lam, beta=beta))
    return rewards


def _truth(slot_column: Any, official: str | None) -> str | None:
    slots = ledger(slot_column)
    if slots is not None:
        return value_of(slots)
    reading = None if official is None else parse(official).reading
    return None if reading is None else reading.final


def _body(text: str) -> str:
    """What follows the reasoning, without answer tags."""
    return text.rpartition("</think>")[2].replace("<answer>", "").replace("</answer>", "")[:MAX_CHARACTERS]
