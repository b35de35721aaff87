r"""The price list of ``faithful``: what each outcome of a slot is worth, and above which chance a character is worth asserting.

One number is the user's, the confidence target t: "assert a character when the chance of being right is above t". A wrong
character costs w = t / (1 - t), and so do the other ways to pass off as read what was not:

==========  =================  ==================  =========  ==================
slot        the character      another character   a mark     silence (dropped)
==========  =================  ==================  =========  ==================
clear       1, or 1 - e        -w                  -c         -w
partial     1, or 1 - e        -w                  0          -w
hidden      **-w** (invented)  -w                  **+h**     -w
derivable   0 (never due)      -w                  0          -w
word space  0                  -w (inserted)       0          -w (glued)
==========  =================  ==================  =========  ==================

e is saved by the right list: that of the clear characters for a clear slot, that of the not clear enough ones for a partial
slot. A character over no slot, and one that stands in a list and not in Final OCR, cost w each; a mark where nothing is
missing costs s. Every price belongs to one column of ``kie_hvqa.answers.verdicts.Counts``, so that an answer earns a dot
product: ``pay`` divides it by the scored slots, so that long fields do not drown short ones, and cuts it at -w;
``slot_pay`` takes the same sum apart by slot.

Refusing a field that is absent pays h. An answer to it has no slots to be divided by: it costs w times the share of its symbols
that are asserted. Were it -w whatever is said, all answers of a group that never refuses would earn the same, and nothing
would lead from asserting to marking, which is a refusal when it is all that is left.

**What it teaches.** Let q_c, q_p, q_h be the reader's belief that a slot is clear, partial or hidden, P its belief that it is
legible *and* its character right. With v the price of a whole answer that is hallucination-free (``outcome_weight``), R the
chance that the rest of the field is, n scored slots, and m the chance, where it is legible, that it belongs in the other list
than it will stand in, asserting is best exactly when

    P > (w + q_h h - q_c c + n v R (q_h + q_p)) / (1 + w - m e + n v R)

``bar`` is that number. Without v, and with the right list known, it is t + (1 - t) (q_h h - q_c c): t on a partial slot, less
on a clear one; a hidden slot, where P = 0, is never asserted. Silence costs w - c or more beyond a mark over the
same slot. Where c is near w, a reader that cannot read a clear slot may gain by silence all the same: the alignment then
sometimes excuses the misread character beside it.
``tests/rewards/test_faithful_policy.py`` finds these policies by enumeration; ``docs/choosing-a-reward.md`` says how to choose t.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from operator import mul

from kie_hvqa.answers.verdicts import COLUMNS, OUTCOMES, Counts, Verdicts
from kie_hvqa.errors import InputError
from rewards.contract import SlotPay

FIELD = 8
"""Scored slots of the field that ``bars`` are given for, where nobody says another."""
REST = 0.9
"""The chance that the rest of that field is hallucination-free."""
_SCORED = COLUMNS.index("derivable_right")  # the columns of the scored slots stand before it
_INSERTED, _SURPLUS, _LISTED, _FALSE = map(COLUMNS.index, ("inserted", "surplus_marks", "listed", "false_answers"))


@dataclass(frozen=True, slots=True)
class Prices:
    """The price list; every amount in units of one right slot, all costs as positive numbers."""

    wrong: float
    hidden_mark: float
    over_refusal: float
    wrong_list: float
    surplus: float
    outcome_weight: float
    columns: tuple[float, ...] = field(init=False, repr=False, compare=False)
    """One price for each of ``Counts.numbers``."""
    codes: dict[str, float] = field(init=False, repr=False, compare=False)
    """The price of each outcome's code; a right character in the other list."""

    def __post_init__(self) -> None:
        price = dict.fromkeys(COLUMNS, 0.0)
        for outcome in OUTCOMES:
            if outcome.said in ("wrong", "dropped"):
                price[outcome.name] = -self.wrong
        price |= {
            "clear_right": 1.0 - self.wrong_list,
            "partial_right": 1.0 - self.wrong_list,
            "unflagged": self.wrong_list,
            "flagged": self.wrong_list,
            "hidden_right": -self.wrong,
            "hidden_marked": self.hidden_mark,
            "clear_marked": -self.over_refusal,
            "inserted": -self.wrong,
            "listed": -self.wrong,
            "glued": -self.wrong,
            "surplus_marks": -self.surplus,
            "absent": self.hidden_mark,
            "false_answers": -self.wrong - self.hidden_mark,
        }
        object.__setattr__(self, "columns", tuple(price[name] for name in COLUMNS))
        object.__setattr__(self, "codes", {outcome.code: price.get(outcome.name, 0.0) for outcome in OUTCOMES})

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
        wrong_list: float = 0.3,
        surplus: float | None = None,
        outcome_weight: float = 0.0,
    ) -> Prices:
        """The list for a confidence target t; over-refusal and surplus left out are half of min(1, w).

        Raises InputError for a t outside (0, 1), for a price below zero, for a wrong list that costs more than its right
        character earns, and for an over-refusal price above w: a character that is certainly wrong, and silence, would
        then beat a mark on a slot known to be clear.
        """
        if not 0.0 < confidence_target < 1.0:
            raise InputError(
                f"a confidence target lies between 0 and 1, not at {confidence_target}",
                field="confidence_target",
                remedy="0.5 answers when right is likelier than wrong; 0.8 and 0.95 are more careful.",
            )
        wrong = round(confidence_target / (1.0 - confidence_target), 12)  # 4, not 4.000000000000001
        small = min(1.0, wrong) / 2
        prices = cls(
            wrong,
            hidden_mark,
            small if over_refusal is None else over_refusal,
            wrong_list,
            small if surplus is None else surplus,
            outcome_weight,
        )
        for name in ("hidden_mark", "over_refusal", "wrong_list", "surplus", "outcome_weight"):
            if getattr(prices, name) < 0:
                raise InputError("a price is not negative", field=name, remedy="Costs are given as positive numbers.")
        if wrong_list > 1.0:
            raise InputError(
                "a right character would earn less than nothing in the other list",
                field="wrong_list",
                remedy="Use 0 to 1.",
            )
        if prices.over_refusal > wrong * (1.0 + 1e-9):  # 0.95 / 0.05 is not quite 19
            raise InputError(
                f"a mark on a clear slot would cost {prices.over_refusal:g}, more than a wrong character "
                f"({wrong:g} at this confidence target), so guessing would beat a mark",
                field="over_refusal",
                remedy="Lower it, or raise confidence_target.",
            )
        return prices


def pay(counts: Counts, prices: Prices) -> float:
    """The mean pay of a field's scored slots, of an absent field's answer that of its symbols; in [-w, 1], outcome not included. Pure.

    ``counts`` are the evaluator's own (``kie_hvqa.answers.verdicts``) for one question whose answer could be parsed.
    """
    numbers = counts.numbers
    if numbers[_FALSE]:
        asserted = numbers[_INSERTED] + numbers[_LISTED]
        return -prices.wrong * asserted / (asserted + numbers[_SURPLUS])
    scored = sum(numbers[:_SCORED])
    total = round(sum(map(mul, numbers, prices.columns)), 12)  # answers that are worth the same shall earn the same
    return max(-prices.wrong, total / (scored or 1))


def slot_pay(found: Verdicts, prices: Prices) -> SlotPay:
    """The sum that ``pay`` divides and cuts where the field is there, taken apart. Pure; in units of one right slot.

    ``sum(slots) + rest`` is the dot product of ``found.counts`` and ``prices.columns``; the outcome's price is not in it. A slot
    has the price of its outcome: every slot of a signalled gap that of a mark, a dropped one its own -w. What the right
    list adds is the slot's; of equal characters in it the first slots have theirs. A character over a word space and
    the space that is left out between two words cost the word space's slot. To no slot belong characters over none, those of
    the lists that Final OCR does not hold, surplus marks, and what an absent field pays.
    """
    about, reading, wrong = found.about, found.reading, prices.wrong
    slots = [prices.codes[code] for code in found.outcomes]
    if reading is None:
        return SlotPay(slots, 0.0 if slots else -wrong)
    for code, listed in (("r", reading.clear), ("R", reading.not_clear)):
        left = Counter(listed)
        for place, outcome in enumerate(found.outcomes):
            if outcome == code and left[about.value[place]]:
                left[about.value[place]] -= 1
                slots[place] += prices.wrong_list
    glued = _glued(found)[: found.glued]
    for place in glued:
        slots[place] -= wrong
    rest = -wrong * (len(found.added) + found.listed + found.glued - len(glued)) - prices.surplus * found.surplus_marks
    if about.kind == "absent":
        rest += prices.hidden_mark if found.refused else -wrong
    return SlotPay(slots, rest)


def _glued(found: Verdicts) -> list[int]:
    """The first slot of each run of word spaces that is left out between two asserted characters."""
    if not found.glued:
        return []
    outcomes, symbols = found.outcomes, found.symbols
    silent = "".join("_" if code == "s" and symbols[i] is None else code for i, code in enumerate(outcomes))
    asserted = "[rwRWliabn]"
    return [run.start() for run in re.finditer(f"(?<={asserted})_+(?={asserted})", silent)]


def bar(
    prices: Prices,
    *,
    clear: float = 0.0,
    partial: float = 0.0,
    hidden: float = 0.0,
    slots: int = FIELD,
    rest: float = REST,
) -> float:
    """The chance of being right above which a slot of this belief is worth asserting; the module's formula.

    ``clear``, ``partial`` and ``hidden`` are chances that add up to 1; the field has ``slots`` scored slots, the others of which
    are hallucination-free together with the chance ``rest``. Above ``1 - hidden`` no chance of being right can be: such a
    slot is always marked.
    """
    legible = clear + partial
    other = min(clear, partial) / legible if legible else 0.0
    outcome = slots * rest * prices.outcome_weight
    mark = hidden * prices.hidden_mark - clear * prices.over_refusal + outcome * (hidden + partial)
    return (prices.wrong + mark) / (1.0 + prices.wrong - other * prices.wrong_list + outcome)


def bars(prices: Prices, slots: int = FIELD, rest: float = REST) -> dict[str, float]:
    """``bar`` of the three beliefs that ``docs/rewards.md`` tells: what is *really* asked of a reader under these prices."""
    return {
        "partial": bar(prices, partial=1.0, slots=slots, rest=rest),
        "clear": bar(prices, clear=1.0, slots=slots, rest=rest),
        "clear, but for one chance in five that it is hidden": bar(
            prices, clear=0.8, hidden=0.2, slots=slots, rest=rest
        ),
    }
