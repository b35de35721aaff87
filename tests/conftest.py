"""What holds for every test: no network, no telemetry, and a reason for each test that a machine cannot run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache

import pytest
from hypothesis import settings

# Set before anything imports huggingface_hub, which reads them once.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


# A machine may be busy: no example fails for having taken long.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        reason = None
        if item.get_closest_marker("gpu") is not None:
            reason = _no_gpu()
        if item.get_closest_marker("multinode") is not None:
            reason = reason or _no_namespaces()
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=reason))


def _no_gpu() -> str | None:
    import torch

    return None if torch.cuda.is_available() else "no GPU"


@cache
def _no_namespaces() -> str | None:
    if sys.platform != "linux" or os.geteuid() != 0:
        return "network namespaces need root on Linux"
    if shutil.which("ip") is None:
        return "network namespaces need iproute2 (`ip`)"
    # A container's root may lack the capability.
    name = f"kieTry{os.getpid()}"  # every process of a run tries
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
    return None if tried.returncode == 0 else f"no network namespace can be made here ({tried.stderr.strip()})"
