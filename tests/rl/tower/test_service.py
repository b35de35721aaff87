"""The tower service: what it gives is what the tower says, encoded once, whatever had to leave memory in between."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from PIL import Image

from rl.families import Features
from rl.families.family import FAMILIES
from rl.tower.service import MIB, TowerService, image_key

GRID = torch.tensor([1, 2, 2])
TOKENS = MIB // 4 // 4  # float32: one image's features take a quarter of a MiB


class Counted:
    """A family whose tower repeats an image's number, and notes each call."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def encode(self, tower: Any, pixels: torch.Tensor, grid: torch.Tensor) -> Features:
        assert grid.tolist() == [[1, 2, 2]]
        self.calls.append(int(pixels[0, 0]))
        return Features(torch.full((TOKENS, 1), float(self.calls[-1])))


def _service(memory: int) -> tuple[TowerService, Counted]:
    family = Counted()
    return TowerService(family, torch.nn.Linear(1, 1).requires_grad_(False), memory_mib=memory), family  # type: ignore[arg-type]


def _encode(service: TowerService, numbers: list[int]) -> list[int]:
    pixels = [torch.full((4, 3), float(number)) for number in numbers]
    found = service.encode([f"k{n}" for n in numbers], pixels, GRID.expand(len(numbers), 3), torch.device("cpu"))
    return [int(each.tokens[0, 0]) for each in found]


def test_an_image_is_encoded_once_in_a_batch_and_not_at_all_in_the_next():
    service, family = _service(64)
    for _ in range(2):
        assert _encode(service, [3, 3, 1, 3]) == [3, 3, 1, 3]
    assert family.calls == [3, 1]
    assert (service.encoded, service.reused) == (2, 2)


@settings(max_examples=30, deadline=None)
@given(
    batches=st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6), min_size=1, max_size=8),
    memory=st.sampled_from([0, 1, 2]),
)
def test_memory_changes_nothing_but_work(batches, memory):
    service, family = _service(memory)
    for numbers in batches:
        assert _encode(service, numbers) == numbers
        assert sum(each.nbytes for each in service._kept.values()) == service._used <= memory * MIB
    assert len(family.calls) == service.encoded >= len({number for numbers in batches for number in numbers})


def test_the_least_recently_used_leaves_first():
    service, family = _service(1)  # room for four
    for number in (1, 2, 3, 4, 1, 5, 1, 2):
        _encode(service, [number])
    assert family.calls == [1, 2, 3, 4, 5, 2]


def test_keys_are_of_pixels_size_and_mode():
    grey = Image.new("L", (4, 2), 7)
    assert image_key(grey) == image_key(grey.copy())
    others = [Image.new("L", (2, 4), 7), Image.new("L", (4, 2), 8), Image.new("P", (4, 2), 7)]
    assert len({image_key(image) for image in [grey, *others]}) == 4


def test_a_tower_in_training_is_refused():
    from rl.tiny.build import TinyArchitecture, build_config, build_model, build_processor

    architecture = TinyArchitecture(vision_depth=1, text_layers=1)
    processor = build_processor(architecture, ["What is the LN in the image?"])
    model = build_model(build_config(architecture, processor), seed=1)
    with pytest.raises(ValueError, match="being trained"):
        TowerService(FAMILIES[0], FAMILIES[0].tower(model), memory_mib=1)
