"""What watches and what steers generation, token by token: three logits processors, and what the tokens say.

``LogProbabilities`` changes nothing and keeps the log-probability of every token that is written: a reader's confidence.

``Forced`` writes a given answer, to see how likely it would have been.

``Sampler`` draws instead of taking the likeliest. It adds Gumbel noise to logits / temperature and lets greedy decoding
take the maximum, which is a draw from softmax(logits / temperature) (the Gumbel-max trick). Each sequence has a generator
of its own, seeded by what it answers: the same sample comes whatever else is in its batch, and the global random state
is neither used nor changed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import torch
from transformers import LogitsProcessor

from kie_hvqa.answers.answer import BOX_GLYPHS, MARK
from kie_hvqa.confidence.signals.contrast import CONTRAST, contrast
from kie_hvqa.confidence.signals.tokens import Piece, token_signals
from kie_hvqa.confidence.symbols import SymbolConfidence

LONGEST_CHARACTER = 4  # bytes, and so tokens


class LogProbabilities(LogitsProcessor):
    """Keeps, per step, the log-probability of the token that greedy decoding takes, and what stood beside it.

    Keeping the scores themselves would cost steps × rows × vocabulary floats. With a ``sampler``, which must not be
    among the logits processors itself, it is the probability of the token drawn. ``marks`` are the token ids whose
    probabilities are added up a step; the likeliest other token is the ``rival``.
    """

    def __init__(self, sampler: Sampler | None = None, marks: Sequence[int] = ()) -> None:
        self._sampler = sampler
        self._marks = list(marks)
        self._steps: list[
            torch.Tensor
        ] = []  # [rows, 3]: log-probability of the token, probability of marks, of the rival

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        wide = scores.float()
        whole = wide.logsumexp(dim=-1, keepdim=True)
        best, places = wide.topk(2, dim=-1)
        noisy = scores
        taken, rival = best[:, :1], best[:, 1:]
        if self._sampler is not None:
            noisy = self._sampler(input_ids, wide)
            drawn = noisy.argmax(dim=-1, keepdim=True)
            taken, rival = wide.gather(-1, drawn), torch.where(drawn == places[:, :1], best[:, 1:], best[:, :1])
        marks = (wide[:, self._marks] - whole).exp().sum(dim=-1, keepdim=True)
        self._steps.append(torch.cat([taken - whole, marks, (rival - whole).exp()], dim=-1))
        return noisy

    def of(self, generated: torch.Tensor, ends: set[int]) -> list[list[list[float]]]:
        """Per response and token of it, its end token included: log-probability, probability of marks, and of the rival.

        ``generated`` is int64 [rows, steps].
        """
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
        means = [
            math.fsum(token[0] for token in row) / len(row) if row else math.nan for row in self.of(generated, ends)
        ]
        return [round(mean, 6) if math.isfinite(mean) else None for mean in means]


class Forced(LogitsProcessor):
    """Writes the answers that it is given, and keeps the log-probability that each of their tokens would have had.

    ``answers`` is int64 [rows, steps], the first token that is generated at step 0. One pass of ``generate`` instead of a forward pass of
    our own: position ids, caches and image features are each family's own business there.
    """

    def __init__(self, answers: torch.Tensor) -> None:
        self._answers = answers
        self._steps: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        wanted = self._answers[:, len(self._steps) : len(self._steps) + 1].to(scores.device)
        wide = scores.float()
        self._steps.append((wide.gather(-1, wanted) - wide.logsumexp(dim=-1, keepdim=True)).squeeze(-1))
        return torch.full_like(scores, -torch.inf).scatter(-1, wanted, 0.0)

    def of(self) -> list[list[float]]:
        """Per row the log-probabilities of its tokens."""
        rows: list[list[float]] = torch.stack(self._steps, dim=1).cpu().tolist()
        return rows


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


def mark_tokens(tokenizer: Any) -> list[int]:
    """The ids of the tokens that are nothing but marks: a space, or a box, alone."""
    encoded = (tokenizer.encode(mark, add_special_tokens=False) for mark in (MARK, *BOX_GLYPHS))
    return sorted({ids[0] for ids in encoded if len(ids) == 1})


def signals_of_tokens(
    tokenizer: Any,
    response: str,
    tokens: Sequence[int],
    said: Sequence[Sequence[float]],
    blind: Sequence[float] | None = None,
) -> dict[str, SymbolConfidence] | None:
    """The signals of ``response`` out of its ``tokens``, of which ``said`` has what ``LogProbabilities.of`` gives (padding behind
    the end is not in it), and ``blind`` the log-probabilities on a black page; None where the answer cannot be parsed."""
    pieces: list[Piece] = []
    unseen: list[float] = []
    start = 0
    for text, count in texts_of(tokenizer, tokens[: len(said)]):
        own = said[start : start + count]
        pieces.append(Piece(text, math.fsum(token[0] for token in own), own[-1][1], own[-1][2]))
        unseen.append(math.fsum(blind[start : start + count]) if blind is not None else 0.0)
        start += count
    found = token_signals(response, pieces)
    if found is None or blind is None:
        return found
    apart = contrast(response, pieces, unseen)
    return found if apart is None else found | {CONTRAST: apart}


def texts_of(tokenizer: Any, tokens: Sequence[int]) -> list[tuple[str, int]]:
    """(text, how many tokens wrote it) in order: as few tokens at a time as make whole characters; special ones say nothing."""
    found: list[tuple[str, int]] = []
    waiting: list[int] = []
    for token in tokens:
        waiting.append(token)
        text = tokenizer.decode(waiting, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        if not text.endswith("\ufffd") or len(waiting) == LONGEST_CHARACTER:
            found.append((text, len(waiting)))
            waiting = []
    if waiting:
        text = tokenizer.decode(waiting, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        found.append((text, len(waiting)))
    return found
