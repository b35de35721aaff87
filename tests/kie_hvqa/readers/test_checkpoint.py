"""reading.json: written whole, read strictly, and every mismatch named by its key."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest

from kie_hvqa.answers.prompt import prompt_hash
from kie_hvqa.data.pixels import PixelBudget
from kie_hvqa.errors import InputError
from kie_hvqa.readers.checkpoint import CONTRACT_FILE, ReadingContract, check_contract, read_contract, write_contract

CONTRACT = ReadingContract.current(
    min_pixels=4 * 256, max_pixels=192 * 96, patch_size=8, merge_size=2, prompt="question"
)


def test_a_contract_survives_the_disk(tmp_path: Path) -> None:
    write_contract(tmp_path, CONTRACT)
    assert read_contract(tmp_path) == CONTRACT
    assert CONTRACT.prompt_hash == prompt_hash("question")
    assert CONTRACT.budget == PixelBudget(1024, 18432, 16)
    assert [p.name for p in tmp_path.iterdir()] == [CONTRACT_FILE]
    assert set(json.loads((tmp_path / CONTRACT_FILE).read_text())) == {f.name for f in fields(ReadingContract)}


def test_a_foreign_model_has_none(tmp_path: Path) -> None:
    assert read_contract(tmp_path) is None
    assert read_contract(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"max_pixels": None}, "max_pixels"),
        ({"max_pixels": "18432"}, "max_pixels"),
        ({"patch_size": True}, "patch_size"),
        ({"prompt": 3}, "prompt"),
        ({"max_pixel": 1}, "max_pixel"),
    ],
)
def test_a_damaged_contract_names_its_key(tmp_path: Path, change: dict[str, Any], field: str) -> None:
    data = {**asdict(CONTRACT), **change}
    (tmp_path / CONTRACT_FILE).write_text(json.dumps({k: v for k, v in data.items() if v is not None}))
    with pytest.raises(InputError) as caught:
        read_contract(tmp_path)
    assert caught.value.field == field and caught.value.file == str(tmp_path / CONTRACT_FILE)


@pytest.mark.parametrize("text", ["[]", "{", "3"])
def test_a_contract_that_is_no_mapping(tmp_path: Path, text: str) -> None:
    (tmp_path / CONTRACT_FILE).write_text(text)
    with pytest.raises(InputError, match=CONTRACT_FILE):
        read_contract(tmp_path)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("min_pixels", 1),
        ("max_pixels", 10**6),
        ("patch_size", 14),
        ("merge_size", 1),
        ("prompt_hash", "0" * 64),
        ("answer_format", "kie-hvqa-0"),
    ],
)
def test_a_mismatch_names_the_key_and_both_values(name: str, other: Any) -> None:
    found = replace(CONTRACT, **{name: other})
    with pytest.raises(InputError) as caught:
        check_contract(CONTRACT, found, "some/model")
    assert caught.value.field == name
    message = str(caught.value)
    assert repr(other) in message and repr(getattr(CONTRACT, name)) in message
    assert message.startswith(f"some/model/{CONTRACT_FILE}: {name}: ")


def test_equal_contracts_pass_and_a_renamed_prompt_with_the_same_text_is_the_same() -> None:
    check_contract(CONTRACT, replace(CONTRACT), "m")
    check_contract(CONTRACT, replace(CONTRACT, prompt="bare"), "m")
    with pytest.raises(InputError, match="prompt"):
        check_contract(CONTRACT, replace(CONTRACT, prompt="official", prompt_hash=prompt_hash("official")), "m")
