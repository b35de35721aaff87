"""Folds a LoRA adapter into the model that it was trained on: a directory that plain transformers and vLLM open.

Run: kie-hvqa merge CHECKPOINT --out DIR
"""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

from kie_hvqa.data.files import building, read_json
from kie_hvqa.errors import InputError
from kie_hvqa.readers.adapters import with_adapter
from kie_hvqa.readers.checkpoint import read_contract, write_contract
from rl.checkpoints.models import model_directory

ADAPTER = "adapter_config.json"


def merge(checkpoint: Path, out: Path, *, base: str | None = None) -> Path:
    """Write ``checkpoint``'s adapter, added to its base model's weights, into ``out``; returns ``out``.

    ``checkpoint`` is an adapter directory, or a stage's directory with one in ``model/``; ``base`` overrides the base
    model that the adapter names. Raises InputError for a directory without an adapter, one that does not fit its base or changes
    nothing in it, a base that is not there, or an ``out`` that exists. ``out`` is whole or absent.
    """
    adapter = adapter_directory(checkpoint)
    if os.path.lexists(out):
        raise InputError("this exists already", file=out, field="--out", remedy="Name a new directory.")
    directory = model_directory(base or base_of(adapter))
    with building(out) as part:
        _write(adapter, directory, part)
    return out


def adapter_directory(checkpoint: Path) -> Path:
    """``checkpoint`` or its ``model/``, whichever holds an adapter. Raises InputError where neither does."""
    for directory in (checkpoint, checkpoint / "model"):
        if (directory / ADAPTER).is_file():
            return directory
    whole = any((directory / "config.json").is_file() for directory in (checkpoint, checkpoint / "model"))
    raise InputError(
        "this is a whole model already, with nothing to fold in"
        if whole
        else f"there is no adapter here (no {ADAPTER})",
        file=checkpoint,
        remedy="Use it as it is." if whole else "Name a directory that training with `lora` wrote.",
    )


def base_of(adapter: Path) -> str:
    """The base model that the adapter names; InputError where it names none."""
    name = read_json(adapter / ADAPTER).get("base_model_name_or_path")
    if not name:
        raise InputError("the adapter names no base model", file=adapter / ADAPTER, remedy="Name it with --base.")
    return str(name)


def _write(adapter: Path, base: Path, out: Path) -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    model: Any = AutoModelForImageTextToText.from_pretrained(
        base, dtype="auto", local_files_only=True, trust_remote_code=False, use_safetensors=True
    )
    merged_model(model, adapter).save_pretrained(out)
    # What the adapter was trained under comes from its own directory; an old one may lack it.
    source = adapter if (adapter / "tokenizer_config.json").is_file() else base
    AutoProcessor.from_pretrained(source, local_files_only=True, trust_remote_code=False).save_pretrained(out)
    contract = read_contract(adapter) or read_contract(base)
    if contract is not None:
        write_contract(out, contract)
    card = adapter / "README.md"
    if card.is_file():
        (out / "README.md").write_text(merged_card(card.read_text(encoding="utf-8"), base), encoding="utf-8")


def merged_model(model: Any, adapter: Path) -> Any:
    """``model`` with the adapter added to its weights. Raises InputError where not one of them changes."""
    before = fingerprint(model)
    adapted = with_adapter(model, adapter)
    untied = untie(adapted.get_base_model())
    merged = adapted.merge_and_unload(safe_merge=True)
    if untied:
        for config in (merged.config, merged.config.get_text_config()):
            config.tie_word_embeddings = False
    if fingerprint(merged) == before:
        raise InputError(
            "folding it in changes not one weight: it was not trained, or its changes are lost in the base model's dtype",
            file=adapter,
            remedy="Name a trained one; `kie-hvqa eval` reads an adapter beside its base, where nothing is lost.",
        )
    return merged


def fingerprint(model: Any) -> Counter[int]:
    """A hash of every weight, whatever its name."""
    import torch

    return Counter(int(torch.hash_tensor(weight).view(torch.int64)) for weight in model.state_dict().values())


def untie(model: Any) -> bool:
    """Give the output embedding weights of its own where it shares those of the input and either is adapted; whether it did.

    Added to a weight that both share, what is meant for one would change the other.
    """
    import torch

    layers = [model.get_input_embeddings(), model.get_output_embeddings()]
    plain = [getattr(layer, "base_layer", getattr(layer, "original_module", layer)) for layer in layers]
    if plain == layers or plain[0].weight is not plain[1].weight:
        return False
    plain[1].weight = torch.nn.Parameter(plain[1].weight.detach().clone(), requires_grad=False)
    return True


def merged_card(card: str, base: Path) -> str:
    """The adapter's card as that of the merged model."""
    card = re.sub(r"^library_name: peft$", "library_name: transformers", card, count=1, flags=re.MULTILINE)
    return card.replace(
        "A LoRA adapter; `kie-hvqa merge` folds it into its base.", f"A LoRA adapter, folded into `{base.name}`."
    )
