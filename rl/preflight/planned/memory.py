"""The memory plan: the most that one process holds at once, and the largest micro-batch that fits.

A stage's phases follow one another, so its peak is what it always holds and the larger of training and generating.
Every row is taken to be the longest of the dataset with the largest image, which a micro-batch may meet. What
``rl.sharing`` saves is left out: the plan is plain TRL's, and a run that shares needs less.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kie_hvqa.errors import InputError
from rl.preflight.planned.devices import GIB, Device, gib
from rl.preflight.planned.rehearsal import Micro, Rehearsal
from rl.preflight.planned.states import States

Rollouts = Literal["none", "transformers", "colocated", "server"]
_ASLEEP = 1 * GIB  # vLLM's CUDA graphs and workspace, which its sleep mode keeps


@dataclass(frozen=True)
class Load:
    """What one process is given. Tokens: the longest sequence's ``length``, of which ``completion`` are generated or
    answered; ``patches`` of the largest image. ``rows`` a micro-batch, ``generated`` completions a generation.
    """

    rows: int
    length: int
    completion: int
    patches: int
    generated: int = 0
    rollouts: Rollouts = "none"
    vllm_share: float = 0.0
    vllm_sleeps: bool = False
    reference: int = 0
    """Bytes of the frozen copy that a KL term compares with."""

    @property
    def prompt(self) -> int:
        return self.length - self.completion


@dataclass(frozen=True)
class Memory:
    """Bytes of one process: ``states`` (weights, gradients, optimiser), ``held`` through the whole step, and the peaks of
    ``training`` and ``generating`` above both.
    """

    states: int
    held: int
    training: int
    generating: int

    @property
    def peak(self) -> int:
        return self.states + self.held + max(self.training, self.generating)


def memory(rehearsal: Rehearsal, states: States, load: Load, device: Device) -> Memory:
    """What a process of ``load`` needs on ``device``."""
    micro = Micro(load.rows, load.length, load.completion, load.patches)
    # TRL keeps the pixels of a whole generation on the device until its last micro-batch is done.
    held = rehearsal.pixel_bytes(load.generated * load.patches) + load.reference
    generating = 0
    if load.rollouts == "transformers":
        prompts = Micro(load.generated, load.prompt, 1, load.patches)
        cache = rehearsal.cache_bytes(load.generated, load.length)
        generating = rehearsal.prefill(prompts).peak + cache + states.gathered
    elif load.rollouts == "colocated":
        engine = int(load.vllm_share * device.memory)
        if load.vllm_sleeps:
            held += _ASLEEP
            generating = engine - _ASLEEP
        else:
            held += engine
    return Memory(states.device, held, rehearsal.train(micro).peak, generating)


def largest_rows(rehearsal: Rehearsal, load: Load, plan: Memory, device: Device) -> int:
    """The largest micro-batch of such rows that fits on ``device``; 0 where not even one does.

    The generation's size stays as it is: a larger micro-batch means fewer steps of accumulation.
    """
    room = device.usable - plan.states - plan.held
    if plan.generating > room:
        return 0

    def needs(rows: int) -> int:
        return rehearsal.train(Micro(rows, load.length, load.completion, load.patches)).peak

    # Memory grows in a straight line once the layers weigh more than the output head: aim, then step back.
    near, far = needs(8), needs(16)
    each = max(1, (far - near) // 8)
    rows = max(1, min(4096, 8 + (room - near) // each))
    while rows > 0 and needs(rows) > room:
        rows = min(rows - 1, int(rows * 0.9)) if rows > 1 else 0
    return rows


def too_much(plan: Memory, load: Load, rows: int, device: Device, file: object) -> InputError:
    """The error that says by how much the plan does not fit, and what to lower."""
    if rows > 0:
        remedy = f"Use training.per_device_train_batch_size={rows} and more gradient_accumulation_steps."
    elif load.rollouts == "transformers" and plan.states + plan.held + plan.generating > device.usable:
        remedy = "Generate fewer at a time (training.steps_per_generation), or roll out with vLLM."
    elif load.rollouts == "colocated":
        remedy = "Lower training.vllm_gpu_memory_utilization, or serve rollouts elsewhere (--rollouts)."
    else:
        remedy = "Use more GPUs, ZeRO-3 (configs/deepspeed/zero3_offload.json), LoRA, or a smaller max_pixels."
    return InputError(
        f"{load.rows} rows of {load.length} tokens need {gib(plan.peak)} on {device.name}, of which {gib(device.usable)} "
        f"are usable (weights and optimiser {gib(plan.states)}, training {gib(plan.training)}, "
        f"generation {gib(plan.generating)})",
        file=str(file),
        field="training.per_device_train_batch_size",
        remedy=remedy,
    )
