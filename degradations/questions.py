"""What is asked about a rendered document: which fields, which absent concepts, and where else a value is printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from degradations.damage import Question
from degradations.documents import TEMPLATES, Document, PrintedChar, PrintedField, question_names
from degradations.legibility import Print
from degradations.operators import Rng
from degradations.recipe import pick
from kie_hvqa.data.ledger import Box, QuestionKind

# Concepts that no template prints, asked like any other.
NOWHERE = {"blood_type": "blood type", "tax_number": "tax number", "iban": "IBAN", "place_of_birth": "place of birth"}
# Concepts that answer for each other: a card with a surname has a name.
SAME = (
    frozenset({"name", "surname", "given_names"}),
    frozenset({"document_number", "identity_number", "personal_number"}),
    frozenset({"invoice_number", "receipt_number"}),
    frozenset({"invoice_date", "date"}),
    frozenset({"customer", "buyer_name"}),
    frozenset({"tax_number", "buyer_code", "seller_code"}),
)
# False premises: they take for granted something that no page of the type shows.
PREMISES = {
    "id_card": {
        "second_holder": "surname of the second holder",
        "spouse": "given name of the holder's spouse",
        "former_expiry": "date of expiry that was crossed out",
        "old_number": "number of the card that this one replaces",
        "extension": "date until which the stamp extends this document",
        "guardian": "name of the guardian who signed for the holder",
        "third_name": "third given name of the holder",
    },
    "invoice": {
        "discount": "discount on the second instalment",
        "late_fee": "late fee that was added",
        "second_total": "total of the second page",
        "corrected_number": "invoice number that was written over the first one",
        "deposit": "deposit that was already paid",
        "signature_name": "name below the customer's signature",
        "foreign_total": "total in the second currency",
    },
    "receipt": {
        "tip": "tip that was left",
        "card_number": "number of the credit card that was used",
        "refund": "amount that was refunded",
        "points": "number of loyalty points that were earned",
        "second_receipt": "number of the second receipt",
        "voucher": "value of the voucher that was redeemed",
    },
}
# A second print in smaller type than this share says nothing to a reader that manages the first.
_COPY_HEIGHT = 0.8


def plan_questions(
    document: Document,
    kinds: Mapping[QuestionKind, float],
    count: int,
    group: int,
    rng: Rng,
    false_premises: float = 0.0,
) -> list[Question]:
    """``count`` questions about ``document``; no field comes twice in a group of ``group`` while others are left.

    ``false_premises`` is the share of the absent ones that take something for granted that the page does not show; the
    others ask for a field that other documents have.
    """
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
            offered = absent
            if false_premises > 0 and rng.random() < false_premises:
                offered = PREMISES[document.document_type]
            names = [name for name in sorted(offered) if name not in asked] or sorted(offered)
            concept = names[int(rng.integers(len(names)))]
            questions.append(Question(kind, concept, offered[concept]))
        else:
            if not [name for name in queue if name not in asked]:
                queue += [str(name) for name in rng.permutation(sorted(document.fields))]
            concept = next((name for name in queue if name not in asked), queue[0])
            queue.remove(concept)
            printed = document.fields[concept]
            copies = find_copies(document.text, printed)
            how = Print(document.ground, printed.style)
            questions.append(Question(kind, concept, printed.question_name, printed.value, printed.boxes, copies, how))
        asked.append(concept)
    return questions


def absent_concepts(document: Document) -> dict[str, str]:
    """Concept → question name, of everything that other templates of its scale print and this one does not.

    A name that this page prints for anything is left out, and so is one that it would be understood as: a question for
    the "surname" of a card that prints a "surname in Latin letters" has an answer.
    """
    size = (document.image.shape[1], document.image.shape[0])
    scale = "tiny" if TEMPLATES[document.template].sizes.get("tiny") == size else "full"
    names = question_names(scale)
    own = names[document.template]
    taken = {*own.values(), *(printed.question_name for printed in document.fields.values())}
    shown = {*own, *document.fields}
    if scale == "full":
        shown |= {*TEMPLATES[document.template].also}
        shown = shown.union(*(group for group in SAME if group & shown))
    found = dict(NOWHERE)
    for template, questions in names.items():
        if template != document.template:
            found.update(questions)
    return {concept: name for concept, name in found.items() if concept not in shown and name not in taken}


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
