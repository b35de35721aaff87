"""Samples all completions of a batch from one prefill for each distinct prompt.

transformers' ``generate`` runs the prompt once for each of its G completions, copies the growing cache of every row
at every token, and keeps computing rows that have ended. Here the prompt's keys and values exist once: a step reads
them with all of a group's queries in one product, beside each row's own short suffix, under one softmax over both.
Rows that have ended leave the batch. The model's own modules do the rest, so adapters and norms are theirs.

Counted, not timed, for Qwen2.5-VL-7B (57 kB of keys and values a token) and 80 completions of 16 prompts of 1,250 tokens, a
process's generation in its recipe: the prompts' keys and values take 1.1 GB instead of 5.7, prefill reads 20,000 tokens
instead of 100,000. vLLM does as much itself: this is for runs without it (the recipes for one GPU, the demo, every CPU).

It stands in for the loop inside ``generate`` (its ``custom_generate``), so logits processors, stopping criteria and
the prepared inputs are transformers' own. Given the same random state it draws what ``generate`` draws: one
``multinomial`` over the whole batch for each token, rows that have ended included.

Only for decoders with full attention in every layer, see ``can_decode``. ``tests/rl/rollouts/test_decode.py`` compares with
``generate``, and fails if transformers changes what this relies on: that attention takes what the cache's ``update``
returned, and that it finds its function by the name in the configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface, GenerationConfig, PreTrainedModel
from transformers.cache_utils import DynamicCache

ATTENTION = "shared_prefix"
COMPACT_BELOW = 0.85
"""Rows that have ended are dropped once fewer than this share are left: dropping copies the suffixes."""


@dataclass(frozen=True)
class Groups:
    """Which rows share a prompt: ``slots`` int64 [prompts, most rows of one], padded with row 0; ``place`` int64
    [rows], the row's place in the flattened slots."""

    slots: torch.Tensor
    place: torch.Tensor

    @classmethod
    def of(cls, owner: torch.Tensor, prompts: int) -> Groups:
        """``owner`` int64 [rows]: the prompt of each row, in any order."""
        counts = torch.bincount(owner, minlength=prompts)
        order = torch.argsort(owner, stable=True)
        within = torch.arange(len(owner), device=owner.device) - (counts.cumsum(0) - counts)[owner[order]]
        most = int(counts.max())
        slots = torch.zeros(prompts, most, dtype=torch.long, device=owner.device)
        slots[owner[order], within] = order
        place = torch.empty_like(owner)
        place[order] = owner[order] * most + within
        return cls(slots, place)


class Layer:
    """Keys and values of one layer: ``prefix`` [prompts, kv heads, P, head] and a suffix [rows, kv heads, C, head]."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        self.prefix_keys = keys.transpose(2, 3).contiguous()
        self.prefix_values = values
        self.keys = self.values = keys.new_empty(0)

    def reserve(self, rows: int, length: int) -> None:
        _, heads, _, width = self.prefix_values.shape
        self.keys = self.prefix_values.new_empty(rows, heads, length, width)
        self.values = torch.empty_like(self.keys)

    def keep(self, rows: torch.Tensor, length: int) -> None:
        kept = self.keys.new_empty(len(rows), *self.keys.shape[1:])
        for name in ("keys", "values"):
            old, new = getattr(self, name), torch.empty_like(kept)
            new[:, :, :length] = old[rows, :, :length]
            setattr(self, name, new)

    def keep_prompts(self, prompts: torch.Tensor) -> None:
        self.prefix_keys = self.prefix_keys[prompts]
        self.prefix_values = self.prefix_values[prompts]


class SharedCache:
    """What the attention modules take for a cache: it stores a token's keys and values and returns the layer."""

    is_compileable = False

    def __init__(self, prefilled: DynamicCache, mask: torch.Tensor, owner: torch.Tensor, length: int) -> None:
        self.layers = [Layer(layer.keys, layer.values) for layer in prefilled.layers]
        dtype = self.layers[0].prefix_values.dtype
        bias = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
        self.bias = bias.masked_fill(mask == 0, torch.finfo(dtype).min)[:, None, None]
        self.owner = owner
        self.groups = Groups.of(owner, len(mask))
        self.length = 0
        for layer in self.layers:
            layer.reserve(len(owner), length)

    def update(self, keys: torch.Tensor, values: torch.Tensor, layer_idx: int, *args: Any, **kwargs: Any) -> Any:
        layer = self.layers[layer_idx]
        layer.keys[:, :, self.length] = keys[:, :, 0]
        layer.values[:, :, self.length] = values[:, :, 0]
        return self, layer

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self.layers[0].prefix_values.shape[2] + self.length

    def keep(self, rows: torch.Tensor) -> None:
        """Drop all rows but these (int64, ascending), and prompts that have none left."""
        owner = self.owner[rows]
        prompts, self.owner = torch.unique(owner, return_inverse=True)
        fewer = len(prompts) < len(self.bias)
        for layer in self.layers:
            layer.keep(rows, self.length)
            if fewer:
                layer.keep_prompts(prompts)
        if fewer:
            self.bias = self.bias[prompts]
        self.groups = Groups.of(self.owner, len(prompts))


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    cache: Any,
    layer: Any,
    attention_mask: torch.Tensor | None,
    scaling: float,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """One token's attention over its prompt and its own suffix: ``query`` [rows, heads, 1, head] → [rows, 1, heads, head]."""
    rows, heads, _, width = query.shape
    kv_heads = layer.prefix_values.shape[1]
    repeats = heads // kv_heads
    query = (query * scaling).view(rows, kv_heads, repeats, width)
    slots, place = cache.groups.slots, cache.groups.place
    prompts, most = slots.shape
    length = cache.length + 1

    grouped = query[slots.view(-1)].view(prompts, most, kv_heads, repeats, width).transpose(1, 2)
    to_prefix = grouped.reshape(prompts, kv_heads, most * repeats, width) @ layer.prefix_keys + cache.bias
    to_prefix = to_prefix.view(prompts, kv_heads, most, repeats, -1).transpose(1, 2).flatten(0, 1)[place]
    to_suffix = query @ layer.keys[:, :, :length].transpose(2, 3)

    weights = torch.cat([to_prefix, to_suffix], dim=-1).softmax(dim=-1, dtype=torch.float32).to(query.dtype)
    prefix = weights.shape[-1] - length
    on_prefix = weights[..., :prefix][slots.view(-1)].view(prompts, most, kv_heads, repeats, prefix).transpose(1, 2)
    from_prefix = on_prefix.reshape(prompts, kv_heads, most * repeats, prefix) @ layer.prefix_values
    from_prefix = from_prefix.view(prompts, kv_heads, most, repeats, width).transpose(1, 2).flatten(0, 1)[place]
    mixed = from_prefix + weights[..., prefix:] @ layer.values[:, :, :length]
    return mixed.reshape(rows, 1, heads, width), None


AttentionInterface.register(ATTENTION, attend)


def can_decode(model: PreTrainedModel, config: GenerationConfig) -> bool:
    """Whether ``decode`` can stand in for ``generate`` on this model and this (TRL's) generation configuration."""
    text = model.config.get_text_config()
    return (
        config.num_beams in (None, 1)
        and config.cache_implementation is None  # another kind of cache was asked for
        and config.repetition_penalty in (None, 1.0)  # its processor keeps something for each prompt row
        and getattr(model.model, "language_model", None) is not None
        and set(getattr(text, "layer_types", None) or ["full_attention"]) == {"full_attention"}
    )


@contextmanager
def generating(model: PreTrainedModel, owner: Sequence[int] | None, seen: dict[str, Any]) -> Iterator[None]:
    """While it lasts, ``model.generate`` sees ``seen`` in place of its pixels; and with ``owner`` it takes the distinct
    prompts and returns a sequence for each row in ``owner``, the number of its prompt."""
    generate = model.generate
    more: dict[str, Any] = {} if owner is None else {"custom_generate": decode, "owner": list(owner)}

    def with_features(**inputs: Any) -> Any:
        inputs = {name: value for name, value in inputs.items() if name not in ("pixel_values", "image_grid_thw")}
        return generate(**inputs, **seen, **more)

    model.generate = with_features  # type: ignore[method-assign]
    try:
        yield
    finally:
        del model.generate


@contextmanager
def _shared_attention(language: PreTrainedModel) -> Iterator[None]:
    before = language.config._attn_implementation
    language.config._attn_implementation = ATTENTION
    try:
        yield
    finally:
        language.config._attn_implementation = before


@torch.no_grad()
def decode(
    model: PreTrainedModel,
    input_ids: torch.Tensor,
    logits_processor: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    stopping_criteria: Any,
    generation_config: GenerationConfig,
    owner: Sequence[int],
    **model_kwargs: Any,
) -> torch.Tensor:
    """Prompt and completion of every row, int64 [rows, P + longest completion], padded on both sides.

    ``input_ids`` int64 [prompts, P] are the distinct prompts, padded on the left; ``owner`` names the prompt of each
    row. The rest is what ``generate`` hands its decoding loops.
    """
    device = input_ids.device
    prompt_length = input_ids.shape[1]
    longest = stopping_criteria.max_length - prompt_length
    pad_token = generation_config.pad_token_id
    rows = torch.tensor(owner, device=device)
    mask = model_kwargs.get("attention_mask")
    prefill = model(input_ids=input_ids, **model_kwargs, return_dict=True)
    logits = prefill.logits[:, -1][rows].float()
    next_position = model_kwargs["position_ids"][1:].amax(dim=(0, 2))[rows] + 1
    shared = SharedCache(prefill.past_key_values, torch.ones_like(input_ids) if mask is None else mask, rows, longest)
    tokens = torch.full((len(rows), prompt_length + longest), pad_token, device=device)
    tokens[:, :prompt_length] = input_ids[rows]
    active = torch.arange(len(rows), device=device)
    finished = torch.zeros(len(rows), dtype=torch.bool, device=device)
    # A row that has ended is drawn for all the same, so that the random stream is that of a whole batch.
    scores = torch.zeros(len(rows), logits.shape[-1], device=device)
    language = model.model.language_model

    with _shared_attention(language):
        for end in range(prompt_length + 1, prompt_length + longest + 1):
            scores[active] = logits_processor(tokens[active, : end - 1], logits)
            if generation_config.do_sample:
                drawn = torch.multinomial(scores.softmax(dim=-1), num_samples=1).squeeze(1)
            else:
                drawn = scores.argmax(dim=-1)
            tokens[:, end - 1] = drawn.masked_fill(finished, pad_token)
            finished |= stopping_criteria(tokens[:, :end], None)
            left = torch.nonzero(~finished[active]).squeeze(1)
            if not len(left):
                break
            if len(left) < COMPACT_BELOW * len(active):
                shared.keep(left)
                active = active[left]
            hidden = language(
                inputs_embeds=model.get_input_embeddings()(tokens[active, end - 1 : end]),
                position_ids=(next_position[active] + shared.length).expand(3, -1)[:, :, None],
                attention_mask=None,  # there is no mask for a kind of attention that transformers does not know
                past_key_values=shared,
                use_cache=True,
            ).last_hidden_state
            shared.length += 1
            logits = model.lm_head(hidden[:, -1]).float()
    return tokens[:, :end]
