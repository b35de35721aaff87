"""Which GPUs this machine shows, found without importing torch."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping


def visible_gpus(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    named = environment.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return tuple(device for device in named.split(",") if device and device != "-1")
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(str(index) for index, line in enumerate(filter(None, listed.stdout.splitlines())) if "GPU" in line)
