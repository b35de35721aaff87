"""Laws of the labels. Printed text is set by the documents' own typesetter; real text is what ``conftest`` draws."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from degradations.documents.model import TextStyle
from degradations.documents.typeset import ink, typeset
from degradations.legibility import LegibilityModel, Print, ledger
from degradations.legibility.constants import CALIBRATION
from degradations.legibility.observer import Trace, observe, odds, total_odds
from degradations.legibility.rivals import Setting, character_class, rivals
from degradations.legibility.structure import curve, structure_evidence
from degradations.operators import Context, GaussianBlur, Noise, OpaqueOccluder
from degradations.operators.light.lamps import LowContrast
from degradations.recipe import Recipe

MODEL = LegibilityModel()
FACES = [
    ("Arimo", 400),
    ("Arimo", 700),
    ("Roboto", 500),
    ("PT Sans", 400),
    ("Roboto Mono", 500),
    ("Roboto Condensed", 600),
    ("PT Serif", 400),
]
VALUES = ["KLAUS 4827-B", "iIl1.,:-", "Wm%@ 08Q", "2024-05-07", "1194.34", "Zoë Müller"]


class Printed:
    """``value`` in the middle of a page nine lines high, as the documents print it."""

    def __init__(self, value="KLAUS 4827-B", size=12.0, face=("Arimo", 400), ink_colour=(25, 25, 45), x=0.0):
        style = TextStyle(*face, size, ink_colour, x=3 * size + x, baseline=5 * size, softness=0.02 * size)
        line = typeset(value, style)
        width = int(line.boxes[-1][2] + 4 * size)
        rng = np.random.default_rng(1)
        ground = rng.integers(226, 236, (round(9 * size), width, 3)).astype(np.uint8)
        for row in (2.0, 8.0):
            other = style.at(2 * size, row * size)
            ink(ground, typeset("Zq other 50", other), ink_colour)
        self.image = ground.copy()
        ink(self.image, line, ink_colour)
        self.value, self.boxes, self.how = value, line.boxes, Print(ground, style)

    @property
    def context(self):
        return Context.of(self.image, self.boxes)

    def slots(self, *operators, copies=()):
        recipe = Recipe(tuple(operators))
        damaged = recipe.apply(self.image)
        return ledger(MODEL, self.value, self.image, damaged, self.boxes, copies, recipe=recipe, how=self.how)


def strip(page, index, share):
    """A patch over the left ``share`` of one slot."""
    x0, y0, x1, y1 = page.boxes[index]
    context = Context.of(page.image, page.boxes[index : index + 1])
    whole = OpaqueOccluder.covering(np.random.default_rng(2), context).patches[0]
    width, height = share * (x1 - x0), 1.2 * (y1 - y0)
    x, y = x0 + width / 2, (y0 + y1) / 2
    return dataclasses.replace(
        whole, x=x, y=y, width=width, height=height, angle=0.0, corner=0.0, ripple=0.0, fill="solid"
    )


printed = st.builds(
    Printed,
    st.sampled_from(VALUES),
    st.sampled_from([10.0, 12.0, 13.0, 17.0, 36.0, 44.0]),
    st.sampled_from(FACES),
    st.tuples(st.integers(0, 120), st.integers(0, 120), st.integers(0, 120)),
    st.floats(0, 1),
)


@settings(max_examples=120, deadline=None)
@given(printed, st.integers(0, 2**32 - 1))
def test_a_wholly_covered_field_is_hidden(page, seed):
    cover = OpaqueOccluder.covering(np.random.default_rng(seed), page.context)
    slots = page.slots(cover)
    assert [slot.legibility for slot in slots] == ["hidden"] * len(slots), (cover, [s.evidence for s in slots])


@settings(max_examples=60, deadline=None)
@given(printed, st.integers(0, 2**32 - 1), st.floats(0.02, 0.3), st.floats(1, 60))
def test_what_happens_to_a_cover_brings_nothing_back(page, seed, width, noise):
    size = page.context.text_height
    cover = OpaqueOccluder.covering(np.random.default_rng(seed), page.context)
    after = GaussianBlur(4, width * size), Noise(3, noise, 0.0, 1.0, 0.0, seed)
    assert {slot.legibility for slot in page.slots(cover, *after)} == {"hidden"}


@settings(max_examples=60, deadline=None)
@given(printed)
def test_an_undamaged_field_is_clear(page):
    assert all(slot.legibility == "clear" and slot.evidence == 1.0 and not slot.rivals for slot in page.slots())


@settings(max_examples=60, deadline=None)
@given(printed)
def test_a_field_hardly_damaged_is_clear(page):
    """No jump between clean and nearly clean: the observer itself calls a clean slot clear."""
    faint = LowContrast(1, level=200, gain=0.97, floor=0.0, grain_size=1.0, seed=0)
    assert {slot.legibility for slot in page.slots(faint)} == {"clear"}


@settings(max_examples=40, deadline=None)
@given(printed, st.floats(0.02, 0.4), st.floats(1.05, 1.5))
def test_more_blur_never_supports_more(page, width, more):
    size = page.context.text_height
    less, most = (
        [slot.evidence for slot in page.slots(GaussianBlur(3, sigma))] for sigma in (width * size, width * more * size)
    )
    assert all(after <= before + 0.05 for before, after in zip(less, most, strict=True))


@settings(max_examples=30, deadline=None)
@given(printed, st.floats(0.02, 0.3), st.integers(0, 2**32 - 1))
def test_labels_follow_the_thresholds_and_nothing_else(page, width, seed):
    operators = GaussianBlur(3, width * page.context.text_height), Noise(2, 20.0, 10.0, 1.5, 0.2, seed)
    slots = page.slots(*operators)
    assert slots == page.slots(*operators), "the same damage gets the same labels"
    for slot in slots:
        wanted = "clear" if slot.evidence >= MODEL.clear else "hidden" if slot.evidence < MODEL.hidden else "partial"
        assert slot.legibility == wanted


def test_a_slot_is_judged_the_same_beside_any_damage_elsewhere():
    """Which other slots are damaged decides which are looked at together; it must not decide what is seen."""
    page = Printed("012345678901234567890123", 13.0)
    patches = [strip(page, index, 0.5) for index in (2, 4, 14, 17)]
    damaged = [page.slots(OpaqueOccluder(3, tuple(patches[i] for i in some))) for some in ((0,), (0, 2, 3), (0, 1))]
    alone, together, near = damaged
    assert alone[2] == together[2] and alone[2].evidence < 1
    assert together[14].evidence < 1 and together[17].evidence < 1 and alone[9] == together[9]
    # A cover two slots away masks a little.
    assert near[2].evidence == pytest.approx(alone[2].evidence, abs=0.005)


def test_half_an_eight_could_be_a_three():
    page = Printed("18281", 40.0, ("Arimo", 400))
    slots = page.slots(OpaqueOccluder(3, (strip(page, 1, 0.5),)))
    assert slots[1].legibility != "clear" and "3" in slots[1].rivals
    assert "1" not in slots[1].rivals and "7" not in slots[1].rivals
    assert slots[3].evidence == 1.0 and slots[3].rivals == ""


def test_blur_is_seen_where_contrast_alone_does_not_fall():
    assert all(slot.legibility == "hidden" for slot in Printed(size=30.0).slots(GaussianBlur(6, 15.0)))


def test_paler_ink_without_noise_stays_clear():
    pale = LowContrast(2, level=200, gain=0.3, floor=0.0, grain_size=1.0, seed=0)
    assert {slot.legibility for slot in Printed(size=24.0).slots(pale)} == {"clear"}


def test_noise_hides_what_its_frozen_draws_would_show():
    """All candidates meet the same noise, so their difference is untouched: the noise must count all the same."""
    slots = Printed(size=24.0).slots(Noise(6, read=250.0, shot=0.0, grain_size=3.0, chroma=0.0, seed=3))
    assert np.mean([slot.evidence for slot in slots if slot.scored]) < 0.5


def test_the_printed_window_is_made_again_and_rivals_stay_in_their_place():
    page = Printed("W1lj 8", 36.0)
    setting = Setting(page.value, page.image, (0, 0), page.how)
    assert np.abs(setting.printed({}).astype(int) - page.image).max() <= 1
    changed = np.abs(setting.printed({1: "8"}).astype(int) - page.image).max(2) > 2
    x0, _, x1, _ = page.boxes[1]
    columns = np.flatnonzero(changed.any(0))
    assert len(columns) and columns.min() >= x0 - 4 and columns.max() <= x1 + 4


@pytest.mark.parametrize(("char", "near"), [("8", "3"), ("O", "Q"), ("E", "F"), ("c", "e"), (".", ",")])
def test_rivals_are_of_the_class_and_near(char, near):
    found = rivals("Arimo", 400, char, 8)
    assert near in found and char not in found and len(set(found)) == len(found) == 8
    assert set(found) <= set(character_class(char))


def test_the_closed_form_is_exact_where_it_can_be():
    def identified(*distances):
        model = dataclasses.replace(MODEL, efficiency=1.0, noise=1.0)
        count = len(distances)
        nothing = (0.0,) * count
        seen = Trace("?" * count, tuple(d * d for d in distances), nothing, nothing, nothing)
        assert seen.distances(model) == pytest.approx(list(distances))
        return seen.judge(model).evidence

    assert odds(0.0) == 1.0
    assert identified(*[0.0] * 9) == pytest.approx(0.1)
    assert identified(2.0) == pytest.approx(0.8413, abs=1e-4)  # Φ(1): two alternatives, d' = 2
    assert identified(*[40.0] * 8) == pytest.approx(1.0)
    assert total_odds([1.0] * 8, 17) == 25 and total_odds([0.8, 0.2, 0.0, 0.0], 9) == 1.0
    assert identified(1.0, 1.0) < identified(1.0, 2.0) < identified(1.0)


def test_the_constants_are_those_of_the_shipped_calibration():
    shipped = json.loads(CALIBRATION.read_text())["constants"]
    assert {name: getattr(MODEL, name) for name in MODEL.__slots__} == shipped
    assert 0 < MODEL.hidden < MODEL.clear < 1


def test_word_spaces_take_the_lower_evidence_of_their_neighbours():
    page = Printed("AB CD", 16.0)
    cover = OpaqueOccluder.covering(np.random.default_rng(0), Context.of(page.image, page.boxes[3:]))
    slots = page.slots(cover)
    assert slots[2].evidence == min(slots[1].evidence, slots[3].evidence) and not slots[2].scored


def test_only_the_covered_slots_are_hidden():
    page = Printed("KLAUS4827", 20.0)
    cover = OpaqueOccluder.covering(np.random.default_rng(1), Context.of(page.image, page.boxes[3:5]))
    labels = [slot.legibility for slot in page.slots(cover)]
    assert labels[3:5] == ["hidden"] * 2 and labels[:2] == labels[7:] == ["clear"] * 2


def test_observed_judgements_need_no_second_look_at_clean_slots():
    page = Printed("12", 20.0)
    assert [j.evidence for j in observe(MODEL, "12", page.boxes, page.how, page.image, page.image, Recipe())] == [1, 1]


# Real documents: pixels and boxes, no font.


def test_real_text_is_judged_by_what_is_left_of_its_structure(page):
    recipe = Recipe((OpaqueOccluder.covering(np.random.default_rng(0), page.context),))
    slots = ledger(MODEL, page.value, page.image, recipe.apply(page.image), page.boxes, recipe=recipe)
    assert {slot.legibility for slot in slots} == {"hidden"}
    recipe = Recipe((GaussianBlur(1, 0.4),))
    slots = ledger(MODEL, page.value, page.image, recipe.apply(page.image), page.boxes, recipe=recipe)
    assert {slot.legibility for slot in slots} == {"clear"}
    slots = ledger(MODEL, page.value, page.image, page.image.copy(), page.boxes, recipe=Recipe())
    assert {slot.evidence for slot in slots} == {1.0}


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([10.0, 12.0, 36.0]), st.sampled_from(VALUES[:5]), st.integers(0, 2**32 - 1))
def test_real_text_that_is_wholly_covered_is_hidden(make_page, size, value, seed):
    page = make_page(value, size)
    recipe = Recipe((OpaqueOccluder.covering(np.random.default_rng(seed), page.context),))
    slots = ledger(MODEL, value, page.image, recipe.apply(page.image), page.boxes, recipe=recipe)
    assert {slot.evidence for slot in slots} == {0.0}


def test_a_readable_second_print_counts(page):
    other = tuple((x0, y0 + 36, x1, y1 + 36) for x0, y0, x1, y1 in page.boxes)
    clean = page.image.copy()
    for (x0, y0, x1, y1), (_, v0, _, v1) in zip(page.boxes, other, strict=True):
        clean[int(v0) : int(v1), int(x0) : int(x1)] = page.image[int(y0) : int(y1), int(x0) : int(x1)]
    recipe = Recipe((OpaqueOccluder.covering(np.random.default_rng(0), page.context),))
    damaged = recipe.apply(clean)
    alone = ledger(MODEL, page.value, clean, damaged, page.boxes, recipe=recipe)
    both = ledger(MODEL, page.value, clean, damaged, page.boxes, [other], recipe=recipe)
    assert all(slot.legibility == "hidden" for slot in alone)
    assert all(slot.legibility == "clear" for slot in both)
    recipe = Recipe((OpaqueOccluder.covering(np.random.default_rng(0), Context.of(clean, page.boxes, [other])),))
    both = ledger(MODEL, page.value, clean, recipe.apply(clean), page.boxes, [other], recipe=recipe)
    assert all(slot.legibility == "hidden" for slot in both)


def test_boxes_off_the_page_support_nothing(page):
    away = tuple((x0, y0 - 900, x1, y1 - 900) for x0, y0, x1, y1 in page.boxes)
    recipe = Recipe((GaussianBlur(1, 0.4),))
    slots = ledger(MODEL, page.value, page.image, page.image, away, recipe=recipe)
    assert all(slot.evidence == 0 for slot in slots if slot.scored)


def test_the_curve_rises_from_0_to_1():
    kept = np.linspace(0, 1, 101)
    evidence = curve(MODEL, kept)
    assert evidence[0] < 1e-6 and evidence[-1] == pytest.approx(1.0)
    assert (np.diff(evidence) > 0).all()
    assert curve(MODEL, np.array([MODEL.half]))[0] == pytest.approx(0.5, abs=0.05)


def test_wrong_shapes_are_refused(page):
    with pytest.raises(ValueError, match="differ in shape"):
        structure_evidence(MODEL, page.image, page.image[1:], page.boxes)
    with pytest.raises(ValueError, match="differ in shape"):
        ledger(MODEL, page.value, page.image, page.image[1:], page.boxes, recipe=Recipe())
    with pytest.raises(ValueError, match="as many boxes"):
        ledger(MODEL, "AB", page.image, page.image, page.boxes, recipe=Recipe())
