"""Damage one page for the questions asked about it, and write down what is left of each asked field.

Rendered and real documents meet here: both come as a clean page and ``Question``s with boxes, and both leave with a
damaged page, its recipe and the ledgers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as member
from functools import partial
from typing import Any

from degradations.asked.question import Question
from degradations.capture import Capture
from degradations.documents.model import Derivation
from degradations.legibility import LegibilityModel, compared, ledger
from degradations.operators import OPERATORS, Context, Image, OpaqueOccluder, Rng
from degradations.recipe import Recipe, draw_recipe, pick
from kie_hvqa.answers.answer import render, truth
from kie_hvqa.data.ledger import MAX_SEVERITY, Box, QuestionKind, Row, Slot

# How often a field that is to be unreadable is covered; else it is blurred, drowned or bleached away, if that will do.
_COVERED = 0.7


@dataclass(frozen=True, slots=True)
class Damaged:
    """A damaged page: ``image`` uint8 [H, W, 3] RGB, and per question the slots (none for an absent field).

    ``file`` is the JPEG that the camera wrote, whose pixels ``image`` has; None where no file holds exactly them yet.
    """

    image: Image
    recipe: Recipe
    severity: int
    slots: tuple[tuple[Slot, ...], ...]
    file: bytes | None = member(default=None, repr=False)


def draw_severity(rng: Rng, severities: Mapping[int, float], questions: Sequence[Question]) -> int:
    """A severity by weight; where a question is to be unreadable, one of those above 3 if there are any."""
    options = {severity: weight for severity, weight in severities.items() if weight > 0}
    if any(question.planned == "unreadable" for question in questions):
        options = {s: w for s, w in options.items() if s > 3} or {s: w for s, w in options.items() if s > 0}
    levels = sorted(options)
    return int(pick(rng, levels, [options[level] for level in levels]))


def damage(
    page: Image,
    questions: Sequence[Question],
    severity: int,
    rng: Rng,
    operators: Mapping[str, float],
    counts: Mapping[int, float],
    model: LegibilityModel,
    *,
    elsewhere: Sequence[Box] = (),
    hide_other_prints: float = 0.0,
    capture: Capture | None = None,
    density: float = 0.0,
) -> Damaged:
    """Draw a recipe of ``severity`` for ``page`` inside ``capture``, apply it and judge every asked slot.

    Local effects (patches, glare) are drawn once for each asked field, the others once for the page. A page that is
    asked about absent fields only is damaged around ``elsewhere``, some other printed boxes. Of the fields that are to be
    unreadable, the share ``hide_other_prints`` also loses what else on the page gives their characters. ``density`` is the
    page's pixels to a millimetre, 0 where nobody knows it.
    """
    desk = None if capture is None else capture.scene.desk
    contexts = [Context.of(page, q.boxes, q.copies, density, desk) for q in questions if q.boxes]
    if not contexts:
        contexts = [Context.of(page, elsewhere or [_middle(page)], (), density, desk)]
    recipe = draw_recipe(severity, rng, contexts[0], operators, counts, capture)
    for context in contexts[1:]:
        local = [type(o).draw(o.severity, rng, recipe.aimed(context, o.stage)) for o in recipe.operators if o.local]
        recipe = recipe.then(*local)
    looked = _Looked(page, model)
    for question in questions:
        if question.planned == "unreadable" and severity > 0:
            context = Context.of(page, question.boxes, question.copies, density, desk)
            recipe = _hide(looked, question, context, recipe, rng, operators)
            if hide_other_prints > 0 and rng.random() < hide_other_prints:
                recipe = _hide_others(looked, question, recipe, rng)
    slots = tuple(looked.explained(question, recipe) for question in questions)
    image, file = looked.shot(recipe)
    return Damaged(image, recipe, severity, slots, file)


def make_row(question: Question, damaged: Damaged, index: int, **identity: Any) -> Row:
    """The row of ``questions[index]``; its kind follows from its slots, not from the plan."""
    slots = damaged.slots[index]
    kind: QuestionKind = "absent" if question.planned == "absent" else "answerable"
    if slots and all(slot.legibility == "hidden" for slot in slots if slot.scored):
        kind = "unreadable"
    return Row(
        field=question.field,
        question_kind=kind,
        problem=question.problem,
        answer=render(truth(slots)),
        slots=slots,
        severity=damaged.severity,
        recipe=damaged.recipe.to_json(),
        capture=None if damaged.recipe.capture is None else damaged.recipe.capture.to_json(),
        **identity,
    )


def told(
    question: Question, slots: Sequence[Slot], page: Image, image: Image, recipe: Recipe, model: LegibilityModel
) -> list[Derivation]:
    """What other prints on ``image`` (the ``page`` after ``recipe``) still say of the hidden ones of ``slots``."""
    if question.others is None:
        return []
    judge = partial(compared, model, page, image, recipe=recipe, least=model.hidden)
    return list(question.others.told(slots, model.label, judge))


def explained(
    question: Question, slots: Sequence[Slot], page: Image, image: Image, recipe: Recipe, model: LegibilityModel
) -> tuple[Slot, ...]:
    """``slots``, each hidden one with where its character stands if another print on ``image`` gives it."""
    found = told(question, slots, page, image, recipe, model)
    return question.others.note(slots, found) if question.others is not None else tuple(slots)


class _Looked:
    """What recipes make of one page; a recipe that was tried and kept is not applied and judged again."""

    def __init__(self, page: Image, model: LegibilityModel) -> None:
        self.page, self._model = page, model
        self._shots: dict[Recipe, tuple[Image, bytes | None]] = {}
        self._slots: dict[tuple[Question, Recipe], tuple[Slot, ...]] = {}

    def shot(self, recipe: Recipe) -> tuple[Image, bytes | None]:
        if recipe not in self._shots:
            self._shots[recipe] = recipe.shot(self.page)
        return self._shots[recipe]

    def slots(self, question: Question, recipe: Recipe) -> tuple[Slot, ...]:
        if not question.boxes:
            return ()
        if (question, recipe) not in self._slots:
            value, boxes, copies, image = question.value, question.boxes, question.copies, self.shot(recipe)[0]
            found = ledger(self._model, value, self.page, image, boxes, copies, recipe=recipe, how=question.how)
            self._slots[question, recipe] = found
        return self._slots[question, recipe]

    def told(self, question: Question, recipe: Recipe) -> list[Derivation]:
        slots = self.slots(question, recipe)
        return told(question, slots, self.page, self.shot(recipe)[0], recipe, self._model)

    def explained(self, question: Question, recipe: Recipe) -> tuple[Slot, ...]:
        slots = self.slots(question, recipe)
        return explained(question, slots, self.page, self.shot(recipe)[0], recipe, self._model)

    def hidden(self, question: Question, recipe: Recipe) -> bool:
        return all(slot.legibility == "hidden" for slot in self.slots(question, recipe) if slot.scored)


def _hide(
    looked: _Looked, question: Question, page: Context, recipe: Recipe, rng: Rng, operators: Mapping[str, float]
) -> Recipe:
    """``recipe`` with what it takes to hide all of the question's field, by operators that may be drawn here.

    If four attempts leave something to be read, the best recipe stays and the ledger says so.
    """
    if looked.hidden(question, recipe):
        return recipe
    names = sorted(name for name, weight in operators.items() if weight > 0)
    cover = OpaqueOccluder.name in names
    bare = Recipe(tuple(o for o in recipe.operators if not o.local), recipe.capture)
    for attempt in range(4):
        if cover and (attempt >= 2 or rng.random() < _COVERED):
            tried = recipe.then(OpaqueOccluder.covering(rng, recipe.aimed(page, OpaqueOccluder.stage)))
        else:
            name = pick(rng, names, [operators[n] for n in names])
            cls = OPERATORS[name]
            kept = Recipe(tuple(o for o in bare.operators if not (o.moves and cls.moves)), recipe.capture)
            tried = kept.then(cls.draw(MAX_SEVERITY, rng, kept.aimed(page, cls.stage)))
        if looked.hidden(question, tried):
            return tried
    return tried


def _hide_others(looked: _Looked, question: Question, recipe: Recipe, rng: Rng) -> Recipe:
    """``recipe`` with patches over one source of everything that still gives a hidden character of the question."""
    while told := looked.told(question, recipe):
        assert question.others is not None
        # The line that most of it hangs on first; a line of the field itself is not left, as a hidden slot gives nothing.
        sources = [source for found in told for source in found.sources if source.line != question.others.own]
        lines = [source.line for source in sources]
        if not lines:
            break
        line = max(lines, key=lambda number: (lines.count(number), -number))
        places = sorted({place for source in sources if source.line == line for place in source.places})
        boxes = tuple(question.others.lines[line].boxes[place] for place in places)
        context = recipe.aimed(Context.of(looked.page, boxes), OpaqueOccluder.stage)
        recipe = recipe.then(OpaqueOccluder.covering(rng, context))
        again = {source for found in looked.told(question, recipe) for source in found.sources}
        if any(source.line == line for source in again):  # what a patch cannot hide stays, and the ledger says so
            break
    return recipe


def _middle(page: Image) -> Box:
    height, width = page.shape[:2]
    return (0.3 * width, 0.45 * height, 0.7 * width, 0.45 * height + max(8.0, 0.06 * height))
