"""Memory and time of a stage on a given number of processes, from the model's ``config.json`` alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig

from kie_hvqa.errors import InputError
from kie_hvqa.readers.checkpoint import ReadingContract
from rl.checkpoints.models import adapter, frozen_tower
from rl.families import family_of
from rl.preflight.checked.tokens import Lengths
from rl.preflight.finding import Finding
from rl.preflight.planned.batches import Batches
from rl.preflight.planned.devices import Device, gib
from rl.preflight.planned.duration import Duration, assumptions, duration, readable_duration
from rl.preflight.planned.memory import Load, Memory, Rollouts, largest_rows, memory, too_much
from rl.preflight.planned.rehearsal import Rehearsal, meta_model
from rl.preflight.planned.states import Counts, Engine, States, count, states
from rl.recipes import StageRecipe


@dataclass(frozen=True)
class World:
    """Where the stage is to run: ``nodes`` machines of ``per_node`` processes, each on one ``device``."""

    nodes: int
    per_node: int
    device: Device

    @property
    def size(self) -> int:
        return self.nodes * self.per_node


class Plan:
    """What ``recipe`` needs in ``world``. The architecture is read from ``directory``/config.json, no weights are."""

    def __init__(
        self,
        recipe: StageRecipe,
        arguments: Any,
        directory: Path,
        contract: ReadingContract,
        lengths: Lengths,
        made: Batches,
        world: World,
        engine: Engine,
    ) -> None:
        self.recipe, self.arguments, self.world, self.engine = recipe, arguments, world, engine
        self._contract, self._lengths, self._made = contract, lengths, made
        self.dtype = plan_dtype(recipe.dtype, world.device)
        model = trainable_model(recipe, directory, self.dtype)
        self.counts: Counts = count(model)
        checkpointed = bool(arguments.activation_checkpointing)
        self._rehearsal = (
            Rehearsal(model, checkpointed=checkpointed, triton=world.device.cuda) if known(model) else None
        )
        self.states: States = states(self.counts, engine, self.dtype.itemsize, world.per_node, world.nodes)

    @property
    def weight_bytes(self) -> int:
        return (self.counts.trained + self.counts.frozen) * self.dtype.itemsize

    @property
    def rehearsal(self) -> Rehearsal:
        assert self._rehearsal is not None
        return self._rehearsal

    def heaviest(self) -> Load:
        """A micro-batch of the longest row with the largest image."""
        completion = self._completion(self._lengths.answer.max())
        length = int(self._lengths.total(completion if self._grpo else None).max())
        return self._load(length, completion, self._lengths.image.max())

    def usual(self) -> Load:
        """A micro-batch of rows of mean length whose completions are as long as the true answers."""
        completion = int(self._lengths.answer.mean())
        length = int(self._lengths.total().mean())
        return self._load(length, completion, self._lengths.image.mean())

    def memory(self) -> Memory:
        return memory(self.rehearsal, self.states, self.heaviest(), self.world.device)

    def duration(self) -> Duration | None:
        accumulation = self.arguments.gradient_accumulation_steps
        return duration(
            self.rehearsal,
            self.usual(),
            self.world.device,
            micro_steps=accumulation,
            generations=accumulation / (self.arguments.steps_per_generation * self.arguments.num_iterations)
            if self._grpo
            else 0.0,
            scoring_passes=self._scoring_passes(),
            decoded=min(int(np.percentile(self._lengths.answer, 99)), self._completion(1 << 30)),
            weight_bytes=self.weight_bytes,
            partitioned=self.engine.stage == 3 and self.world.size > 1,
            nodes=self.world.nodes,
        )

    def findings(self, file: Path) -> Iterator[Finding]:
        """The plan as the preflight tells it. Raises InputError where it does not fit."""
        if self._rehearsal is None:
            unknown = "not planned: how a model of this family computes is not known here. Watch the first steps"
            yield Finding("memory", unknown)
            return
        device, load, plan = self.world.device, self.heaviest(), self.memory()
        rows = largest_rows(self.rehearsal, load, plan, device)
        if plan.peak > device.usable:
            raise too_much(plan, load, rows, device, file)
        where = f"{self.engine.name} on {self.world.size} x {device.name}"
        parts = f"weights and optimiser {gib(plan.states)}, training {gib(plan.training)}"
        parts += f", generation {gib(plan.generating)}" if plan.generating else ""
        parts += f", kept pixels and copies {gib(plan.held)}" if plan.held else ""
        yield Finding(
            "memory",
            f"{where}: {gib(plan.peak)} of {gib(device.usable)} a process ({parts}; {load.rows} rows of {load.length} "
            f"tokens); host {gib(self.states.host)} a machine; up to {rows} rows fit",
            {
                "peak": plan.peak,
                "usable": device.usable,
                "host": self.states.host,
                "rows": load.rows,
                "fitting_rows": rows,
            },
        )
        took = self.duration()
        if took is None:
            yield Finding("time", f"not planned: {device.name} is not in the table of GPUs (--gpu names one)")
            return
        each = f"generate {took.generate:.1f}, score {took.score:.1f}, train {took.train:.1f}" if self._grpo else ""
        yield Finding(
            "time",
            f"about {readable_duration(took.step)} a step{f' ({each})' if each else ''}, "
            f"{readable_duration(took.step * self._made.steps)} for {self._made.steps} steps; {assumptions()}",
            {"step": took.step, "steps": self._made.steps, "total": took.step * self._made.steps},
        )

    @property
    def _grpo(self) -> bool:
        return self._made.generated > 0

    def _completion(self, answer: float) -> int:
        return int(self.arguments.max_completion_length if self._grpo else answer)

    def _load(self, length: int, completion: int, image_tokens: float) -> Load:
        load = Load(
            rows=self.arguments.per_device_train_batch_size,
            length=length,
            completion=completion,
            patches=int(image_tokens) * self._contract.merge_size**2,
        )
        if not self._grpo:
            return load
        kind = rollouts(self.arguments)
        return replace(
            load,
            generated=self._made.generated,
            rollouts=kind,
            vllm_share=self.arguments.vllm_gpu_memory_utilization if kind == "colocated" else 0.0,
            vllm_sleeps=self.arguments.vllm_enable_sleep_mode,
            reference=self._reference(),
        )

    def _reference(self) -> int:
        """A KL term compares with a second copy of the model; with an adapter, with the same model without it."""
        if self.arguments.beta == 0 or self.recipe.lora is not None:
            return 0
        return self.weight_bytes // (self.world.size if self.engine.stage == 3 else 1)

    def _scoring_passes(self) -> int:
        """Forward passes over every micro-batch before its loss (TRL's grpo_trainer: old and reference log-probabilities)."""
        if not self._grpo:
            return 0
        arguments = self.arguments
        stale = arguments.gradient_accumulation_steps % (arguments.steps_per_generation * arguments.num_iterations) != 0
        corrected = arguments.use_vllm and arguments.vllm_importance_sampling_correction
        return int(stale or corrected) + int(arguments.beta != 0)


def rollouts(arguments: Any) -> Rollouts:
    """Who generates the completions of a GRPO stage."""
    if not arguments.use_vllm:
        return "transformers"
    return "colocated" if arguments.vllm_mode == "colocate" else "server"


def known(model: Any) -> bool:
    """Whether there is a plan for the family of ``model``."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return family_of(base.config) is not None


def plan_dtype(name: str, device: Device) -> torch.dtype:
    """The weights' type on ``device``, as ``rl.checkpoints.models`` will choose it there."""
    if name != "auto":
        return getattr(torch, name)
    return torch.bfloat16 if device.cuda else torch.float32


def trainable_model(recipe: StageRecipe, directory: Path, dtype: torch.dtype) -> Any:
    """The recipe's model on the meta device, with its tower frozen and its adapter in place."""
    try:
        config = AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
        model: Any = meta_model(config, dtype)
    except (ValueError, KeyError, OSError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"no model can be built from it ({first})",
            file=directory / "config.json",
            remedy="Name a checkpoint that transformers opens as an image-text-to-text model.",
        ) from None
    if not recipe.train_vision:
        frozen_tower(model)
    settings = adapter(recipe, model)
    if settings is not None:
        from peft import get_peft_model

        model = get_peft_model(model, settings)
    return model
