"""Puts a LoRA adapter over the base model that it was made for, or says why it does not fit.

PEFT loads what it finds and warns about the rest, so an adapter whose names fit nowhere reads as its base does, and nobody
notices. Here every tensor must have its place, and every place its tensor, of its shape and with numbers in it. One thing is
mended: adapters saved before transformers 4.52 name the layers as Qwen's models named them then.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kie_hvqa.errors import InputError

WEIGHTS = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_RENAMED = (
    (re.compile(r"^model\.(?=layers\.|embed_tokens\b|norm\b)"), "model.language_model."),
    (re.compile(r"^visual\."), "model.visual."),
)
"""How a module was called before transformers 4.52, and how it is called since."""


def with_adapter(model: Any, directory: Path) -> Any:
    """``model``, a transformers model, under the adapter in ``directory``: a PeftModel in evaluation mode.

    Raises InputError for an adapter of another kind than LoRA, and for one that does not fit ``model`` or is damaged.
    """
    from peft import LoraConfig, PeftConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict

    file = directory / WEIGHTS
    settings: Any = PeftConfig.from_pretrained(str(directory))
    if not isinstance(settings, LoraConfig):
        raise InputError(
            f"this adapter is of the kind {settings.peft_type}", file=directory, remedy="Name a LoRA adapter."
        )
    weights = _of_today(_weights(file), settings, model)
    settings.inference_mode = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT on tied embeddings: `merge` unties them
        try:
            adapted = get_peft_model(model, settings)
        except ValueError as error:  # PEFT's "Target modules … not found in the base model"
            raise _foreign(str(error).partition(".")[0], directory) from error
        expected = get_peft_model_state_dict(adapted, save_embedding_layers=False)
        if (
            more := weights.keys() - expected.keys()
        ):  # PEFT also saves the embeddings under an adapter, where it has one there
            embedded = get_peft_model_state_dict(adapted, save_embedding_layers=True)
            expected |= {name: embedded[name] for name in more & embedded.keys()}
        _check_fit(weights, expected, file)
        set_peft_model_state_dict(adapted, weights)
    return adapted.eval()


def _weights(file: Path) -> dict[str, Any]:
    """The adapter's tensors by name. Raises InputError for a file that is missing or damaged, and for empty or broken tensors."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not file.is_file():
        raise InputError(
            "the adapter's weights are not here", file=file, remedy="Save it by save_pretrained, as safetensors."
        )
    try:
        weights = load_file(file)
    except SafetensorError as error:
        raise InputError(f"the file is damaged ({error})", file=file, remedy="Copy or save it again.") from error
    if not weights:
        raise InputError("there is no tensor in it", file=file, remedy="Save the adapter again.")
    if empty := [name for name, tensor in weights.items() if not tensor.numel()]:
        raise InputError(
            f"{len(empty)} of {len(weights)} tensors are empty, as ZeRO-3 leaves them where they are not gathered",
            file=file,
            field=empty[0],
            remedy="Save it again with stage3_gather_16bit_weights_on_model_save, or by zero_to_fp32.py.",
        )
    for name, tensor in weights.items():
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(
                "it holds values that are no numbers (NaN or infinite)",
                file=file,
                field=name,
                remedy="Take an earlier checkpoint.",
            )
    return weights


def _of_today(weights: dict[str, Any], settings: Any, model: Any) -> dict[str, Any]:
    """``weights`` under the names that ``model`` has today; where those are other ones, ``settings`` target the same modules."""
    from peft.tuners.tuners_utils import check_target_module_exists

    modules = {name for name, _ in model.named_modules()}

    def fitting(keys: Mapping[str, Any]) -> int:
        return sum(_module(key) in modules for key in keys)

    renamed = {_PREFIX + _renamed(key.removeprefix(_PREFIX)): tensor for key, tensor in weights.items()}
    if fitting(weights) >= fitting(renamed):
        return weights
    before = {_renamed(old): old for old in map(_named_before, modules)}
    settings.target_modules = {
        name for name in modules if name in before and check_target_module_exists(settings, before[name])
    }
    return renamed


def _renamed(name: str) -> str:
    for pattern, now in _RENAMED:
        name = pattern.sub(now, name)
    return name


def _named_before(name: str) -> str:
    return name.replace("model.language_model.", "model.", 1).replace("model.visual.", "visual.", 1)


def _check_fit(given: Mapping[str, Any], expected: Mapping[str, Any], file: Path) -> None:
    """Raises InputError unless ``given`` has the names and the shapes of ``expected``."""
    known = given.keys() & expected.keys()
    if not known:
        raise _foreign(f"it adapts {_module(next(iter(given)))}, which the base model does not have", file)
    for name in sorted(known):
        shape, fitting = tuple(given[name].shape), tuple(expected[name].shape)
        if shape != fitting:
            raise InputError(
                f"its shape is {shape}, and {fitting} by adapter_config.json and the base model",
                file=file,
                field=name,
                remedy="Give it its own adapter_config.json (r, rank_pattern) and the base model that it was trained on.",
            )
    for names, what in (
        (expected.keys() - known, "are missing that adapter_config.json asks for"),
        (given.keys() - known, "fit nowhere in the base model"),
    ):
        if names:
            raise InputError(
                f"{len(names)} of {len(expected if names <= expected.keys() else given)} tensors {what}",
                file=file,
                field=min(names),
                remedy="Name the base model that it was trained on, or save the adapter again, whole.",
            )


def _module(key: str) -> str:
    name = key.removeprefix(_PREFIX)
    return name.partition(".lora_")[0] if ".lora_" in name else name.rpartition(".")[0]


def _foreign(what: str, file: Path) -> InputError:
    return InputError(
        f"this adapter was made for another architecture: {what}",
        file=file,
        remedy="Name the base model that it was trained on.",
    )
