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

from kie_hvqa.ledger import Row


@dataclass(frozen=True, slots=True)
class Task:
    """One row to be read, and where its image lies."""

    row: Row
    image: Path


@dataclass(frozen=True, slots=True)
class Answer:
    """What the reader wrote about row ``id``, verbatim; ``confidence`` is its own, higher is surer, or None.

    The scale is the reader's (mean token log-probability, mean character probability): only the order of
    the answers of one reader means something.
    """

    id: str
    response: str
    confidence: float | None = None


class Reader(Protocol):
    name: str
    identity: str

    def asks(self, row: Row) -> str:
        """All that the reader is given about ``row`` beside the image, as text: part of the answer's key."""
        ...

    def read(self, tasks: Sequence[Task], done: AbstractSet[str] = frozenset()) -> Iterator[Answer]:
        """Exactly one answer for every task whose id is not in ``done``, in any order, each as soon as it is there.

        A reader that reads rows together plans over all ``tasks``, so that an interrupted run goes on with the
        very groups, and so the very roundings, of one that was not.
        """
        ...


def identity_of(description: Any) -> str:
    """SHA-256 (hex) of a JSON-able description, independent of key order."""
    text = json.dumps(description, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
