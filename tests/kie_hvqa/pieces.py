"""What many tests are made of: slots from two strings, a row about them, and what a reader says."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from kie_hvqa.answers.answer import Reading, render, truth
from kie_hvqa.data.ledger import Row, Slot, kind_of

NAMES = {"c": "clear", "p": "partial", "h": "hidden", "d": "hidden", "-": "clear"}


def slots(value: str, legibility: str, *, pitch: float = 9) -> tuple[Slot, ...]:
    """One of ``c``, ``p``, ``h``, ``d`` (hidden, and derivable) for each character, ``-`` for a word space."""
    return tuple(
        Slot(char, NAMES[kind], 0.5, (pitch * i, 0, pitch * i + pitch, 9), derivable="elsewhere" if kind == "d" else "")  # type: ignore[arg-type]
        for i, (char, kind) in enumerate(zip(value, legibility, strict=True))
    )


def row(name: str, ledger: tuple[Slot, ...] | None, **other: Any) -> Row:
    """The row ``name`` of the document that stands before its underscore; the kind of question is what the slots imply."""
    plain: dict[str, Any] = {
        "id": name,
        "file_name": "x.png",
        "document_id": name.partition("_")[0],
        "document_type": "id_card",
        "split": "test",
        "field": "name",
        "question_kind": kind_of(ledger or ()) if ledger is not None else "answerable",
        "problem": "<image>What is the name in the image?",
        "answer": render(truth(ledger or ())),
        "slots": ledger,
        "severity": 3,
    }
    return Row(**(plain | other))


def says(final: str, unclear: str = "") -> str:
    """The answer of a reader that is sure of all that it asserts, but for ``unclear``."""
    legible = final.replace(" ", "")
    for char in unclear:
        legible = legible.replace(char, "", 1)
    return render(Reading(final, unclear, legible, len(legible), len(unclear)), tags=True)


def ledgers(alphabet: str = "abcde ", kinds: str = "ccphd", size: int = 12) -> st.SearchStrategy[tuple[Slot, ...]]:
    drawn = st.lists(st.tuples(st.sampled_from(alphabet), st.sampled_from(kinds)), max_size=size)
    return drawn.map(lambda pairs: slots("".join(c for c, _ in pairs), "".join(k for _, k in pairs)))
