"""Who works on what, where several processes share one ablation: a lock on each directory, gone with its process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kie_hvqa.data.lock import lock_file

LOCK = ".lock"


@contextmanager
def claimed(directory: Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold ``directory`` for this process; False where another one has it (``wait``: until that one lets go)."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / LOCK).open("w") as lock:
        yield lock_file(lock.fileno(), directory, wait=wait)
