"""What is asked about a rendered document: which fields, which absent concepts, and where else a value is printed."""

from __future__ import annotations

from collections.abc import Mapping

from degradations.asked.other_prints import OtherPrints
from degradations.asked.question import Question
from degradations.documents import Derivation, Document, PrintedField, question_names, template
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
    frozenset({"tax_number", "buyer_code", "seller_code", "customer_tax_number"}),
    frozenset({"iban", "account"}),
    frozenset({"expiry_date", "valid_until"}),
)
# What a document knows a fact by, and the concept that a question about it would ask for.
FACTS = {
    "birthplace": "place_of_birth", "street": "address", "chinese_address": "address", "seller_street": "address",
    "customer_street": "address", "birth": "date_of_birth", "expires": "expiry_date", "issued": "issue_date", "number": "document_number",
    "date": "invoice_date", "due": "due_date", "seller_name": "seller_name", "blood": "blood_type", "chinese_sex": "sex",
    "personal_number": "personal_number", "unit": "department",
}  # fmt: skip
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
            copies = find_copies(printed)
            how = Print(document.ground, printed.style)
            others = other_prints(document, concept, printed.derivations)
            questions.append(
                Question(kind, concept, printed.question_name, printed.value, printed.boxes, copies, how, others)
            )
        asked.append(concept)
    return questions


def absent_questions(document: Document, count: int, rng: Rng) -> list[Question]:
    """``count`` questions for different fields that ``document`` does not have, or for as many as there are."""
    offered = absent_concepts(document)
    names = rng.permutation(sorted(offered))[:count]
    return [Question("absent", str(name), offered[str(name)]) for name in names]


def absent_concepts(document: Document) -> dict[str, str]:
    """Concept → question name, of everything that other templates of its scale print and this one does not.

    A name that this page prints for anything is left out, and so is one that it would be understood as: a question for
    the "surname" of a card that prints a "surname in Latin letters" has an answer.
    """
    scale = document.drawing.get("scale", "full")
    names = question_names(scale)
    own = template(document.template).questions
    taken = {*own.values(), *(printed.question_name for printed in document.fields.values())}
    shown = {*own, *document.fields}
    if scale == "full":
        shown |= {name for fact in document.identity for name in (fact, FACTS.get(fact, fact))}
        shown = shown.union(*(group for group in SAME if group & shown))
    found = dict(NOWHERE)
    for other, questions in names.items():
        if other != document.template:
            found.update(questions)
    return {concept: name for concept, name in found.items() if concept not in shown and name not in taken}


def other_prints(document: Document, field: str, derivations: tuple[Derivation, ...]) -> OtherPrints | None:
    """What else on the page says something of ``field``: ``derivations`` of it; None where there are none."""
    if not derivations:
        return None
    own = next(number for number, line in enumerate(document.lines) if line.field == field)
    return OtherPrints(document.lines, own, derivations)


def find_copies(printed: PrintedField) -> tuple[tuple[Box, ...], ...]:
    """The boxes of every other print of the whole value, in type large enough to matter to who reads the first."""
    height = printed.boxes[0][3] - printed.boxes[0][1]
    return tuple(boxes for boxes in printed.copies if boxes[0][3] - boxes[0][1] >= _COPY_HEIGHT * height)
