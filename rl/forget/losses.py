"""What each method of forgetting adds up, as pure functions of log-probabilities.

========== ============================= ================== =======================================================
method     a forgotten person's row      retained rows      source
========== ============================= ================== =======================================================
ga         −CE, printed value            nothing            gradient ascent (Jang et al. 2023)
gd         −CE, printed value            CE                 gradient difference (Liu, Liu and Stone 2022)
kl         −CE, printed value            KL to reference    as in TOFU (Maini et al. 2024)
idk        CE, refusal of the field      CE                 "I don't know", as in TOFU
npo        −(2/β) log σ(−β log π/π_ref)  nothing            negative preference optimisation (Zhang et al. 2024)
relearn    CE, the right marked reading  CE, KL             ReLearn (Xu et al. 2025, arXiv 2502.11190)
========== ============================= ================== =======================================================

The released ``gather()`` of ReLearn appends the original answer to the new targets; here a row has one target, and
``rl.forget.rows`` makes it from what is legible alone. To each method the *decoupled* term can be added (SafeEraser, Chen et al.
2025, whose prompt-decoupled loss trains the same image with a harmless question and the same question with a harmless image):
CE on the same person's legible cards, and on other people's legible cards with the same question.

KL is taken on what is legible of the people to keep: over a cover the reference says what nobody should, and CE on the marked reading
would pull the other way (with both, ReLearn's leak came down to 6 % and went up to 40 % again within ten steps).

Every row counts as its mean over its answer's tokens, so a loss does not depend on how rows fall into micro-batches.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import torch
import torch.nn.functional as F

Tensor = torch.Tensor
Target = Literal["printed", "refusal", "marked"]
Name = Literal["ga", "gd", "kl", "idk", "npo", "relearn"]
IGNORED = -100


class Role(IntEnum):
    """What a row of a batch is there for."""

    FORGET = 0
    RETAIN = 1
    PERSON = 2  # a legible card of the person that is forgotten
    QUESTION = 3  # another person's legible card, asked what the forgotten row asks
    RETAIN_COVERED = 4  # a covered card of somebody to keep


@dataclass(frozen=True, slots=True)
class Method:
    """``target`` of a forgotten row; weights of its CE (``forget``: −1 ascends), of the retained rows' CE and KL; or ``npo``."""

    target: Target
    forget: float = 0.0
    retain: float = 0.0
    kl: float = 0.0
    npo: bool = False

    @property
    def retains(self) -> bool:
        return self.retain > 0 or self.kl > 0

    @property
    def ascends(self) -> bool:
        """Whether it has no target of its own, so that what it does after it has forgotten is damage."""
        return self.npo or self.forget < 0

    @property
    def compares(self) -> bool:
        """Whether a reference model is asked."""
        return self.npo or self.kl > 0


METHODS: dict[Name, Method] = {
    "ga": Method("printed", forget=-1.0),
    "gd": Method("printed", forget=-1.0, retain=1.0),
    "kl": Method("printed", forget=-1.0, kl=1.0),
    "idk": Method("refusal", forget=1.0, retain=1.0),
    "npo": Method("printed", npo=True),
    "relearn": Method("marked", forget=1.0, retain=1.0, kl=1.0),
}


def token_log_probabilities(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """(log-probability of each label [B, L − 1], 0 where none is due; whether one is due, bool [B, L − 1]).

    ``logits`` float [B, L, V] and ``labels`` int64 [B, L] of the same positions: position i predicts label i + 1.
    """
    due, wanted = labels[:, 1:] != IGNORED, labels[:, 1:].clamp(min=0)
    chosen = F.log_softmax(logits[:, :-1].float(), dim=-1).gather(-1, wanted[..., None])[..., 0]
    return chosen.masked_fill(~due, 0.0), due


def row_means(values: Tensor, due: Tensor) -> Tensor:
    """The mean of ``values`` [B, L] over the positions of each row that are ``due``: [B], 0 for a row without any."""
    return values.masked_fill(~due, 0.0).sum(-1) / due.sum(-1).clamp(min=1)


def divergence(reference: Tensor, logits: Tensor, due: Tensor) -> Tensor:
    """KL(reference ‖ model) a token, in nats, as a mean over each row [B]; both logits float [B, L, V], ``due`` as above [B, L − 1]."""
    said, told = (F.log_softmax(each[:, :-1].float(), dim=-1) for each in (logits, reference))
    return row_means((told.exp() * (told - said)).sum(-1), due)


def negative_preference(log_ratio: Tensor, beta: float) -> Tensor:
    """−(2/β) log σ(−β log π/π_ref) a row; ``log_ratio`` [B] is of whole answers. Its gradient dies as the answer becomes unlikely."""
    return -2 / beta * F.logsigmoid(-beta * log_ratio)


def parts(
    method: Method, roles: Tensor, nll: Tensor, kl: Tensor | None = None, log_ratio: Tensor | None = None, *,
    beta: float = 0.1, decoupled: float = 0.0,
) -> dict[str, Tensor]:  # fmt: skip
    """What the loss is the sum of, weights included: ``forget``, ``retain``, ``kl``, ``decoupled``, those that the method has.

    All [B]: ``roles`` of the rows (``Role``), their mean ``nll`` over the answer, ``kl`` to the reference, ``log_ratio`` to it.
    A part without a row is 0.
    """

    def mean(values: Tensor, *which: Role) -> Tensor:
        chosen = torch.isin(roles, torch.tensor(which, device=roles.device)).to(values.dtype)
        return (values * chosen).sum() / chosen.sum().clamp(min=1)

    found: dict[str, Tensor] = {}
    if method.npo:
        assert log_ratio is not None
        found["forget"] = mean(negative_preference(log_ratio, beta), Role.FORGET)
    else:
        found["forget"] = method.forget * mean(nll, Role.FORGET)
    if method.retain:
        found["retain"] = method.retain * mean(nll, Role.RETAIN, Role.RETAIN_COVERED)
    if method.kl:
        assert kl is not None
        found["kl"] = method.kl * mean(kl, Role.RETAIN)
    if decoupled:
        found["decoupled"] = decoupled / 2 * (mean(nll, Role.PERSON) + mean(nll, Role.QUESTION))
    return found
