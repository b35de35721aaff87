"""A DeepSpeed JSON held against the training arguments, before DeepSpeed or transformers meet in the middle of a start."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kie_hvqa.config import nearest
from kie_hvqa.data.files import read_json
from kie_hvqa.errors import InputError

AUTO = "auto"


def check_deepspeed_json(name: str | None, arguments: Any, world_size: int, nodes: int = 1) -> str:
    """What the JSON called ``name`` will do with ``world_size`` processes of ``nodes`` machines. Raises InputError where it contradicts
    ``arguments`` (SFTConfig or GRPOConfig), holds a key that ZeRO does not know, or would save no weights.
    """
    if name is None:
        return f"{world_size} processes without DeepSpeed: every one holds the whole model and its optimiser"
    file = Path(name)
    settings = read_json(file)
    if not isinstance(settings, dict) or not isinstance(settings.get("zero_optimization", {}), dict):
        raise InputError("not a DeepSpeed configuration", file=file, remedy="See configs/deepspeed/.")
    zero = settings.get("zero_optimization", {})
    _known_keys(zero, file)
    stage = zero.get("stage", 0)
    if type(stage) is not int or not 0 <= stage <= 3:
        raise InputError(
            f"{stage!r} is no ZeRO stage", file=file, field="zero_optimization.stage", remedy="Use 0 to 3."
        )
    gather = "stage3_gather_16bit_weights_on_model_save"
    if stage == 3 and zero.get(gather) is not True:
        raise InputError(
            "the weights lie in pieces under ZeRO-3, and without this none would be saved",
            file=file,
            field=f"zero_optimization.{gather}",
            remedy="Set it to true.",
        )
    for key, wanted in _wanted(arguments, world_size).items():
        found: Any = settings
        for part in key.split("."):
            found = found.get(part, AUTO) if isinstance(found, dict) else AUTO
        if found != AUTO and found != wanted:
            raise InputError(
                f"it says {found!r}, and the recipe comes to {wanted!r}", file=file, field=key, remedy='Write "auto".'
            )
    return f"DeepSpeed ZeRO-{stage} on {world_size} processes ({file}){_within(zero, stage, world_size, nodes, file)}"


def _within(zero: dict[str, Any], stage: int, world_size: int, nodes: int, file: Path) -> str:
    """hpZ, ZeRO++'s second copy of the weights among few processes (arXiv 2306.10209): whether it keeps to one machine."""
    key = "zero_hpz_partition_size"
    size, local = zero.get(key, 1), world_size // nodes
    if stage < 3 or (nodes == 1 and size in (0, 1)):
        return ""
    if size in (0, 1):
        return f"; weights are gathered across machines: {key} of {local} gathers them within, for a copy of them per machine"
    if type(size) is not int or world_size % min(size, world_size) or (nodes > 1 and local % size):
        raise InputError(
            f"{size!r} does not divide the {local} processes of a machine",
            file=file,
            field=f"zero_optimization.{key}",
            remedy=f"Write {local}, so that every machine holds all weights once.",
        )
    return f"; groups of {size} processes hold all weights once more"


def check_compiler(name: str | None, environment: Mapping[str, str]) -> str | None:
    """What an optimiser that the JSON called ``name`` keeps on the CPU will be compiled with; None where none is.

    DeepSpeed compiles its own Adam then, when training has loaded everything. Raises InputError where it could not.
    """
    zero = {} if name is None else read_json(Path(name)).get("zero_optimization", {})
    if (zero.get("offload_optimizer") or {}).get("device", "none") == "none":
        return None
    from deepspeed.git_version_info import installed_ops

    if installed_ops.get("cpu_adam"):
        return "DeepSpeed's Adam on the CPU is built"
    tools = [environment.get("CXX", "c++"), "ninja"]
    for tool in tools:
        if shutil.which(tool, path=environment.get("PATH")) is None:
            raise InputError(
                f"DeepSpeed compiles its Adam for an offloaded optimiser, and there is no `{tool}` on PATH",
                file=name,
                field="zero_optimization.offload_optimizer",
                remedy="Install a C++ compiler and ninja (pip install ninja), or take a JSON without offload.",
            )
    return f"DeepSpeed's Adam on the CPU will be compiled by {' and '.join(tools)}"


def _wanted(arguments: Any, world_size: int) -> dict[str, Any]:
    batch, accumulation = arguments.per_device_train_batch_size, arguments.gradient_accumulation_steps
    return {
        "train_micro_batch_size_per_gpu": batch,
        "gradient_accumulation_steps": accumulation,
        "train_batch_size": batch * accumulation * world_size,
        "gradient_clipping": arguments.max_grad_norm,
        "bf16.enabled": arguments.bf16,
        "fp16.enabled": arguments.fp16,
    }


def _known_keys(zero: dict[str, Any], file: Path) -> None:
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig

    fields = DeepSpeedZeroConfig.model_fields
    known = {*fields, *(field.alias for field in fields.values() if field.alias)}
    for key in zero:
        if key not in known:
            raise InputError("unknown key", file=file, field=f"zero_optimization.{key}", remedy=nearest(key, known))
