"""What goes between a sandboxed reward and its worker: length-prefixed frames over a socket, with a deadline.

Values travel by ``marshal`` where they are plain (text, numbers, lists, dictionaries), which is several times
faster than pickle for a ledger of small dictionaries, and by pickle otherwise. Both ends are the same Python on
the same machine, and the worker runs the user's own code: nothing here guards against a hostile peer. Frames are
numbered, so that an answer that comes twice, or late, is not taken for the next one, and bounded.
"""

from __future__ import annotations

import marshal
import pickle
import socket
import struct
import time
from typing import Any

TRAINER_NUMBERS = "trainer numbers"  # no argument can be called so: the worker makes ``trainer_state`` of it
_HEADER = struct.Struct("<QQ")  # number, length
_LONGEST = 1 << 33  # bytes: a batch with its images; what is longer is no frame
REPLY = 1 << 28  # bytes: rewards, a traceback, what a reward logs
_MARSHAL, _PICKLE = b"m", b"p"
_MARSHAL_VERSION = 2  # later ones look for shared objects, at a third of the speed


def pack(value: Any) -> bytes:
    """``value`` as bytes; equal neighbours in a column of lists are stored once. Raises what pickle raises."""
    if isinstance(value, dict):
        value = {name: _fold(column) for name, column in value.items()}
    try:
        return _MARSHAL + marshal.dumps(value, _MARSHAL_VERSION)
    except ValueError:
        return _PICKLE + pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)


def unpack(data: bytes) -> Any:
    body = memoryview(data)[1:]
    value = marshal.loads(body) if data[:1] == _MARSHAL else pickle.loads(body)
    if isinstance(value, dict):
        value = {name: _unfold(column) for name, column in value.items()}
    return value


_FOLDED = "\0folded"


def _fold(column: Any) -> Any:
    """A group's completions share their row: keep each run of equal rows once, with its length."""
    if not isinstance(column, list) or len(column) < 2 or not isinstance(column[0], list):
        return column
    kept: list[Any] = []
    lengths: list[int] = []
    for value in column:
        if kept and kept[-1] == value:
            lengths[-1] += 1
        else:
            kept.append(value)
            lengths.append(1)
    return (_FOLDED, kept, lengths) if len(kept) < len(column) else column


def _unfold(column: Any) -> Any:
    if not isinstance(column, tuple) or len(column) != 3 or column[0] != _FOLDED:
        return column
    return [value for value, length in zip(column[1], column[2], strict=True) for _ in range(length)]


class BrokenFrame(Exception):
    """What came is no frame of this exchange: the other end cannot be trusted with another call."""


def send(connection: socket.socket, number: int, data: bytes, seconds: float) -> None:
    """Write frame ``number``. Raises TimeoutError after ``seconds``, OSError when the other end is gone."""
    connection.settimeout(seconds)
    connection.sendall(_HEADER.pack(number, len(data)) + data)


def receive(
    connection: socket.socket, seconds: float | None, number: int | None = None, longest: int = _LONGEST
) -> tuple[int, bytes]:
    """(number, content) of one frame; None waits for ever. Raises TimeoutError, or ConnectionError at the end of the stream.

    Raises BrokenFrame for one of another ``number``, where that is given, or of more than ``longest`` bytes.
    """
    end = None if seconds is None else time.monotonic() + seconds
    found, length = _HEADER.unpack(_exactly(connection, _HEADER.size, end))
    if number is not None and found != number:
        raise BrokenFrame(f"frame {found} came where frame {number} was due")
    if length > longest:
        raise BrokenFrame(f"a frame of {length} bytes, {longest} at most are expected")
    return found, bytes(_exactly(connection, length, end))


def _exactly(connection: socket.socket, size: int, end: float | None) -> bytearray:
    data = bytearray(size)
    view, done = memoryview(data), 0
    while done < size:
        remaining = None if end is None else end - time.monotonic()
        if remaining is not None and remaining <= 0:
            raise TimeoutError
        connection.settimeout(remaining)
        count = connection.recv_into(view[done:])
        if not count:
            raise ConnectionError("the other end closed")
        done += count
    view.release()
    return data
