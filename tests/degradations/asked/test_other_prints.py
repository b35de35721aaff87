"""Which hidden characters another print gives: what the ledger says must follow from what is still to be seen."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from degradations.asked.plan import find_copies, other_prints
from degradations.asked.question import Question
from degradations.chance import generator
from degradations.damage import _hide_others, _Looked, damage, explained, make_row
from degradations.documents import Document, render
from degradations.legibility import LegibilityModel, Print, ledger
from degradations.operators import Context, OpaqueOccluder
from degradations.recipe import Recipe
from kie_hvqa.answers.verdicts import Ledger
from kie_hvqa.data.dataset import parse_row
from kie_hvqa.data.ledger import Slot

MODEL = LegibilityModel()


@cache
def page(template: str, seed: int = 0) -> Document:
    return render(template, np.random.default_rng([seed, 31]), split="train", scale="full")


def question(document: Document, field: str) -> Question:
    printed = document.fields[field]
    others = other_prints(document, field, printed.derivations)
    how = Print(document.ground, printed.style)
    copies = find_copies(printed)
    return Question("answerable", field, printed.question_name, printed.value, printed.boxes, copies, how, others)


def covered(document: Document, field: str, *others: str) -> tuple[Slot, ...]:
    """The ledger of ``field`` after patches over it (not over its copies) and over other fields."""
    asked, recipe = question(document, field), Recipe(())
    for number, name in enumerate((field, *others)):
        context = Context.of(document.image, document.fields[name].boxes)
        recipe = recipe.then(OpaqueOccluder.covering(generator(number, name), context))
    image = recipe.apply(document.image)
    slots = ledger(MODEL, asked.value, document.image, image, asked.boxes, asked.copies, recipe=recipe, how=asked.how)
    return explained(asked, slots, document.image, image, recipe, MODEL)


@pytest.mark.parametrize("seed", range(3))
def test_a_covered_date_of_birth_is_derivable_digit_by_digit_but_for_its_century(seed):
    passport = page("passport", seed)
    slots = covered(passport, "date_of_birth")
    assert all(slot.legibility == "hidden" for slot in slots if slot.scored)
    century = len(slots) - 4
    for index, slot in enumerate(slots):
        if slot.char.isdigit():
            assert ("mrz_line_2" in slot.derivable) == (index not in (century, century + 1)), (index, slot)


def test_nothing_is_derivable_from_a_zone_that_is_covered_as_well():
    slots = covered(page("passport"), "date_of_birth", "mrz_line_2")
    assert all(slot.legibility == "hidden" and not slot.derivable for slot in slots if slot.scored)


def test_a_covered_sex_is_hidden_though_other_letters_are_m_and_f():
    for seed in range(12):
        (slot,) = covered(page("us_licence", seed), "sex")
        assert slot.legibility == "hidden" and not slot.derivable
        (slot,) = covered(page("passport", seed), "sex", "mrz_line_2")
        assert slot.legibility == "hidden" and not slot.derivable


def test_what_is_legible_itself_is_not_derivable_and_an_undamaged_page_derives_nothing():
    passport = page("passport")
    asked = question(passport, "date_of_birth")
    damaged = damage(passport.image, [asked], 0, generator(0), {"noise": 1.0}, {1: 1.0}, MODEL)
    assert not any(slot.derivable for slot in damaged.slots[0])


def test_rows_say_it_and_scores_keep_it_apart():
    passport = page("passport")
    asked = question(passport, "date_of_birth")
    slots = covered(passport, "date_of_birth")
    damaged = damage(passport.image, [asked], 0, generator(0), {"noise": 1.0}, {1: 1.0}, MODEL)
    damaged = type(damaged)(damaged.image, damaged.recipe, 6, (slots,))
    names = {"id": "a", "file_name": "images/a.png", "document_id": "a", "document_type": "id_card", "split": "test"}
    row = parse_row(make_row(asked, damaged, 0, **names, template="passport").to_json())
    assert row.slots == slots and row.question_kind == "unreadable"
    assert Ledger.of(slots).kinds.count("d") == sum(bool(slot.derivable) for slot in slots) > 4


@pytest.mark.parametrize(("template", "field"), [("passport", "date_of_birth"), ("passport", "surname")])
def test_a_cover_that_means_it_leaves_nothing_to_derive_from(template, field):
    document = page(template)
    asked, looked = question(document, field), _Looked(document.image, MODEL)
    context = Context.of(document.image, asked.boxes, asked.copies)
    recipe = Recipe((OpaqueOccluder.covering(generator(1), context),))
    before = looked.explained(asked, recipe)
    after = looked.explained(asked, _hide_others(looked, asked, recipe, generator(2)))
    assert field == "surname" or any(slot.derivable for slot in before)
    assert all(slot.legibility == "hidden" and not slot.derivable for slot in after if slot.scored)
