"""The two ways in which a command ends badly, and the exit status of each.

``InputError`` is the user's: a file, a line, a key or an argument is wrong, and the message says which one
and what to do (exit status 2). ``WorkError`` is ours or the machine's: the input was fine and the work
failed (exit status 1). Everything else that escapes is a bug and keeps its traceback.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


class InputError(ValueError):
    """Wrong input. ``what`` says what is wrong, ``remedy`` what to do; file, line (1-based) and field say where."""

    exit_status = 2

    def __init__(
        self,
        what: str,
        *,
        remedy: str,
        file: str | Path | None = None,
        line: int | None = None,
        field: str | None = None,
    ) -> None:
        self.what = what
        self.remedy = remedy
        self.file = None if file is None else str(file)
        self.line = line
        self.field = field
        super().__init__(self._message())

    def _message(self) -> str:
        where = self.file or ""
        if self.line is not None:
            where = f"{where}:{self.line}" if where else f"line {self.line}"
        if self.field is not None:
            where = f"{where}: {self.field}" if where else self.field
        head = f"{where}: {self.what}" if where else self.what
        return f"{head}. {self.remedy}"

    def __reduce__(self) -> tuple[Any, ...]:  # keyword-only arguments survive the trip home from a worker process
        return (_rebuild, (type(self), self.what, self.remedy, self.file, self.line, self.field))


def _rebuild(
    cls: type[InputError], what: str, remedy: str, file: str | None, line: int | None, field: str | None
) -> InputError:
    return cls(what, remedy=remedy, file=file, line=line, field=field)


class WorkError(RuntimeError):
    """The input was right and the work failed all the same (a full disk, a worker that died)."""

    exit_status = 1
