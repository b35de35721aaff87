"""Damage while training: new every epoch, and the same for everybody who asks for the same item."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from degradations.pages import split_of
from degradations.recent import Recent
from degradations.simulate import SimulateConfig, sample
from degradations.streaming import Stream
from kie_hvqa.errors import InputError

CONFIG = SimulateConfig(
    seed=5,
    count=9,
    splits={"train": 0.6, "test": 0.4},
    questions_per_document=2,
    severities={3: 1.0},
    held_out_operators={"train": ["defocus_blur"]},
)


def same(a, b) -> bool:
    return a[0] == b[0] and np.array_equal(a[1], b[1])


def test_an_item_is_a_function_of_its_index():
    stream = Stream(CONFIG, "train", epochs=2)
    forwards = [stream.sample(i) for i in range(len(stream))]
    fresh = Stream(CONFIG, "train", epochs=2, cache_mib=0)
    assert all(same(fresh.sample(i), forwards[i]) for i in reversed(range(len(stream))))
    assert len({row.id for row, _ in forwards}) == len(stream)


def test_each_epoch_draws_anew_on_the_same_pages():
    stream = Stream(CONFIG, "train", epochs=2)
    n = stream.rows_per_epoch
    first, second = [[stream.sample(i + turn)[0] for i in range(n)] for turn in (0, n)]
    assert [row.document_id for row in first] == [row.document_id for row in second]
    assert all(a.recipe != b.recipe for a, b in zip(first, second, strict=True))
    assert first[0].id.endswith("-e0-q0") and second[0].id.endswith("-e1-q0")
    assert {row.id for row in first}.isdisjoint({sample(CONFIG, 0)[0].id})


def test_epochs_behind_each_other_are_the_epochs_one_by_one():
    stream = Stream(CONFIG, "train", 1, epochs=3)
    n = stream.rows_per_epoch
    for turn in range(3):
        assert same(stream.sample(turn * n + 1), Stream(CONFIG, "train", 1 + turn).sample(1))
        assert same(stream.sample(turn * n + 1), stream.at(1 + turn).sample(1))
    assert len(stream) == 3 * n and len(stream.at(2)) == n
    assert same(stream.sample(-1), stream.sample(3 * n - 1))


def test_only_the_split_and_its_operators():
    stream = Stream(CONFIG, "train", epochs=4)
    documents = {int(stream.sample(i)[0].document_id[-6:]) for i in range(stream.rows_per_epoch)}
    assert documents == {i for i in range(CONFIG.count) if split_of(CONFIG, i) == "train"}
    used = {step["operator"] for i in range(len(stream)) for step in stream.sample(i)[0].recipe}
    assert "defocus_blur" not in used and len(used) > 5
    assert len(Stream(CONFIG, None)) == CONFIG.rows


def test_a_small_cache_changes_nothing_but_time():
    stream, tight = Stream(CONFIG, None), Stream(CONFIG, None, cache_mib=1)
    order = [0, 17, 3, 8, 0, 5, 10, 12, 17, 14]
    assert all(same(stream.sample(i), tight.sample(i)) for i in order)
    assert tight._pages._room >= 0 and len(tight._pages) < len(stream._pages)


def test_loader_processes_make_the_same_items_and_a_resumed_run_goes_on():
    data = pytest.importorskip("torch.utils.data")
    stream = Stream(CONFIG, "train", epochs=2)
    order = [int(i) for i in np.random.default_rng(0).permutation(len(stream))][:8]
    loader = data.DataLoader(
        stream, sampler=order, batch_size=2, num_workers=2, collate_fn=list, multiprocessing_context="spawn"
    )
    items = [item for batch in loader for item in batch]
    assert [item["id"] for item in items] == [stream[i]["id"] for i in order]
    for item, index in zip(items[4:], order[4:], strict=True):  # what a run that skips four items would see
        assert np.array_equal(np.asarray(item["image"]), stream.sample(index)[1])


def test_as_rows_of_the_dataset_that_trainers_take():
    datasets = pytest.importorskip("datasets")
    stream = Stream(CONFIG, "train", epochs=2)
    rows = datasets.Dataset.from_dict({"row": list(range(len(stream)))})
    rows = rows.with_transform(lambda batch: {"image": [stream[i]["image"] for i in batch["row"]]})
    assert np.array_equal(np.asarray(rows[7]["image"]), stream.sample(7)[1])


def test_an_item_is_a_written_row_with_its_picture():
    item = Stream(CONFIG, "train")[0]
    row, image = Stream(CONFIG, "train").sample(0)
    assert item["image"].mode == "RGB" and np.array_equal(np.asarray(item["image"]), image)
    assert {**item, "image": None} == {**{k: v for k, v in row.to_json().items() if k != "file_name"}, "image": None}


def test_pages_stay_behind_when_it_travels():
    stream = Stream(CONFIG, "train")
    stream.sample(0)
    assert len(pickle.dumps(stream)) < 20_000 and same(pickle.loads(pickle.dumps(stream)).sample(0), stream.sample(0))


def test_what_cannot_be():
    with pytest.raises(InputError, match="split"):
        Stream(CONFIG, "validation")
    for epoch, epochs in ((-1, 1), (0, 0)):
        with pytest.raises(InputError, match="epoch"):
            Stream(CONFIG, "train", epoch, epochs=epochs)
    with pytest.raises(IndexError):
        Stream(CONFIG, "train").sample(len(Stream(CONFIG, "train")))


def test_lighter_damage_on_the_same_pages():
    stream = Stream(CONFIG.model_copy(update={"severities": {1: 1.0, 4: 1.0, 6: 1.0}}), None)
    rows = [stream.up_to(4).sample(i)[0] for i in range(len(stream))]
    assert {row.severity for row in rows} == {1, 4}
    assert [row.document_id for row in rows] == [stream.sample(i)[0].document_id for i in range(len(stream))]
    assert same(stream.up_to(6).sample(3), stream.sample(3))
    assert {stream.up_to(0).sample(i)[0].severity for i in range(4)} == {1}


def test_what_was_used_longest_ago_leaves_first_and_the_newest_always_stays() -> None:
    made: list[str] = []

    def make(name: str) -> bytes:
        made.append(name)
        return bytes(4 if name != "large" else 100)

    kept: Recent[str, bytes] = Recent(8, len)
    for name in ("a", "b", "a", "c", "a", "b", "large", "large", "a"):
        assert len(kept.get(name, lambda name=name: make(name))) in (4, 100)
    assert made == ["a", "b", "c", "b", "large", "a"]
