"""What the processes run on: the memory that each may use, and how fast it computes and reads.

Peaks are the makers' data sheets' (dense bfloat16 TFLOP/s, GB/s of memory). What of a peak a training step reaches is
an assumption, written here and printed with every plan; nothing here was measured.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, replace

import psutil

from kie_hvqa.config import nearest
from kie_hvqa.errors import InputError

GIB = 1 << 30
_CONTEXT = int(1.5 * GIB)  # CUDA's context, NCCL's buffers, cuBLAS's workspace
_UNFRAGMENTED = 0.95  # of the rest: the caching allocator's holes


@dataclass(frozen=True)
class Device:
    """One process's device: ``memory`` bytes, ``flops`` a second (None: unknown), memory ``bandwidth`` in bytes/s."""

    name: str
    memory: int
    flops: float | None = None
    bandwidth: float | None = None
    cuda: bool = True

    @property
    def usable(self) -> int:
        """Bytes that tensors may take."""
        return int((self.memory - _CONTEXT) * _UNFRAGMENTED) if self.cuda else self.memory


def _gpu(name: str, gib: float, tflops: float, gbytes: float) -> Device:
    return Device(name, int(gib * GIB), tflops * 1e12, gbytes * 1e9)


KNOWN = {
    "a100-40": _gpu("A100 40 GB", 40, 312, 1555),
    "a100-80": _gpu("A100 80 GB", 80, 312, 2039),
    "h100": _gpu("H100 80 GB", 80, 989, 3350),
    "h200": _gpu("H200", 140, 989, 4800),
    "l40s": _gpu("L40S", 45, 362, 864),
    "l4": _gpu("L4", 22.5, 121, 300),
    "a10": _gpu("A10", 22.5, 125, 600),
    "rtx-4090": _gpu("RTX 4090", 24, 165, 1008),
}


def device(planned: str | None, processes: int) -> Device:
    """The GPU called ``planned``, or else this machine's first GPU, or else this machine's memory shared by ``processes``.

    Raises InputError for a name that is not in the table.
    """
    if planned is not None:
        if planned not in KNOWN:
            raise InputError("no such GPU in the table", field=f"--gpu {planned}", remedy=nearest(planned, KNOWN))
        return KNOWN[planned]
    listed = visible()
    if listed:
        return listed[0]
    return Device("CPU", psutil.virtual_memory().total // processes, cuda=False)


def visible() -> list[Device]:
    """This machine's GPUs with their own memory, and the table's speed where the name is known."""
    try:
        said = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    found = []
    for line in said.splitlines():
        name, _, mib = line.rpartition(",")
        if mib.strip().isdecimal():
            found.append(_named(name.strip(), int(mib) << 20))
    return found


def _named(name: str, memory: int) -> Device:
    """The table's entry whose name ``name`` holds and whose memory is nearest."""
    plain = name.lower().replace(" ", "-")
    alike = [known for key, known in KNOWN.items() if key.split("-")[-1 if key.startswith("rtx") else 0] in plain]
    if not alike:
        return Device(name, memory)
    return replace(min(alike, key=lambda known: abs(known.memory - memory)), name=name, memory=memory)


def gib(size: float) -> str:
    """Bytes as people read them."""
    return f"{size / GIB:.1f} GiB" if size >= GIB / 10 else f"{size / (1 << 20):.0f} MiB"
