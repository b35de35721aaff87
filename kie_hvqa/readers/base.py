"""What a reader is: anything that is shown a damaged document and a question, and answers in the official format.

A reader says three things about itself, and the evaluator relies on all of them: ``name`` for tables,
``identity`` (a hash over whatever could change an answer: weights, options, engine version) and, for each
row, ``asks`` (everything it is told beside the image). Together with the image's bytes they make the key
under which an answer is kept, so that an answer is never served for something that was not read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from kie_hvqa.answers.answer import parse
from kie_hvqa.confidence.signals.agreement import AGREEMENT, agreement
from kie_hvqa.confidence.symbols import Signals
from kie_hvqa.data.data_issues import UNREADABLE_IMAGE
from kie_hvqa.data.ledger import Box, Row


@dataclass(frozen=True, slots=True)
class Task:
    """One row to be read, and where its image lies."""

    row: Row
    image: Path


@dataclass(frozen=True, slots=True)
class Answer:
    """What the reader wrote about row ``id``, verbatim; ``confidence`` is its own, higher is surer, or None.

    The scale is the reader's (mean token log-probability, mean character probability, agreement of samples): only the
    order of the answers of one reader means something. ``samples`` are all answers that were drawn, the response one of
    them, or beside it where that was asked for as a signal. ``error``
    says why there is no answer about this row: the response is empty then, and the next run asks again. ``cut`` says that
    the reader was not done when its token limit was reached. ``signals``: one confidence a symbol of the parsed Final OCR, by the
    names that the reader gives (``Reader.signals``); None where it gives none about this answer.
    ``box`` is where the reader saw the value, (x0, y0, x1, y1) in pixels of the upright image, None where it does not say.
    """

    id: str
    response: str
    confidence: float | None = None
    samples: tuple[str, ...] | None = None
    error: str | None = None
    cut: bool = False
    signals: Signals | None = None
    box: Box | None = None


class Reader(Protocol):
    name: str
    identity: str

    @property
    def signals(self) -> tuple[str, ...]:
        """The names of the signals that its answers carry."""
        ...

    def asks(self, row: Row) -> str:
        """All that the reader is given about ``row`` beside the image, as text: part of the answer's key."""
        ...

    def read(self, tasks: Sequence[Task], done: AbstractSet[str] = frozenset()) -> Iterator[Answer]:
        """Exactly one answer for every task whose id is not in ``done``, in any order, each as soon as it is there.

        A reader that reads rows together plans over all ``tasks``, so that an interrupted run goes on with the
        very groups, and so the very roundings, of one that was not.
        """
        ...


def not_shown(id: str, error: Exception) -> Answer:
    """The answer about a row whose image nobody can be shown: an issue of the data, which no second try mends."""
    return Answer(id, "", error=f"{UNREADABLE_IMAGE}: {getattr(error, 'what', None) or error}")


def agreed(id: str, samples: Sequence[str]) -> Answer:
    """One answer out of several that were drawn: what most of them read, and their share as its confidence.

    Its signal is their agreement, symbol by symbol. Samples agree where their parsed readings have the same Final OCR, marks included (trailing ones aside). The first
    sample of the largest group is the answer, of the earliest group where several are as large. A sample that cannot
    be parsed agrees with none; where none can be parsed the first is the answer, with confidence 0.
    """
    groups: dict[str, list[str]] = {}
    for sample in samples:
        reading = parse(sample).reading
        if reading is not None:
            groups.setdefault(reading.final.rstrip(), []).append(sample)
    if not groups:
        return Answer(id, samples[0], 0.0, tuple(samples))
    largest = max(groups.values(), key=len)  # the first of equals: a dict keeps its order
    reading = parse(largest[0]).reading
    signals = None if reading is None else {AGREEMENT: agreement(reading, samples)}
    return Answer(id, largest[0], round(len(largest) / len(samples), 6), tuple(samples), signals=signals)


_ANYTHING = Row("", "", "", "", "", "", "absent", "<image>", "", ())


def told(reader: Reader) -> str:
    """SHA-256 (hex) of what a reader is told beside the image and the question: its prompt, its pixel budget."""
    return hashlib.sha256(reader.asks(_ANYTHING).encode("utf-8", "surrogatepass")).hexdigest()


def identity_of(description: Any) -> str:
    """SHA-256 (hex) of a JSON-able description, independent of key order."""
    text = json.dumps(description, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
