"""Stops a run in which nothing moves any more, and says where every process stood.

A collective that waits for a lost peer, a reward or a data loader that hangs: without a watchdog the machine is paid
for until somebody looks. Each process has one. Every change of phase (``rl.callbacks.phases``) is a sign of life; after
``seconds`` without one the process writes the stacks of all its threads to stderr and to
``OUT/stalls/rank-N.txt`` and exits with status 1. The launcher then ends the others, which by then have usually written
theirs, because they wait for the same thing.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

GRACE = 60.0
"""Seconds after which C code takes over if no Python thread could run, because something holds the interpreter."""


class Watchdog:
    """Watches from ``start`` to ``stop``; ``beat(what)`` is a sign of life. ``exit`` is there to be replaced in tests."""

    def __init__(self, seconds: float, directory: Path, rank: int = 0, exit: Callable[[int], None] = os._exit) -> None:
        self.seconds = seconds
        self.file = directory / f"rank-{rank}.txt"
        self._rank = rank
        self._exit = exit
        self._what = "start"
        self._last = time.monotonic()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self.seconds <= 0:
            return
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self.beat(self._what)
        self._thread.start()

    def beat(self, what: str) -> None:
        self._what, self._last = what, time.monotonic()
        if self._thread is not None:
            faulthandler.dump_traceback_later(self.seconds + GRACE, exit=True)

    def stop(self) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            faulthandler.cancel_dump_traceback_later()

    def _watch(self) -> None:
        while not self._stopped.wait(max(0.05, self._last + self.seconds - time.monotonic())):
            if time.monotonic() - self._last >= self.seconds:
                self._dump()
                self._exit(1)
                return

    def _dump(self) -> None:
        line = (
            f"process {self._rank} made no progress for {time.monotonic() - self._last:.0f} s (stall_seconds) "
            f"in `{self._what}`. Its stacks are below and in {self.file}. "
            "Run the same command again to go on from the last checkpoint."
        )
        print(line, file=sys.stderr, flush=True)
        faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("w", encoding="utf-8") as stream:
            print(line, file=stream, flush=True)
            faulthandler.dump_traceback(file=stream, all_threads=True)
