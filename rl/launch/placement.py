"""Where the processes run, as a hostfile, Slurm, or the environment of every machine says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from kie_hvqa.errors import InputError
from rl.launch.gpus import visible_gpus
from rl.launch.hosts import expand_slurm, read_hostfile

HANDED = "KIE_HVQA_PLACEMENT"  # how the machine that starts the others tells them where they stand
_MULTI_NODE = ("NODE_RANK", "MASTER_ADDR", "MASTER_PORT")
_DEFAULT_PORT = 29500


@dataclass(frozen=True)
class Placement:
    """Where the processes run.

    ``nodes`` maps each training machine's name to its devices, ``servers`` each machine that serves rollouts; ``rank``
    is this machine's place among both, training machines first; None: this machine only starts the others.
    ``rollouts`` is the host that serves rollouts, whoever starts it there.
    """

    nodes: dict[str, tuple[str, ...]]
    rank: int | None = 0
    address: str | None = None
    port: int | None = None
    servers: dict[str, tuple[str, ...]] | None = None
    rollouts: str | None = None
    by: str = "environment"
    """What starts the other machines: ``environment`` (they are started like this one), ``ssh`` or ``slurm``."""

    @property
    def world_size(self) -> int:
        return sum(len(devices) for devices in self.nodes.values())

    @property
    def members(self) -> list[str]:
        """Every machine that takes part, in the order of rank."""
        return [*self.nodes, *(self.servers or {})]

    @property
    def layout(self) -> str:
        """Processes of each machine, in the order of rank: ``8+8``."""
        return "+".join(str(len(devices)) for devices in {**self.nodes, **(self.servers or {})}.values())

    @property
    def alone(self) -> bool:
        return len(self.members) == 1

    @property
    def serves(self) -> bool:
        """Whether this machine serves rollouts instead of training."""
        return self.rank is not None and self.rank >= len(self.nodes)

    @property
    def watch_port(self) -> int:
        """Where the machines meet and watch one another: beside the port of the processes' own rendezvous."""
        assert self.port is not None
        return self.port + 1

    def handed_to(self, rank: int) -> str:
        """This placement for the machine of ``rank``, as ``placement`` takes it from the environment."""
        return json.dumps(asdict(replace(self, rank=rank)))


def placement(
    hostfile: Path | None,
    environment: Mapping[str, str],
    *,
    no_ssh: bool = False,
    rollouts: str | None = None,
    dry: bool = False,
) -> Placement:
    """What a hostfile, Slurm or the environment says about where to run. Raises InputError where they say nonsense.

    ``rollouts`` names the machines (separated by commas) that serve rollouts. A ``dry`` run may plan for machines that
    it cannot reach: NNODES without MASTER_ADDR.
    """
    if environment.get(HANDED):
        return _handed(environment[HANDED])
    if hostfile is not None:
        return _from_hostfile(hostfile, environment, no_ssh, rollouts)
    if environment.get("SLURM_JOB_ID") and not environment.get("NNODES"):
        found = _from_slurm(environment, rollouts)
        if found is not None:
            return found
    return _from_environment(environment, rollouts, dry)


def _handed(text: str) -> Placement:
    try:
        said = json.loads(text)
        for key in ("nodes", "servers"):
            said[key] = {name: tuple(devices) for name, devices in (said[key] or {}).items()}
        return Placement(**said)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise InputError("no launcher wrote this", field=HANDED, remedy=f"Unset {HANDED}.") from None


def _from_hostfile(path: Path, environment: Mapping[str, str], no_ssh: bool, rollouts: str | None) -> Placement:
    for key in ("NPROC", "NNODES", *(() if no_ssh else ("NODE_RANK",))):
        if environment.get(key):
            raise InputError("a hostfile says this already", field=key, remedy=f"Unset {key}, or leave --hostfile out.")
    nodes, servers = _split(read_hostfile(path), rollouts)
    first = next(iter(nodes))
    address = environment.get("MASTER_ADDR") or first
    port = number(environment, "MASTER_PORT", low=1, high=65534) or _DEFAULT_PORT
    serving = next(iter(servers), None)
    if not no_ssh:
        if address in ("localhost", "127.0.0.1") and len(nodes) + len(servers) > 1:
            raise InputError(
                f"the other machines cannot reach the first one as {address}",
                file=path,
                field="MASTER_ADDR",
                remedy="Write the first machine by a name or an address that the others know.",
            )
        return Placement(nodes, None, address, port, servers, serving, "ssh")
    _needs(environment, ("NODE_RANK",), "--no_ssh")
    rank = number(environment, "NODE_RANK", low=0, high=len(nodes) + len(servers) - 1)
    return Placement(nodes, rank, address, port, servers, serving)


def _from_slurm(environment: Mapping[str, str], rollouts: str | None) -> Placement | None:
    """None inside an allocation of one machine, or of none that is named: like any other one machine."""
    listed = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST")
    names = expand_slurm(listed) if listed else []
    if len(names) <= 1:
        return None
    given = number(environment, "NPROC", low=1) or number(environment, "SLURM_GPUS_ON_NODE", low=1)
    devices = tuple(str(index) for index in range(given or len(visible_gpus(environment)) or 1))
    nodes, servers = _split(dict.fromkeys(names, devices), rollouts)
    port = number(environment, "MASTER_PORT", low=1, high=65534)
    if port is None:  # the same on every machine of the job, and another one for the next job
        port = 20000 + 2 * (int(environment["SLURM_JOB_ID"]) % 10000)
    # In a batch script this is the first machine, before any `srun`: the step has to be started from here.
    in_step = "SLURM_STEP_ID" in environment or "SLURM_STEP_NODELIST" in environment
    place = Placement(
        nodes, None, environment.get("MASTER_ADDR") or next(iter(nodes)), port, servers, next(iter(servers), None)
    )
    if not in_step:
        return replace(place, by="slurm")
    _needs(environment, ("SLURM_NODEID",), "a Slurm step")
    own = names[number(environment, "SLURM_NODEID", low=0, high=len(names) - 1) or 0]
    return replace(place, rank=place.members.index(own))


def _from_environment(environment: Mapping[str, str], rollouts: str | None, dry: bool) -> Placement:
    port = number(environment, "MASTER_PORT", low=1, high=65534)
    address = environment.get("MASTER_ADDR") or None
    nodes = number(environment, "NNODES", low=1) or 1
    gpus = visible_gpus(environment)
    processes = number(environment, "NPROC", low=1) or len(gpus) or 1
    planned = dry and nodes > 1 and address is None
    own = tuple(map(str, range(processes))) if planned else _devices(environment, gpus, processes)
    if nodes == 1:
        return Placement({"localhost": own}, 0, "127.0.0.1", port, rollouts=rollouts)
    names = [f"node-{index}" for index in range(nodes)]
    others = tuple(str(index) for index in range(processes))
    if planned:
        return Placement(dict.fromkeys(names, others), 0, None, port, rollouts=rollouts)
    _needs(environment, _MULTI_NODE, f"NNODES={nodes}")
    rank = number(environment, "NODE_RANK", low=0, high=nodes - 1) or 0
    every = {name: own if index == rank else others for index, name in enumerate(names)}
    return Placement(every, rank, address, port, rollouts=rollouts)


def _split(
    hosts: dict[str, tuple[str, ...]], rollouts: str | None
) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """Those that train, and those that serve rollouts."""
    serving = [name.strip() for name in rollouts.split(",")] if rollouts else []
    for name in serving:
        if name not in hosts:
            raise InputError(
                f"{name} is not among the machines ({', '.join(hosts)})",
                field="--rollouts",
                remedy="Name one of them, or leave it out to roll out on the training GPUs.",
            )
    training = {name: devices for name, devices in hosts.items() if name not in serving}
    if not training:
        raise InputError("no machine is left to train on", field="--rollouts", remedy="Name fewer machines.")
    return training, {name: hosts[name] for name in serving}


def _devices(environment: Mapping[str, str], gpus: tuple[str, ...], processes: int) -> tuple[str, ...]:
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


def _needs(environment: Mapping[str, str], keys: tuple[str, ...], what: str) -> None:
    for key in keys:
        if not environment.get(key):
            raise InputError(f"{what} needs it", field=key, remedy=f"Set {', '.join(keys)} on every node.")


def number(environment: Mapping[str, str], key: str, *, low: int, high: int | None = None) -> int | None:
    """The whole number that ``environment`` holds under ``key``; None without it. InputError where it is none."""
    text = environment.get(key)
    if not text:
        return None
    if not text.isdecimal() or int(text) < low or (high is not None and int(text) > high):
        wanted = f"at least {low}" if high is None else f"from {low} to {high}"
        raise InputError(f"must be a whole number {wanted}, not {text!r}", field=key, remedy="Mend the value.")
    return int(text)
