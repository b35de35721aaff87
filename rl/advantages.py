"""Advantages: what a token is worth beside the other answers to the same question.

*The whole answer's* (TRL's own, GRPO): an answer is paid with one number, the group's mean is its baseline, and all of its
tokens share the difference. A good mark and a bad guess in one answer then share their credit.

*By slot*: all completions of a group answer about the same slots, so the pay of each slot has a baseline of its own, the
group's mean for that slot. A token gets the sum over the slots that it decides (``rl.credit.deciding``), and a token that
decides none, the whole answer's advantage. Expectations are those of the whole answer's: what other slots earned is noise for
the token that decides this one. Answers that cannot be taken apart keep the whole answer's advantage.

    advantages: {credit: slot}          in a recipe of configs/grpo
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from kie_hvqa.answers.answer import parse
from kie_hvqa.answers.verdicts import OUTCOMES, Counts, Ledger, verdicts
from rewards.contract import ledger
from rl.credit.deciding import deciding
from rl.credit.token_text import token_text

_SMALL = 1e-4  # TRL's own, added to a deviation before something is divided by it


@dataclass(frozen=True)
class SlotCredit:
    """``prices`` gives the price of each outcome at a step of the optimiser: a reward's target may rise."""

    prices: Callable[[int], dict[str, float]]
    scale: str = "group"

    def by_token(
        self,
        whole: torch.Tensor,
        rows: Sequence[dict[str, Any]],
        ids: Sequence[Sequence[int]],
        tokenizer: Any,
        group: int,
        step: int,
    ) -> torch.Tensor:
        """``token_advantages`` at ``step``."""
        return token_advantages(whole, rows, ids, tokenizer, self.prices(step), group=group, scale=self.scale)


def slot_pays(outcomes: str, prices: dict[str, float]) -> list[float]:
    """What each slot earned: ``outcomes`` are the codes of ``kie_hvqa.answers.verdicts``, ``prices`` one for each code."""
    return [prices.get(code, 0.0) for code in outcomes]


def slot_prices(pay: Callable[[Counts], float]) -> dict[str, float]:
    """The price of each outcome, from what ``pay`` gives a field of that one slot."""
    cells = [outcome for outcome in OUTCOMES if outcome.legibility in ("clear", "partial", "hidden")]
    return {outcome.code: pay(Counts.of(**{outcome.name: 1})) for outcome in cells}


def slot_advantages(pays: torch.Tensor, scale: str = "group") -> torch.Tensor:
    """``pays`` float [G, S] of a group's completions by slot, NaN in a row that could not be read, → advantages [G, S].

    The baseline is the group's mean of the slot; 0 where a row could not be read, or a slot does not vary.
    """
    apart = pays - pays.nanmean(dim=0)
    apart = torch.nan_to_num(apart)
    if scale == "none":
        return apart
    known = max(1, int((~pays.isnan().all(dim=1)).sum()) - 1)
    variance = apart.square().sum(dim=0) / known
    if scale == "group":
        moving = variance > 1e-12
        variance = variance[moving].mean() if moving.any() else variance.new_zeros(())
    return apart / (variance.sqrt() + _SMALL)


def token_advantages(
    whole: torch.Tensor,
    rows: Sequence[dict[str, Any]],
    ids: Sequence[Sequence[int]],
    tokenizer: Any,
    prices: dict[str, float],
    *,
    group: int,
    scale: str = "group",
) -> torch.Tensor:
    """Advantages by token, float [B, T] with T the longest completion's tokens, 0 behind the end of each.

    ``whole`` [B] are the answers' own, ``rows`` the dataset's (neighbours ``group`` by ``group`` are completions of one),
    ``ids`` the completions' tokens. An answer that no reward applied to (0 in ``whole`` and no ledger) keeps its 0.
    """
    result = whole.new_zeros(len(ids), max(map(len, ids), default=0))
    for index, tokens in enumerate(ids):
        result[index, : len(tokens)] = whole[index]
    for start in range(0, len(ids), group):
        slots = ledger(rows[start].get("slots"))
        if not slots:
            continue
        about = Ledger.of(slots, rows[start].get("question_kind"))
        texts = [token_text(tokenizer, tokens) for tokens in ids[start : start + group]]
        parsed = [parse(each.text) for each in texts]
        pays = [
            slot_pays(verdicts(about, one.reading).outcomes, prices)
            if one.reading is not None
            else [float("nan")] * len(slots)
            for one in parsed
        ]
        shares = slot_advantages(torch.tensor(pays, dtype=whole.dtype), scale).to(whole.device)
        for place, (each, one) in enumerate(zip(texts, parsed, strict=True)):
            decided = deciding(each.text, one, about)
            if decided is None:
                continue
            for token, (first, end) in enumerate(each.ranges):
                chosen = sorted({slot for char in range(first, end) for slot in decided.get(char, ())})
                if chosen:
                    result[start + place, token] = shares[place, chosen].sum()
    return result
