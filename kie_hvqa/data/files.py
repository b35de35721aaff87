"""Files and directories that are whole or absent, whatever is killed and wherever the power fails.

Everything is written beside its place, under a name that nobody else would choose, brought to the disk, and then
renamed. What a killed process left is known by that name, and nothing else is ever removed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from kie_hvqa.errors import InputError

UNFINISHED = ".kie-hvqa-unfinished"
"""How the name of everything ends that is being written."""
_NO_SYNC = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)


def beside(path: Path) -> Path:
    """A name in the directory of ``path`` under which to make it; nothing of that name exists."""
    start = path.name.encode()[:120].decode(errors="ignore")  # a name has at most 255 bytes
    return path.with_name(f".{start}.{secrets.token_hex(6)}{UNFINISHED}")


@contextmanager
def replacing(path: Path, mode: str = "w", *, durable: bool = True) -> Iterator[IO[Any]]:
    """Open a temporary file beside ``path``; rename it onto ``path`` when the block ends without an exception.

    The file keeps the permissions of the one that it replaces, and otherwise has those that the umask leaves.
    ``durable`` brings it and its name to the disk; without, somebody calls ``sync`` later.
    """
    make_directory(path.parent)
    try:
        kept = stat.S_IMODE(path.stat().st_mode) & 0o777
    except OSError:
        kept = None
    part = beside(path)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666 if kept is None else 0o600)
    try:
        with os.fdopen(descriptor, mode, encoding=None if "b" in mode else "utf-8") as stream:
            yield stream
            stream.flush()
            if kept is not None:
                os.fchmod(stream.fileno(), kept)
            if durable:
                os.fsync(stream.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    if durable:
        sync(path.parent)


@contextmanager
def building(path: Path, *, replaces: bool = False) -> Iterator[Path]:
    """A fresh directory beside ``path``, which becomes ``path`` when the block ends without an exception.

    Raises InputError if ``path`` exists by then, unless this one ``replaces`` it. What is removed after a failure is what was made here.
    """
    make_directory(path.parent)
    part = beside(path)
    part.mkdir()
    try:
        yield part
        if not replaces and os.path.lexists(path):
            raise InputError("this exists already", file=path, remedy="Name a new directory.")
        put(part, path)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def put(part: Path, path: Path) -> None:
    """Bring the directory ``part`` to the disk and give it the name ``path``, in place of what had it.

    What had the name is moved aside first and removed last, so that no kill leaves half of it under that name.
    """
    sync_tree(part)
    old = beside(path)
    with suppress(FileNotFoundError):
        path.rename(old)
    part.rename(path)
    sync(path.parent)
    if old.is_dir() and not old.is_symlink():
        shutil.rmtree(old, ignore_errors=True)
    else:
        old.unlink(missing_ok=True)


def sweep(directory: Path) -> None:
    """Remove what killed processes left half written in ``directory``. Only for who holds the lock on it."""
    for left in directory.glob(f".*{UNFINISHED}"):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def make_directory(path: Path) -> None:
    """``mkdir -p`` whose result is still there after a power failure."""
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in made:
        sync(folder.parent)


def sync(path: Path) -> None:
    """Bring a file, or the names in a directory, to the disk. Some disks cannot do that for directories."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)


def sync_tree(directory: Path) -> None:
    """Bring everything under ``directory`` to the disk, its names too."""
    for folder, _, names in os.walk(directory):
        for name in names:
            file = Path(folder, name)
            if file.is_file() and not file.is_symlink():
                sync(file)
        sync(Path(folder))


def write_json(path: Path, data: Any) -> None:
    """Write ``data`` as indented UTF-8 JSON with a final newline; NaN is an error, never a token."""
    with replacing(path) as stream:
        json.dump(data, stream, ensure_ascii=False, indent=2, allow_nan=False)
        stream.write("\n")


def write_text(path: Path, text: str) -> None:
    with replacing(path) as stream:
        stream.write(text)


def read_json(path: Path) -> Any:
    """Read a JSON file; a missing or malformed one is an InputError that names file and line."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("no such file", file=path, remedy="Check the path.") from None
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON ({error.msg})", file=path, line=error.lineno, remedy="Mend that line.") from None
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"cannot be read as JSON ({error})", file=path, remedy="Name a JSON file.") from None


def sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
