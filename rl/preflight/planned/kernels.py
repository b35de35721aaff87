"""Stand-ins for the two kernels that a rehearsal on the meta device cannot call, with what they hold and compute.

``attention`` keeps for its backward pass what a fused kernel keeps (queries, keys, values, output, one number a row)
and not the matrix of scores, which PyTorch falls back to on the meta device. ``Head`` follows TRL's chunked output
head (trl/kernels/chunked_logprob.py), which never holds all logits; on a CPU it works without Triton, and holds more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.flop_counter import register_flop_formula

# TRL projects tiles of so many tokens by so many vocabulary entries.
HEAD_TOKENS, HEAD_VOCABULARY = 4096, 32768
_PAGE = 4096  # bytes. On a CPU only those pages of a buffer count that are written to.


@torch.library.custom_op("kie_hvqa::attention", mutates_args=())
def attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bias: torch.Tensor | None, seen: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention in which each query sees ``seen`` keys; its output and the log of each row's sum. Meta device only."""
    raise NotImplementedError("this attention has a shape and no values")


@torch.library.custom_op("kie_hvqa::attention_backward", mutates_args=())
def attention_backward(
    gradient: torch.Tensor, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, seen: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The gradients of ``attention`` with respect to query, key and value. Meta device only."""
    raise NotImplementedError("this attention has a shape and no values")


@attention.register_fake
def _(query, key, value, bias, seen):
    return torch.empty_like(query), query.new_empty(query.shape[:-1], dtype=torch.float32)


@attention_backward.register_fake
def _(gradient, query, key, value, seen):
    return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)


def _keep(ctx: Any, inputs: tuple, output: tuple) -> None:
    query, key, value, bias, ctx.seen = inputs
    ctx.save_for_backward(query, key, value, *output, *(() if bias is None else (bias,)))


def _backward(ctx: Any, gradient: torch.Tensor, _: torch.Tensor) -> tuple:
    query, key, value = ctx.saved_tensors[:3]
    return (*attention_backward(gradient, query, key, value, ctx.seen), None, None)


attention.register_autograd(_backward, setup_context=_keep)


@register_flop_formula(torch.ops.kie_hvqa.attention)
def _forward_flops(query_shape, key_shape, value_shape, bias_shape, seen, *args, **kwargs) -> int:
    rows, heads, length, width = query_shape
    return 4 * rows * heads * length * seen * width  # two products, a multiplication and an addition each


@register_flop_formula(torch.ops.kie_hvqa.attention_backward)
def _backward_flops(gradient_shape, query_shape, key_shape, value_shape, seen, *args, **kwargs) -> int:
    rows, heads, length, width = query_shape
    return 10 * rows * heads * length * seen * width  # five products: the scores are computed once more


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    seen: int | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention interface around ``attention``, with the copies that its `sdpa` makes."""
    bias = None
    if attention_mask is not None:
        bias = attention_mask.to(query.dtype)  # a yes-or-no mask becomes one to add
        groups = query.shape[1] // key.shape[1]
        if groups > 1:  # with a mask PyTorch's fused kernels want a key for every query head
            key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    output, _sums = attention(query, key, value, bias, key.shape[2] if seen is None else seen)
    return output.transpose(1, 2).contiguous(), None


class Head(torch.autograd.Function):
    """Log-probabilities of ``hidden`` [N, width] under ``weight`` [vocabulary, width]; [N]."""

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, triton: bool) -> torch.Tensor:
        ctx.save_for_backward(hidden, weight)
        ctx.triton = triton
        buffer = _buffer(hidden, weight, triton)
        for tokens, entries in _tiles(hidden, weight):
            tile = hidden[tokens] @ weight[entries].t()
            work = [] if triton else [_float(hidden, tokens, entries) for _ in range(3)]  # scaled, shifted, weighed
            del tile, work
        del buffer
        return hidden.new_empty(hidden.shape[0], dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None, None]:
        hidden, weight = ctx.saved_tensors
        of_hidden = hidden.new_empty(hidden.shape, dtype=torch.float32) if ctx.needs_input_grad[0] else None
        of_weight = weight.new_empty(weight.shape, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        buffer = _buffer(hidden, weight, ctx.triton)
        for tokens, entries in _tiles(hidden, weight):
            tile = hidden[tokens] @ weight[entries].t()
            work = [] if ctx.triton else [_float(hidden, tokens, entries) for _ in range(6)]
            del work
            if of_hidden is not None:
                tile @ weight[entries]
            if of_weight is not None:
                tile.t() @ hidden[tokens]
            del tile
        del buffer
        return (
            None if of_hidden is None else of_hidden.to(hidden.dtype),
            None if of_weight is None else of_weight.to(weight.dtype),
            None,
        )


def _tiles(hidden: torch.Tensor, weight: torch.Tensor) -> Iterator[tuple[slice, slice]]:
    for first in range(0, hidden.shape[0], HEAD_TOKENS):
        tokens = slice(first, min(first + HEAD_TOKENS, hidden.shape[0]))
        for start in range(0, weight.shape[0], HEAD_VOCABULARY):
            yield tokens, slice(start, min(start + HEAD_VOCABULARY, weight.shape[0]))


def _buffer(hidden: torch.Tensor, weight: torch.Tensor, triton: bool) -> torch.Tensor:
    """The buffer that the tiles are written to, less the tile that the product here allocates in its place."""
    tokens, size = min(hidden.shape[0], HEAD_TOKENS), hidden.dtype.itemsize
    tile = min(weight.shape[0], HEAD_VOCABULARY) * size
    row = HEAD_VOCABULARY * size if triton else -(-tile // _PAGE) * _PAGE
    return hidden.new_empty(tokens * max(0, row - tile), dtype=torch.uint8)


def _float(hidden: torch.Tensor, tokens: slice, entries: slice) -> torch.Tensor:
    return hidden.new_empty(tokens.stop - tokens.start, entries.stop - entries.start, dtype=torch.float32)
