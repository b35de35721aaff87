"""Log-probabilities of completions whose prompts are known to be the same, and whose images were encoded before.

TRL's own pass reads every prompt once for each of its completions, and encodes every image as often. Here a prompt is
read once where the model allows it (``packing``), and images come from the tower service. Where a layout of our own is
not possible (linear attention, another kind of mask), rows stay as they are and only the images are shared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rl.families.family import joined
from rl.sharing.packing import can_pack, pack, prompts_of
from rl.sharing.prompts import Generation, first_of_each


@dataclass(frozen=True)
class Rows:
    """Some rows of a generation: ``tokens`` and ``mask`` int64 [B, P + C] with P padded on the left and C on the right,
    ``types`` int64 [B, P + C] (1: image), and the ``numbers`` of the rows' prompts in ``generation``."""

    tokens: torch.Tensor
    mask: torch.Tensor
    types: torch.Tensor
    width: int
    numbers: list[int]
    generation: Generation

    def part(self, chosen: slice) -> Rows:
        numbers = self.numbers[chosen]
        return Rows(self.tokens[chosen], self.mask[chosen], self.types[chosen], self.width, numbers, self.generation)


def scored(
    model: Any, base: Any, rows: Rows, *, entropy: bool, pad_token: int, packed: bool
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(log-probabilities, entropies or None) of the completion tokens, float [B, C] each; ``base`` is ``model`` without
    engine and adapter. A reference model's head computes no entropy."""
    if packed and can_pack(base):
        return _packed(model, base, rows, entropy, pad_token)
    labels = rows.tokens.masked_fill(rows.mask == 0, -100)
    labels[:, : -rows.width] = -100
    said = model(
        input_ids=rows.tokens,
        attention_mask=rows.mask,
        mm_token_type_ids=rows.types,
        labels=labels,
        fused_lm_head=True,  # TRL's: log-probabilities and entropies instead of logits
        **seen(rows.generation, rows.numbers, rows.tokens.device),
    )
    return said.log_probs[:, -rows.width :], said.entropy[:, -rows.width :] if entropy else None


def seen(generation: Generation, numbers: Sequence[int], device: torch.device) -> dict[str, Any]:
    """The images of these prompts, in order, as a model takes them: features where there are some, or pixels."""
    grids = generation.grids[list(numbers)].to(device)
    if generation.features is None:
        pixels = torch.cat([generation.pixels[number] for number in numbers]).to(device)
        return {"pixel_values": pixels, "image_grid_thw": grids}
    features = joined([generation.features[number] for number in numbers])
    return {"mm_encoder_outputs": {"image": features}, "image_grid_thw": grids}


def _packed(
    model: Any, base: Any, rows: Rows, entropy: bool, pad_token: int
) -> tuple[torch.Tensor, torch.Tensor | None]:
    split = rows.tokens.shape[1] - rows.width
    distinct = list(dict.fromkeys(rows.numbers))
    owner = [distinct.index(number) for number in rows.numbers]
    prompts = prompts_of(
        base,
        rows.tokens[:, :split],
        rows.mask[:, :split],
        rows.types[:, :split],
        rows.generation.grids[distinct].to(rows.tokens.device),
        owner,
        first_of_each(owner),
    )
    lengths = rows.mask[:, split:].sum(-1).tolist()
    completions = [row[split : split + length] for row, length in zip(rows.tokens, lengths, strict=True)]
    packed = pack(prompts, completions, rows.width, pad_token=pad_token)
    flexible = base.config.get_text_config()._attn_implementation == "flex_attention"
    said = model(
        input_ids=packed.tokens,
        position_ids=packed.positions,
        attention_mask=packed.blocks() if flexible else packed.allowed(),
        labels=packed.labels,
        fused_lm_head=True,
        **seen(rows.generation, [distinct[number] for number in packed.order], rows.tokens.device),
    )
    return packed.per_completion(said.log_probs), packed.per_completion(said.entropy) if entropy else None
