"""Weights, gradients and optimiser of one process, by DeepSpeed's own estimators.

The estimators count every weight as trained, in 16 bits, so they are asked for the trained ones; frozen ones cost
their weights alone. Their forms that take a model tell its weights apart by address, and on the meta device all
have the same one: hence the counting here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kie_hvqa.data.files import read_json


@dataclass(frozen=True)
class Counts:
    """Parameters of a model: ``trained``, ``frozen``, and of its ``largest`` single layer."""

    trained: int
    frozen: int
    largest: int


@dataclass(frozen=True)
class Engine:
    """What a DeepSpeed JSON says about memory; stage None is a process without DeepSpeed."""

    stage: int | None = None
    offload_optimiser: bool = False
    offload_weights: bool = False
    secondary: int = 1
    """Processes among which hpZ splits a second copy of the weights; 1: there is none."""

    @property
    def name(self) -> str:
        if self.stage is None:
            return "no DeepSpeed"
        return f"ZeRO-{self.stage}" + (", offloaded" if self.offload_optimiser else "")


@dataclass(frozen=True)
class States:
    """Bytes: ``device`` of one process, ``host`` of one machine, ``gathered`` what ZeRO-3 adds to hold all weights."""

    device: int
    host: int
    gathered: int


def count(model: Any) -> Counts:
    """The parameters of ``model``, shared ones once."""
    parameters = {id(parameter): parameter for parameter in model.parameters()}.values()
    trained = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
    largest = max(sum(p.numel() for p in module.parameters(recurse=False)) for module in model.modules())
    return Counts(trained, sum(parameter.numel() for parameter in parameters) - trained, largest)


def engine_of(deepspeed: str | None) -> Engine:
    """What the JSON at ``deepspeed`` says; None is no DeepSpeed."""
    if deepspeed is None:
        return Engine()
    zero = read_json(Path(deepspeed)).get("zero_optimization", {})

    def offloaded(key: str) -> bool:
        return (zero.get(key) or {}).get("device", "none") != "none"

    split = zero.get("zero_hpz_partition_size", 1)
    return Engine(
        zero.get("stage", 0),
        offloaded("offload_optimizer"),
        offloaded("offload_param"),
        split if type(split) is int and split > 1 else 1,
    )


def states(counts: Counts, engine: Engine, itemsize: int, per_node: int, nodes: int) -> States:
    """Under ``engine``, for weights of ``itemsize`` bytes, on ``nodes`` machines of ``per_node`` processes."""
    from deepspeed.runtime.zero.stage3 import estimate_zero3_model_states_mem_needs
    from deepspeed.runtime.zero.stage_1_and_2 import estimate_zero2_model_states_mem_needs

    world = per_node * nodes
    every = (counts.trained + counts.frozen) * itemsize
    if engine.stage is None:
        # Weights in training, their gradients and Adam's two moments, all in float32 (``rl.checkpoints.models.to_float32``).
        return States(counts.frozen * itemsize + 16 * counts.trained, every * per_node, 0)
    if engine.stage == 0:
        # The same in the weights' own type, beside DeepSpeed's float32 weights.
        return States(
            counts.frozen * itemsize + 4 * counts.trained * itemsize + 4 * counts.trained, every * per_node, 0
        )
    wider = itemsize - 2  # the estimators' weights have 16 bits
    if engine.stage < 3:
        host, device = estimate_zero2_model_states_mem_needs(
            counts.trained, per_node, nodes, cpu_offload=engine.offload_optimiser
        )
        if engine.stage == 1:  # gradients stay whole
            device += itemsize * counts.trained * (world - 1) // world
        return States(device + wider * counts.trained + itemsize * counts.frozen, host, 0)
    host, device, _ = estimate_zero3_model_states_mem_needs(
        counts.trained,
        counts.largest,
        per_node,
        nodes,
        cpu_offload=engine.offload_optimiser,
        cpu_offload_params=engine.offload_weights,
        zero_init=True,
    )
    share = wider * counts.trained // world + itemsize * counts.frozen // world
    second = every // engine.secondary if engine.secondary > 1 else 0
    if engine.offload_weights:
        return States(device + second, host + itemsize * counts.frozen // nodes, every)
    return States(device + share + second, host, every - every // world)
