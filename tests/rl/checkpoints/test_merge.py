"""A merged adapter is a whole model: plain transformers opens it, and it says what base and adapter say together."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from kie_hvqa.errors import InputError
from rl.checkpoints.merge import merge, merged_card

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def adapted(small, tmp_path_factory) -> Path:
    """A stage's directory with an adapter in ``model/`` that is not the identity."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForImageTextToText, AutoProcessor

    from kie_hvqa.readers.checkpoint import read_contract, write_contract

    out = tmp_path_factory.mktemp("adapted") / "stage"
    model = AutoModelForImageTextToText.from_pretrained(small.model)
    torch.manual_seed(0)
    config = LoraConfig(
        r=2, lora_alpha=4, target_modules=r".*language_model.*\.(q_proj|down_proj)", init_lora_weights=False
    )
    get_peft_model(model, config).save_pretrained(out / "model")
    AutoProcessor.from_pretrained(small.model).save_pretrained(out / "model")
    contract = read_contract(small.model)
    assert contract is not None
    write_contract(out / "model", contract)
    card = "---\nlibrary_name: peft\n---\n- A LoRA adapter; `kie-hvqa merge` folds it into its base.\n"
    (out / "model" / "README.md").write_text(card)
    return out


@pytest.mark.slow
def test_the_command_writes_a_model_that_says_what_base_and_adapter_say(small, adapted, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForImageTextToText, AutoProcessor

    merged = tmp_path / "merged"
    ended = subprocess.run(
        [sys.executable, "-m", "kie_hvqa", "merge", adapted, "--out", merged],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert str(merged) in ended.stdout
    AutoProcessor.from_pretrained(merged, local_files_only=True)
    model, report = AutoModelForImageTextToText.from_pretrained(merged, local_files_only=True, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    base = AutoModelForImageTextToText.from_pretrained(small.model)
    tokens = torch.arange(20)[None]
    with torch.no_grad():
        plain = base(input_ids=tokens).logits
        expected = PeftModel.from_pretrained(base, adapted / "model")(input_ids=tokens).logits
        found = model(input_ids=tokens).logits
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert (expected - plain).abs().max() > 1e-2
    assert (merged / "reading.json").read_text() == (adapted / "model" / "reading.json").read_text()
    assert not list(merged.glob("adapter*"))
    assert "library_name: transformers" in (merged / "README.md").read_text()


def test_what_is_no_adapter_is_refused_in_words(small, tmp_path):
    with pytest.raises(InputError, match="whole model already"):
        merge(small.model, tmp_path / "x")
    with pytest.raises(InputError, match="no adapter here"):
        merge(tmp_path, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_missing_base_and_a_taken_place_are_refused_and_nothing_is_written(adapted, tmp_path):
    with pytest.raises(InputError, match="no such model directory"):
        merge(adapted, tmp_path / "x", base=str(tmp_path / "absent"))
    with pytest.raises(InputError, match="exists already"):
        merge(adapted, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["config", "git", "venv", "ssh"])
def test_a_hidden_directory_of_the_same_name_is_not_touched(adapted, tmp_path, monkeypatch, name):
    hidden = tmp_path / f".{name}"
    hidden.mkdir()
    (hidden / "id_rsa").write_text("key")

    def fails(*_):
        raise RuntimeError("no weights")

    monkeypatch.setattr("rl.checkpoints.merge._write", fails)
    with pytest.raises(RuntimeError):
        merge(adapted, tmp_path / name, base="embedded")
    monkeypatch.setattr(
        "rl.checkpoints.merge._write", lambda adapter, base, out: (out / "config.json").write_text("{}")
    )
    merge(adapted, tmp_path / name, base="embedded")
    assert (hidden / "id_rsa").read_text() == "key"
    assert sorted(path.name for path in tmp_path.iterdir()) == [f".{name}", name]
    assert (tmp_path / name / "config.json").exists()


def test_the_card_becomes_that_of_a_whole_model():
    card = merged_card(
        "library_name: peft\n- A LoRA adapter; `kie-hvqa merge` folds it into its base.\n", Path("models/base")
    )
    assert card == "library_name: transformers\n- A LoRA adapter, folded into `base`.\n"
