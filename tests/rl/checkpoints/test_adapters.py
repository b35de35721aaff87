"""Adapters that do not fit are refused, by ``merge`` and by the reader alike; those of older names are read as they were meant."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

from kie_hvqa.cli import main
from kie_hvqa.errors import InputError
from kie_hvqa.readers.adapters import WEIGHTS
from kie_hvqa.readers.model_loading import load_model
from kie_hvqa.readers.model_source import model_source
from rl.checkpoints.merge import merge, merged_model
from rl.checkpoints.models import model_directory

TOKENS = torch.arange(20)[None]


def adapter(base: Path, out: Path, targets: Any = r".*language_model.*\.(q_proj|down_proj)", **settings: Any) -> Path:
    """A LoRA adapter over ``base`` with random weights, as PEFT saves it."""
    torch.manual_seed(0)
    plain = {"r": 2, "lora_alpha": 4, "init_lora_weights": False}
    model = AutoModelForImageTextToText.from_pretrained(base)
    get_peft_model(model, LoraConfig(target_modules=targets, **plain | settings)).save_pretrained(out)
    return out


@pytest.fixture(scope="module")
def whole(small, tmp_path_factory) -> Path:
    return adapter(small.model, tmp_path_factory.mktemp("whole") / "adapter")


Change = Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]


def changed(whole: Path, out: Path, change: Change, **settings: Any) -> Path:
    """A copy of ``whole`` with other tensors, and other keys in its configuration."""
    shutil.copytree(whole, out)
    save_file(change(load_file(whole / WEIGHTS)), out / WEIGHTS)
    file = out / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))
    return out


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=TOKENS).logits


def read(directory: Path) -> torch.Tensor:
    return logits(load_model(model_source(str(directory)))[0])


def half(weights):
    return {name: tensor for name, tensor in weights.items() if ".layers.0." in name}


def more_layers(weights):
    return weights | {name.replace(".layers.1.", ".layers.7."): tensor.clone() for name, tensor in weights.items()}


def emptied(weights):
    return {name: tensor[:0] if "lora_B" in name else tensor for name, tensor in weights.items()}


def broken(weights):
    name = next(name for name in weights if "lora_B" in name)
    return weights | {name: torch.full_like(weights[name], torch.nan)}


def elsewhere(weights):
    return {name.replace("language_model.layers", "decoder.blocks"): tensor for name, tensor in weights.items()}


FAULTS: dict[str, tuple[Change, dict[str, Any], str]] = {
    "half of the layers": (half, {}, r"4 of 8 tensors are missing that adapter_config\.json asks for"),
    "layers that the base lacks": (more_layers, {}, r"4 of 12 tensors fit nowhere in the base model"),
    "ZeRO-3 without gathering": (emptied, {}, r"4 of 8 tensors are empty, as ZeRO-3 leaves them"),
    "no numbers": (broken, {}, r"layers\.0\.\S+lora_B\S+: it holds values that are no numbers"),
    "another rank": (lambda weights: weights, {"r": 4}, r"its shape is \(2, \d+\), and \(4, \d+\)"),
    "another architecture": (elsewhere, {}, r"made for another architecture: it adapts model\.decoder\.blocks\.0"),
    "other modules": (
        lambda weights: weights,
        {"target_modules": ["c_attn"]},
        r"made for another architecture: Target modules",
    ),
    "nothing": (lambda weights: {}, {}, r"there is no tensor in it"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_adapter_that_does_not_fit_is_refused_by_both_who_load_it(whole, tmp_path, fault):
    change, settings, says = FAULTS[fault]
    directory = changed(whole, tmp_path / "adapter", change, **settings)
    with pytest.raises(InputError, match=says) as by_reader:
        read(directory)
    with pytest.raises(InputError, match=says) as by_merge:
        merge(directory, tmp_path / "merged")
    assert str(by_reader.value) == str(by_merge.value) and str(directory) in str(by_merge.value)
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_weights_that_are_missing_or_cut_short_are_refused(whole, tmp_path):
    directory = shutil.copytree(whole, tmp_path / "adapter")
    file = directory / WEIGHTS
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError, match="the file is damaged"):
        read(directory)
    file.unlink()
    with pytest.raises(InputError, match="weights are not here"):
        merge(directory, tmp_path / "merged")


OLD_PATTERN = r"model\.layers\.\d+\.(self_attn\.q_proj|mlp\.down_proj)"


@pytest.mark.parametrize("targets", [OLD_PATTERN, ["q_proj", "down_proj"]])
def test_names_from_before_transformers_4_52_are_read_as_those_of_today(small, tmp_path, targets):
    """Then the language model was ``model`` and the tower ``visual``; a pattern in the configuration spoke of those names."""
    today = adapter(
        small.model,
        tmp_path / "today",
        targets
        if isinstance(targets, list)
        else r"model\.language_model\.layers\.\d+\.(self_attn\.q_proj|mlp\.down_proj)",
    )

    def as_before(weights):
        return {
            name.replace("model.model.language_model.", "model.model.").replace(
                "model.model.visual.", "model.visual."
            ): tensor
            for name, tensor in weights.items()
        }

    before = changed(today, tmp_path / "before", as_before, target_modules=targets)
    assert load_file(before / WEIGHTS).keys().isdisjoint(load_file(today / WEIGHTS))
    torch.testing.assert_close(read(before), read(today), rtol=0, atol=0)
    assert (read(before) - logits(AutoModelForImageTextToText.from_pretrained(small.model))).abs().max() > 1e-2

    def half_before(weights):
        return half(as_before(weights))

    cut = changed(today, tmp_path / "cut", half_before, target_modules=targets)
    with pytest.raises(InputError, match="are missing that"):
        read(cut)


@pytest.mark.parametrize(
    "settings",
    [{"targets": ["q_proj", "lm_head"]}, {"targets": ["q_proj", "embed_tokens"]}, {"modules_to_save": ["lm_head"]}],
    ids=["lm_head", "embed_tokens", "saved whole"],
)
def test_an_adapted_layer_that_shares_its_weights_is_merged_alone(small, tmp_path, settings):
    """Added to the one weight that both have, what was meant for the output would change the input."""
    base = AutoModelForImageTextToText.from_pretrained(small.model)
    assert base.get_output_embeddings().weight is base.get_input_embeddings().weight
    directory = adapter(small.model, tmp_path / "adapter", **settings)
    if "modules_to_save" in settings:
        changed_head = {
            name: tensor + 0.1 if name.endswith("lm_head.weight") else tensor
            for name, tensor in load_file(directory / WEIGHTS).items()
        }
        save_file(changed_head, directory / WEIGHTS)
    expected = read(directory)
    out = merge(directory, tmp_path / "merged")
    found = AutoModelForImageTextToText.from_pretrained(out)
    torch.testing.assert_close(logits(found), expected, atol=1e-4, rtol=1e-4)
    assert not torch.equal(found.get_output_embeddings().weight, found.get_input_embeddings().weight)


def test_a_merge_that_changes_nothing_is_none(small, whole, tmp_path, capsys):
    """Not trained (B is zero), or too little for the base model's dtype."""
    untrained = adapter(small.model, tmp_path / "untrained", init_lora_weights=True)
    assert main(["merge", str(untrained), "--out", str(tmp_path / "merged")]) == 2
    said = capsys.readouterr()
    assert "changes not one weight" in said.err and "wrote" not in said.out
    little = changed(whole, tmp_path / "little", lambda weights: {name: each * 1e-5 for name, each in weights.items()})
    model = AutoModelForImageTextToText.from_pretrained(small.model, dtype=torch.bfloat16)
    with pytest.raises(InputError, match=r"lost in the base model's dtype"):
        merged_model(model, little)
    assert not (tmp_path / "merged").exists()


def test_training_starts_from_whole_models_only(whole):
    """transformers would open an adapter's directory as its base with the adapter in it, under the adapter's name."""
    with pytest.raises(InputError, match=re.escape("this is an adapter")):
        model_directory(str(whole))
