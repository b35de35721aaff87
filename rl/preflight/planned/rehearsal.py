"""One training step of the real model on PyTorch's meta device: what it would hold in memory, and how much it computes.

Nothing is allocated, so a 7B model is rehearsed on a laptop in seconds. The layers are transformers' own, so that the
answer follows the model and not a formula about models; ``kernels`` stands in for attention and the output head.
Layers repeat: a deep tower is rehearsed two and three layers deep, and each further layer adds what the third one did; where
kinds of layers take turns (Qwen3.5), one and two turns deep. Its recurrent layers are rehearsed in transformers' own code, which
holds more than the kernels of flash-linear-attention that run where those are installed.
Weights, their gradients and the optimiser are not counted here (``states``), only what a step adds to them.
Held against processes on a CPU (docs/launching.md): within 1 % for the embedded reader, +10 % for 100 M parameters, and 12 to 23 %
too low for those where activations are checkpointed.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry
from transformers import AttentionInterface, AutoModelForImageTextToText, PreTrainedConfig, PreTrainedModel

from rl.families import family_of
from rl.preflight.planned.kernels import Head, attend

_META = torch.device("meta")
_ATTENTION = "rehearsed"
_SHALLOW = 4  # layers: a tower of so many is rehearsed whole
_RECURRENT = "linear_attention"


@dataclass(frozen=True)
class Work:
    """What one piece of a step adds: the most bytes that it holds at once, and its floating-point operations."""

    peak: int
    flops: int


@dataclass(frozen=True)
class Micro:
    """The shape of one micro-batch: ``rows`` sequences of ``length`` tokens, of which the output head scores
    ``scored``; each row shows one image of ``patches`` patches (before merging).
    """

    rows: int
    length: int
    scored: int
    patches: int


def meta_model(config: PreTrainedConfig, dtype: torch.dtype) -> PreTrainedModel:
    """The architecture that ``config`` describes, with weights that have a shape and no values."""
    with _META:
        model = AutoModelForImageTextToText.from_config(config, dtype=dtype)
    AttentionInterface.register(_ATTENTION, attend)
    model.set_attn_implementation(_ATTENTION)
    return model.train()


class Rehearsal:
    """Rehearses pieces of a step of ``model`` (from ``meta_model``, frozen and adapted as it will be trained).

    ``triton`` says whether TRL's output head will run as its GPU kernel or in the slower form of a CPU.
    """

    def __init__(self, model: Any, *, checkpointed: bool, triton: bool) -> None:
        base: Any = model.get_base_model() if hasattr(model, "get_base_model") else model
        family = family_of(base.config)
        assert family is not None  # without one there is no plan (``rl.preflight.planned.plan``)
        self._family = family
        self.visual: Any = family.tower(base)
        self.text = base.model.language_model
        self.head = base.get_output_embeddings()
        self.dtype: torch.dtype = self.head.weight.dtype
        self._layers: Any = self.text.layers
        self._blocks: Any = self.visual.blocks
        self._kinds: list[str] = list(getattr(self.text.config, "layer_types", None) or [])
        self._checkpointed = checkpointed
        self._triton = triton
        self._parameters = list(base.parameters())
        self._held = [*self._parameters, *base.buffers()]

    @property
    def trains_vision(self) -> bool:
        return any(parameter.requires_grad for parameter in self.visual.parameters())

    def train(self, micro: Micro) -> Work:
        """Forward and backward of one micro-batch through both towers."""
        return self._whole(lambda: self._train(micro), gradients=True)

    def score(self, micro: Micro) -> Work:
        """A forward pass alone, as for the log-probabilities of a finished completion."""
        return self._whole(lambda: self._score(micro), gradients=False)

    def prefill(self, micro: Micro) -> Work:
        """What generation does with the prompts before the first token; the key-value cache is not in it."""
        return self._whole(lambda: self._prefill(micro), gradients=False)

    def cache_bytes(self, rows: int, length: int) -> int:
        """What generation keeps of ``rows`` sequences of ``length`` tokens: keys and values, and of a recurrent layer its
        state (float32) and what its convolution looks back at."""
        text = self.text.config
        width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        recurrent = self._kinds.count(_RECURRENT)
        attending = text.num_hidden_layers - recurrent
        kept = 2 * rows * length * attending * text.num_key_value_heads * width * self.dtype.itemsize
        if recurrent:
            values = text.linear_num_value_heads * text.linear_value_head_dim
            mixed = 2 * text.linear_num_key_heads * text.linear_key_head_dim + values
            state = 4 * values * text.linear_key_head_dim
            kept += rows * recurrent * (state + mixed * text.linear_conv_kernel_dim * self.dtype.itemsize)
        return kept

    def pixel_bytes(self, patches: int) -> int:
        """The processor's pixels, float32 whatever the model is."""
        return 4 * patches * self._patch_width

    @property
    def _patch_width(self) -> int:
        vision = self.visual.config
        return vision.in_channels * vision.temporal_patch_size * vision.patch_size**2

    def _train(self, micro: Micro) -> None:
        self._scores(micro, self._look(micro, gradients=self.trains_vision)).sum().backward()

    @torch.no_grad()
    def _score(self, micro: Micro) -> None:
        self._scores(micro, self._look(micro, gradients=False))

    @torch.no_grad()
    def _prefill(self, micro: Micro) -> None:
        hidden = self._read(micro, self._look(micro, gradients=False))
        self.head(hidden[:, -1:]).float().softmax(-1)

    def _look(self, micro: Micro, *, gradients: bool) -> torch.Tensor:
        """Every row's image through the vision tower: [rows × merged tokens, width of the language model]."""
        vision = self.visual.config
        patches = micro.rows * micro.patches
        # Windows change what attention computes, not what is held: each block here sees the mean over all blocks.
        seen = self._family.plan(vision, micro.patches)
        bounds = torch.tensor([0, patches])
        with nullcontext() if gradients else torch.no_grad():
            hidden = self.visual.patch_embed(torch.empty(patches, self._patch_width, device=_META).to(self.dtype))
            turn = torch.empty(patches, hidden.shape[-1] // vision.num_heads, device=_META)
            for block in self.visual.blocks:
                hidden = block(
                    hidden, cu_seqlens=bounds, max_seqlen=micro.patches, position_embeddings=(turn, turn), seen=seen
                )
            return self.visual.merger(hidden)

    def _read(self, micro: Micro, seen: torch.Tensor) -> torch.Tensor:
        """The language model over text in which the images' places hold ``seen``: [rows, length, width]."""
        embedded = self.text.embed_tokens(torch.empty(micro.rows, micro.length, dtype=torch.long, device=_META))
        place = torch.empty(embedded.shape, dtype=torch.bool, device=_META)
        mask: Any = torch.empty(micro.rows, 1, micro.length, micro.length, dtype=torch.bool, device=_META)
        if _RECURRENT in self._kinds:
            padding = torch.empty(micro.rows, micro.length, dtype=torch.long, device=_META)
            mask = {"full_attention": mask, _RECURRENT: padding}
        return self.text(
            inputs_embeds=embedded.masked_scatter(place, seen),
            attention_mask=mask,
            position_ids=torch.empty(3, micro.rows, micro.length, dtype=torch.long, device=_META),
            use_cache=False,
        ).last_hidden_state

    def _scores(self, micro: Micro, seen: torch.Tensor) -> torch.Tensor:
        hidden = self._read(micro, seen)
        # The GPU kernel scores the positions that the loss counts, the form for a CPU all of them.
        scored = hidden[:, -micro.scored :] if self._triton else hidden[:, :-1]
        return Head.apply(scored.reshape(-1, hidden.shape[-1]), self.head.weight, self._triton)

    def _whole(self, piece: Callable[[], None], *, gradients: bool) -> Work:
        """``piece`` at the depth of the real towers, from what it takes two and three layers deep."""
        text, vision = len(self._layers), len(self._blocks)
        if max(text, vision) <= _SHALLOW:
            return self._at(text, vision, piece, gradients)
        turn = _turn(self._kinds)
        text_base, vision_base = min(max(2, turn), text), min(2, vision)
        base = self._at(text_base, vision_base, piece, gradients)
        peak, flops = base.peak, base.flops
        for deeper, added, left in (
            ((min(text_base + turn, text), vision_base), min(turn, text - text_base), text - text_base),
            ((text_base, vision_base + 1), 1, vision - vision_base),
        ):
            if left:
                more = self._at(*deeper, piece, gradients)
                peak += left * (more.peak - base.peak) // added
                flops += left * (more.flops - base.flops) // added
        return Work(peak, flops)

    def _at(self, layers: int, blocks: int, piece: Callable[[], None], gradients: bool) -> Work:
        self.text.layers, self.visual.blocks = self._layers[:layers], self._blocks[:blocks]
        # A weight's gradient belongs to the model states: it counts while it is made, and goes when it is done.
        trained = [parameter for parameter in self._parameters if gradients and parameter.requires_grad]
        hooks = [parameter.register_post_accumulate_grad_hook(_forget) for parameter in trained]
        towers = (self.visual, self.text) if gradients and self._checkpointed else ()
        for tower in towers:
            tower.activation_checkpointing_enable({"use_reentrant": False, "preserve_rng_state": False})
        try:
            with Meter(self._held) as meter:
                piece()
            return Work(meter.peak, meter.flops)
        finally:
            for tower in towers:
                tower.activation_checkpointing_disable()
            for hook in hooks:
                hook.remove()
            self.text.layers, self.visual.blocks = self._layers, self._blocks


def _turn(kinds: list[str]) -> int:
    """After how many layers their kinds begin anew."""
    for turn in range(1, len(kinds)):
        if all(kind == kinds[index % turn] for index, kind in enumerate(kinds)):
            return turn
    return max(1, len(kinds))


class Meter(TorchDispatchMode):
    """The bytes of a ``device``'s tensors that are alive, the most that ever were, and the operations; ``held`` are free.

    torch's own FlopCounterMode follows modules too, and what it notes of them keeps activations alive.
    """

    def __init__(self, held: Iterable[torch.Tensor], device: torch.device = _META) -> None:
        super().__init__()
        self._device = device
        self.now = self.peak = self.flops = 0
        self._held = {tensor.untyped_storage()._cdata for tensor in held}
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **(kwargs or {}), out_val=result)
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and leaf.device == self._device:
                self._meet(leaf.untyped_storage())
        return result

    def _meet(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._sizes or key in self._held:
            return
        self._sizes[key] = size
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._part, key).atexit = False

    def _part(self, key: int) -> None:
        self.now -= self._sizes.pop(key)


def _forget(parameter: torch.Tensor) -> None:
    parameter.grad = None
