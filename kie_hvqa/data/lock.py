"""One run at a time in a directory: a lock that is taken before anything is written, and goes with its process.

The lock file names the host and the process that hold it, for whoever is refused. The lock itself is the kernel's
(``flock``), so a killed run leaves none behind. ``filelock`` is not used: where a disk has no locks it turns to files
that a killed process leaves behind, and it has no place for who holds it.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import socket
import threading
import time
from pathlib import Path
from types import TracebackType

from kie_hvqa.data.files import make_directory
from kie_hvqa.errors import InputError

LOCK = ".kie-hvqa.lock"
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)

logger = logging.getLogger(__name__)
_held: dict[tuple[Path, int], int] = {}  # (directory, thread) → how often: who holds it may ask for it again


def lock_file(descriptor: int, path: Path, *, wait: bool = False) -> bool:
    """Lock the open file; False where another process has it (``wait``: until that one lets go).

    On a disk that has no locks: a warning about ``path``, and True.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        logger.warning("%s: this disk has no locks (%s). Start no second run here.", path, error.strerror)
    return True


class Lock:
    """``directory``, made if need be, held until ``release``, the end of the ``with`` block, or of the process.

    Raises InputError where another process or thread holds it. ``what`` says what is done there: "evaluation".
    """

    def __init__(self, directory: Path, what: str) -> None:
        self.path = directory / LOCK
        self._key = (directory.resolve(), threading.get_ident())
        self._descriptor: int | None = None
        if not _held.get(self._key):
            try:
                self._descriptor = self._take(directory, what)
            except OSError as error:
                raise InputError(
                    f"cannot write here ({error.strerror})", file=directory, remedy="Name another directory."
                ) from None
        _held[self._key] = _held.get(self._key, 0) + 1
        self._active = True

    def _take(self, directory: Path, what: str) -> int:
        make_directory(directory)
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
            try:
                if not lock_file(descriptor, self.path):
                    raise InputError(
                        f"another {what} is at work here at this moment{_holder(descriptor)}",
                        file=directory,
                        remedy="Wait for it, stop it, or name another directory.",
                    )
                if _is(self.path, descriptor):
                    holder = {"host": socket.gethostname(), "process": os.getpid(), "since": time.strftime("%F %T %z")}
                    os.ftruncate(descriptor, 0)
                    os.pwrite(descriptor, json.dumps(holder).encode() + b"\n", 0)
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # who held it removed the file in between

    def release(self) -> None:
        """Let go. A second call does nothing."""
        if not self._active:
            return
        self._active = False
        _held[self._key] -= 1
        if self._descriptor is not None:
            self.path.unlink(missing_ok=True)  # while it is locked: who waits for it looks whether it is still there
            os.close(self._descriptor)

    def __enter__(self) -> Lock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _is(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        return f" (process {int(holder['process'])} on {str(holder['host'])[:80]!r} since {str(holder['since'])[:40]})"
    except (ValueError, KeyError, TypeError, OSError):
        return ""
