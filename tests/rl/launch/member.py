"""A launcher without its preflight, as a process: the real meeting and watch, around a child that does as it is told."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from multiprocessing.context import ForkServerContext
from pathlib import Path

from kie_hvqa.errors import InputError, WorkError
from rl.launch import machines, meeting, watch
from rl.launch.description import Description
from rl.launch.machines import Machines
from rl.launch.placement import Placement

SILENCE = 4.0


def forks() -> ForkServerContext:
    """Processes that have imported torch already: it takes seconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch.distributed", __name__])
    return context


def launch(rank: int, port: int, child: str, words: Path, address: str = "127.0.0.1") -> None:
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        stream.flush()
        os.dup2(os.open(words.with_suffix(f".{number}"), os.O_WRONLY | os.O_CREAT), number)
    machines.BEAT, machines.SILENCE = 0.3, SILENCE
    place = Placement({"one": ("0",), "two": ("0",)}, rank, address, port)
    with Machines(place.members, rank) as own:
        try:
            print(meeting.meet(place, own, Description(f"host-{own.name}"), 60), flush=True)
        except (InputError, WorkError) as error:
            meeting.say_error("test", error)
            sys.exit(error.exit_status)
        started = watch.Child([sys.executable, "-c", child], os.environ)
        print("child", started._process.pid, flush=True)
        sys.exit(watch.run_watched(started, own, training=2))


class Member:
    """A process of ``launch``, and what it has said."""

    def __init__(self, context: ForkServerContext, rank: int, port: int, child: str, folder: Path) -> None:
        self._words = folder / f"launcher-{rank}"
        self._process = context.Process(target=launch, args=(rank, port, child, self._words))
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def status(self) -> int | None:
        """How it has ended, once it has."""
        self._process.join(60)
        return self._process.exitcode

    def said(self) -> str:
        return self._text(1)

    def wrong(self) -> str:
        return self._text(2)

    def child(self) -> int:
        """Waits until both have met and the launcher's child runs; the child's process id."""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            for line in self.said().splitlines(keepends=True):
                if line.startswith("child ") and line.endswith("\n"):
                    return int(line.split()[1])
            time.sleep(0.05)
        raise AssertionError(self.wrong())

    def kill(self) -> None:
        if self._process.is_alive():
            self._process.kill()
        self._process.join()

    def _text(self, number: int) -> str:
        path = self._words.with_suffix(f".{number}")
        return path.read_text() if path.exists() else ""
