"""Who works on what, where several processes share one ablation: a lock on each directory, gone with its process."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = ".lock"


@contextmanager
def claimed(directory: Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold ``directory`` for this process; False where another one has it (``wait``: until that one lets go)."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            mine = True
        except BlockingIOError:
            mine = False
        yield mine
