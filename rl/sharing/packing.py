"""Lays out a micro-batch so that a forward pass reads each prompt once and every completion of it.

A GRPO micro-batch repeats one prompt, most of it image tokens, for each of its completions. Under causal attention
the prompt's hidden states do not depend on what follows, so the copies are the same numbers. Here a row of the packed
batch is ``[prompt without its last token | last token, completion 1 | last token, completion 2 | …]``: every segment
sees the prompt and itself, at the positions that it would have alone. The last prompt token stands in each segment,
because it predicts another first token in each. Short groups share a row as long as the longest group needs.

What it saves: at the large recipes' micro-batch, two groups of five behind prompts of P tokens, a pass reads 2P + 10(C + 1) tokens
instead of 10(P + C). That is 3.7 times fewer at P = 1,250 and C = 120, 1.9 at P = 400 and C = 256. Timed, with a model of two
layers on two CPU cores: a step is 1.6 to 1.7 times as fast (``studies.benches.training --lengths --pieces``).

``rl.sharing.loss_pass`` runs what is packed here through the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

DENSE_OR_BLOCKS = ("sdpa", "flex_attention")
"""Kinds of attention that take a mask of one's own: dense, or as FlexAttention's blocks."""


@dataclass(frozen=True)
class Prompt:
    """One distinct prompt: ``tokens`` int64 [P], ``positions`` int64 [3, P] (M-RoPE), ``members`` its batch rows."""

    tokens: torch.Tensor
    positions: torch.Tensor
    members: tuple[int, ...]


@dataclass(frozen=True)
class Packed:
    """Prompts and completions in rows of equal length L.

    ``tokens`` and ``labels`` int64 [R, L] (labels −100 where no loss is due), ``positions`` int64 [3, R, L],
    ``unit`` and ``segment`` int64 [R, L]: the prompt that a token belongs to (−1: padding), and which of its segments it
    stands in (0: the prompt itself, which all of them see). ``order`` the prompts in the order in which they stand (row by row), ``source``
    int64 [B, C]: where completion token c of batch row b stands in the flattened [R · (L − 1)] log-probabilities of
    *next* tokens, −1 for padding.
    """

    tokens: torch.Tensor
    labels: torch.Tensor
    positions: torch.Tensor
    unit: torch.Tensor
    segment: torch.Tensor
    order: tuple[int, ...]
    source: torch.Tensor

    def allowed(self) -> torch.Tensor:
        """Which token sees which, bool [R, 1, L, L]."""
        place = torch.arange(self.tokens.shape[1], device=self.tokens.device)
        causal = place[:, None] >= place[None, :]
        same_prompt = self.unit[:, :, None] == self.unit[:, None, :]
        own = self.segment[:, :, None] == self.segment[:, None, :]
        return (causal & same_prompt & ((self.segment[:, None, :] == 0) | own))[:, None]

    def blocks(self) -> Any:
        """The same as FlexAttention takes it: a BlockMask, which is never as large as L x L."""
        from torch.nn.attention.flex_attention import create_block_mask

        unit, segment = self.unit, self.segment

        def sees(row: torch.Tensor, head: torch.Tensor, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
            own = (segment[row, key] == 0) | (segment[row, key] == segment[row, query])
            return (query >= key) & (unit[row, query] == unit[row, key]) & own

        rows, length = self.tokens.shape
        return create_block_mask(sees, rows, None, length, length, device=self.tokens.device)

    def per_completion(self, values: torch.Tensor) -> torch.Tensor:
        """``values`` [R, L − 1] of next tokens, as [B, C] of completion tokens; 0 where there is none."""
        taken = values.reshape(-1)[self.source.clamp(min=0)]
        return taken.masked_fill(self.source < 0, 0)


def pack(prompts: Sequence[Prompt], completions: Sequence[torch.Tensor], width: int, *, pad_token: int = 0) -> Packed:
    """Pack ``completions`` (int64, of any length up to ``width``, by batch row) behind their prompts.

    Raises ValueError where a batch row belongs to no prompt, or to two.
    """
    rows_of = sorted(member for prompt in prompts for member in prompt.members)
    if rows_of != list(range(len(completions))):
        raise ValueError("every completion belongs to exactly one prompt")
    sizes = [
        len(prompt.tokens) - 1 + sum(1 + len(completions[member]) for member in prompt.members) for prompt in prompts
    ]
    rows = fill_rows(sizes)
    device = prompts[0].tokens.device
    length = max(sizes)
    shape = (len(rows), length)
    tokens = torch.full(shape, pad_token, device=device)
    labels = torch.full(shape, -100, device=device)
    positions = torch.zeros(3, *shape, dtype=torch.long, device=device)
    unit = torch.full(shape, -1, device=device)
    segment = torch.zeros(shape, dtype=torch.long, device=device)
    source = torch.full((len(completions), width), -1, device=device)
    for row, members in enumerate(rows):
        at = 0
        for number in members:
            prompt = prompts[number]
            end = at + sizes[number]
            unit[row, at:end] = number
            shared = len(prompt.tokens) - 1
            tokens[row, at : at + shared] = prompt.tokens[:-1]
            positions[:, row, at : at + shared] = prompt.positions[:, :-1]
            at += shared
            for index, member in enumerate(prompt.members, start=1):
                completion = completions[member]
                stop = at + 1 + len(completion)
                tokens[row, at] = prompt.tokens[-1]
                tokens[row, at + 1 : stop] = completion
                labels[row, at + 1 : stop] = completion
                segment[row, at:stop] = index
                offsets = torch.arange(1 + len(completion), device=device)
                positions[:, row, at:stop] = prompt.positions[:, -1:] + offsets
                first = row * (length - 1) + at
                source[member, : len(completion)] = torch.arange(first, first + len(completion), device=device)
                at = stop
    placed = tuple(number for members in rows for number in members)
    return Packed(tokens, labels, positions, unit, segment, placed, source)


def fill_rows(sizes: Sequence[int]) -> list[list[int]]:
    """Items put into as few rows as first-fit decreasing finds, no row longer than the largest item."""
    capacity = max(sizes)
    rows: list[list[int]] = []
    room: list[int] = []
    for item in sorted(range(len(sizes)), key=lambda index: (-sizes[index], index)):
        for row, left in enumerate(room):
            if sizes[item] <= left:
                rows[row].append(item)
                room[row] -= sizes[item]
                break
        else:
            rows.append([item])
            room.append(capacity - sizes[item])
    return rows


def can_pack(model: PreTrainedModel) -> bool:
    """Whether the model takes a mask and positions of ours: full attention in every layer, by SDPA (dense masks) or
    FlexAttention (blocks). Flash attention takes neither, and rows stay apart there."""
    text = model.config.get_text_config()
    return (
        hasattr(model.model, "get_rope_index")
        and text._attn_implementation in DENSE_OR_BLOCKS
        and set(getattr(text, "layer_types", None) or ["full_attention"]) == {"full_attention"}
    )


def prompts_of(
    model: PreTrainedModel,
    tokens: torch.Tensor,
    mask: torch.Tensor,
    types: torch.Tensor,
    grids: torch.Tensor,
    owner: Sequence[int],
    first: Sequence[int],
) -> list[Prompt]:
    """The distinct prompts of a micro-batch with the model's own M-RoPE positions, without their padding.

    ``tokens``, ``mask`` and ``types`` int64 [B, P], padded on the left; ``grids`` int64 [prompts, 3]; ``owner`` the number of
    each row's prompt, and ``first`` a row of each number.
    """
    index = torch.tensor(first, device=tokens.device)
    tokens, mask = tokens[index], mask[index]
    positions, _ = model.model.get_rope_index(tokens, types[index], image_grid_thw=grids, attention_mask=mask)
    lengths = mask.sum(-1).tolist()
    members: list[list[int]] = [[] for _ in first]
    for row, number in enumerate(owner):
        members[number].append(row)
    return [
        Prompt(tokens[number, -length:], positions[:, number, -length:], tuple(members[number]))
        for number, length in enumerate(lengths)
    ]
