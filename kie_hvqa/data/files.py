"""Files that are whole or absent: everything is written beside its place and then renamed."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from kie_hvqa.errors import InputError


@contextmanager
def replacing(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a temporary file beside ``path``; rename it onto ``path`` when the block ends without an exception."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, mode, encoding=None if "b" in mode else "utf-8") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(beside, 0o644)  # mkstemp makes files private; a dataset is for its readers
        os.replace(beside, path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def sweep(directory: Path, names: Iterable[str]) -> None:
    """Remove what a killed process left beside the files ``names``. Only for who holds the lock on ``directory``."""
    for name in names:
        for left in directory.glob(f".{name}.*"):
            left.unlink(missing_ok=True)


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
