"""Costs a reading of a date field that asserts an impossible day or month, such as 1987-13-41."""

from typing import Annotated

from pydantic import Field

from kie_hvqa.answers.answer import parse
from rewards.contract import completion_text


def impossible(final: str) -> bool:
    """Whether ``final`` is YYYY-MM-DD with every character asserted, and no such day exists in any year."""
    parts = final.split("-")
    if [len(part) for part in parts] != [4, 2, 2] or not all(part.isdigit() for part in parts):
        return False  # marks in it, or another form: not this reward's business
    month, day = int(parts[1]), int(parts[2])
    return not (1 <= month <= 12 and 1 <= day <= 31)


def real_date(prompts, completions, field=None, price: Annotated[float, Field(gt=0)] = 1.0, **columns):
    """0, or -price for an impossible date; None for other fields and unreadable answers. Range [-price, 0]."""
    rewards = []
    for index, completion in enumerate(completions):
        reading = parse(completion_text(completion)).reading
        if reading is None or (field is not None and "date" not in field[index]):
            rewards.append(None)
        else:
            rewards.append(-price if impossible(reading.final) else 0.0)
    return rewards
