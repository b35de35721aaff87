"""What a plan says that a step of each family holds, against what the real model held in one, both towers and every layer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from rl.checkpoints.models import frozen_tower
from rl.preflight.planned.kernels import Head
from rl.preflight.planned.rehearsal import Meter, Micro, Rehearsal, meta_model

SIDE = 12  # patches
MICRO = Micro(rows=3, length=150, scored=40, patches=SIDE * SIDE)


def held(model: Any, micro: Micro) -> int:
    """The most bytes that one forward and backward pass of the real ``model`` had at once, weights and their gradients apart."""
    config, vision = model.config, model.config.vision_config
    tokens = torch.full((micro.rows, micro.length), 5)
    images = micro.patches // vision.spatial_merge_size**2
    tokens[:, 4 : 4 + images] = config.image_token_id
    grid = torch.tensor([[1, SIDE, SIDE]] * micro.rows)
    width = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.register_post_accumulate_grad_hook(lambda each: setattr(each, "grad", None))
    with Meter([*model.parameters(), *model.buffers()], torch.device("cpu")) as meter:
        hidden = model.model(
            input_ids=tokens,
            attention_mask=torch.ones_like(tokens),
            mm_token_type_ids=(tokens == config.image_token_id).long(),
            pixel_values=torch.randn(micro.rows * micro.patches, width),
            image_grid_thw=grid,
            use_cache=False,
        ).last_hidden_state
        head = model.get_output_embeddings().weight
        Head.apply(hidden[:, :-1].reshape(-1, hidden.shape[-1]), head, False).sum().backward()
    return meter.peak


@pytest.mark.parametrize("checkpointed", [False, True], ids=["kept", "checkpointed"])
def test_a_step_holds_what_the_plan_says(family, checkpointed):
    """The embedded reader's process was measured whole (docs/launching.md); this holds every family, layer by layer."""
    model: Any = AutoModelForImageTextToText.from_pretrained(family.model, dtype=torch.float32).train()
    frozen_tower(model)
    planned = meta_model(AutoConfig.from_pretrained(family.model), torch.float32)
    frozen_tower(planned)
    if checkpointed:
        model.activation_checkpointing_enable({"use_reentrant": False})
    expected = Rehearsal(planned, checkpointed=checkpointed, triton=False).train(MICRO).peak
    assert expected == pytest.approx(held(model, MICRO), rel=0.25)
