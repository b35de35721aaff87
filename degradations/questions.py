"""What is asked about a rendered document: which fields, which absent concepts, and where else a value is printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from degradations.damage import Question
from degradations.documents import Document, PrintedChar, PrintedField, question_names
from degradations.operators import Rng
from degradations.recipe import pick
from kie_hvqa.ledger import Box, QuestionKind

# Concepts that no template prints, asked like any other.
NOWHERE = {"blood_type": "blood type", "tax_number": "tax number", "iban": "IBAN", "place_of_birth": "place of birth"}
# A second print in smaller type than this share says nothing to a reader that manages the first.
_COPY_HEIGHT = 0.8


def plan_questions(
    document: Document, kinds: Mapping[QuestionKind, float], count: int, group: int, rng: Rng
) -> list[Question]:
    """``count`` questions about ``document``; no field comes twice in a group of ``group`` while others are left."""
    options = sorted(kinds)
    absent = absent_concepts(document)
    questions: list[Question] = []
    asked: list[str] = []
    queue: list[str] = []
    for index in range(count):
        if index % group == 0:
            asked = []
        kind: QuestionKind = pick(rng, options, [kinds[option] for option in options])
        if kind == "absent":
            names = [name for name in sorted(absent) if name not in asked] or sorted(absent)
            concept = names[int(rng.integers(len(names)))]
            questions.append(Question(kind, concept, absent[concept]))
        else:
            if not [name for name in queue if name not in asked]:
                queue += [str(name) for name in rng.permutation(sorted(document.fields))]
            concept = next((name for name in queue if name not in asked), queue[0])
            queue.remove(concept)
            printed = document.fields[concept]
            copies = find_copies(document.text, printed)
            questions.append(Question(kind, concept, printed.question_name, printed.value, printed.boxes, copies))
        asked.append(concept)
    return questions


def absent_concepts(document: Document) -> dict[str, str]:
    """Concept → question name, of everything other templates print and this one does not under any name."""
    names = question_names()
    own = names.get(document.template, {})
    taken = {*own.values(), *(printed.question_name for printed in document.fields.values())}
    found = dict(NOWHERE)
    for template, questions in names.items():
        if template != document.template:
            found.update({concept: name for concept, name in questions.items() if concept not in own})
    return {concept: name for concept, name in found.items() if concept not in document.fields and name not in taken}


def find_copies(text: Sequence[PrintedChar], printed: PrintedField) -> tuple[tuple[Box, ...], ...]:
    """The boxes of every other print of the whole value, in type large enough to matter.

    In a machine readable zone the value is part of a longer run and ``<`` stands for a space; elsewhere it has to
    stand alone. The same date in another order is not found: that is another text.
    """
    height = printed.boxes[0][3] - printed.boxes[0][1]
    own = {printed.boxes[0]}
    copies = []
    for run in runs(text):
        line = "".join(char.char for char in run)
        zone = "<<" in line
        value = printed.value.upper().replace(" ", "<") if zone else printed.value
        start = line.find(value)
        while start >= 0:
            stop = start + len(value)
            alone = not (line[max(0, start - 1) : start] + line[stop : stop + 1]).strip(" :")
            boxes = tuple(char.box for char in run[start:stop])
            if (zone or alone) and boxes[0] not in own and boxes[0][3] - boxes[0][1] >= _COPY_HEIGHT * height:
                copies.append(boxes)
            start = line.find(value, start + 1)
    return tuple(copies)


def runs(text: Sequence[PrintedChar]) -> list[list[PrintedChar]]:
    """Characters that follow each other on one baseline without a gap wider than their height."""
    found: list[list[PrintedChar]] = []
    for char in text:
        if found:
            last = found[-1][-1].box
            level = abs(char.box[3] - last[3]) < 0.2 * (last[3] - last[1])
            if level and -1 <= char.box[0] - last[2] < last[3] - last[1]:
                found[-1].append(char)
                continue
        found.append([char])
    return found
