"""Which checkpoints vLLM computes as transformers does.

transformers takes the base of the vision tower's rotary positions from ``vision_config.rope_parameters``. vLLM (0.30, read in
``qwen2_5_vl.py`` and shown by ``tests/vllm``) does not look there: 10,000, the base of every released Qwen-VL, is written into
its classes. A tower that was trained with another base sees other positions, and misreads without a word.
"""

from __future__ import annotations

from pathlib import Path

from kie_hvqa.data.files import read_json
from kie_hvqa.errors import InputError

BASE = 10_000.0
"""The rotary base of vLLM's vision towers."""


def vision_base(directory: Path) -> float:
    """The base of the vision tower's rotary positions as transformers reads it."""
    vision = read_json(directory / "config.json").get("vision_config") or {}
    return float((vision.get("rope_parameters") or {}).get("rope_theta", BASE))


def check_served(directory: Path) -> None:
    """Raises InputError for a checkpoint that vLLM would read otherwise; a directory without config.json is not looked at."""
    file = directory / "config.json"
    if file.is_file() and (base := vision_base(directory)) != BASE:
        raise InputError(
            f"vLLM takes {BASE:g} for the base of the vision tower's rotary positions, whatever a checkpoint says, and this one "
            f"was trained with {base:g}: its pages would be misread",
            file=file,
            field="vision_config.rope_parameters.rope_theta",
            remedy=f"Generate with transformers (training.use_vllm=false), or train a tower with {BASE:g}.",
        )
