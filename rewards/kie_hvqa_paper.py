"""The KIE-HVQA paper's own reward, as near as it is known, to be compared with.

"Seeing is Believing? …" (arXiv 2506.20168): ``F = Σᵢ fᵢ · (1 − Σⱼ gⱼ)``, with fᵢ the edit-distance similarity of the
clear list, the not-clear list and Final OCR, and gⱼ the mismatch of the two claimed counts.

How near: the shape of F and the six parts are the paper's, as told in summaries; fᵢ is the official evaluator's
similarity. How the paper scales gⱼ was not published: here gⱼ = |claimed − true| / max(claimed, true), 0 when both
are 0 and 1 when nothing is claimed, and Σg is cut at 1, so that the product never turns negative (two negative
factors cannot reward, and a wrong count cannot punish a bad reading less). Range [0, 3].

Known failures, kept as they are and shown in ``tests/rewards/test_published_rewards.py``: it strips the spaces, so
a gap in the wrong place costs nothing; inventing the hidden characters still earns most of the reward, as long as
the counts are right; and a lucky guess of them cannot be told from a wrong one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from kie_hvqa.answers.answer import Reading, parse
from kie_hvqa.scoring.scores import official
from rewards.contract import Completion, Rewards, completion_text, each


def product_reward(reading: Reading | None, truth: Reading) -> float:
    """F of one reading (None: unparsable, 0) against the official answer, in [0, 3]. Pure."""
    if reading is None:
        return 0.0
    scores = official(truth, reading)
    agreement = 1.0 - mismatch(reading.clear_number, truth.clear_number, truth.clear)
    agreement -= mismatch(reading.not_clear_number, truth.not_clear_number, truth.not_clear)
    return (scores.clear + scores.not_clear + scores.final) * max(0.0, agreement)


def mismatch(claimed: int | None, true: int | None, characters: str) -> float:
    """g of one count, in [0, 1]. A truth that claims no number is counted from its ``characters``."""
    true = len(characters) if true is None else true
    if claimed is None:
        return 1.0
    return abs(claimed - true) / max(claimed, true, 1)


@lru_cache(maxsize=4096)
def _truth(answer: str) -> Reading | None:
    return parse(answer).reading


def kie_hvqa_paper(
    prompts: Sequence[Any],
    completions: Sequence[Completion],
    answer: Sequence[str | None] | None = None,
    **columns: Any,
) -> Rewards:
    """The KIE-HVQA paper's F = Σ similarity × (1 − Σ count mismatch). Range [0, 3].

    Needs the official ``answer`` column, no ledger; None for a sample whose answer is missing or cannot be read.
    """
    rewards: Rewards = []
    for completion, official_answer in zip(completions, each(answer, len(completions)), strict=True):
        truth = None if official_answer is None else _truth(official_answer)
        if truth is None:
            rewards.append(None)
        else:
            rewards.append(product_reward(parse(completion_text(completion)).reading, truth))
    return rewards
