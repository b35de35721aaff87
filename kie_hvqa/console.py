"""What a command shows: progress while it works, what it did at the end, colours where they are wanted.

On a terminal progress is one line that moves. In a file or a pipe nothing can move: there it is a line every half minute and a
last one, and nothing at all for work that was shorter. ``--quiet`` (or ``KIE_HVQA_QUIET=1``, which child processes inherit) leaves
warnings and errors. ``--json`` prints one object on standard output, and nothing else goes there. ``NO_COLOR`` is kept
(https://no-color.org).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TextIO, TypeVar

T = TypeVar("T")

QUIET = "KIE_HVQA_QUIET"
EVERY = 30.0  # seconds between two lines in a file
_REDRAW = 0.1  # seconds between two drawings on a terminal
_BAR = 20  # columns
_LONGEST = 40  # characters of what is done: a name's beginning and its end say most
_CLEAR = "\r\x1b[K"


def quiet() -> bool:
    return os.environ.get(QUIET, "") not in ("", "0")


@contextlib.contextmanager
def quieted(wanted: bool) -> Iterator[None]:
    """Within it this process and those that it starts are quiet, where that is ``wanted``."""
    before = os.environ.get(QUIET)
    if wanted:
        os.environ[QUIET] = "1"
    try:
        yield
    finally:
        if wanted:
            os.environ.pop(QUIET) if before is None else os.environ.update({QUIET: before})


def say(text: object) -> None:
    """On standard output: what was done, and scores that a file holds as well. Not where ``quiet``."""
    if not quiet():
        print(text)


def say_json(value: Any) -> None:
    """The one object of ``--json``; a number that JSON has not got is null."""
    print(json.dumps(_plain(value), ensure_ascii=False, indent=2))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def tell(text: str) -> None:
    """A line on standard error, above a moving one if there is one."""
    print(f"{_CLEAR if moves(sys.stderr) else ''}{text}", file=sys.stderr, flush=True)


def moves(stream: TextIO) -> bool:
    """Whether ``stream`` is a terminal on which a line can be written over."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def coloured(stream: TextIO) -> bool:
    return moves(stream) and not os.environ.get("NO_COLOR")


def clock(seconds: float) -> str:
    """``02:24``, ``1:02:24``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


class Progress:
    """``what: 33% 12/36 documents, 00:24 left``, while it is entered. ``done`` were there before and say nothing about speed.

    ``delay``: seconds before it is worth showing on a terminal. ``every``: seconds between two lines in a file.
    """

    def __init__(
        self,
        what: str,
        total: int,
        unit: str = "",
        *,
        done: int = 0,
        shown: bool = True,
        delay: float = 0.0,
        every: float = EVERY,
    ) -> None:
        self._what = what if len(what) <= _LONGEST else f"{what[:24]}…{what[25 - _LONGEST :]}"
        self._total, self._unit = total, unit
        self._done = self._first = done
        self._delay, self._every = delay, every
        self._stream = sys.stderr if shown and not quiet() else None
        self._moves = self._stream is not None and moves(self._stream)
        self._began = self._last = time.monotonic()
        self._told = False
        self._note = ""

    def __enter__(self) -> Progress:
        self._began = self._last = time.monotonic()
        if self._moves and not self._delay:
            self._write()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if not self._told:
            return
        if self._moves:
            self._write()
            print(file=self._stream, flush=True)
        elif kind is None and self._every < float("inf"):
            self._write(f"{self._state()} in {clock(time.monotonic() - self._began)}")

    def advance(self, count: int = 1) -> None:
        self.at(self._done + count)

    def at(self, done: int) -> None:
        """``done`` of the total are done."""
        self._done = done
        now = time.monotonic()
        if self._moves:
            due = now - self._last >= _REDRAW and now - self._began >= self._delay
        else:
            due = now - self._last >= self._every
        if due:
            self._write()

    def note(self, text: str, *, now: bool = False) -> None:
        """What stands behind the numbers from here on; ``now`` writes it at once, in a file as a line of its own."""
        self._note = text
        if now:
            self._write()

    def over(self, items: Iterable[T]) -> Iterator[T]:
        """``items``, each of them done when the next one is asked for."""
        with self:
            for item in items:
                yield item
                self.advance()

    def _write(self, line: str | None = None) -> None:
        self._last, self._told = time.monotonic(), self._stream is not None
        if self._stream is None:
            return
        parts = [self._state() if line is None else line]
        if line is None:
            parts += [f"{self._left()} left", *([self._note] if self._note else [])]
        text = ", ".join(parts)
        if self._moves:
            print(_CLEAR + text[: shutil.get_terminal_size().columns - 1], end="", file=self._stream, flush=True)
        else:
            print(text, file=self._stream, flush=True)

    def _state(self) -> str:
        share = self._done / max(1, self._total)
        filled = int(min(1.0, share) * _BAR)
        bar = f" {'█' * filled}{'·' * (_BAR - filled)}" if self._moves else ""
        return f"{self._what}: {share:.0%}{bar} {self._done}/{self._total} {self._unit}".rstrip()

    def _left(self) -> str:
        made = self._done - self._first
        return clock((self._total - self._done) * (time.monotonic() - self._began) / made) if made else "?"
