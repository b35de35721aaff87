"""Sharing the vision tower's work among a group's copies changes no number that the language model sees."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from rl.shared_vision import first_of_runs, share_repeated_images
from rl.tiny.build import TinyArchitecture, build_config, build_model, build_processor


@pytest.fixture(scope="module")
def parts():
    architecture = TinyArchitecture()
    processor = build_processor(architecture, ["What is the LN in the image?"])
    return build_model(build_config(architecture, processor), seed=1).eval(), processor


def _inputs(processor, order):
    rng = np.random.default_rng(0)
    pages = [Image.fromarray(rng.integers(0, 256, (64 + 16 * (n % 2), 80, 3), dtype=np.uint8)) for n in range(3)]
    message = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is the LN in the image?"}]}
    ]
    text = processor.apply_chat_template(message, add_generation_prompt=True)
    images = [pages[index] for index in order]
    return processor(images=images, text=[text] * len(order), padding=True, padding_side="left", return_tensors="pt")


def test_logits_are_the_same_and_each_image_is_encoded_once(parts):
    model, processor = parts
    inputs = _inputs(processor, [0, 0, 0, 1, 1, 2, 0])
    with torch.no_grad():
        expected = model(**inputs).logits
    model.model.visual.requires_grad_(False)
    original = model.model.visual.forward
    seen = []
    model.model.visual.forward = lambda hidden, grid_thw, **rest: (
        seen.append(len(grid_thw)),
        original(hidden, grid_thw=grid_thw, **rest),
    )[1]
    share_repeated_images(model)
    with torch.no_grad():
        shared = model(**inputs).logits
    assert seen == [4]  # three runs, and the first page again at the end
    torch.testing.assert_close(shared, expected, atol=1e-5, rtol=1e-5)


def test_a_tower_in_training_is_refused(parts):
    model, _ = parts
    model.model.visual.requires_grad_(True)
    with pytest.raises(ValueError, match="being trained"):
        share_repeated_images(model)


def test_equal_pixels_in_another_shape_are_another_image():
    pixels = torch.zeros(6, 2)
    assert first_of_runs([pixels, pixels, pixels], [[1, 2, 3], [1, 3, 2], [1, 3, 2]]) == ([0, 1], [0, 1, 1])
