r"""``faithful``: one price list over the ledger, under which saying what the pixels support is the best policy.

The list and the policy that it teaches are in ``rewards.prices``; this is the reward around it. An answer earns the mean price
of the field's scored slots, cut at -w, and ``outcome_weight`` more where the whole of it is hallucination-free as the
evaluator counts it. A refusal of the whole field is a mark on every slot. An answer that cannot be parsed earns -w, the minimum;
a perfect reading of any field earns 1 when h = 1 (its default).

**Form multiplies.** What an answer earns above the minimum is multiplied by ``1 - format_weight x (1 - well_formed)``
(``rewards.format``): JSON that had to be mended, numbers that do not count their lists. A small addend would decide alone
wherever the other pay ties, at full advantage, since GRPO divides by the group's deviation; a factor lifts nothing
from the floor, and an honest answer well written has nothing to gain by it.

**A target that rises.** A reader that samples is wrong more often than the same reader at its best, and under a high t
wrong characters are dear from the first step on: it soon marks everything, every completion of a group earns the same,
and nothing is learnt any more. ``rise_steps`` n lets t rise evenly from 0.5 (or from t where that is lower) over the
first n steps of the optimiser, while the reader's sampling grows sharp; prices follow t.

**Rows without a ledger** are paid by the slots that their official answer implies (``rewards.derived``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import Field

from kie_hvqa.answers.answer import Parsed, Reading, parse
from kie_hvqa.answers.verdicts import Counts, Ledger, verdicts
from kie_hvqa.data.ledger import QuestionKind, Slot
from kie_hvqa.scoring.rates import parts, rates
from rewards.contract import (
    Completion,
    LogMetric,
    Rewards,
    SlotPay,
    checked_by,
    completion_text,
    each,
    explained_by,
    ledger,
    paying_slots,
)
from rewards.derived import derived
from rewards.format import well_formed
from rewards.prices import FIELD, REST, Prices, bars, pay, slot_pay

T = TypeVar("T")

_TARGET = 0.8
_START = 0.5  # where a target that rises begins: a mistake costs as much as a right character earns
_ARGUMENTS = (
    "confidence_target", "hidden_mark", "over_refusal", "wrong_list", "surplus", "outcome_weight", "rise_steps"
)  # fmt: skip


def score(
    reading: Reading | None, slots: Sequence[Slot], prices: Prices, kind: QuestionKind | None = None
) -> tuple[float, Counts]:
    """The reward of one reading (None: it could not be parsed) of the field with this ledger, and its counts.

    In [-w, 1 + outcome_weight]. ``slots`` empty means that the field is absent; ``kind`` is worked out from the
    ledger where nobody says it.
    """
    return _score(reading, Ledger.of(slots, kind), prices)


def _score(reading: Reading | None, about: Ledger, prices: Prices) -> tuple[float, Counts]:
    counts = verdicts(about, reading).counts
    if reading is None:
        return prices.low, counts
    return pay(counts, prices) + prices.outcome_weight * counts["free"], counts


def risen(target: float, step: int, steps: int) -> float:
    """The confidence target at ``step``, on its way from 0.5 (or from ``target``, where that is lower) over ``steps``."""
    start = min(_START, target)
    return target if step >= steps else start + (target - start) * step / steps


def prices_at(trainer_state: Any, rise_steps: int = 0, format_weight: float = 0.0, **prices: Any) -> Prices:
    """The list at the trainer's step, for the arguments of ``faithful``; without a ``trainer_state`` the last one.

    An over-refusal price that is only allowed at the end of the rise is cut to a mistake's price until then.
    """
    step = getattr(trainer_state, "global_step", None)
    if step is not None and step < rise_steps:
        target = risen(prices.get("confidence_target", _TARGET), step, rise_steps)
        prices["confidence_target"] = target
        if prices.get("over_refusal") is not None:
            prices["over_refusal"] = min(prices["over_refusal"], target / (1.0 - target))
    return Prices.of(**prices)


def check(**kwargs: Any) -> None:
    """Raises InputError for prices under which guessing would pay."""
    prices_at(None, **kwargs)


def explain(**kwargs: Any) -> str:
    """The bars that these prices really set, the price of the whole answer included."""
    prices = prices_at(None, **kwargs)
    said = "; ".join(f"{belief} {bar:.2f}" for belief, bar in bars(prices).items())
    field = f" (on a field of {FIELD} slots whose rest is hallucination-free with chance {REST:g})"
    return f"asserts above these chances of being right: {said}{field if prices.outcome_weight else ''}"


def slot_pays(
    prompts: Sequence[Any],
    completions: Sequence[Completion],
    slots: Sequence[Any] | None = None,
    question_kind: Sequence[QuestionKind | None] | None = None,
    answer: Sequence[str | None] | None = None,
    trainer_state: Any = None,
    **columns: Any,
) -> list[SlotPay | None]:
    """``faithful`` by slot, in units of one right slot (``rewards.prices.slot_pay``); takes the arguments of ``faithful``.

    The mean over the scored slots is what ``faithful`` pays before the cut, form and outcome aside.
    """
    prices = prices_at(trainer_state, **{name: columns[name] for name in _ARGUMENTS if name in columns})
    return _judged(
        lambda parsed, about: slot_pay(verdicts(about, parsed.reading), prices),
        completions, slots, question_kind, answer,
    )  # fmt: skip


@paying_slots(slot_pays)
@explained_by(explain)
@checked_by(check)
def faithful(
    prompts: Sequence[Any],
    completions: Sequence[Completion],
    slots: Sequence[Any] | None = None,
    question_kind: Sequence[QuestionKind | None] | None = None,
    answer: Sequence[str | None] | None = None,
    log_metric: LogMetric | None = None,
    trainer_state: Any = None,
    confidence_target: Annotated[float, Field(gt=0, lt=1)] = _TARGET,
    hidden_mark: Annotated[float, Field(ge=0, le=1)] = 1.0,
    over_refusal: Annotated[float, Field(ge=0)] | None = None,
    wrong_list: Annotated[float, Field(ge=0, le=1)] = 0.3,
    surplus: Annotated[float, Field(ge=0)] | None = None,
    outcome_weight: Annotated[float, Field(ge=0)] = 0.0,
    format_weight: Annotated[float, Field(ge=0, le=1)] = 0.5,
    rise_steps: Annotated[int, Field(ge=0)] = 0,
    **columns: Any,
) -> Rewards:
    """Pays what the ledger supports: right 1, wrong, invented or dropped −t/(1−t), marks by legibility. Range [−t/(1−t), 1].

    ``confidence_target`` is t; the other prices are those of ``rewards.prices`` (``outcome_weight`` raises the
    top of the range by as much). ``format_weight`` is what an answer that is nowhere well formed loses of its pay above the
    minimum. With ``rise_steps`` t begins at 0.5 and gets there by that step; without a
    ``trainer_state`` it is there. A sample without ``slots`` is paid by those that its official ``answer`` implies; None
    where none follow from it (``kie_hvqa_paper`` pays such). Logs the batch's ledger rates through the trainer's
    ``log_metric`` where there is one.

    Raises InputError for prices under which guessing would pay.
    """
    prices = prices_at(
        trainer_state, rise_steps, confidence_target=confidence_target, hidden_mark=hidden_mark,
        over_refusal=over_refusal, wrong_list=wrong_list, surplus=surplus, outcome_weight=outcome_weight,
    )  # fmt: skip

    def judge(parsed: Parsed, about: Ledger) -> tuple[float, Counts]:
        reward, counts = _score(parsed.reading, about, prices)
        form = well_formed(parsed)
        if form < 1.0:
            reward = prices.low + (reward - prices.low) * (1.0 - format_weight * (1.0 - form))
        return reward, counts

    judged = _judged(judge, completions, slots, question_kind, answer)
    if log_metric is not None and (counted := [one[1] for one in judged if one is not None]):
        # The evaluator's rates over this batch, so that reward and truth can be watched side by side.
        for name, rate in rates(parts(counted)).items():
            log_metric(f"ledger/{name}", rate)
    return [None if one is None else one[0] for one in judged]


def _judged(
    judge: Callable[[Parsed, Ledger], T],
    completions: Sequence[Completion],
    slots: Sequence[Any] | None,
    question_kind: Sequence[QuestionKind | None] | None,
    answer: Sequence[str | None] | None,
) -> list[T | None]:
    """``judge`` of every completion about its ledger, once for those of a group that say the same; None without a ledger."""
    judged: list[T | None] = []
    known: dict[tuple[str, int, QuestionKind | None], T] = {}  # a group repeats itself
    ledgers: dict[tuple[int, QuestionKind | None], Ledger] = {}  # by the id of the slots, which the field keeps alive
    number = len(completions)
    before, truth = None, None
    rows = zip(completions, each(slots, number), each(question_kind, number), each(answer, number), strict=True)
    for completion, column, kind, official in rows:
        if column is None:  # such a row's kind is what its file's reader made of nothing
            truth, kind = derived(official) if isinstance(official, str) else None, None
        elif column is not before:  # the completions of a group share their row
            truth = ledger(column)
        before = column
        if truth is None:
            judged.append(None)
            continue
        text = completion_text(completion)
        key = (text, id(truth), kind)
        found = known.get(key)
        if found is None:
            about = ledgers.get(key[1:])
            if about is None:
                about = ledgers[key[1:]] = Ledger.of(truth, kind)
            found = known[key] = judge(parse(text), about)
        judged.append(found)
    return judged
