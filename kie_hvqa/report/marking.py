"""What a reading did over each slot, for the gallery: ``kie_hvqa.answers.verdicts``, and which kinds of error are in it."""

from __future__ import annotations

from dataclasses import dataclass

from kie_hvqa.answers.answer import parse
from kie_hvqa.answers.verdicts import OUTCOME, verdicts
from kie_hvqa.data.ledger import Row

# Error kinds, worst first: the gallery's filters, and the order in which samples are picked for it.
ERRORS: dict[str, str] = {
    "invented": "invented",
    "lucky": "lucky",
    "misread": "misread",
    "inserted": "inserted",
    "false_answer": "absent field answered",
    "over_refused": "over-refused",
    "dropped": "dropped without a mark",
    "listed": "asserted in its lists",
    "unparsable": "unparsable",
    "failed": "reader failed",
    "missing": "no answer",
}


@dataclass(frozen=True, slots=True)
class Marked:
    """One reading laid over its slots: per slot the symbol (None: left out) and the code of its outcome, and what came on top."""

    symbols: tuple[str | None, ...]
    outcomes: str
    inserted: str
    errors: tuple[str, ...]
    free: bool | None

    @property
    def kinds(self) -> tuple[str, ...]:
        """What the gallery's filters know it by: its errors, or that it has none."""
        return self.errors or (("free",) if self.free else ())

    @property
    def label(self) -> str:
        if self.free is None:
            return ""
        return "hallucination-free" if self.free else ", ".join(ERRORS[error] for error in self.errors)


def mark_up(row: Row, response: str | None, *, failed: bool = False) -> Marked:
    """``response`` over the slots of ``row``; a row without a ledger has no slots to lay it over.

    ``failed`` says that the reader could not answer at all, which is another thing than an answer that cannot be parsed.
    """
    reading = None if response is None else parse(response).reading
    found = verdicts(row.slots or (), reading, row.question_kind)
    symbols = tuple(found.symbols)
    if reading is None:
        error = "failed" if failed else "missing" if response is None else "unparsable"
        return Marked(symbols, found.outcomes, "", (error,), False)
    if row.slots is None:
        return Marked((), "", reading.final, (), None)
    happened: set[str] = {OUTCOME[code].word for code in found.outcomes}
    if row.question_kind == "absent" and not found.refused:
        happened.add("false_answer")
    elif found.inserted:
        happened.add("inserted")
    if found.listed:
        happened.add("listed")
    return Marked(symbols, found.outcomes, found.added, tuple(name for name in ERRORS if name in happened), found.free)
