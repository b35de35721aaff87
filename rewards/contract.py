"""What a reward is called with, read in one place.

The contract is TRL's, verbatim, so a reward from here runs in plain TRL and one of TRL's runs here::

    f(prompts, completions, **columns) -> list[float | None]      # sync, or `async def`

One value a completion; ``None`` means "does not apply" and leaves the sample out of this reward's mean and
gradient. ``completions`` are strings or, for conversational prompts, lists of messages. ``columns`` are those
of a dataset row, repeated for every completion, and TRL's own ``completion_ids``, ``trainer_state``,
``log_extra`` and ``log_metric`` (TRL 1.16, ``GRPOTrainer._calculate_rewards``).

A reward may carry three attributes that TRL does not know and this project asks for where they are there; the decorators
``checked_by``, ``explained_by`` and ``paying_slots`` set them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias, TypeVar

from kie_hvqa.data.ledger import Row, Slot

Completion: TypeAlias = str | Sequence[Mapping[str, Any]]
Rewards: TypeAlias = list[float | None]
LogMetric: TypeAlias = Callable[[str, float], None]

TRAINER_ARGUMENTS = frozenset(
    {"prompts", "completions", "completion_ids", "trainer_state", "log_extra", "log_metric", "environments"}
)
ROW_COLUMNS = frozenset(Row.__dataclass_fields__) | {"image", "images"}

CHECK, EXPLAIN, SLOT_PAY = "check_kwargs", "explain_kwargs", "slot_pay"  # what the decorators below set

F = TypeVar("F", bound=Callable[..., Any])

_NOWHERE = (0.0, 0.0, 0.0, 0.0)


def completion_text(completion: Completion) -> str:
    """The text of one completion: the string itself, or what the assistant's messages say, joined by newlines.

    A message's content may be a string, None, or a list of typed parts, of which the text ones count.
    """
    if isinstance(completion, str):
        return completion
    texts = []
    for message in completion:
        content = message.get("content")
        if message.get("role", "assistant") != "assistant" or content is None:
            continue
        if not isinstance(content, str):
            content = "".join(part.get("text") or "" for part in content if isinstance(part, Mapping))
        texts.append(content)
    return texts[0] if len(texts) == 1 else "\n".join(texts)


def ledger(column: Sequence[Mapping[str, Any] | Slot] | None) -> tuple[Slot, ...] | None:
    """One sample's ``slots`` column as slots; None where the source has no ledger.

    Boxes, evidence and rivals are dropped: no reward reads them, and without them every completion of a GRPO group
    shares one tuple, which what follows can be remembered by.

    Raises KeyError or ValueError where a slot is not a slot (``kie_hvqa.data.ledger``).
    """
    if column is None:
        return None
    if not column:
        return ()
    if isinstance(column[0], Slot):
        return tuple(column)  # type: ignore[arg-type]
    chars = tuple([slot["char"] for slot in column])  # type: ignore[index]
    legibilities = tuple([slot["legibility"] for slot in column])  # type: ignore[index]
    return _slots(chars, legibilities, tuple([slot.get("derivable") for slot in column]))  # type: ignore[union-attr]


@lru_cache(maxsize=4096)
def _slots(chars: tuple[Any, ...], legibilities: tuple[Any, ...], derivable: tuple[Any, ...]) -> tuple[Slot, ...]:
    return tuple(
        Slot.from_json({"char": char, "legibility": legibility, "evidence": 0.0, "box": _NOWHERE, "derivable": where})
        for char, legibility, where in zip(chars, legibilities, derivable, strict=True)
    )


def each(column: Sequence[Any] | None, count: int) -> Sequence[Any]:
    """A column that may be missing: its values, or ``count`` times None."""
    return [None] * count if column is None else column


class SlotPay(NamedTuple):
    """What one answer earned by slot of the printed value (word spaces too), and what of it belongs to no slot; any unit."""

    slots: list[float]
    rest: float


def checked_by(check: Callable[..., Any]) -> Callable[[F], F]:
    """Decorates a reward whose keyword arguments constrain each other.

    ``check(**kwargs)`` raises InputError; it is called when the reward is loaded, so that a run stops before its
    first step. Ranges of single arguments need none of this: annotate them (``Annotated[float, Field(gt=0)]``).
    """
    return _with(CHECK, check)


def explained_by(explain: Callable[..., str]) -> Callable[[F], F]:
    """Decorates a reward that can say what its keyword arguments ask of a reader: ``explain(**kwargs)`` is a sentence, which the
    preflight prints."""
    return _with(EXPLAIN, explain)


def paying_slots(pay: Callable[..., list[SlotPay | None]]) -> Callable[[F], F]:
    """Decorates a reward that can be taken apart by slot, so that each slot can have its own baseline in a group.

    ``pay`` is called with the very arguments of the reward and returns a ``SlotPay`` for each completion, or None where it does
    not apply. All completions about one row have equally many slots. It runs in the trainer's process, not in a sandbox.
    """
    return _with(SLOT_PAY, pay)


def _with(name: str, value: Callable[..., Any]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        setattr(function, name, value)
        return function

    return decorate
