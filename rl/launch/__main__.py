"""Starts a training stage on one process, on several of one machine, or on several machines, by DeepSpeed's launcher.

    ./launch.sh sft CONFIG                      this machine: all its GPUs, or one process without any (NPROC=8: eight)
    ./launch.sh forget CONFIG                   likewise for grpo and forget
    ./launch.sh grpo CONFIG --hostfile FILE     machines that this one reaches by ssh (lines `HOST slots=8`)
    NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 MASTER_PORT=29500 NPROC=8 ./launch.sh grpo CONFIG
                                                the same line on every machine, with its own NODE_RANK
    ./launch.sh grpo CONFIG                     in a Slurm allocation: its machines, with or without `srun` in front
    ./launch.sh grpo CONFIG --rollouts HOST     a vLLM server generates there, not the training GPUs
    ./launch.sh rollouts CONFIG                 that server, started by hand
    ./launch.sh grpo CONFIG --dry-run           the preflight only: what would run, what is wrong, memory and time
                                                (--json: for a script, bytes and seconds)

The preflight comes first, so that wrong input is told once and before anything is held; on several machines each
checks itself, and they begin together or not at all. Whatever follows CONFIG as key=value changes single keys of the
recipe. docs/launching.md tells more.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from kie_hvqa.console import quiet, say_json
from kie_hvqa.errors import InputError, WorkError
from kie_hvqa.extras import remedy
from kie_hvqa.shipped import recipe
from rl.launch import commands
from rl.launch.description import Description, describe
from rl.launch.gpus import visible_gpus
from rl.launch.machines import SILENCE, Machines
from rl.launch.meeting import checked, meet, say_error
from rl.launch.placement import HANDED, Placement, placement
from rl.launch.watch import ENDED_BY, INTERRUPTED, Child, run_watched

if TYPE_CHECKING:
    from rl.preflight import Finding

PATIENCE = 600.0  # seconds that machines wait for one another to come


def _path(text: str) -> Path:
    """The shell leaves a ``~`` that does not begin a word."""
    return Path(text).expanduser()


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="launch.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("stage", choices=("sft", "grpo", "forget", "rollouts"))
    made.add_argument("config", type=_path, metavar="CONFIG", help="a .yaml file, or a name from configs/STAGE/")
    made.add_argument("overrides", nargs="*", metavar="key=value", help="single keys of the recipe")
    made.add_argument("--dry-run", action="store_true", help="the preflight only")
    made.add_argument(
        "--json", action="store_true", help="with --dry-run: print it as one JSON object, and nothing else"
    )
    made.add_argument("--hostfile", type=_path, metavar="FILE", help="machines to start by ssh")
    made.add_argument(
        "--no_ssh", action="store_true", help="the hostfile only names the machines: this line runs on each"
    )
    made.add_argument("--rollouts", metavar="HOST[,HOST]", help="machines that serve rollouts with vLLM")
    made.add_argument("--gpu", metavar="NAME", help="plan for this GPU (h100, a100-80 …), not for this machine's")
    made.add_argument(
        "--patience", type=float, default=PATIENCE, metavar="S", help="seconds to wait for the other machines"
    )
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Preflight, then the stage. Returns what went wrong, or 0; a single machine's stage takes this process's place."""
    given = list(sys.argv[1:] if argv is None else argv)
    arguments = parser().parse_intermixed_args(given)
    try:
        if arguments.json and not (arguments.dry_run and arguments.stage != "rollouts"):
            raise InputError("is a preflight's", field="--json", remedy="Add --dry-run, to sft, grpo or forget.")
        arguments.config = recipe("grpo" if arguments.stage == "rollouts" else arguments.stage, str(arguments.config))
        place = placement(
            arguments.hostfile,
            os.environ,
            no_ssh=arguments.no_ssh,
            rollouts=arguments.rollouts,
            dry=arguments.dry_run,
        )
        if place.by == "slurm":
            step = commands.slurm_step(place, given)
            os.execvp(step[0], step)
        if place.by == "ssh" and place.rank is None:
            return _start_all(place, given)
        if os.environ.get(HANDED):
            _end_with_starter()
        for key in commands.left_over(os.environ):  # the preflight asks TRL, which would look for that world
            del os.environ[key]
        if arguments.stage == "rollouts":
            return _serve(place, arguments)
        alone = place.alone or place.address is None
        return _alone(place, arguments) if alone else _together(place, arguments)
    except (InputError, WorkError) as error:
        say_error(arguments.stage, error)
        return error.exit_status
    except KeyboardInterrupt:
        print("launch.sh: interrupted", file=sys.stderr, flush=True)
        return INTERRUPTED


def _alone(place: Placement, arguments: argparse.Namespace) -> int:
    """One machine; or a plan for several that are not there."""
    line = _line(place, arguments) if place.address is not None else []
    findings = _preflight(place, arguments, quiet=arguments.json)
    if arguments.json:
        shown = {"findings": [asdict(one) for one in findings], "commands": list(_commands(place, arguments, line))}
        say_json({"stage": arguments.stage, "config": str(arguments.config), "processes": place.world_size, **shown})
        return 0
    if arguments.dry_run:
        _say_commands(place, arguments, line)
        return 0
    _say(f"{arguments.stage} on {place.world_size} process(es) of 1 machine")
    os.execve(line[0], line, commands.environment_for(place, os.environ))


def _together(place: Placement, arguments: argparse.Namespace) -> int:
    """This machine's part of several."""
    assert place.rank is not None
    if arguments.json:
        raise InputError(
            "plans from one machine", field="--json", remedy="Leave out MASTER_ADDR, or name a --hostfile."
        )
    with Machines(place.members, place.rank) as machines:
        say = _say if machines.is_first else lambda line: None
        own = checked(lambda: _check(place, arguments, quiet=not machines.is_first), Description(socket.gethostname()))
        say(f"waiting for {', '.join(place.members[1:])} on port {place.watch_port} of {place.address}")
        written = not (arguments.dry_run or place.serves or own.error)
        agreed = meet(
            place, machines, own, arguments.patience, Path(_recipe(arguments).output_dir) if written else None
        )
        say(f"{'nodes':<12}{agreed}")
        line = _line(place, arguments)
        if arguments.dry_run:
            if machines.is_first:
                _say_commands(place, arguments, line)
            return 0
        say(f"{arguments.stage} on {place.world_size} process(es) of {len(place.nodes)} machine(s)")
        child = Child(line, commands.environment_for(place, os.environ))
        return run_watched(child, machines, training=len(place.nodes), serves=place.serves)


def _line(place: Placement, arguments: argparse.Namespace) -> list[str]:
    """What this machine runs."""
    if place.serves:
        return _server_line(place, arguments)
    engine = bool(visible_gpus(os.environ)) and _recipe(arguments).deepspeed is not None  # for a single process too
    return commands.training(place, arguments.stage, arguments.config, arguments.overrides, engine=engine)


def _check(place: Placement, arguments: argparse.Namespace, *, quiet: bool) -> Description:
    """This machine's own preflight, and its description."""
    said = [*arguments.overrides, *(["--dry-run"] if arguments.dry_run else [])]
    if place.serves:
        _server_line(place, arguments)
        return describe(arguments.stage, arguments.config, said, None, place.layout)
    _preflight(place, arguments, quiet=quiet)
    if place.rank == 0:
        commands.free_port(place)
    return describe(arguments.stage, arguments.config, said, Path(_recipe(arguments).data.name), place.layout)


def _preflight(place: Placement, arguments: argparse.Namespace, *, quiet: bool) -> list[Finding]:
    if find_spec("pydantic") is None or find_spec("trl") is None:
        raise InputError(f"{sys.executable} has not got the packages", remedy=remedy("train"))
    from kie_hvqa.torch_check import require_torch

    require_torch("train")
    from rl import preflight

    return preflight.run(
        arguments.stage,
        arguments.config,
        commands.served(place, arguments.overrides),
        world_size=place.world_size,
        nodes=len(place.nodes),
        gpu=arguments.gpu,
        dry=arguments.dry_run,
        say=None if quiet else _say,
    )


def _recipe(arguments: argparse.Namespace):
    from kie_hvqa.config import load
    from rl.forget.recipe import ForgetRecipe
    from rl.recipes import GrpoRecipe, SftRecipe

    recipes: dict[str, Any] = {"sft": SftRecipe, "forget": ForgetRecipe}
    return load(arguments.config, recipes.get(arguments.stage, GrpoRecipe), arguments.overrides)


def _server_line(place: Placement, arguments: argparse.Namespace) -> list[str]:
    """`vllm serve` for the recipe's model, under the pixel budget that it is trained with."""
    from kie_hvqa.readers.model_directory import agreed_contract
    from rl.checkpoints.models import model_directory
    from rl.preflight.checked.tokens import context_of
    from rl.rollouts.vllm_models import check_served

    recipe = _recipe(arguments)
    directory = model_directory(recipe.model)
    check_served(directory)
    contract = agreed_contract(
        directory, prompt=recipe.prompt, min_pixels=recipe.min_pixels, max_pixels=recipe.max_pixels
    )
    try:
        found = tuple(int(part) for part in metadata.version("vllm").split(".")[:2])
        version = (found[0], found[1])
    except (metadata.PackageNotFoundError, ValueError, IndexError):
        version = None
    return commands.rollout_server(
        place,
        directory,
        (contract.min_pixels, contract.max_pixels),
        length=recipe.training.get("vllm_max_model_length") or context_of(directory),
        tensor_parallel=recipe.training.get("vllm_tensor_parallel_size", 1),
        vllm=version,
        environment=os.environ,
    )


def _serve(place: Placement, arguments: argparse.Namespace) -> int:
    """A rollout server started by hand on this machine."""
    line = _server_line(place, arguments)
    _say(shlex.join(line))
    if place.rollouts is None:
        _say("only this machine reaches it; --rollouts HOST names the address on which others do")
    if arguments.dry_run:
        return 0
    try:
        os.execvp(line[0], line)
    except FileNotFoundError:
        raise InputError(
            "vLLM is not installed here",
            remedy="Install it (make vllm-env, then PYTHON=.venv-vllm/bin/python), or name its command in VLLM.",
        ) from None


def _commands(place: Placement, arguments: argparse.Namespace, line: list[str]) -> Iterator[tuple[str, str]]:
    """What would be started, machine by machine."""
    if line:
        yield "command", shlex.join(line)
    for index, name in enumerate(place.servers or {}):
        there = replace(place, rank=len(place.nodes) + index)
        yield "rollouts", f"on {name}: {shlex.join(_server_line(there, arguments))}"
    if place.rollouts is not None and not place.servers:
        by_hand = f"./launch.sh rollouts {arguments.config} --rollouts {place.rollouts}"
        yield "rollouts", f"on {place.rollouts}, by hand: {by_hand}"


def _say_commands(place: Placement, arguments: argparse.Namespace, line: list[str]) -> None:
    for what, text in _commands(place, arguments, line):
        _say(f"{what:<12}{text}")


def _start_all(place: Placement, given: list[str]) -> int:
    """Start this launcher on every machine and wait; the first one that fails decides the status."""
    lines = [commands.elsewhere(place, rank, given, os.environ) for rank in range(len(place.members))]
    try:
        started = [subprocess.Popen(line, stdin=subprocess.PIPE) for line in lines]
    except FileNotFoundError as error:
        raise InputError(f"there is no `{error.filename}` here", remedy="Install an ssh client.") from None
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    failed: dict[str, int] = {}
    deadline = float("inf")
    try:
        while any(one.poll() is None for one in started) and time.monotonic() < deadline:
            for name, one in zip(place.members, started, strict=True):
                if one.returncode and name not in failed:
                    failed[name] = one.returncode
                    if one.returncode == 255:
                        print(f"launch.sh: {name} cannot be reached by ssh (status 255)", file=sys.stderr, flush=True)
                    deadline = min(deadline, time.monotonic() + SILENCE + 2 * ENDED_BY)
            time.sleep(0.2)
    finally:
        for one in started:  # their input closes, and they end with it
            with contextlib.suppress(OSError):
                cast(IO[bytes], one.stdin).close()
        for one in started:
            try:
                one.wait(timeout=2 * ENDED_BY)
            except subprocess.TimeoutExpired:
                one.kill()
    statuses = [*failed.values(), *(one.returncode for one in started)]
    return next((status if status in (1, 2) else 1 for status in statuses if status), 0)


def _end_with_starter() -> None:
    """This launcher was started from another machine: its input closes when that one goes, however it goes."""

    def hold() -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=hold, daemon=True).start()


def _say(line: object) -> None:
    if not quiet():
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
