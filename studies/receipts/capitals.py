"""An engine's answers in capitals, because that is how the annotators of these receipts wrote what they saw.

Many receipts print small letters and all annotations are in capitals. A trained reader learns to write so; an engine cannot, and
would be charged with a misreading for every small letter that it reads right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from kie_hvqa.answers.answer import parse, render
from kie_hvqa.data.ledger import Row
from kie_hvqa.readers import open_reader
from kie_hvqa.readers.base import Answer, Reader, Task, identity_of


class InCapitals:
    """``reader``, its letters made capitals."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.name = f"{reader.name} in capitals"
        self.signals = reader.signals
        self.identity = identity_of([reader.identity, "in capitals"])

    @classmethod
    def of(cls, spec: str) -> InCapitals:
        return cls(open_reader(spec))

    def asks(self, row: Row) -> str:
        return self._reader.asks(row)

    def read(self, tasks: Sequence[Task], done: AbstractSet[str] = frozenset()) -> Iterator[Answer]:
        for answer in self._reader.read(tasks, done):
            if (reading := parse(answer.response).reading) is None:
                yield answer
                continue
            raised = replace(
                reading, final=reading.final.upper(), clear=reading.clear.upper(), not_clear=reading.not_clear.upper()
            )
            yield replace(answer, response=render(raised, tags=True))
