"""A reader and pages for the tests with a real vLLM: `make test-vllm`. Elsewhere they are skipped, and say so.

The reader is the embedded one. Where its tower was trained with a rotary base that vLLM does not know, a copy says the base
that vLLM takes: it reads worse, and both must read the same.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # in this process: starting another takes minutes

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if find_spec("vllm") is None:
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="vLLM has an environment of its own: make test-vllm"))


@dataclass(frozen=True)
class Reading:
    """``model``: what both engines read with. ``data``: 48 questions about 12 documents, damaged or not, split train."""

    model: Path
    data: Path


@pytest.fixture(scope="session")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Reading:
    from degradations.simulate import SimulateConfig, write_dataset
    from kie_hvqa.readers import embedded_directory
    from rl.rollouts.vllm_models import BASE, vision_base

    home = tmp_path_factory.mktemp("vllm")
    shutil.copytree(embedded_directory(), home / "model")
    if vision_base(home / "model") != BASE:
        config = json.loads((home / "model" / "config.json").read_text())
        config["vision_config"]["rope_parameters"]["rope_theta"] = BASE
        (home / "model" / "config.json").write_text(json.dumps(config))
    write_dataset(SimulateConfig(seed=4, count=12, splits={"train": 1.0}, severities={0: 1.0, 4: 1.0}), home / "data")
    return Reading(home / "model", home / "data")
