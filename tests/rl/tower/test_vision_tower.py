"""The faster vision tower says what transformers' says, and its gradients are the same."""

from __future__ import annotations

import copy
import inspect

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VisionPatchEmbed, Qwen2_5_VLVisionAttention

from rl.tiny.build import TinyArchitecture, build_config, build_model, build_processor
from rl.tower.attention import attention_forward, faster_tower, patch_embed_forward, segment_attention


@pytest.mark.parametrize("grids", [[[1, 8, 8]], [[1, 12, 10], [1, 8, 14], [1, 12, 10], [1, 4, 4]]])
def test_features_and_gradients_are_transformers_own(grids):
    architecture = TinyArchitecture(vision_depth=2, text_layers=1)
    processor = build_processor(architecture, ["What is the LN in the image?"])
    plain = build_model(build_config(architecture, processor), seed=2)
    quick = copy.deepcopy(plain)
    faster_tower(quick)
    grid = torch.tensor(grids)
    torch.manual_seed(0)
    pixels = torch.randn(int(grid.prod(-1).sum()), 3 * 2 * 8 * 8)
    said = []
    for model in (plain, quick):
        features = torch.cat(model.model.get_image_features(pixels, grid).pooler_output)
        (features * torch.linspace(-1, 1, features.numel()).view_as(features)).sum().backward()
        said.append(features)
    torch.testing.assert_close(said[1], said[0], atol=2e-5, rtol=1e-4)
    for (name, ours), theirs in zip(
        quick.model.visual.named_parameters(), plain.model.visual.parameters(), strict=True
    ):
        torch.testing.assert_close(ours.grad, theirs.grad, atol=2e-4, rtol=1e-3, msg=name)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.booleans())
def test_segments_of_any_sizes_attend_to_themselves_alone(lengths, large):
    scale = 20 if large else 1
    lengths = [size * scale for size in lengths]
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(sum(lengths), 2, 4, generator=generator) for _ in range(3))
    found = segment_attention(query, key, value, lengths, 0.5)
    expected = []
    for q, k, v in zip(*(part.split(lengths) for part in (query, key, value)), strict=True):
        parts = (part.transpose(0, 1)[None] for part in (q, k, v))
        expected.append(F.scaled_dot_product_attention(*parts, scale=0.5)[0].transpose(0, 1))
    torch.testing.assert_close(found, torch.cat(expected), atol=1e-5, rtol=1e-4)


def test_the_signatures_that_are_replaced_have_not_changed():
    for ours, theirs in (
        (attention_forward, Qwen2_5_VLVisionAttention.forward),
        (patch_embed_forward, Qwen2_5_VisionPatchEmbed.forward),
    ):
        assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters)
