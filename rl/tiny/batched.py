"""The tiny reader's forward pass over a batch of equally sized pages, for base training only.

transformers' vision tower packs all images into one sequence and loops over them in Python for attention; a
question's conversation repeats its image. On a CPU both cost more than the arithmetic. Here pages of one size
are a real batch dimension, and all questions about a page share one image prefix in one sequence under a block
mask. The numbers are transformers' own to rounding: ``tests/rl/tiny/test_batched.py`` holds the two side by side.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from transformers import Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb_vision
from transformers.models.qwen2_vl.image_processing_qwen2_vl import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from transformers.vision_utils import get_vision_position_ids, get_vision_window_index


def patchify(pages: torch.Tensor, patch: int, merge: int) -> torch.Tensor:
    """Pages uint8 [B, H, W, 3] → float32 patches [B, N, 3·2·patch·patch] in the processor's order.

    H and W are multiples of patch × merge. The temporal axis repeats the page, as the processor does.
    """
    batch, height, width, _ = pages.shape
    mean = torch.tensor(OPENAI_CLIP_MEAN) * 255
    std = torch.tensor(OPENAI_CLIP_STD) * 255
    pixels = (pages.float() - mean) / std
    rows, columns = height // (patch * merge), width // (patch * merge)
    pixels = pixels.view(batch, rows, merge, patch, columns, merge, patch, 3)
    pixels = pixels.permute(0, 1, 4, 2, 5, 7, 3, 6).unsqueeze(6).expand(-1, -1, -1, -1, -1, -1, 2, -1, -1)
    return pixels.reshape(batch, rows * columns * merge * merge, 3 * 2 * patch * patch)


@dataclass(frozen=True)
class PageGrid:
    """Where the patches of a page of one size stand: computed once a size, then shared by every batch.

    ``patch_order`` int64 [N] puts patches in window order, windows of one size together; ``token_undo`` int64 [T]
    puts merged tokens back row by row. ``windows`` lists (count, patches) of each run of equal windows. ``cos`` and
    ``sin`` [N, head] are the rotary embedding in window order.
    """

    patch_order: torch.Tensor
    token_undo: torch.Tensor
    windows: tuple[tuple[int, int], ...]
    cos: torch.Tensor
    sin: torch.Tensor


def page_grid(model: Qwen2_5_VLForConditionalGeneration, height: int, width: int) -> PageGrid:
    """The grid of a page of ``width`` × ``height`` pixels under the model's patches and windows."""
    visual = model.model.visual
    config = visual.config
    unit = config.spatial_merge_size**2
    grid = torch.tensor([[1, height // config.patch_size, width // config.patch_size]])
    token_order, bounds = get_vision_window_index(
        grid,
        spatial_merge_size=config.spatial_merge_size,
        window_size=config.window_size,
        patch_size=config.patch_size,
    )
    by_size: dict[int, list[torch.Tensor]] = {}
    for start, end in zip((bounds[:-1] // unit).tolist(), (bounds[1:] // unit).tolist(), strict=True):
        by_size.setdefault((end - start) * unit, []).append(token_order[start:end])
    windows = tuple((len(members), size) for size, members in by_size.items())
    tokens = torch.cat([member for members in by_size.values() for member in members])
    patches = (tokens[:, None] * unit + torch.arange(unit)).flatten()
    cos, sin = visual.rotary_pos_emb(torch.zeros(1), get_vision_position_ids(grid, config.spatial_merge_size))
    return PageGrid(patches, torch.argsort(tokens), windows, cos[patches], sin[patches])


def encode_pages(model: Qwen2_5_VLForConditionalGeneration, pages: torch.Tensor, grid: PageGrid) -> torch.Tensor:
    """Pages uint8 [B, H, W, 3] → merged visual tokens [B, T, text hidden], row by row over the page."""
    visual = model.model.visual
    config = visual.config
    patches = patchify(pages, config.patch_size, config.spatial_merge_size)[:, grid.patch_order]
    hidden = F.linear(patches, visual.patch_embed.proj.weight.flatten(1))
    for index, block in enumerate(visual.blocks):
        windows = None if index in config.fullatt_block_indexes else grid.windows
        hidden = hidden + _attend(block.attn, block.norm1(hidden), grid, windows)
        hidden = hidden + block.mlp(block.norm2(hidden))
    merger = visual.merger
    merged = merger.ln_q(hidden).view(hidden.shape[0], -1, hidden.shape[-1] * config.spatial_merge_size**2)
    return merger.mlp(merged)[:, grid.token_undo]


def _attend(
    attention, hidden: torch.Tensor, grid: PageGrid, windows: tuple[tuple[int, int], ...] | None
) -> torch.Tensor:
    batch, length, width = hidden.shape
    qkv = attention.qkv(hidden).view(batch, length, 3, attention.num_heads, -1)
    query, key, value = qkv.unbind(2)
    query, key = apply_rotary_pos_emb_vision(query, key, grid.cos, grid.sin)
    query, key = query.to(value.dtype), key.to(value.dtype)
    if windows is None:
        mixed = F.scaled_dot_product_attention(*(part.transpose(1, 2) for part in (query, key, value)))
        return attention.proj(mixed.transpose(1, 2).reshape(batch, length, width))
    parts, start = [], 0
    for count, size in windows:
        end = start + count * size
        q, k, v = (
            part[:, start:end].unflatten(1, (count, size)).transpose(2, 3) for part in (query, key, value)
        )  # [B, windows, heads, size, head]
        # Plain products: on a CPU the fused kernel's backward pass costs six times as much at this size.
        weights = torch.softmax(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5, dim=-1).to(v.dtype)
        parts.append((weights @ v).transpose(2, 3).reshape(batch, count * size, width))
        start = end
    return attention.proj(torch.cat(parts, dim=1))


@dataclass(frozen=True)
class Packed:
    """All conversations about each page of a batch, sharing the page's prefix.

    ``tokens`` int64 [B, L] (image placeholders included), ``labels`` int64 [B, L] with −100 where no loss is due,
    ``positions`` int64 [3, B, L] (M-RoPE), ``segment`` int64 [B, L] (0 for what all share, then the conversation's number,
    −1 for padding), ``image_start`` index of the first placeholder.
    """

    tokens: torch.Tensor
    labels: torch.Tensor
    positions: torch.Tensor
    segment: torch.Tensor
    image_start: int

    @property
    def allowed(self) -> torch.Tensor:
        """Which position sees which: bool [B, 1, L, L]."""
        order = torch.arange(self.tokens.shape[1], device=self.tokens.device)
        causal = order[:, None] >= order[None, :]
        same = self.segment[:, :, None] == self.segment[:, None, :]
        common = self.segment[:, None, :] == 0
        return (causal & (same | common))[:, None]

    def to(self, device: torch.device | str) -> Packed:
        tokens, labels, positions, segment = (
            part.to(device, non_blocking=True) for part in (self.tokens, self.labels, self.positions, self.segment)
        )
        return Packed(tokens, labels, positions, segment, self.image_start)


def pack(
    conversations: list[list[tuple[list[int], list[int]]]],
    *,
    prefix: list[int],
    image_token: int,
    pad_token: int,
    rows: int,
    columns: int,
) -> Packed:
    """Pack, for each page, its (question ids, answer ids) pairs behind ``prefix`` and rows × columns placeholders.

    Every pair sees the prefix, the page and itself, at the positions that it would have alone.
    """
    visual = rows * columns
    shared = len(prefix) + visual
    longest = max(sum(len(q) + len(a) for q, a in pairs) for pairs in conversations)
    batch, length = len(conversations), shared + longest
    tokens = torch.full((batch, length), pad_token)
    labels = torch.full((batch, length), -100)
    segment = torch.full((batch, length), -1)
    positions = torch.zeros(3, batch, length, dtype=torch.long)

    tokens[:, : len(prefix)] = torch.tensor(prefix)
    tokens[:, len(prefix) : shared] = image_token
    segment[:, :shared] = 0
    positions[:, :, : len(prefix)] = torch.arange(len(prefix))
    start = len(prefix)
    cells = torch.arange(visual)
    positions[0, :, start:shared] = start
    positions[1, :, start:shared] = start + cells // columns
    positions[2, :, start:shared] = start + cells % columns
    text_start = start + max(rows, columns)

    for index, pairs in enumerate(conversations):
        at = shared
        for number, (question, answer) in enumerate(pairs, start=1):
            size = len(question) + len(answer)
            tokens[index, at : at + size] = torch.tensor(question + answer)
            labels[index, at + len(question) : at + size] = torch.tensor(answer)
            segment[index, at : at + size] = number
            positions[:, index, at : at + size] = text_start + torch.arange(size)
            at += size

    return Packed(tokens, labels, positions, segment, start)


def language_forward(
    model: Qwen2_5_VLForConditionalGeneration, packed: Packed, visual_tokens: torch.Tensor
) -> torch.Tensor:
    """Hidden states [B, L, text hidden] of the packed conversations over their pages' visual tokens."""
    language = model.model.language_model
    embedded = language.embed_tokens(packed.tokens)
    end = packed.image_start + visual_tokens.shape[1]
    embedded = torch.cat(
        [embedded[:, : packed.image_start], visual_tokens.to(embedded.dtype), embedded[:, end:]], dim=1
    )
    allowed = packed.allowed
    mask = torch.zeros(allowed.shape, dtype=embedded.dtype).masked_fill(~allowed, torch.finfo(embedded.dtype).min)
    return language(
        inputs_embeds=embedded, position_ids=packed.positions, attention_mask=mask, use_cache=False
    ).last_hidden_state
