"""Files with one JSON object a line, read strictly: whatever is wrong names the file and the line.

Somebody else wrote most of them, so a line is never longer in memory than ``MAX_LINE`` and never slower than linear.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, TypeVar

from kie_hvqa.errors import InputError

T = TypeVar("T")

MAX_LINE = 16 << 20
"""Bytes of a line. A page with a ledger of a thousand slots and its whole recipe has a hundredth of that."""
MAX_ID = 1000
"""Characters of a row's id."""

_REMEDY = "Name a dataset directory or a .jsonl file."


def raw_lines(file: Path, *, remedy: str = _REMEDY) -> Iterator[tuple[int, bytes]]:
    """(1-based line, bytes) of every line that is not blank; of one that is too long the beginning, which ``json_of`` refuses.

    InputError for a file that cannot be opened.
    """
    try:
        stream = file.open("rb")
    except OSError as error:
        raise InputError(f"cannot read it ({error.strerror})", file=file, remedy=remedy) from None
    with stream:
        for line, raw in enumerate(_bounded(stream), 1):
            if not raw.isspace():
                yield line, raw


def _bounded(stream: IO[bytes]) -> Iterator[bytes]:
    while raw := stream.readline(MAX_LINE + 1):
        yield raw
        while len(raw) > MAX_LINE and raw[-1:] != b"\n":  # the rest of a line that is too long
            raw = stream.readline(MAX_LINE + 1)


def objects(file: Path, *, what: str, remedy: str = _REMEDY) -> Iterator[tuple[int, dict[str, Any]]]:
    """(1-based line, object) of every line that is not blank.

    InputError for a line that is no object (``what`` it should be) and for a file that cannot be opened (``remedy``).
    """
    first = True
    for line, raw in raw_lines(file, remedy=remedy):
        try:
            if first:
                check_one_a_line(raw)
            first = False
            data = json_of(raw, first=line == 1)
            if not isinstance(data, dict):
                raise InputError(f"{what} is a JSON object", remedy="Mend or remove that line.")
        except InputError as error:
            raise InputError(error.what, file=file, line=line, remedy=error.remedy) from None
        yield line, data


def records(
    file: Path,
    parse: Callable[[dict[str, Any]], T],
    key: str,
    *,
    what: str,
    named: str,
    once: str,
    remedy: str = _REMEDY,
) -> Iterator[tuple[int, T]]:
    """(1-based line, what ``parse`` makes of it) of every object, whose attribute ``key`` no two may share.

    Whatever ``parse`` finds wrong is told with file and line. ``named`` is what to call the key, ``once`` the remedy for two.
    """
    seen: dict[Any, int] = {}
    for line, data in objects(file, what=what, remedy=remedy):
        try:
            made = parse(data)
            name = getattr(made, key)
            if name in seen:
                raise InputError(f"{named} {name!r} is already on line {seen[name]}", field=key, remedy=once)
        except InputError as error:
            raise InputError(error.what, remedy=error.remedy, file=file, line=line, field=error.field) from None
        seen[name] = line
        yield line, made


def json_of(raw: bytes, *, first: bool = False) -> Any:
    """The JSON of one line; the ``first`` one may begin with a byte-order mark. InputError without file and line."""
    if len(raw) > MAX_LINE:
        raise InputError(f"longer than {MAX_LINE >> 20} MB", remedy="Mend or remove that line.")
    try:
        return json.loads(raw.decode("utf-8-sig" if first else "utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 ({error.reason})", remedy="Mend that line.") from None
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise InputError(f"not JSON ({reason})", remedy="Mend or remove that line.") from None


def check_one_a_line(raw: bytes) -> None:
    """InputError where ``raw``, the first line of a file that is not blank, shows that objects do not stand one a line."""
    head = raw[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith(b"["):
        raise InputError(
            "the file is one JSON array, and one object a line is wanted (JSON Lines)",
            remedy="Write every element on a line of its own: `jq -c '.[]' FILE > FILE.jsonl`.",
        )
    if head.partition(b"\n")[0].strip() == b"{":
        raise InputError(
            "the file's objects go over several lines, and one object a line is wanted (JSON Lines)",
            remedy="Write every object on a line of its own: `jq -c . FILE > FILE.jsonl`.",
        )


def text_of(data: Mapping[str, Any], key: str) -> str:
    """The text under ``key``. InputError naming the field where it is missing, not text, or half a surrogate pair."""
    if key not in data:
        raise InputError("this key is required", field=key, remedy="Add it.")
    value = data[key]
    if not isinstance(value, str):
        shown = repr(value)[:60] if value is None or isinstance(value, bool | int | float) else type(value).__name__
        raise InputError(f"must be text, not {shown}", field=key, remedy="Mend the value.")
    if not value.isascii() and not _whole(value):
        raise InputError("holds half a surrogate pair, which no file can", field=key, remedy="Mend the value.")
    return value


def without_halves(text: str) -> str:
    """``text`` with U+FFFD for every half of a surrogate pair: JSON can hold them, UTF-8 cannot. The same object without."""
    return (
        text if text.isascii() or _whole(text) else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    )


def _whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
