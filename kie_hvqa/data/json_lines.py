"""Files with one JSON object a line, read strictly: whatever is wrong names the file and the line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kie_hvqa.errors import InputError

_REMEDY = "Name a dataset directory or a .jsonl file."


def raw_lines(file: Path, *, remedy: str = _REMEDY) -> Iterator[tuple[int, bytes]]:
    """(1-based line, bytes) of every line that is not blank. InputError for a file that cannot be opened."""
    try:
        stream = file.open("rb")
    except OSError as error:
        raise InputError(f"cannot read it ({error.strerror})", file=file, remedy=remedy) from None
    with stream:
        for line, raw in enumerate(stream, 1):
            if not raw.isspace():
                yield line, raw


def objects(file: Path, *, what: str, remedy: str = _REMEDY) -> Iterator[tuple[int, dict[str, Any]]]:
    """(1-based line, object) of every line that is not blank.

    InputError for a line that is no object (``what`` it should be) and for a file that cannot be opened (``remedy``).
    """
    for line, raw in raw_lines(file, remedy=remedy):
        try:
            data = json.loads(raw.decode("utf-8-sig" if line == 1 else "utf-8"))
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
            raise InputError(f"not JSON ({reason})", file=file, line=line, remedy="Mend or remove that line.") from None
        if not isinstance(data, dict):
            raise InputError(f"{what} is a JSON object", file=file, line=line, remedy="Mend or remove that line.")
        yield line, data


def text_of(data: Mapping[str, Any], key: str) -> str:
    """The text under ``key``. InputError naming the field where it is missing or not text."""
    if key not in data:
        raise InputError("this key is required", field=key, remedy="Add it.")
    if not isinstance(data[key], str):
        raise InputError(f"must be text, not {str(data[key])[:60]!r}", field=key, remedy="Mend the value.")
    return data[key]
