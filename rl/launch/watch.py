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

from rl.launch import connections
from rl.launch.connections import Connections, Peer

ENDED_BY = 5.0  # seconds that processes get to end by themselves
_LISTEN = 0.5  # seconds
_LINGER = 4.0  # seconds to hear that another machine died first: its loss breaks the collectives here
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


def run_watched(child: Child, machines: Connections, *, serves: bool = False) -> int:
    """Until the run is over everywhere: 0, or 1 with a line on stderr that says which machine ended it, and how.

    A machine that ``serves`` rollouts works until the training machines have finished.
    """
    status: int | None = None
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        while True:
            lost = _heard(machines)
            if status is None:
                status = child.status()
                if status is not None:
                    lost = lost or _own_end(machines, status, serves)
            if lost is not None:
                machines.tell({"lost": lost})
                print(f"launch.sh: {lost}\n{_AGAIN}", file=sys.stderr, flush=True)
                return 1
            if _over(machines, status, serves):
                return 0
    except KeyboardInterrupt:
        machines.tell({"lost": f"{machines.name} was interrupted."})
        print("launch.sh: interrupted", file=sys.stderr, flush=True)
        return 130
    finally:
        child.end()


def _heard(machines: Connections) -> str | None:
    """Listen once; what ended the run, if something did."""
    for peer, message in machines.listen(_LISTEN):
        if message is None and not peer.done:
            said = f"nothing has been heard of it for {connections.SILENCE:.0f} s"
            return f"{peer.name} is lost: {said if peer.silent else 'its launcher ended without a word'}."
        if message is None:
            continue
        if "lost" in message:
            return message["lost"]
        peer.done |= "ended" in message
    return None


def _own_end(machines: Connections, status: int, serves: bool) -> str | None:
    """This machine's share is over: None where that is how it should end."""
    if status == 0 and not serves:
        machines.tell({"ended": machines.rank})
        return None
    until = time.monotonic() + _LINGER
    while time.monotonic() < until:
        elsewhere = _heard(machines)
        if elsewhere is not None:
            return elsewhere
    what = "the rollout server" if serves else "training"
    return f"{what} on {machines.name} ended with status {status}; what it printed says why."


def _over(machines: Connections, status: int | None, serves: bool) -> bool:
    """The first machine is done when every training machine is; the others when the first one is."""
    if status is None and not serves:
        return False
    training = [peer for peer in machines.peers if not _serves(peer, machines)]
    if machines.first and all(peer.done for peer in training):
        machines.tell({"ended": 0})
        return True
    return not machines.first and all(peer.done for peer in machines.peers)


def _serves(peer: Peer, machines: Connections) -> bool:
    return peer.name.split(" ")[0] in machines.servers


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _quietly(action: Callable[[], object]) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        action()
