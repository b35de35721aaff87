"""TRL's GRPOTrainer with the work that a group's completions share done once.

Everything that knows TRL's internals for the sake of speed is here, in four overrides: prompts are tokenised and
images processed once for each distinct prompt, not for each completion; handles stand for pixels (``features``); a
group is sampled from one prefill (``decode``); the loss pass reads a prompt once (``packing``). Each has a switch in
the recipe (``Sharing``), and each steps aside for what it does not cover (vLLM, another kind of attention, several
images a prompt), so that TRL's own code runs.

``tests/rl/sharing/test_sharing.py`` compares losses with plain TRL, and fails when the signature of anything overridden here
changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedModel
from trl import GRPOTrainer

from rl.rollouts.decode import can_decode, group_generation
from rl.sharing.packing import can_pack, pack, packed_inputs, prompts_of, same_prompts
from rl.sharing.prompts import VISUAL, KnownPrompts, Tokenised, distinct_prompts, first_of_each
from rl.tower.features import FeatureStore, read_handles


class Scored(NamedTuple):
    """Of every completion token [B, C]: its log-probability, and the entropy of the distribution it was drawn from."""

    log_probs: torch.Tensor
    entropy: torch.Tensor | None


class SharingGRPOTrainer(GRPOTrainer):
    """``store`` None encodes images as TRL does; ``share_prompts`` and ``share_generation`` switch the other two."""

    def __init__(
        self,
        *args: Any,
        store: FeatureStore | None = None,
        share_prompts: bool = True,
        share_generation: bool = True,
        **kwargs: Any,
    ) -> None:
        self._store = store
        self._share_prompts = share_prompts
        self._share_generation = share_generation
        self._tokenised: Tokenised | None = None
        super().__init__(*args, **kwargs)
        if store is not None:
            read_handles(self._base(self.model), store)
            if self.ref_model is not None:  # its tower is the same one, frozen
                read_handles(self._base(self.ref_model), store)

    def _base(self, model: Any) -> PreTrainedModel:
        unwrapped = self.accelerator.unwrap_model(model)
        return unwrapped.get_base_model() if hasattr(unwrapped, "get_base_model") else unwrapped

    # --- prompts and images, once for each distinct prompt

    def _tokenize_prompts(self, prompts: list) -> tuple[list[list[int]], list[Any] | None, dict[str, Any]]:
        self._tokenised = None
        if not self._share_prompts and self._store is None:
            return super()._tokenize_prompts(prompts)
        distinct, owner, keys = distinct_prompts(prompts)
        if any(len(images) != 1 for images in keys):
            return super()._tokenize_prompts(prompts)
        prompt_ids, images, fields = super()._tokenize_prompts([prompts[index] for index in distinct])
        grids = torch.as_tensor(fields["image_grid_thw"])
        pixels: Sequence[torch.Tensor] = torch.as_tensor(fields["pixel_values"]).split(grids.prod(-1).tolist())
        if self._store is not None:
            pixels = self._store.handles([images[0] for images in keys], pixels, grids)
        fields = {
            **{name: [values[index] for index in owner] for name, values in fields.items() if name not in VISUAL},
            "pixel_values": torch.cat([pixels[index] for index in owner]),
            "image_grid_thw": grids[owner],
        }
        assert images is not None
        images = [images[index] for index in owner]
        self._tokenised = Tokenised(owner, images, fields)
        return [prompt_ids[index] for index in owner], images, fields

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        processor = self.processing_class  # type: ignore[has-type]
        self.processing_class = KnownPrompts(processor, lambda: self._tokenised)
        try:
            return super()._generate_and_score_completions(inputs)
        finally:
            self.processing_class = processor

    # --- generation

    def _generate_single_turn(
        self,
        prompt_ids: list[list[int]],
        images: list[Any] | None,
        multimodal_fields: dict[str, Any],
        num_generations: int,
        has_tool_images: bool = False,
    ) -> tuple[list[list[int]], Any]:
        rest = (num_generations, has_tool_images)
        tokenised = self._tokenised
        if (
            not self._share_generation
            or tokenised is None
            or self.use_vllm
            or self.use_transformers_continuous_batching
            or (self._dist.is_zero3 and not self.args.ds3_gather_for_generation)
            or not can_decode(self._base(self.model_wrapped), self.generation_config)
        ):
            return super()._generate_single_turn(prompt_ids, images, multimodal_fields, *rest)
        first = first_of_each(tokenised.owner)
        grids = multimodal_fields["image_grid_thw"]
        pixels = multimodal_fields["pixel_values"].split(grids.prod(-1).tolist())
        fields: dict[str, Any] = {
            name: [values[row] for row in first] for name, values in multimodal_fields.items() if name not in VISUAL
        }
        fields |= {"pixel_values": torch.cat([pixels[row] for row in first]), "image_grid_thw": grids[first]}
        with self.accelerator.autocast(), group_generation(self._base(self.model_wrapped), tokenised.owner):
            return super()._generate_single_turn([prompt_ids[row] for row in first], images, fields, *rest)

    # --- the loss pass

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        pixel_values: torch.Tensor | None = None,
        image_grid_thw: torch.Tensor | None = None,
        num_images: list[int] | None = None,
        mm_token_type_ids: torch.Tensor | None = None,
        **others: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        visual = {
            "pixel_values": pixel_values,
            "image_grid_thw": image_grid_thw,
            "num_images": num_images,
            "mm_token_type_ids": mm_token_type_ids,
        }
        flags = {"compute_entropy": compute_entropy, "compute_aux_loss": compute_aux_loss}
        if (
            not self._share_prompts
            or compute_aux_loss
            or num_images is None
            or image_grid_thw is None
            or mm_token_type_ids is None
            or any(count != 1 for count in num_images)
            or any(value is not None for value in others.values())
            or not can_pack(self._base(model))
        ):
            return super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, batch_size, **flags, **visual, **others
            )
        assert pixel_values is not None
        pixels = pixel_values.split(image_grid_thw.prod(-1).tolist())
        logps: list[torch.Tensor] = []
        entropies: list[Any] = []
        step = batch_size or len(input_ids)
        for start in range(0, len(input_ids), step):
            part = slice(start, start + step)
            each = self._packed_logps(
                model,
                compute_entropy,
                input_ids[part],
                attention_mask[part],
                logits_to_keep,
                mm_token_type_ids[part],
                pixels[part],
                image_grid_thw[part],
            )
            logps.append(each.log_probs)
            entropies.append(each.entropy)
        return torch.cat(logps), torch.cat(entropies) if compute_entropy else None, None

    def _packed_logps(
        self,
        model: Any,
        compute_entropy: bool,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        width: int,
        types: torch.Tensor,
        pixels: Sequence[torch.Tensor],
        grids: torch.Tensor,
    ) -> Scored:
        base = self._base(model)
        split = input_ids.shape[1] - width
        owner, first = same_prompts(input_ids[:, :split], attention_mask[:, :split], pixels)
        prompts = prompts_of(
            base, input_ids[:, :split], attention_mask[:, :split], types[:, :split], grids, owner, first
        )
        lengths = attention_mask[:, split:].sum(-1).tolist()
        packed = pack(
            prompts,
            [row[split : split + length] for row, length in zip(input_ids, lengths, strict=True)],
            width,
            pad_token=self._tokenizer.pad_token_id,
        )
        with self.accelerator.autocast():
            outputs = model(**packed_inputs(packed, [pixels[row] for row in first], grids[list(first)]))
        # A reference model's head computes no entropy.
        entropy = packed.per_completion(outputs.entropy) if compute_entropy else None
        return Scored(packed.per_completion(outputs.log_probs), entropy)
