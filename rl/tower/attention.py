"""The vision tower without the two slow spots that it has wherever flash attention is not installed.

- *Attention in windows.* transformers splits the packed patches of a batch at every window (64 patches, in the tiny
  reader and the 7B model alike) and loops over them in Python: 32 pages make some 300 calls a layer, forwards and
  again backwards. Here windows, or whole images, of equal length become a batch dimension.
- *The patch embedding.* A Conv3d whose stride is its kernel is a linear map of each patch; as a convolution its
  backward pass in bfloat16 costs ten times as much on a CPU.

The numbers are transformers' own to rounding (tests/rl/tower/test_vision_tower.py, which fails if a signature changes).
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from transformers import PreTrainedModel
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
    Qwen2_5_VisionPatchEmbed,
    Qwen2_5_VLVisionAttention,
    apply_rotary_pos_emb_vision,
)

SMALL = 128
"""Up to this many patches a window, plain products on a CPU: its fused kernel's backward pass costs several times as
much at such sizes."""


def faster_tower(model: PreTrainedModel) -> None:
    """Replace both in every vision tower of ``model``; with flash attention there is no loop to replace."""
    for module in model.modules():
        if isinstance(module, Qwen2_5_VLVisionAttention) and module.config._attn_implementation == "sdpa":
            module.forward = MethodType(attention_forward, module)
        if isinstance(module, Qwen2_5_VisionPatchEmbed):
            module.forward = MethodType(patch_embed_forward, module)


def patch_embed_forward(self: Qwen2_5_VisionPatchEmbed, hidden_states: torch.Tensor) -> torch.Tensor:
    """``hidden_states`` [patches, channels · time · height · width] → [patches, width of the tower]."""
    weight = self.proj.weight
    return F.linear(hidden_states.to(weight.dtype), weight.flatten(1), self.proj.bias)


def attention_forward(
    self: Qwen2_5_VLVisionAttention,
    hidden_states: torch.Tensor,
    cu_seqlens: torch.Tensor,
    position_embeddings: tuple[torch.Tensor, torch.Tensor] | None = None,
    max_seqlen: int | None = None,
    **kwargs: Any,
) -> torch.Tensor:
    """``hidden_states`` [patches, width] of all images; ``cu_seqlens`` int32, where each window begins and ends."""
    assert position_embeddings is not None
    length = hidden_states.shape[0]
    query, key, value = self.qkv(hidden_states).view(length, 3, self.num_heads, -1).unbind(1)
    query, key = apply_rotary_pos_emb_vision(query, key, *position_embeddings)
    mixed = segment_attention(query, key, value, cu_seqlens.diff().tolist(), self.scaling)
    return self.proj(mixed.reshape(length, -1))


def segment_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, lengths: list[int], scaling: float
) -> torch.Tensor:
    """Attention inside each segment of ``lengths`` patches: [patches, heads, head] three times → the same shape."""
    by_size: dict[int, list[int]] = {}
    start = 0
    for size in lengths:
        by_size.setdefault(size, []).append(start)
        start += size
    parts = (query, key, value)
    if len(by_size) == 1:
        return _equal_segments(*parts, size=lengths[0], scaling=scaling)
    places = [
        (torch.tensor(starts, device=query.device)[:, None] + torch.arange(size, device=query.device)).flatten()
        for size, starts in by_size.items()
    ]
    mixed = [
        _equal_segments(*(part[place] for part in parts), size=size, scaling=scaling)
        for size, place in zip(by_size, places, strict=True)
    ]
    return torch.cat(mixed)[torch.argsort(torch.cat(places))]


def _equal_segments(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *, size: int, scaling: float
) -> torch.Tensor:
    query, key, value = (part.view(-1, size, *part.shape[1:]).transpose(1, 2) for part in (query, key, value))
    if size <= SMALL and query.device.type == "cpu":
        weights = ((query * scaling) @ key.transpose(-1, -2)).softmax(dim=-1, dtype=torch.float32).to(value.dtype)
        mixed = weights @ value
    else:
        mixed = F.scaled_dot_product_attention(query, key, value, scale=scaling)
    return mixed.transpose(1, 2).flatten(0, 1)
