"""What watches and what steers generation, token by token: two logits processors.

``LogProbabilities`` changes nothing and keeps the log-probability of every token that is written: a reader's confidence.

``Sampler`` draws instead of taking the likeliest. It adds Gumbel noise to logits / temperature and lets greedy decoding
take the maximum, which is a draw from softmax(logits / temperature) (the Gumbel-max trick). Each sequence has a generator
of its own, seeded by what it answers: the same sample comes whatever else is in its batch, and the global random state
is neither used nor changed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import torch
from transformers import LogitsProcessor


class LogProbabilities(LogitsProcessor):
    """Keeps, per step, the log-probability of the token that greedy decoding takes.

    Keeping the scores themselves would cost steps × rows × vocabulary floats. With a ``sampler``, which must not be
    among the logits processors itself, it is the probability of the token drawn.
    """

    def __init__(self, sampler: Sampler | None = None) -> None:
        self._sampler = sampler
        self._steps: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        wide = scores.float()
        if self._sampler is None:
            self._steps.append(wide.amax(dim=-1) - wide.logsumexp(dim=-1))
            return scores
        noisy = self._sampler(input_ids, wide)
        taken = wide.gather(-1, noisy.argmax(dim=-1, keepdim=True)).squeeze(-1)
        self._steps.append(taken - wide.logsumexp(dim=-1))
        return noisy

    def of(self, generated: torch.Tensor, ends: set[int]) -> list[list[float]]:
        """Log-probabilities of each response's tokens, its end token included; ``generated`` is int64 [rows, steps]."""
        if not self._steps:
            return [[] for _ in range(generated.shape[0])]
        rows = torch.stack(self._steps, dim=1).cpu().tolist()
        kept = []
        for row, tokens in zip(rows, generated.tolist(), strict=True):
            length = next((index + 1 for index, token in enumerate(tokens) if token in ends), len(tokens))
            kept.append(row[:length])
        return kept

    def means(self, generated: torch.Tensor, ends: set[int]) -> list[float | None]:
        """The mean of each response's log-probabilities; None for a response of no tokens."""
        means = [math.fsum(row) / len(row) if row else math.nan for row in self.of(generated, ends)]
        return [round(mean, 6) if math.isfinite(mean) else None for mean in means]


class Sampler:
    """Gumbel noise on logits [rows, vocabulary]; one seed a row, ``temperature`` > 0."""

    def __init__(self, seeds: Sequence[int], temperature: float, device: torch.device) -> None:
        self._temperature = temperature
        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        uniform = torch.stack(
            [torch.rand(scores.shape[-1], generator=each, device=scores.device) for each in self._generators]
        )
        # In (0, 1): 0 would be infinite noise.
        uniform = uniform.clamp_(torch.finfo(uniform.dtype).tiny, 1 - torch.finfo(uniform.dtype).eps)
        return scores / self._temperature - (-uniform.log()).log()


def seed_of(*parts: str | int) -> int:
    """A 63-bit seed out of what is to be drawn, the same in every process."""
    text = "\0".join(map(str, parts)).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1
