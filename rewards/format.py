"""The official answer, written as agreed: what makes every other number readable, and nothing more.

Says nothing about the truth: an invented reading in perfect JSON earns 1. As an addend it is what a group's advantage is made
of wherever the other rewards tie, whatever its weight, because GRPO divides by the group's deviation: among answers that
invent alike it then pays the best written invention, and a reader marks everything because that is always well formed.
``faithful`` therefore multiplies what it pays above its minimum by ``well_formed``; the reward is there to be compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kie_hvqa.answers.answer import Parsed, parse
from rewards.contract import Completion, Rewards, completion_text


def well_formed(parsed: Parsed) -> float:
    """Quarters, in [0, 1]: there is a reading; no repair was needed (an explicit mark is none); the claimed numbers are the lengths of the
    lists (an eighth each); the two lists together hold exactly the characters of Final OCR, each as often.

    0 without a reading, whatever else is there. The lists must agree with Final OCR because they are where
    characters that nobody aligns with a slot could hide.
    """
    reading = parsed.reading
    if reading is None:
        return 0.0
    score = 0.25 if parsed.repairs and parsed.repairs != ("explicit marks",) else 0.5
    score += 0.125 * (reading.clear_number == len(reading.clear))
    score += 0.125 * (reading.not_clear_number == len(reading.not_clear))
    listed, final = reading.clear + reading.not_clear, reading.final.replace(" ", "")
    if len(listed) == len(final) and sorted(listed) == sorted(final):
        score += 0.25
    return score


def format(prompts: Sequence[Any], completions: Sequence[Completion], **columns: Any) -> Rewards:
    """1 for the official JSON as agreed; less for each repair, wrong count or stray list. Range [0, 1].

    The scale is that of ``well_formed``: 0 no reading, 0.25 a reading somehow, 1 nothing to mend.
    """
    return [well_formed(parse(completion_text(completion))) for completion in completions]
