"""The shipped reader is the one that was measured, and is small enough to ship."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kie_hvqa import readers
from kie_hvqa.data.files import sha256
from kie_hvqa.errors import InputError
from kie_hvqa.readers.checkpoint import read_contract
from rl.tiny.ship import CHECKSUM, LIMIT


def test_weights_checksum_card_and_contract_agree():
    directory = readers.embedded_directory()
    weights = directory / "model.safetensors"
    assert weights.stat().st_size <= LIMIT
    assert sha256(weights) in (directory / "README.md").read_text()
    contract = read_contract(directory)
    assert contract is not None
    assert contract.prompt == "question"


def test_other_weights_under_its_name_are_refused(tmp_path, monkeypatch):
    room = tmp_path / "rl"
    shutil.copytree(readers.embedded_directory(), room / "embedded")
    with (room / "embedded" / "model.safetensors").open("r+b") as stream:
        stream.seek(-1, 2)
        stream.write(b"\x7f")

    class Spec:
        submodule_search_locations = (str(room),)

    monkeypatch.setattr(readers, "find_spec", lambda name: Spec)
    with pytest.raises(InputError, match="not the weights that were shipped"):
        readers.embedded_directory()
    (room / "embedded" / CHECKSUM).unlink()
    with pytest.raises(InputError, match="not whole"):
        readers.embedded_directory()


def test_it_reads_clean_pages_and_invents_on_hidden_slots(tmp_path):
    """The starting point that the demo needs: it reads, and where nothing can be seen it writes all the same."""
    from degradations.simulate import SimulateConfig, write_dataset
    from kie_hvqa.runs.evaluator import evaluate

    clean = {"severities": {0: 1.0}, "question_kinds": {"answerable": 1.0}}
    covered = {"severities": {5: 1.0}, "operators": {"opaque_occluder": 1.0}, "question_kinds": {"answerable": 1.0}}
    scores = {}
    for name, changes in {"clean": clean, "covered": covered}.items():
        config = SimulateConfig(seed=11, count=40, splits={"test": 1.0}, **changes)
        write_dataset(config, tmp_path / name)
        metrics = evaluate(tmp_path / name, "embedded", tmp_path / f"{name}-run", progress=False, batch_size=32)
        scores[name] = {key: score["value"] for key, score in metrics["overall"].items()}
    # 0.981 on 300 clean held-out documents, as its card says.
    assert scores["clean"]["reading_recall"] > 0.95
    assert scores["covered"]["over_refusal_rate"] < 0.1
    assert scores["covered"]["invented_rate"] > 0.7


def test_the_package_data_lists_it():
    pyproject = Path(__file__).parents[3] / "pyproject.toml"
    assert "embedded" in pyproject.read_text()
