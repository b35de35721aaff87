"""Which GPUs this machine shows, found without importing torch."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

_NONE = ("-1", "NoDevFiles")  # Slurm writes the latter into a job without GPUs


def visible_gpus(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    named = environment.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        shown: list[str] = []
        for device in filter(None, map(str.strip, named.split(","))):
            if device in _NONE:  # CUDA reads no further
                break
            shown.append(device)
        return tuple(shown)
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(str(index) for index, line in enumerate(filter(None, listed.stdout.splitlines())) if "GPU" in line)
