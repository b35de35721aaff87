"""The feature store: what it gives back is what the tower said, whatever had to leave memory in between."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from PIL import Image

from rl.tower.features import MIB, FeatureStore, image_key, tower_encoder

GRID = torch.tensor([1, 2, 2])
TOKENS = MIB // 4 // 4  # float32: one image's feature takes a quarter of a MiB


def _pixels(number: int) -> torch.Tensor:
    return torch.full((4, 3), float(number))


def _said(number: int) -> torch.Tensor:
    return torch.full((TOKENS, 1), float(number))


class Tower:
    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, pixels: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        assert grid.tolist() == [[1, 2, 2]]
        self.calls.append(int(pixels[0, 0]))
        return _said(self.calls[-1])


def _batch(store: FeatureStore, numbers: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    distinct = list(dict.fromkeys(numbers))
    grids = GRID.expand(len(distinct), 3)
    handles = store.handles([f"k{n}" for n in distinct], [_pixels(n) for n in distinct], grids)
    order = [distinct.index(n) for n in numbers]
    return torch.cat([handles[i] for i in order]), GRID.expand(len(numbers), 3)


def test_an_image_is_encoded_once_in_a_batch_and_not_at_all_in_the_next():
    tower = Tower()
    store = FeatureStore(tower, memory_mib=64)
    for _ in range(2):
        found = store.features(*_batch(store, [3, 3, 1, 3]))
        assert [int(feature[0, 0]) for feature in found] == [3, 3, 1, 3]
    assert tower.calls == [3, 1]
    assert (store.encoded, store.reused) == (2, 6)


def test_handles_survive_what_trl_does_to_pixels():
    store = FeatureStore(Tower(), memory_mib=64)
    handles, grids = _batch(store, [5, 6, 7])
    assert handles.dtype == torch.int64 and handles.shape == (12, 1)
    pieces = list(handles.split(grids.prod(-1).tolist()))
    found = store.features(torch.cat([pieces[i] for i in (2, 0)]), grids[:2])
    assert [int(feature[0, 0]) for feature in found] == [7, 5]


@settings(max_examples=30, deadline=None)
@given(
    batches=st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6), min_size=1, max_size=8),
    memory=st.sampled_from([0, 1, 2]),
    spill=st.sampled_from([0, 1]),
)
def test_memory_and_spill_change_nothing_but_work(tmp_path_factory, batches, memory, spill):
    folder = tmp_path_factory.mktemp("spill") / "features"
    store = FeatureStore(Tower(), memory_mib=memory, spill=folder, spill_mib=spill)
    for numbers in batches:
        handles, grids = _batch(store, numbers)
        for _ in range(2):  # generation, and a loss pass after it
            found = store.features(handles, grids)
            assert [float(feature[0, 0]) for feature in found] == numbers
            assert sum(f.nbytes for f in store._memory.values()) == store._memory_used <= memory * MIB
            assert (sum(f.stat().st_size for f in folder.glob("*")) if folder.is_dir() else 0) <= spill * 1.1 * MIB
    store.close()
    assert not folder.exists()


def test_what_left_memory_comes_back_from_the_disk(tmp_path):
    tower = Tower()
    store = FeatureStore(tower, memory_mib=1, spill=tmp_path / "features", spill_mib=8)
    for number in range(20):
        store.features(*_batch(store, [number]))
    assert len(list((tmp_path / "features").iterdir())) > 0
    store.features(*_batch(store, [0]))
    assert tower.calls == list(range(20))


def test_every_process_encodes_as_often_as_the_one_that_must_most():
    tower = Tower()
    store = FeatureStore(tower, memory_mib=64, agree=lambda missing: max(missing, 3))
    assert [int(f[0, 0]) for f in store.features(*_batch(store, [1, 2]))] == [1, 2]
    assert len(tower.calls) == 3  # the third was for the others' sake
    store.features(*_batch(store, [1]))
    assert len(tower.calls) == 6
    assert (store.encoded, store.reused) == (2, 1)


def test_keys_are_of_pixels_size_and_mode():
    grey = Image.new("L", (4, 2), 7)
    assert image_key(grey) == image_key(grey.copy())
    others = [Image.new("L", (2, 4), 7), Image.new("L", (4, 2), 8), Image.new("P", (4, 2), 7)]
    assert len({image_key(image) for image in [grey, *others]}) == 4


def test_a_tower_in_training_is_refused():
    from rl.tiny.build import TinyArchitecture, build_config, build_model, build_processor

    architecture = TinyArchitecture(vision_depth=1, text_layers=1)
    processor = build_processor(architecture, ["What is the LN in the image?"])
    with pytest.raises(ValueError, match="being trained"):
        tower_encoder(build_model(build_config(architecture, processor), seed=1))
