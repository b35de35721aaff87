"""The time plan: how long a step takes if the GPUs reach the share of their peak that is usual for such work.

These shares are assumptions and not measurements; they are printed beside every plan, and ``make gpu-check`` compares
them with a run. Loading, rewards, evaluation and checkpoints are not in it.
"""

from __future__ import annotations

from dataclasses import dataclass

from rl.preflight.planned.devices import Device
from rl.preflight.planned.memory import Load
from rl.preflight.planned.rehearsal import Micro, Rehearsal

COMPUTE = 0.40  # of the data sheet's bfloat16 rate, in training passes
READING = 0.60  # of the memory bandwidth, while tokens are generated one by one
_LAUNCHES = {"transformers": 1.0e-3, "colocated": 0.2e-3, "server": 0.2e-3}  # seconds a layer a token, at the least
_WITHIN, _BETWEEN = 200e9, 25e9  # bytes/s a GPU: NVLink, and a 200 Gbit/s network


@dataclass(frozen=True)
class Duration:
    """Seconds of one optimiser step: ``generate``, ``score`` (log-probabilities) and ``train``."""

    generate: float
    score: float
    train: float

    @property
    def step(self) -> float:
        return self.generate + self.score + self.train


def duration(
    rehearsal: Rehearsal,
    usual: Load,
    device: Device,
    *,
    micro_steps: int,
    generations: float,
    scoring_passes: int,
    decoded: int,
    weight_bytes: int,
    partitioned: bool,
    nodes: int,
) -> Duration | None:
    """One optimiser step of ``micro_steps`` micro-batches of ``usual`` (mean) shape; None where the device is unknown.

    ``generations`` a step, of ``decoded`` tokens each; ``scoring_passes`` over each micro-batch without gradients;
    ``partitioned`` weights (ZeRO-3) are fetched anew for every pass.
    """
    if device.flops is None or device.bandwidth is None:
        return None
    rate = device.flops * COMPUTE
    micro = Micro(usual.rows, usual.length, usual.completion, usual.patches)
    fetch = weight_bytes / (_WITHIN if nodes == 1 else _BETWEEN) if partitioned else 0.0
    train = micro_steps * max(rehearsal.train(micro).flops / rate, 3 * fetch)
    score = 0.0
    if scoring_passes:
        score = micro_steps * scoring_passes * max(rehearsal.score(micro).flops / rate, fetch)
    generate = 0.0
    if usual.rollouts != "none":
        prompts = Micro(usual.generated, usual.prompt, 1, usual.patches)
        read = weight_bytes + rehearsal.cache_bytes(usual.generated, usual.length)
        token = max(
            read / (device.bandwidth * READING), _LAUNCHES[usual.rollouts] * rehearsal.text.config.num_hidden_layers
        )
        generate = generations * (rehearsal.prefill(prompts).flops / rate + decoded * token)
    return Duration(generate, score, train)


def readable_duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 2 * 3600 else f"{seconds / 3600:.1f} h"


def assumptions() -> str:
    return f"assuming {COMPUTE:.0%} of peak compute and {READING:.0%} of memory bandwidth; not measured"
