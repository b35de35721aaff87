"""Advantages: what a token is worth beside the other answers to the same question.

*The whole answer's* (TRL's own, GRPO): an answer is paid with one number, the group's mean is its baseline, and all of its
tokens share the difference. A good mark and a bad guess in one answer then share their credit.

*By slot*: all completions of a group answer about the same slots, so the pay of each slot has a baseline of its own, the
group's mean for that slot. A token gets the sum over the slots that it decides (``rl.credit.deciding``), and a token that
decides none, the whole answer's advantage. Expectations are those of the whole answer's: what other slots earned is noise for
the token that decides this one. Answers that cannot be taken apart keep the whole answer's advantage. ``whole`` adds so much of
the whole answer's advantage to the tokens that decide slots: what only an answer as a whole can earn (``outcome_weight``) is
in no slot's pay.

An absent field has no slots, and an answer to it keeps the whole answer's advantage. But where a printed field is refused, one token decides all of
its slots and gets their sum; beside that, refusing an absent field would count for a tenth, and be unlearnt. So the token that refuses one counts
for the symbols that the group's other answers assert.

    advantages: {credit: slot, whole: 0.5}          in a recipe of configs/grpo
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch

from kie_hvqa.answers.answer import MARK, Parsed, parse
from kie_hvqa.answers.verdicts import Ledger
from rewards.derived import ledger_of
from rewards.plugins.spec import LoadedReward
from rl.credit.deciding import deciding, refusing
from rl.credit.token_text import TokenText, token_text

_SMALL = 1e-4  # TRL's own, added to a deviation before something is divided by it


@dataclass(frozen=True)
class SlotCredit:
    """``rewards`` are those of the run that can be taken apart by slot (``rewards.contract.paying_slots``)."""

    rewards: Sequence[LoadedReward]
    scale: str = "group"
    whole: float = 0.0

    def by_token(
        self,
        whole: torch.Tensor,
        rows: Sequence[dict[str, Any]],
        ids: Sequence[Sequence[int]],
        tokenizer: Any,
        group: int,
        step: int,
    ) -> torch.Tensor:
        """``token_advantages`` at ``step`` of the optimiser: prices may rise."""
        texts = [token_text(tokenizer, tokens) for tokens in ids]
        pays = self._pays(rows, [each.text for each in texts], step)
        return token_advantages(whole, rows, texts, pays, group=group, scale=self.scale, share=self.whole)

    def _pays(self, rows: Sequence[dict[str, Any]], texts: list[str], step: int) -> list[list[float] | None]:
        """By completion, what each slot earned by all rewards together, weights applied; None where none applies."""
        names = ("slots", "question_kind", "answer")
        columns: dict[str, Any] = {name: [row.get(name) for row in rows] for name in names}
        state = SimpleNamespace(global_step=step)
        together: list[list[float] | None] = [None] * len(texts)
        for reward in self.rewards:
            found = reward.slot_pay([row.get("prompt") for row in rows], texts, trainer_state=state, **columns)
            for place, one in enumerate(found):
                if one is not None:
                    before = together[place] or [0.0] * len(one.slots)
                    together[place] = [sum_ + reward.weight * pay for sum_, pay in zip(before, one.slots, strict=True)]
        return together


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


def symbols_asserted(parsed: Sequence[Parsed]) -> float:
    """How many symbols of Final OCR the answers that assert something have, in the mean; 1 at least. Marks and spaces assert nothing."""
    counts = [len(one.reading.final.replace(MARK, "")) for one in parsed if one.reading and not one.reading.refused]
    return max(1.0, sum(counts) / max(1, len(counts)))


def _weigh_refusals(
    result: torch.Tensor, whole: torch.Tensor, texts: Sequence[TokenText], parsed: Sequence[Parsed], own: range
) -> None:
    """In ``result`` [B, T], the token that refuses an absent field: ``whole`` times the symbols that the group ``own`` asserts."""
    spared = symbols_asserted(parsed)
    for index, one in zip(own, parsed, strict=True):
        at = refusing(texts[index].text, one)
        if at is None:
            continue
        for token, (first, end) in enumerate(texts[index].ranges):
            if first <= at < end:
                result[index, token] = spared * whole[index]


def token_advantages(
    whole: torch.Tensor,
    rows: Sequence[dict[str, Any]],
    texts: Sequence[TokenText],
    pays: Sequence[list[float] | None],
    *,
    group: int,
    scale: str = "group",
    share: float = 0.0,
) -> torch.Tensor:
    """Advantages by token, float [B, T] with T the longest completion's tokens, 0 behind the end of each.

    ``whole`` [B] are the answers' own, ``rows`` the dataset's (neighbours ``group`` by ``group`` are completions of one),
    ``texts`` the completions by token, ``pays`` what each slot earned. An answer that no reward applied to (0 in ``whole`` and no
    pay) keeps its 0. ``share`` of ``whole`` is added to the tokens that decide slots.
    """
    lengths = [len(each.ranges) for each in texts]
    result = whole.new_zeros(len(texts), max(lengths, default=0))
    for index, length in enumerate(lengths):
        result[index, :length] = whole[index]
    for start in range(0, len(texts), group):
        row, own = rows[start], range(start, start + group)
        slots = ledger_of(row.get("slots"), row.get("answer"))
        if slots is None or pays[start] is None:
            continue
        parsed = [parse(texts[index].text) for index in own]
        if not slots:
            _weigh_refusals(result, whole, texts, parsed, own)
            continue
        about = Ledger.of(slots, None if row.get("slots") is None else row.get("question_kind"))
        unread = [float("nan")] * len(slots)
        paid = [unread if one.reading is None else pays[index] for index, one in zip(own, parsed, strict=True)]
        shares = slot_advantages(torch.tensor(paid, dtype=whole.dtype), scale).to(whole.device)
        for place, one in enumerate(parsed):
            each = texts[start + place]
            decided = deciding(each.text, one, about)
            if decided is None:
                continue
            for token, (first, end) in enumerate(each.ranges):
                chosen = sorted({slot for char in range(first, end) for slot in decided.get(char, ())})
                if chosen:
                    result[start + place, token] = shares[place, chosen].sum() + share * whole[start + place]
    return result
