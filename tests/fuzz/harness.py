"""One harness for every parser of text that somebody else wrote: no input raises anything but a sentence, or takes long.

A target is a name, whole inputs to begin with, pieces of its language, and the function. Inputs are made out of them in the
shape that makes bad regular expressions slow: a beginning, a short piece repeated up to ``LONGEST`` characters, an end.

"Long" is CPU time of this process, never the wall's: ``SECONDS`` is some hundred times what the slowest input here takes, and
what is exponential or quadratic passes it by far. The kernel's own timer breaks in, also inside a regular expression,
so that a bad input fails its test with that input and does not hang it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from hypothesis import strategies as st

LONGEST = 1 << 18  # at which a quadratic regular expression takes half a minute
SECONDS = 4.0


class TooSlow(BaseException):
    """Not an Exception: a parser that catches everything must not swallow it."""


@dataclass(frozen=True)
class Target:
    """``run`` is given a text; ``refusals`` are the exceptions that are its way to say no."""

    name: str
    run: Callable[[str], object]
    seeds: Sequence[str]
    pieces: Sequence[str]
    refusals: tuple[type[Exception], ...] = ()

    def try_on(self, text: str, seconds: float = SECONDS) -> None:
        with cpu_bound(seconds):
            try:
                self.run(text)
            except self.refusals as refusal:
                assert str(refusal).strip(), "a refusal says why"


@contextmanager
def cpu_bound(seconds: float) -> Iterator[None]:
    """Raises TooSlow in the block after ``seconds`` of this process's own CPU time. Main thread only."""

    def late(number: int, frame: FrameType | None) -> None:
        raise TooSlow(f"more than {seconds:g} s of CPU time")

    before = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        signal.signal(signal.SIGVTALRM, before)


_ANYWHERE = (
    '"',
    "'",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "_",
    "-",
    "@",
    " ",
    "\t",
    "0",
    "9",
    "a",
    "A",
    "é",
    "\0",
    "\ud800",
)


def texts(target: Target) -> st.SearchStrategy[str]:
    """Inputs for ``target``: any text, a mended or broken seed, and a piece repeated without end."""
    piece = st.sampled_from([*target.pieces, *_ANYWHERE]) | st.text(max_size=3)
    seed = st.sampled_from([*target.seeds, ""])
    few = st.lists(piece, max_size=4).map("".join)

    @st.composite
    def repeated(draw: st.DrawFn) -> str:
        whole = draw(seed)
        cut = draw(st.integers(0, len(whole)))
        unit = draw(few) or "x"
        times = draw(st.sampled_from((1, 2, 30, 1000, LONGEST))) if draw(st.booleans()) else draw(st.integers(0, 64))
        head = whole[:cut] + draw(few)
        body = (unit * min(times, LONGEST // len(unit)))[:LONGEST]
        return head + body + draw(few) + (whole[cut:] if draw(st.booleans()) else "")

    return st.lists(piece, max_size=20).map("".join) | repeated()
