"""The command lines that start things: DeepSpeed's launcher here, this launcher elsewhere, a vLLM server."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import shutil
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from rl.launch.gpus import visible_gpus
from rl.launch.placement import HANDED, Placement
from rl.launch.ports import claim, own_address

HOME = Path(__file__).resolve().parents[2]
ROLLOUT_PORT = 8000
# What DeepSpeed's own launcher exports by ssh, what else libraries of a run read, and where programs and CUDA are found:
# what ssh starts reads no profile. No secrets (VLLM_API_KEY): others can read a command line.
_EXPORTED = (
    "NCCL_", "UCX_", "GLOO_", "OMP_", "TORCH_", "HF_HOME", "HF_HUB_OFFLINE", "VLLM_", "CUDA_HOME", "PYTHON", "PATH",
    "LD_LIBRARY_PATH",
)  # fmt: skip
_SECRET = ("KEY", "TOKEN", "SECRET", "PASSWORD")
# What this launcher was told, and ranks that another left behind: a single process would wait for a world that is not
# there. DeepSpeed's launcher gives each process its own.
_OURS = re.compile(
    r"KIE_HVQA_PLACEMENT|NNODES|NODE_RANK|NPROC|MASTER_(ADDR|PORT)|((LOCAL|GROUP|ROLE|CROSS)_)?RANK"
    r"|((LOCAL|GROUP|ROLE|CROSS)_)?WORLD_SIZE|CROSS_SIZE|LOCAL_SIZE|TORCHELASTIC_.*|(PMI|PMIX|OMPI|MPI|MV2)_.*(RANK|RANKID|SIZE)"
)


def training(place: Placement, stage: str, config: Path, overrides: Sequence[str], *, engine: bool) -> list[str]:
    """What trains on this machine: one process by itself, or DeepSpeed's launcher (always with an ``engine``).

    Raises InputError for a port that is taken.
    """
    work = ["kie_hvqa", stage, "--config", str(config), *served(place, overrides)]
    if place.world_size == 1 and not engine:
        return [sys.executable, "-m", *work]
    # What DeepSpeed's runner would start on this machine, without the hostfile that it would want to see.
    world = base64.urlsafe_b64encode(json.dumps(place.nodes).encode()).decode()
    where = [f"--world_info={world}", f"--node_rank={place.rank or 0}", f"--master_addr={place.address}"]
    where += [f"--master_port={free_port(place)}"]
    how = ["--module", "--no_local_rank", "--log_level", "warning"]
    return [sys.executable, "-u", "-m", "deepspeed.launcher.launch", *where, *how, *work]


def served(place: Placement, overrides: Sequence[str]) -> list[str]:
    """``overrides``, and where a server generates, the keys that send the trainer there."""
    if place.rollouts is None:
        return list(overrides)
    url = f"http://{place.rollouts}:{ROLLOUT_PORT}"
    keys = ["training.use_vllm=true", "training.vllm_mode=server", f"training.vllm_server_base_url={url}"]
    return [*overrides, *keys]


def free_port(place: Placement) -> int:
    """The port of torch's rendezvous: what was named, where it is free here, or any free one. Raises InputError.

    On other machines than the first it is that one's."""
    if place.rank != 0 and place.port is not None:
        return place.port
    with socket.socket() as asked:
        claim(asked, place.port or 0, f"port {place.port}", "Choose another port; an earlier run may still hold it.")
        return asked.getsockname()[1]


def left_over(environment: Mapping[str, str]) -> set[str]:
    """What of ``environment`` no process may see once the placement is known: what it was told, and others' ranks."""
    return set(filter(_OURS.fullmatch, environment))


def environment_for(place: Placement, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of this machine's processes: threads shared out, one device for one process, gloo's interface.

    Without the run's secret, and without ranks that were left in it.
    """
    ours = left_over(environment)
    changed = {key: value for key, value in environment.items() if key not in ours}
    local = max(len(devices) for devices in place.nodes.values())
    if local > 1:  # otherwise each of them takes every core
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        changed.setdefault("OMP_NUM_THREADS", str(max(1, cores // local)))
    elif place.world_size == 1 and visible_gpus(environment):
        # transformers would spread one process over all GPUs by DataParallel, which Qwen2.5-VL does not survive.
        changed["CUDA_VISIBLE_DEVICES"] = visible_gpus(environment)[0]
    if len(place.nodes) > 1 and place.address is not None:
        first = place.rank == 0
        name = interface_to(own_address(place.address, place.members[1:]) if first else place.address)
        if name is not None:
            # gloo listens where this machine's own name points, which on Debian is 127.0.1.1.
            changed.setdefault("GLOO_SOCKET_IFNAME", name)
    return changed


def interface_to(address: str) -> str | None:
    """The network interface by which this machine reaches ``address``; None where it cannot be told."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect((address, 9))  # sends nothing
            own = asked.getsockname()[0]
        except OSError:
            return None
    for name, addresses in psutil.net_if_addrs().items():
        if any(found.address == own for found in addresses):
            return name
    return None


def elsewhere(place: Placement, rank: int, arguments: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """The line that starts this launcher on the machine of ``rank``: by ssh, or without where that is this machine."""
    script = str(HOME / "launch.sh")
    said = {
        key: value
        for key, value in environment.items()
        if key.startswith(_EXPORTED) and not any(part in key.upper() for part in _SECRET)
    }
    said |= {"PYTHON": sys.executable, HANDED: place.handed_to(rank)}
    settings = [f"{key}={value}" for key, value in sorted(said.items())]
    host = place.members[rank]
    if host in ("localhost", socket.gethostname(), socket.getfqdn()):
        return ["env", *settings, script, *arguments]
    there = f"cd {shlex.quote(os.getcwd())} && exec env {shlex.join([*settings, script, *arguments])}"
    return ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15", host, there]


def slurm_step(place: Placement, arguments: Sequence[str]) -> list[str]:
    """The line that starts this launcher once on every machine of the allocation."""
    count = str(len(place.members))
    how = ["--nodes", count, "--ntasks", count, "--ntasks-per-node", "1", "--kill-on-bad-exit=1", "--cpu-bind=none"]
    return ["srun", *how, "--label", str(HOME / "launch.sh"), *arguments]


def rollout_server(
    place: Placement,
    model: Path,
    pixels: tuple[int, int],
    *,
    length: int | None,
    tensor_parallel: int,
    vllm: tuple[int, int] | None,
    environment: Mapping[str, str],
) -> list[str]:
    """`vllm serve` for this machine, as TRL 1.16 wants it (trl/generation/vllm_client.py).

    ``pixels`` are the least and the most of an image, ``length`` the context, ``vllm`` the version there (None: not
    known). Several machines share the work by data parallelism; all but the first run without a front.
    """
    servers = place.servers or {"localhost": visible_gpus(environment) or ("0",)}
    own = 0 if not place.serves else (place.rank or 0) - len(place.nodes)
    replicas = [max(1, len(devices) // tensor_parallel) for devices in servers.values()]
    line = ["env", "VLLM_SERVER_DEV_MODE=1", _vllm(environment), "serve", str(model)]
    # Only where it was asked to be: whoever reaches it can read the model and write its weights.
    line += ["--host", place.rollouts or "127.0.0.1", "--port", str(ROLLOUT_PORT), "--dtype", "bfloat16"]
    line += ["--weight-transfer-config", '{"backend": "nccl"}']
    line += ["--logprobs-mode", "processed_logprobs", "--max-logprobs", "-1"]
    # The model's own sampling defaults (top_p 0.001, a repetition penalty) would not be the policy that is trained.
    line += ["--generation-config", "vllm", "--limit-mm-per-prompt", '{"image": 1}']
    line += ["--mm-processor-kwargs", json.dumps({"min_pixels": pixels[0], "max_pixels": pixels[1]})]
    line += ["--tensor-parallel-size", str(tensor_parallel)]
    if length is not None:
        line += ["--max-model-len", str(length)]
    if vllm is None or vllm >= (0, 30):
        line += ["--enable-scale-out"]  # images are sent to /v1/chat/completions/render, which hides behind it
    if sum(replicas) > 1:
        line += ["--data-parallel-size", str(sum(replicas)), "--data-parallel-size-local", str(replicas[own])]
    if len(replicas) > 1:
        line += ["--data-parallel-address", next(iter(servers)), "--data-parallel-rpc-port", "13345"]
        line += ["--headless", "--data-parallel-start-rank", str(sum(replicas[:own]))] if own else []
    return line


def _vllm(environment: Mapping[str, str]) -> str:
    """vLLM pins its own torch and may live in another environment: VLLM names its command."""
    beside = Path(sys.executable).with_name("vllm")
    return environment.get("VLLM") or (str(beside) if beside.exists() else shutil.which("vllm") or "vllm")
