"""Golden completions: small ledgers, and what an honest, a timid, a guessing and a broken reader say about them.

They are what a plug-in is checked against before a run is spent on it (``kie-hvqa rewards check SPEC``), and what
the tests order every shipped reward by. Built from the ledger by rule, so that they change with the answer
format and with nothing else. ``rewards.redteam`` adds the completions that try to earn without reading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kie_hvqa.answers.answer import Reading, render, truth
from kie_hvqa.data.ledger import LEGIBILITIES, QuestionKind, Slot

HONEST = "honest"
PARTIAL_HONESTY = "partial_honesty"
ALL_MARKS = "all_marks"
GUESS = "guess"
GARBAGE = "garbage"
ORDER = (HONEST, PARTIAL_HONESTY, ALL_MARKS, GUESS, GARBAGE)

_LETTERS = {legibility[0]: legibility for legibility in LEGIBILITIES}
_SLOT_WIDTH = 12.0
_FIELDS = {"date": "date_of_birth", "long": "invoice_number"}  # the others are surnames


@dataclass(frozen=True)
class Golden:
    """One question about a damaged field, and completions about it, best first."""

    name: str
    slots: tuple[Slot, ...]
    question_kind: QuestionKind
    answers: Mapping[str, str]
    field: str = "surname"

    @property
    def question(self) -> str:
        return f"<image>What is the {self.field.replace('_', ' ')} in the image?"


def make_slots(value: str, legibilities: str) -> tuple[Slot, ...]:
    """Slots of ``value``, with one of ``c``, ``p``, ``h`` for each character (``-`` for a word space).

    >>> [slot.legibility for slot in make_slots("ab", "ch")]
    ['clear', 'hidden']
    """
    evidence = {"clear": 1.0, "partial": 0.5, "hidden": 0.0}
    slots = []
    for index, (char, letter) in enumerate(zip(value, legibilities, strict=True)):
        legibility = _LETTERS.get(letter, "clear")
        box = (index * _SLOT_WIDTH, 0.0, (index + 1) * _SLOT_WIDTH, 2 * _SLOT_WIDTH)
        slots.append(Slot(char, legibility, evidence[legibility], box))  # type: ignore[arg-type]
    return tuple(slots)


def honest(slots: Sequence[Slot]) -> Reading:
    """Everything legible read, everything hidden marked."""
    return truth(slots)


def partial_honesty(slots: Sequence[Slot]) -> Reading:
    """Nothing invented, but timid: partial slots are marked, or the last clear one if none is partial. One legible
    slot is always read, so that this is not silence."""
    clear = [i for i, slot in enumerate(slots) if slot.scored and slot.legibility == "clear"]
    partial = [i for i, slot in enumerate(slots) if slot.scored and slot.legibility == "partial"]
    timid = (partial if clear else partial[1:]) or clear[1:][-1:]
    return truth([replace(slot, legibility="hidden") if i in timid else slot for i, slot in enumerate(slots)])


def all_marks(slots: Sequence[Slot]) -> Reading:
    """A mark for every slot, nothing read."""
    return Reading(" " * len(slots), clear_number=0, not_clear_number=0)


def guess(slots: Sequence[Slot]) -> Reading:
    """What a model does that answers everything: legible slots read, hidden ones filled with something likely."""
    filled = (replace(s, char=wrong_for(s.char), legibility="clear") if s.legibility == "hidden" else s for s in slots)
    return truth(list(filled))


def wrong_for(char: str) -> str:
    """Another character of the same kind: what a guess looks like that is not lucky."""
    if char.isdigit():
        return str((int(char) + 3) % 10)
    if char.isascii() and char.isalpha():
        first = ord("a") if char.islower() else ord("A")
        return chr(first + (ord(char) - first + 7) % 26)
    return char if char.isspace() else "#"


def answers(slots: Sequence[Slot]) -> dict[str, str]:
    """Name → completion, best first; those that would repeat a better one for this ledger are left out."""
    said: dict[str, Reading] = {HONEST: honest(slots)}
    legible = [slot for slot in slots if slot.scored and slot.legibility != "hidden"]
    if len(legible) > 1:
        said[PARTIAL_HONESTY] = partial_honesty(slots)
    if slots:
        said[ALL_MARKS] = all_marks(slots)
    if any(slot.scored and slot.legibility == "hidden" for slot in slots):
        said[GUESS] = guess(slots)
    elif not slots:
        said[GUESS] = truth(make_slots("Miller", "cccccc"))
    completions = {name: render(reading, tags=True) for name, reading in said.items()}
    completions[GARBAGE] = "The document shows several fields, and all of them look fine to me."
    return completions


def goldens() -> list[Golden]:
    """The golden questions: two official records, and one of each other kind."""
    ledgers: list[tuple[str, str, str]] = [
        ("smith", "Smith", "cchch"),  # the official card_1_1: "Sm t "
        ("emily", "Emily", "pcchh"),  # the official card_1_2: "Emi  "
        ("clean", "Lopez", "ccccc"),
        ("date", "1987-04-12", "cchhhhhpcc"),
        ("two_words", "Anna Maria Lopez", "cccc-hhhpc-hhhhh"),
        ("long", "INV-2024-00731-AC-558210", "cccccchhpccchhhhccphhhhh"),
        ("unreadable", "Okafor", "hhhhhh"),
        ("absent", "", ""),
    ]
    built = []
    for name, value, legibilities in ledgers:
        slots = make_slots(value, legibilities)
        kind: QuestionKind = "absent" if not slots else "unreadable" if set(legibilities) == {"h"} else "answerable"
        built.append(Golden(name, slots, kind, answers(slots), _FIELDS.get(name, "surname")))
    return built


def columns_of(golden: Golden) -> dict[str, Any]:
    """The columns of a dataset row for this question, as TRL would pass them for one completion."""
    return {
        "id": golden.name,
        "file_name": f"images/{golden.name}.png",
        "document_id": golden.name,
        "document_type": "id_card",
        "split": "train",
        "field": golden.field,
        "question_kind": golden.question_kind,
        "problem": golden.question,
        "answer": render(truth(golden.slots)),
        "slots": [slot.to_json() for slot in golden.slots],
        "severity": 3,
        "recipe": [],
        "template": None,
    }
