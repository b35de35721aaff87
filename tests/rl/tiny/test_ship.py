"""A trained base reader takes the place of the shipped one whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from kie_hvqa.data.files import sha256
from kie_hvqa.errors import InputError
from rl.tiny import ship as shipping
from rl.tiny.ship import CHECKSUM, ship

METRICS = {
    "documents": 250,
    "samples": 1000,
    "overall": {"reading_recall": {"value": 0.998}, "hallucination_free_accuracy": {"value": 0.75}},
}


@pytest.fixture
def model(tmp_path) -> Path:
    made = tmp_path / "model"
    (made / "checkpoint-1").mkdir(parents=True)
    (made / "model.safetensors").write_bytes(b"new weights" * 1000)
    (made / "config.json").write_text("{}")
    return made


@pytest.fixture
def target(tmp_path) -> Path:
    before = tmp_path / "package" / "embedded"
    before.mkdir(parents=True)
    for name in ("model.safetensors", "README.md", "old_tokenizer.json"):
        (before / name).write_text("old")
    return before


def test_what_is_shipped_is_the_model_with_its_checksum_and_a_card_of_what_was_measured(model, target):
    ship(model, METRICS, "stage 2 of 3", target)
    assert {path.name for path in target.iterdir()} == {"model.safetensors", "config.json", CHECKSUM, "README.md"}
    checksum = sha256(model / "model.safetensors")
    assert (target / CHECKSUM).read_text() == f"{checksum}  model.safetensors\n"
    card = (target / "README.md").read_text()
    assert all(
        said in card for said in ("99.80%", "75.00%", "250 documents", "1000 questions", "stage 2 of 3", checksum)
    )
    assert [path.name for path in target.parent.iterdir()] == ["embedded"]  # nothing half written lies beside it


def test_what_cannot_be_shipped_whole_leaves_the_old_one_as_it_was(model, target, monkeypatch):
    with pytest.raises(KeyError):
        ship(model, {**METRICS, "overall": {}}, "all stages", target)
    monkeypatch.setattr(shipping, "LIMIT", 100)
    with pytest.raises(InputError, match="bytes of weights"):
        ship(model, METRICS, "all stages", target)
    assert {path.name: path.read_text() for path in target.iterdir()} == dict.fromkeys(
        ("model.safetensors", "README.md", "old_tokenizer.json"), "old"
    )
    assert [path.name for path in target.parent.iterdir()] == ["embedded"]
