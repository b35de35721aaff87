"""The ledger: what was printed in every character slot, and what the damaged pixels still support.

Everything in this project agrees or disagrees with this table and with nothing else: the simulator writes
it, the reward pays for agreement with it, the evaluator measures agreement with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

Legibility = Literal["clear", "partial", "hidden"]
QuestionKind = Literal["answerable", "unreadable", "absent"]

LEGIBILITIES: tuple[str, ...] = get_args(Legibility)
QUESTION_KINDS: tuple[str, ...] = get_args(QuestionKind)
MAX_SEVERITY = 6
TWIN_KINDS = ("plausible", "implausible")

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Slot:
    """One character position of a field's value after damage.

    ``char`` is the printed character (one code point; a space between words is a slot that is not scored),
    ``evidence`` in [0, 1] is the number behind ``legibility``, ``box`` is (x0, y0, x1, y1) in pixels of
    the damaged image, and ``rivals`` are the characters that the slot could as well be, the most plausible first
    ("3" for an 8 with its left half covered; empty where nothing else is plausible, or nobody asked).
    ``derivable`` names the print on the page that gives the character of a hidden slot all the same, such as another
    field; empty where none does.
    """

    char: str
    legibility: Legibility
    evidence: float
    box: Box
    rivals: str = ""
    derivable: str = ""

    @property
    def scored(self) -> bool:
        return not self.char.isspace()

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {
            "char": self.char,
            "legibility": self.legibility,
            "evidence": self.evidence,
            "box": list(self.box),
        }
        if self.rivals:
            data["rivals"] = self.rivals
        if self.derivable:
            data["derivable"] = self.derivable
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Slot:
        """Raises KeyError for a missing key and ValueError for a value outside its range."""
        char, legibility, evidence = data["char"], data["legibility"], data["evidence"]
        if not isinstance(char, str) or len(char) != 1:
            raise ValueError(f"char must be one character, not {char!r}")
        if legibility not in LEGIBILITIES:
            raise ValueError(f"legibility must be one of {', '.join(LEGIBILITIES)}, not {legibility!r}")
        if not isinstance(evidence, (int, float)) or not 0.0 <= evidence <= 1.0:
            raise ValueError(f"evidence must lie in [0, 1], not {evidence!r}")
        box = tuple(float(v) for v in data["box"])
        if len(box) != 4 or not all(map(math.isfinite, box)):
            raise ValueError("box must hold four numbers, none of them infinite")
        rivals = data.get("rivals") or ""  # absent from rows made without an observer, null in some table formats
        if not isinstance(rivals, str):
            raise ValueError(f"rivals must be text, not {rivals!r}")
        derivable = data.get("derivable") or ""
        if not isinstance(derivable, str):
            raise ValueError(f"derivable must name where the character stands, not be {derivable!r}")
        if derivable and legibility != "hidden":
            raise ValueError(f"only a hidden slot is derivable, not a {legibility} one")
        return cls(char, legibility, float(evidence), box, rivals, derivable)


@dataclass(frozen=True, slots=True)
class Row:
    """One sample: an image, one question about it, and the truth (DESIGN contract 1).

    ``slots`` is None where the source has no ledger (the official benchmark file), and empty for an absent
    field. ``severity`` (0..6) and ``recipe`` (the serialised operators, any JSON) are None where nobody
    damaged the image here; ``capture`` is how the page came to be a picture, None for one that nobody took here. ``page`` is what the clean page was drawn from beside the other columns (seed, scale,
    kind of values), None for a page that nobody drew. ``twin`` is ``{"pair": name, "kind": "plausible" | "implausible"}``
    for a row whose partner differs from it in the printed value only (degradations/twins.py). ``view`` is where the image was
    cut out of the page's picture (x0, y0, x1, y1 in whole pixels, the last two excluded), None where it shows all of it
    (degradations/field_view.py). Both are written only where there is something to write.
    """

    id: str
    file_name: str
    document_id: str
    document_type: str
    split: str
    field: str
    question_kind: QuestionKind
    problem: str
    answer: str
    slots: tuple[Slot, ...] | None = None
    severity: int | None = None
    recipe: Any = None
    capture: Any = None
    template: str | None = None
    page: Any = None
    twin: Mapping[str, str] | None = None
    view: Sequence[int] | None = None

    def to_json(self) -> dict[str, Any]:
        data = {name: getattr(self, name) for name in self.__slots__}
        data["slots"] = None if self.slots is None else [slot.to_json() for slot in self.slots]
        for name in ("twin", "view"):
            if data[name] is None:
                del data[name]
        return data


def value_of(slots: Sequence[Slot]) -> str:
    """The printed value, word spaces included."""
    return "".join([slot.char for slot in slots])


def kind_of(slots: Sequence[Slot]) -> QuestionKind:
    """The question kind that a ledger implies."""
    if not slots:
        return "absent"
    return "answerable" if any(slot.scored and slot.legibility != "hidden" for slot in slots) else "unreadable"
