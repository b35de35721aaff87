"""Sampling a group from one prefill draws the very tokens that transformers' ``generate`` draws."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import GenerationConfig, GenerationMixin
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLAttention

from rl.rollouts.decode import ATTENTION, Groups, can_decode, decode, generating
from rl.tiny.build import TinyArchitecture, build_config, build_model, build_processor

QUESTIONS = ["What is the LN in the image?", "What is the date of birth in the image?"]


@pytest.fixture(scope="module")
def model_and_inputs():
    architecture = TinyArchitecture(vision_depth=1, vision_hidden=64, text_layers=2, text_hidden=96, text_heads=6)
    processor = build_processor(architecture, QUESTIONS)
    model = build_model(build_config(architecture, processor), seed=1)
    rng = np.random.default_rng(0)
    sizes = [(64, 80), (96, 64), (64, 80)]
    images = [Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]
    content = [[{"type": "image"}, {"type": "text", "text": QUESTIONS[n % 2]}] for n in range(3)]
    texts = [
        processor.apply_chat_template([{"role": "user", "content": part}], add_generation_prompt=True)
        for part in content
    ]
    return model, processor, images, texts


def _inputs(processor, images, texts, rows):
    return processor(
        images=[images[row] for row in rows],
        text=[texts[row] for row in rows],
        padding=True,
        padding_side="left",
        return_tensors="pt",
    )


OWNER = [0, 0, 0, 1, 2, 2, 1, 0]
SETTINGS = {
    "sampled": {"do_sample": True, "temperature": 1.0, "top_k": 0},
    "filtered": {"do_sample": True, "temperature": 0.6, "top_k": 12, "top_p": 0.9, "suppress_tokens": [5, 6, 7]},
    "greedy": {"do_sample": False},
    "long": {"do_sample": True, "temperature": 1.5, "top_k": 0, "max_new_tokens": 40, "min_new_tokens": 3},
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("ends", [[257], [257, *range(20, 120)]], ids=["one end token", "ends at different lengths"])
def test_the_tokens_are_those_of_generate(model_and_inputs, name, ends):
    model, processor, images, texts = model_and_inputs
    config = GenerationConfig(
        **{"max_new_tokens": 14, "pad_token_id": 0, "eos_token_id": ends, **SETTINGS[name]}, disable_compile=True
    )
    assert can_decode(model, config)
    torch.manual_seed(11)
    expected = model.generate(**_inputs(processor, images, texts, OWNER), generation_config=config)
    after = torch.get_rng_state()
    torch.manual_seed(11)
    inputs = _inputs(processor, images, texts, [0, 1, 2])
    shown = {name: inputs[name] for name in ("pixel_values", "image_grid_thw")}
    with generating(model, OWNER, shown):
        found = model.generate(**inputs, generation_config=config)
    assert "generate" not in vars(model)
    assert torch.equal(found, expected)
    assert torch.equal(torch.get_rng_state(), after)  # what follows draws what it would have drawn
    assert model.model.language_model.config._attn_implementation != ATTENTION


def test_groups_put_every_row_into_a_slot_of_its_prompt():
    groups = Groups.of(torch.tensor(OWNER), 3)
    assert groups.slots.shape == (3, 4)
    flat = groups.slots.flatten()
    assert flat[groups.place].tolist() == list(range(len(OWNER)))
    assert (groups.place // 4).tolist() == OWNER


def test_what_decode_cannot_do_is_left_to_generate(model_and_inputs):
    model = model_and_inputs[0]
    assert not can_decode(model, GenerationConfig(do_sample=True, repetition_penalty=1.2))
    assert not can_decode(model, GenerationConfig(num_beams=2))
    assert not can_decode(model, GenerationConfig(do_sample=True, cache_implementation="static"))


def test_transformers_still_has_what_decode_relies_on():
    assert "custom_generate" in inspect.signature(GenerationMixin.generate).parameters
    # Arguments of ours that `_sample` does not have are handed through to a custom loop.
    assert "owner" in inspect.signature(decode).parameters
    assert "owner" not in inspect.signature(GenerationMixin._sample).parameters
    source = inspect.getsource(Qwen2_5_VLAttention.forward)
    assert "key_states, value_states = past_key_values.update(key_states, value_states, self.layer_idx)" in source
