"""The weights that vLLM is sent of a model with an adapter: the base's plus the adapter's, and the base stays as it is.

TRL folds the adapter into the base, sends, and takes it out again. In bfloat16 that does not give back what was there: after
200 syncs 6 % of the frozen weights had moved. Here the sum is made beside the weights, one layer at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from peft.tuners.lora import LoraLayer


def summed_weights(engine: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """(name as vLLM has it, weights) of every parameter of ``engine.model`` (TRL's VLLMGeneration over a peft model).

    A collective under ZeRO-3: every process must iterate to the end.
    """
    model = engine.model
    layers = {
        f"{path}.base_layer.weight": layer for path, layer in model.named_modules() if isinstance(layer, LoraLayer)
    }
    for path, parameter in model.named_parameters():
        if model.prefix in path or "original_module" in path:
            continue  # the adapter's own, and what `modules_to_save` has replaced
        layer = layers.get(path)
        added = [] if layer is None else _adapters(layer)
        with engine._dist.gather_params([parameter, *added]), torch.no_grad():
            weight = parameter.data
            if layer is not None:
                for name in layer.active_adapters:
                    delta = layer.get_delta_weight(name)
                    weight = (weight.float() + delta.float()).to(weight.dtype)
            name = path.removeprefix("base_model.model.").replace(".base_layer", "")
            yield engine._fix_param_name_to_vllm(name, extra_prefixes=["modules_to_save.default."]), weight


def _adapters(layer: Any) -> list[torch.Tensor]:
    return [
        weight
        for name in layer.active_adapters
        for part in (layer.lora_A, layer.lora_B)
        for weight in part[name].parameters()
    ]
