"""One question about a page, and where on it the answer stands: what the planners of this room make and ``damage`` takes."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as member

from degradations.asked.other_prints import OtherPrints
from degradations.legibility import Print
from kie_hvqa.data.ledger import Box, QuestionKind


@dataclass(frozen=True, slots=True)
class Question:
    """One question about a page. ``planned`` is the kind aimed at; an absent field has no value and no boxes.

    ``copies`` are the boxes of further prints of ``value``; ``how`` it was printed, and which ``others`` say the same in part
    or in other words, None on a real document: nobody knows what its unannotated print says.
    """

    planned: QuestionKind
    field: str
    name: str
    value: str = ""
    boxes: tuple[Box, ...] = ()
    copies: tuple[tuple[Box, ...], ...] = ()
    how: Print | None = member(default=None, compare=False, repr=False)
    others: OtherPrints | None = member(default=None, compare=False, repr=False)

    @property
    def problem(self) -> str:
        return f"<image>What is the {self.name} in the image?"
