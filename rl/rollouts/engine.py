"""One process or several: what the trainers need told about where they run.

Several GPU processes are DeepSpeed's ordinary case and need nothing. Several CPU processes are how the very same path
is tested without a GPU, and there transformers 5.23 and accelerate 1.15 stand in the way twice: ``use_cpu=True`` makes
accelerate leave DeepSpeed out, and without it the trainer names no communication backend, so that every process takes
itself for the only one. So the process group is made here, over gloo, before the training arguments ask for it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import cache
from typing import Any

from kie_hvqa.errors import InputError

RANKS = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
MEETING = ("MASTER_ADDR", "MASTER_PORT")
WORLD_BY = 180.0  # seconds: a launcher starts all processes at once, but they may import from a slow disk


def launched() -> bool:
    """Whether a launcher started this process: it may be the only one, under DeepSpeed on one GPU."""
    return "WORLD_SIZE" in os.environ


def is_first_process() -> bool:
    return int(os.environ.get("RANK", "0")) == 0


def check_launched(environment: Mapping[str, str]) -> None:
    """InputError for ranks in the environment that no launcher can have set: left by another program, they would make a
    single process wait for others that nobody starts, or take itself for one of them.
    """
    said = [key for key in (*RANKS, *MEETING) if environment.get(key)]
    if not set(RANKS) & set(said):
        return
    lacking = [key for key in (*RANKS, *MEETING) if key not in said]
    numbers = [environment.get(key, "") for key in RANKS]
    if lacking:
        what = f"the environment holds {', '.join(said)} and not {', '.join(lacking)}: no launcher started this process"
    elif not all(number.isdecimal() for number in numbers) or int(numbers[0]) >= int(numbers[1]):
        what = f"RANK, WORLD_SIZE and LOCAL_RANK are {', '.join(map(repr, numbers))}: no launcher started this process"
    else:
        if int(numbers[0]) == 0 < int(numbers[1]) - 1:
            where = ":".join(environment[key] for key in MEETING)
            print(f"process 0 of {numbers[1]}, which meet at {where}", file=sys.stderr, flush=True)
        return
    raise InputError(what, field=said[0], remedy=_without(said))


def meet_world(seconds: float = WORLD_BY) -> None:
    """Wait for the other processes of the environment's world. InputError where they do not come: the ranks are left over.

    torch's own wait, which comes later, lasts for up to half an hour and names no variable. This is its rendezvous, made
    with another patience; the store stays open, so that the later one finds it.
    """
    try:
        _rendezvous(seconds)
    except (RuntimeError, ValueError) as error:  # DistNetworkError, DistStoreError; a port that is no number
        said = {key: os.environ.get(key, "") for key in (*RANKS, *MEETING)}
        named = ", ".join(f"{key}={value}" for key, value in said.items())
        why = (str(error).splitlines() or [""])[0][:200]
        raise InputError(
            f"no world came together within {seconds:.0f} s for {named} ({why})",
            field="MASTER_ADDR",
            remedy=f"Start every process of that world at once; or, where another run left these, r{_without(said)[1:]}",
        ) from None


@cache
def _rendezvous(seconds: float) -> Any:
    from torch.distributed.rendezvous import rendezvous

    return next(rendezvous("env://", timeout=timedelta(seconds=seconds)))[0]


def _without(keys: Iterable[str]) -> str:
    return f"Run: env {' '.join(f'-u {key}' for key in keys)} kie-hvqa …"


def launched_engine(deepspeed: str | None) -> bool:
    """Whether this process trains under DeepSpeed: only a launcher starts one."""
    return launched() and deepspeed is not None


def engine_arguments(deepspeed: str | None, dtype: str) -> dict[str, Any]:
    """The training arguments that depend on the machine: device, precision, DeepSpeed's JSON."""
    import torch

    cuda = torch.cuda.is_available()
    together = launched_engine(deepspeed)
    if launched():
        meet_world()
    arguments: dict[str, Any] = {
        "use_cpu": not cuda,
        "bf16": cuda and dtype in ("auto", "bfloat16"),
        "deepspeed": deepspeed if together else None,
    }
    if together and not cuda:
        _start_gloo()
        arguments |= {
            "use_cpu": False,
            "accelerator_config": {"use_configured_state": True},
        }
    return arguments


def _start_gloo() -> None:
    """Join the launcher's CPU processes under DeepSpeed, as accelerate would have to."""
    import deepspeed.ops
    from accelerate import PartialState

    # DeepSpeed would compile a shared-memory all-reduce here that only its inference engine uses.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    os.environ["ACCELERATE_USE_DEEPSPEED"] = "true"
    try:
        PartialState(backend="gloo")
    finally:
        del os.environ["ACCELERATE_USE_DEEPSPEED"]
