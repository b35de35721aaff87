"""From questions and pages to what ``generate`` takes; a page that several questions ask about is encoded once.

The vision tower is most of the work of a short answer, and a document has many fields. So a batch goes in as its
distinct images and, per question, the number of its image. Preprocessing and encoding see each image once; the features
are then handed to every question through ``mm_encoder_outputs``, which is ``generate``'s own argument for features that
are already there. Families whose processors cannot be taken apart like that (no ``image_grid_thw``) get every image as
often as it is asked about: the same answers, more work.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

if TYPE_CHECKING:
    from PIL.Image import Image


class Encoded(NamedTuple):
    """Images as the model takes them: the processor's output, and what the vision tower made of it."""

    pages: Any
    features: Any


def encode(model: Any, processor: Any, images: Sequence[Image], *, resize: bool) -> Encoded | None:
    """``images`` (distinct) through the vision tower; None for a family that does not take features that are already there."""
    if not _takes_features(model, processor):
        return None
    pages = processor.image_processor(images=list(images), return_tensors="pt", **_sizes(resize))
    features = model.base_model.get_image_features(
        pages["pixel_values"].to(model.device),
        image_grid_thw=pages["image_grid_thw"].to(model.device),
        return_dict=True,
    )
    return Encoded(pages, features)


def _sizes(resize: bool) -> dict[str, Any]:
    return {} if resize else {"do_resize": False}


def model_inputs(
    model: Any,
    processor: Any,
    texts: Sequence[str],
    images: Sequence[Image],
    owners: Sequence[int],
    *,
    resize: bool,
    encoded: Encoded | None = None,
) -> dict[str, Any]:
    """Arguments of ``model.generate`` for one batch, padded on the left, on the model's device.

    ``texts`` are templated prompts with one image placeholder each, ``images`` the distinct images, ``owners`` the index
    of each text's image. ``resize`` lets the processor resize; without, the images have their final size. ``encoded`` is what
    ``encode`` made of the same images before.
    """
    encoded = encoded or encode(model, processor, images, resize=resize)
    if encoded is None:
        inputs = processor(
            text=list(texts),
            images=[images[owner] for owner in owners],
            padding=True,
            padding_side="left",
            return_tensors="pt",
            **_sizes(resize),
        )
        return dict(inputs.to(model.device))
    pages, features = encoded
    places = [processor.replace_image_token(pages, image_idx=owner) for owner in owners]
    expanded, _ = processor.get_text_with_replacements(list(texts), places)
    inputs = processor.tokenizer(expanded, padding=True, padding_side="left", return_tensors="pt")
    kinds = torch.tensor(processor.create_mm_token_type_ids(inputs["input_ids"]))
    grids = pages["image_grid_thw"]
    features = type(features)(**features)  # what is put into it is this batch's alone
    features.pooler_output = [features.pooler_output[owner] for owner in owners]
    if getattr(features, "deepstack_features", None) is not None:
        features.deepstack_features = [[layer[owner] for owner in owners] for layer in features.deepstack_features]
    return {
        **inputs.to(model.device),
        "mm_token_type_ids": kinds.to(model.device),
        "image_grid_thw": grids[torch.tensor(owners)].to(model.device),
        "mm_encoder_outputs": {"image": features},
    }


def _takes_features(model: Any, processor: Any) -> bool:
    """Whether images become a grid of patches (Qwen's families) and the model takes features that are already there."""
    grid = hasattr(getattr(processor, "image_processor", None), "merge_size")
    return grid and "mm_encoder_outputs" in inspect.signature(model.forward).parameters


def control_token(processor: Any, text: str) -> str | None:
    """The first of the model's own control tokens that ``text`` holds; the tokenizer would take it for one. None: it holds none."""
    tokens = {*processor.tokenizer.all_special_tokens, getattr(processor, "image_token", None)}
    return min((token for token in tokens if token and token in text), default=None)


def never_generated(model: Any, tokenizer: Any, ends: set[int]) -> list[int]:
    """Token ids that no answer may hold: every special token but the ends, and rows of the embedding without a token.

    A generated image-pad id would ask for image features that are not there (R1-V#91).
    """
    names = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    ids: set[int] = {token for name in names if (token := getattr(model.config, name, None)) is not None}
    ids |= set(tokenizer.all_special_ids)
    ids |= set(range(len(tokenizer), model.get_output_embeddings().weight.shape[0]))
    return sorted(ids - ends)


def end_tokens(model: Any, tokenizer: Any) -> set[int]:
    """The token ids that end a response: the generation configuration's, or else the tokenizer's."""
    end = model.generation_config.eos_token_id
    ends = {end} if isinstance(end, int) else set(end or ())
    own = tokenizer.eos_token_id
    return ends | ({own} if own is not None and not ends else set())
