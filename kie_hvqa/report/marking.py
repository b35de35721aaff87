"""What a reading did over each slot, in the words of the vocabulary: the one table behind the gallery's colours.

``kie_hvqa.scoring.scores`` counts by the same rules; a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kie_hvqa.answers.answer import MARK, parse
from kie_hvqa.data.ledger import Row, Slot
from kie_hvqa.scoring.scores import aligned, count_aligned

Verdict = Literal["right", "mark", "space", "omitted", "over_refused", "misread", "invented", "lucky", "inserted"]

# Error kinds, worst first: the gallery's filters, and the order in which samples are picked for it.
ERRORS: dict[str, str] = {
    "invented": "invented",
    "lucky": "lucky",
    "misread": "misread",
    "inserted": "inserted",
    "false_answer": "absent field answered",
    "over_refused": "over-refused",
    "omitted": "clear slot left out",
    "listed": "asserted in its lists",
    "unparsable": "unparsable",
    "failed": "reader failed",
    "missing": "no answer",
}


@dataclass(frozen=True, slots=True)
class Marked:
    """One reading laid over its slots: per slot the symbol (None: left out) and its verdict, and what came on top."""

    symbols: tuple[str | None, ...]
    verdicts: tuple[Verdict, ...]
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


def verdict(slot: Slot, symbol: str | None) -> Verdict:
    """What ``symbol`` (None: left out) over ``slot`` is."""
    if not slot.scored:
        return "space" if symbol is None or symbol == MARK else "inserted"
    if symbol is None:
        return "omitted"
    if symbol == MARK:
        return "over_refused" if slot.legibility == "clear" else "mark"
    if slot.legibility == "hidden":
        return "lucky" if symbol == slot.char else "invented"
    return "right" if symbol == slot.char else "misread"


def mark_up(row: Row, response: str | None, *, failed: bool = False) -> Marked:
    """``response`` over the slots of ``row``; a row without a ledger has no slots to lay it over.

    ``failed`` says that the reader could not answer at all, which is another thing than an answer that cannot be parsed.
    """
    slots = row.slots or ()
    reading = None if response is None else parse(response).reading
    found = aligned(slots, reading)
    verdicts = tuple(verdict(slot, symbol) for slot, symbol in zip(slots, found.symbols, strict=True))
    symbols = tuple(found.symbols)
    if reading is None:
        error = "failed" if failed else "missing" if response is None else "unparsable"
        return Marked(symbols, verdicts, "", (error,), False)
    if row.slots is None:
        return Marked((), (), reading.final, (), None)
    counts = count_aligned(slots, found, reading, row.question_kind)
    happened = {
        "invented": counts.invented > counts.lucky,
        "lucky": counts.lucky > 0,
        "misread": counts.misread > 0,
        "inserted": counts.inserted > 0 and not counts.false_answers,
        "false_answer": counts.false_answers > 0,
        "over_refused": counts.marked_clear > 0,
        "omitted": counts.omitted_clear > 0,
    }
    errors = tuple(name for name, there in happened.items() if there)
    if not errors and not counts.hallucination_free:
        errors = ("listed",)  # an unreadable field: nothing in Final OCR, and characters in the lists all the same
    return Marked(symbols, verdicts, found.added, errors, bool(counts.hallucination_free))
