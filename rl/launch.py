"""Starts a training stage on one process, on several of one machine, or on several machines, by DeepSpeed's launcher.

    ./launch.sh sft CONFIG                                    one process
    NPROC=8 ./launch.sh grpo CONFIG                           eight processes of this machine
    ./launch.sh grpo CONFIG --hostfile FILE                   machines that this one reaches by ssh (lines `HOST slots=8`)
    NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 MASTER_PORT=29500 NPROC=8 ./launch.sh grpo CONFIG
                                                              the same line on every machine, with its own NODE_RANK
    ./launch.sh grpo CONFIG --dry-run                         the preflight only

The preflight comes first, in one process, so that wrong input is told once and before anything is held. Whatever
follows CONFIG as key=value changes single keys of the recipe.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from kie_hvqa.errors import InputError, WorkError

_MULTI_NODE = ("NODE_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Placement:
    """Where the processes run.

    ``nodes`` maps each machine's name to its devices; ``rank`` is this machine's place among them. With ``hostfile``
    this machine starts all the others by ssh; without, every machine starts its own share.
    """

    nodes: dict[str, tuple[str, ...]]
    rank: int = 0
    address: str | None = None
    port: int | None = None
    hostfile: Path | None = None

    @property
    def world_size(self) -> int:
        return sum(len(devices) for devices in self.nodes.values())


def placement(hostfile: Path | None, environment: Mapping[str, str]) -> Placement:
    """What a hostfile, or the environment, says about where to run. Raises InputError where they say nonsense."""
    port = _number(environment, "MASTER_PORT", low=1, high=65535)
    address = environment.get("MASTER_ADDR") or None
    if hostfile is not None:
        for key in ("NPROC", "NNODES", "NODE_RANK"):
            if environment.get(key):
                raise InputError(
                    "a hostfile says this already", field=key, remedy=f"Unset {key}, or leave --hostfile out."
                )
        return Placement(read_hostfile(hostfile), 0, address, port, hostfile)
    nodes = _number(environment, "NNODES", low=1) or 1
    processes = _number(environment, "NPROC", low=1) or 1
    own = _devices(environment, processes)
    if nodes == 1:
        return Placement({"localhost": own}, 0, "127.0.0.1", port)
    for key in _MULTI_NODE:
        if not environment.get(key):
            raise InputError(
                f"NNODES={nodes} needs it", field=key, remedy=f"Set {', '.join(_MULTI_NODE)} on every node."
            )
    rank = _number(environment, "NODE_RANK", low=0, high=nodes - 1) or 0
    others = tuple(str(index) for index in range(processes))
    return Placement({f"node-{i}": own if i == rank else others for i in range(nodes)}, rank, address, port)


def read_hostfile(path: Path) -> dict[str, tuple[str, ...]]:
    """DeepSpeed's hostfile, ``HOST slots=N`` a line, ``#`` comments. Raises InputError naming the line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the hostfile ({error})", file=path, remedy="Check the path.") from None
    nodes: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(lines, start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        entry = re.fullmatch(r"(\S+)\s+slots=([1-9]\d*)", line)
        if entry is None:
            raise InputError("not a host", file=path, line=number, remedy="A line is `HOST slots=N`.")
        if entry[1] in nodes:
            raise InputError(f"{entry[1]} stands twice", file=path, line=number, remedy="Add its slots up on one line.")
        nodes[entry[1]] = tuple(str(slot) for slot in range(int(entry[2])))
    if not nodes:
        raise InputError("the hostfile names no host", file=path, remedy="A line is `HOST slots=N`.")
    return nodes


def command(place: Placement, stage: str, config: Path, overrides: Sequence[str]) -> list[str]:
    """The command line that starts the stage there. Raises InputError for a port that is taken."""
    work = ["kie_hvqa", stage, "--config", str(config), *overrides]
    if place.world_size == 1 and place.hostfile is None:
        return [sys.executable, "-m", *work]
    common = ["--module", "--no_local_rank", "--log_level", "warning"]
    if place.hostfile is not None:
        where = ["--hostfile", str(place.hostfile)]
        where += [] if place.address is None else ["--master_addr", place.address]
        where += [] if place.port is None else ["--master_port", str(place.port)]
        return [sys.executable, "-m", "deepspeed.launcher.runner", *where, *common, *work]
    # What the runner would start on this machine with --no_ssh, without the hostfile that it would want to see.
    world = base64.urlsafe_b64encode(json.dumps(place.nodes).encode()).decode()
    where = [f"--world_info={world}", f"--node_rank={place.rank}", f"--master_addr={place.address}"]
    where += [f"--master_port={_port(place)}"]
    return [sys.executable, "-u", "-m", "deepspeed.launcher.launch", *where, *common, *work]


def environment_for(place: Placement, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of the processes: threads shared out among them, and one device for one process."""
    changed = dict(environment)
    local = max(len(devices) for devices in place.nodes.values())
    if local > 1:  # otherwise each of them takes every core
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        changed.setdefault("OMP_NUM_THREADS", str(max(1, cores // local)))
    elif place.world_size == 1 and visible_gpus(environment):
        # transformers would spread one process over all GPUs by DataParallel, which Qwen2.5-VL does not survive.
        changed["CUDA_VISIBLE_DEVICES"] = visible_gpus(environment)[0]
    return changed


def visible_gpus(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; found without importing torch."""
    named = environment.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return tuple(device for device in named.split(",") if device and device != "-1")
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(str(index) for index, line in enumerate(filter(None, listed.stdout.splitlines())) if "GPU" in line)


def _devices(environment: Mapping[str, str], processes: int) -> tuple[str, ...]:
    gpus = visible_gpus(environment)
    if gpus and processes > len(gpus):
        raise InputError(
            f"{processes} processes, but this machine shows {len(gpus)} GPU(s)",
            field="NPROC",
            remedy=f"Use NPROC={len(gpus)} or less, or CUDA_VISIBLE_DEVICES= to train on the CPU.",
        )
    if gpus:
        return gpus[:processes]
    # DeepSpeed writes these into CUDA_VISIBLE_DEVICES: where that hides all GPUs on purpose, it must stay so.
    return tuple("-1" if "CUDA_VISIBLE_DEVICES" in environment else str(index) for index in range(processes))


def _number(environment: Mapping[str, str], key: str, *, low: int, high: int | None = None) -> int | None:
    text = environment.get(key)
    if not text:
        return None
    if not text.isdecimal() or int(text) < low or (high is not None and int(text) > high):
        wanted = f"at least {low}" if high is None else f"from {low} to {high}"
        raise InputError(f"must be a whole number {wanted}, not {text!r}", field=key, remedy="Mend the value.")
    return int(text)


def _port(place: Placement) -> int:
    """The rendezvous port: the given one if it is free here, or any free one on a single machine."""
    if place.rank != 0 and place.port is not None:
        return place.port  # it is the first machine's
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", place.port or 0))
        except OSError as error:
            raise InputError(
                f"port {place.port} cannot be used ({error.strerror})",
                field="MASTER_PORT",
                remedy="Choose another port.",
            ) from None
        return probe.getsockname()[1]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="launch.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("stage", choices=("sft", "grpo"))
    made.add_argument("config", type=Path, metavar="CONFIG", help="recipe, see configs/")
    made.add_argument("overrides", nargs="*", metavar="key=value", help="single keys of the recipe")
    made.add_argument("--dry-run", action="store_true", help="the preflight only")
    made.add_argument("--hostfile", type=Path, metavar="FILE", help="machines to start by ssh")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Preflight, then the stage, which takes this process's place. Returns only with what went wrong, or a dry run."""
    arguments = parser().parse_intermixed_args(argv)
    try:
        place = placement(arguments.hostfile, os.environ)
        environment = environment_for(place, os.environ)
        start = command(place, arguments.stage, arguments.config, arguments.overrides)
        if find_spec("pydantic") is None or find_spec("trl") is None:
            raise InputError(
                f"{sys.executable} has not got the packages", remedy="Run `pip install -c constraints.txt -e .` first."
            )
        from kie_hvqa.torch_check import require_torch

        require_torch()
        from rl import preflight

        preflight.run(arguments.stage, arguments.config, arguments.overrides, world_size=place.world_size, say=_say)
    except (InputError, WorkError) as error:
        sys.stdout.flush()
        print(f"launch.sh {arguments.stage}: {error}", file=sys.stderr)
        return error.exit_status
    if arguments.dry_run:
        return 0
    _say(f"{arguments.stage} on {place.world_size} process(es) of {len(place.nodes)} machine(s)")
    os.execve(start[0], start, environment)


def _say(line: object) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
