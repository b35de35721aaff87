r"""``faithful``: one price list over the ledger, under which saying what the pixels support is the best policy.

The user sets one number, the confidence target t: "assert a character when the chance of being right is above t".
With w = t / (1 - t), each scored slot of the field pays

==========  =========  ========================  ============  ===================
slot        the char   a mark                    left out      another character
==========  =========  ========================  ============  ===================
clear       +1         -c  (over-refusal)        -c - o        -w
partial     +1         0                         -o            -w
hidden      **-w**     +h  (the right answer)    h - o         -w
==========  =========  ========================  ============  ===================

so that a character over a hidden slot costs the same when it happens to equal the truth: nothing in the pixels
said it. A character over no slot (or over a word space) costs w, as any other invention; a mark over no slot,
and a character of the two lists that Final OCR does not hold, cost s each. The sum is divided by the number of
scored slots, so that long fields do not drown short ones, and cut at -w from below. A refusal of the whole field
is a mark on every slot; over an absent field it pays h and any assertion pays -w. An answer that cannot be
parsed pays -w, the minimum. A perfect reading of any field pays 1 when h = 1 (its default).

**What it teaches.** For one slot, let q_c, q_p, q_h be the reader's belief that the slot is clear, partial or
hidden, and P its belief that the slot is legible *and* that its character is the one it would assert. Asserting
is worth P - (1 - P) w, a mark q_h h - q_c c. Hence assert exactly when

    P > t + (1 - t) (q_h h - q_c c)

- a slot known to be partial: assert iff P > t, the confidence target itself;
- a slot known to be clear: assert iff P > t - (1 - t) c: an over-refusal price lowers the bar, to 0.7 for
  t = 0.8 and c = 0.5, and to nothing at c = w, where a mark costs as much as a mistake;
- a slot known to be hidden: P = 0, so never;
- a slot of which nothing is known but P: h raises the bar in proportion to the chance that nothing is there.

**The prices of hallucination-free accuracy** are h = 1 and c = w. Then the bar is q_h + t q_p: a slot without doubt
about its legibility being clear or hidden is paid +1 where it is as that score wants it and -w where it is not, so the
reward and the score have one and the same best policy, assert exactly when P > q_h, *at every t*. All that t still
decides is partial slots, of which the score is the limit t -> 1 (it never asks for one to be read). A smaller c, the
default, is more careful than that. ``docs/rewards.md`` has the derivation and how to choose.

Marking beats leaving out by o, always. Every slot is paid by itself, so the rule holds slot by slot, for as long
as the floor is out of reach: below a mean of -w nothing more can be lost. ``tests/rewards/test_faithful_policy.py``
finds these policies by enumeration.

**A target that rises.** A reader that samples is wrong more often than the same reader at its best, and under a high t
wrong characters are dear from the first step on: it soon marks everything, every completion of a group earns the same,
and nothing is learnt any more. ``rise_steps`` n lets t rise evenly from 0.5 (or from t where that is lower) over the
first n steps of the optimiser, while the reader's sampling grows sharp; prices follow t.

``outcome_weight`` v adds v where the whole answer is hallucination-free as the evaluator counts it
(``kie_hvqa.scoring.scores``). It bends the rule: with R the chance that the rest of the field is hallucination-free and
n scored slots, the bar is (w/n + vR) / ((1 + w)/n + vR) on a partial slot (higher than t: a mark is free there)
and (w - c) / (1 + w + nvR) on a clear one (lower: a mark forfeits the outcome as a mistake does).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from kie_hvqa.answers.answer import Reading, parse
from kie_hvqa.answers.verdicts import Counts, Ledger, verdicts
from kie_hvqa.data.ledger import QuestionKind, Slot
from kie_hvqa.errors import InputError
from kie_hvqa.scoring.rates import parts, rates
from rewards.contract import Completion, LogMetric, Rewards, checked_by, completion_text, each, ledger

_START = 0.5  # where a target that rises begins: a mistake costs as much as a right character earns


@dataclass(frozen=True, slots=True)
class Prices:
    """The price list; every amount in units of one right slot, all costs as positive numbers."""

    wrong: float
    hidden_mark: float
    over_refusal: float
    omission: float
    surplus: float
    outcome_weight: float

    @property
    def low(self) -> float:
        return -self.wrong

    @property
    def high(self) -> float:
        """What the best reading of any field can reach."""
        return 1.0 + self.outcome_weight

    @classmethod
    def of(
        cls,
        confidence_target: float = 0.8,
        hidden_mark: float = 1.0,
        over_refusal: float | None = None,
        omission: float | None = None,
        surplus: float | None = None,
        outcome_weight: float = 0.0,
    ) -> Prices:
        """The list for a confidence target t; prices left out are a half, a quarter and a half, and never more
        than that share of w.

        Raises InputError for a t outside (0, 1), for a negative price, and for an over-refusal price above w. The last
        is the one bound that the policy needs: above it, a character that is certainly wrong would beat a mark on a
        slot known to be clear. Leaving out is no way out, whatever it costs: a mark is dearer nowhere.
        """
        if not 0.0 < confidence_target < 1.0:
            raise InputError(
                f"a confidence target lies between 0 and 1, not at {confidence_target}",
                field="confidence_target",
                remedy="0.5 answers when right is likelier than wrong; 0.8 and 0.95 are more careful.",
            )
        wrong = confidence_target / (1.0 - confidence_target)
        small = min(1.0, wrong)
        prices = cls(
            wrong,
            hidden_mark,
            small / 2 if over_refusal is None else over_refusal,
            small / 4 if omission is None else omission,
            small / 2 if surplus is None else surplus,
            outcome_weight,
        )
        for name, value in (
            ("over_refusal", prices.over_refusal),
            ("omission", prices.omission),
            ("surplus", prices.surplus),
        ):
            if value < 0:
                raise InputError("a price is not negative", field=name, remedy="Costs are given as positive numbers.")
        if prices.over_refusal > wrong * (1.0 + 1e-9):  # 0.95 / 0.05 is not quite 19
            raise InputError(
                f"a mark on a clear slot would cost {prices.over_refusal:g}, more than a wrong character "
                f"({wrong:g} at this confidence target), so guessing would beat a mark",
                field="over_refusal",
                remedy="Lower it, or raise confidence_target.",
            )
        return prices


def pay(counts: Counts, prices: Prices) -> float:
    """The mean pay of a field's scored slots, in [-w, 1], outcome not included. Pure.

    ``counts`` are the evaluator's own (``kie_hvqa.answers.verdicts``) for one question whose answer could be parsed.
    """
    scored = counts["scored"]
    if not scored:
        return (
            -prices.wrong if counts["false_answers"] or counts["inserted"] or counts["listed"] else prices.hidden_mark
        )
    total = (
        counts["clear_right"]
        + counts["partial_right"]
        + prices.hidden_mark * (counts["hidden_marked"] + counts["hidden_dropped"])
        - prices.wrong * (counts["misread"] + counts["invented"] + counts["inserted"])
        - prices.over_refusal * (counts["clear_marked"] + counts["clear_dropped"])
        - prices.omission * counts["dropped"]
        - prices.surplus * (counts["surplus_marks"] + counts["listed"])
    )
    return max(-prices.wrong, total / scored)


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


def _check(rise_steps: int = 0, **prices: Any) -> None:
    Prices.of(**prices)


@checked_by(_check)
def faithful(
    prompts: Sequence[Any],
    completions: Sequence[Completion],
    slots: Sequence[Any] | None = None,
    question_kind: Sequence[QuestionKind | None] | None = None,
    log_metric: LogMetric | None = None,
    trainer_state: Any = None,
    confidence_target: Annotated[float, Field(gt=0, lt=1)] = 0.8,
    hidden_mark: Annotated[float, Field(ge=0, le=1)] = 1.0,
    over_refusal: Annotated[float, Field(ge=0)] | None = None,
    omission: Annotated[float, Field(ge=0)] | None = None,
    surplus: Annotated[float, Field(ge=0)] | None = None,
    outcome_weight: Annotated[float, Field(ge=0)] = 0.0,
    rise_steps: Annotated[int, Field(ge=0)] = 0,
    **columns: Any,
) -> Rewards:
    """Pays what the ledger supports: right +1, wrong or invented −t/(1−t), marks by legibility. Range [−t/(1−t), 1].

    ``confidence_target`` is t; the other prices are those of the module's table (``outcome_weight`` raises the
    top of the range by as much). With ``rise_steps`` t begins at 0.5 and gets there by that step; without a
    ``trainer_state`` it is there. None for a sample without a ledger. Logs the batch's ledger rates through the trainer's
    ``log_metric`` where there is one.

    Raises InputError for prices under which guessing would pay.
    """
    step = getattr(trainer_state, "global_step", None)
    target = confidence_target if step is None else risen(confidence_target, step, rise_steps)
    if target < confidence_target and over_refusal is not None:  # it may not cost more than a mistake does by now
        over_refusal = min(over_refusal, target / (1.0 - target))
    prices = Prices.of(target, hidden_mark, over_refusal, omission, surplus, outcome_weight)
    rewards: Rewards = []
    counted: list[Counts] = []
    known: dict[tuple[str, int, QuestionKind | None], tuple[float, Counts]] = {}  # a group repeats itself
    ledgers: dict[tuple[int, QuestionKind | None], Ledger] = {}  # by the id of the slots, which the field keeps alive
    number = len(completions)
    before, truth = None, None
    for completion, column, kind in zip(completions, each(slots, number), each(question_kind, number), strict=True):
        if column is not before:  # the completions of a group share their row
            before, truth = column, ledger(column)
        if truth is None:
            rewards.append(None)
            continue
        text = completion_text(completion)
        key = (text, id(truth), kind)
        scored = known.get(key)
        if scored is None:
            about = ledgers.get(key[1:])
            if about is None:
                about = ledgers[key[1:]] = Ledger.of(truth, kind)
            scored = known[key] = _score(parse(text).reading, about, prices)
        reward, counts = scored
        rewards.append(reward)
        if log_metric is not None:
            counted.append(counts)
    if log_metric is not None and counted:
        _log(counted, log_metric)
    return rewards


def _log(counted: Sequence[Counts], log_metric: LogMetric) -> None:
    """The evaluator's rates over this batch, so that reward and truth can be watched side by side."""
    for name, rate in rates(parts(counted)).items():
        log_metric(f"ledger/{name}", rate)
