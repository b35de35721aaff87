"""Runs this machine's share while all machines watch one another; when one is lost, the others end and name it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psutil

from rl.launch.machines import Machines

ENDED_BY = 5.0  # seconds that processes get to end by themselves
INTERRUPTED = 130  # what a shell makes of SIGINT
_LOOK = 0.2  # seconds
# PR_SET_PDEATHSIG: a process gets SIGTERM when its parent dies, however that dies. DeepSpeed's launcher passes it on.
# The parent may have died before that was asked for.
_LEASH = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 15)
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""
_AGAIN = "Start the same line again on every machine: the run goes on from its last checkpoint."


class Child:
    """The processes that this launcher started here."""

    def __init__(self, line: Sequence[str], environment: Mapping[str, str]) -> None:
        leashed = [sys.executable, "-c", _LEASH, str(os.getpid()), *line] if sys.platform == "linux" else list(line)
        self._process = subprocess.Popen(leashed, env=dict(environment), process_group=0)

    def status(self) -> int | None:
        """The exit status, or None while it runs."""
        return self._process.poll()

    def end(self) -> None:
        """Ask every process below to end, and make it."""
        with contextlib.suppress(psutil.NoSuchProcess):
            leader = psutil.Process(self._process.pid)
            family = [*leader.children(recursive=True), leader]
            for process in family:
                _quietly(process.terminate)
            _, alive = psutil.wait_procs(family, timeout=ENDED_BY)
            for process in alive:
                _quietly(process.kill)
        with contextlib.suppress(ProcessLookupError):  # workers whose launcher died before them
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def run_watched(child: Child, machines: Machines, *, training: int, serves: bool = False) -> int:
    """Until the run is over everywhere: 0, or 1 with a line on stderr that says which machine ended it, and how.

    The first machine decides, the others tell it how they ended. The first ``training`` machines finish; one that
    ``serves`` rollouts works until they have.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        cause = _lead(child, machines, training) if machines.is_first else _follow(child, machines, serves)
    except KeyboardInterrupt:
        said = f"{machines.name} was interrupted."
        machines.say(ended=INTERRUPTED, cause=said, **({"over": said} if machines.is_first else {}))
        print("launch.sh: interrupted", file=sys.stderr, flush=True)
        return INTERRUPTED
    finally:
        child.end()
    if cause:
        print(f"launch.sh: {cause}\n{_AGAIN}", file=sys.stderr, flush=True)
    return 1 if cause else 0


def _lead(child: Child, machines: Machines, training: int) -> str:
    """Why the run is over, told to the others: "" once all have finished."""
    failed: tuple[float, str] | None = None
    while True:
        time.sleep(_LOOK)
        own = child.status()
        ended = {0: own, **{rank: said.get("ended") for rank, said in machines.heard.items()}}
        if failed is None:
            causes = [_failure("training", machines, own)] if own else []
            causes += [said["cause"] for said in machines.heard.values() if said.get("cause")]
            failed = (time.monotonic(), causes[0]) if causes else None
        if lost := machines.lost(None if failed is None else failed[0]):
            cause = f"{lost} is lost: nothing is heard of it any more."
        elif failed is not None and machines.all_outlived(failed[0]):  # else a loss may be what broke training
            cause = failed[1]
        elif all(ended.get(rank) == 0 for rank in range(training)):
            cause = ""
        else:
            continue
        machines.say(over=cause)
        return cause


def _follow(child: Child, machines: Machines, serves: bool) -> str:
    """Likewise, as the first machine says it."""
    while True:
        time.sleep(_LOOK)
        if (over := machines.heard[0].get("over")) is not None:
            return over
        if lost := machines.lost():
            return f"{lost} is lost: its launcher has ended, or is not reached."
        status = child.status()
        if status is not None and "ended" not in machines.said:
            what = "the rollout server" if serves else "training"
            machines.say(ended=status, cause=_failure(what, machines, status) if status or serves else "")


def _failure(what: str, machines: Machines, status: int) -> str:
    return f"{what} on {machines.name} ended with status {status}; what it printed says why."


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _quietly(action: Callable[[], object]) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        action()
