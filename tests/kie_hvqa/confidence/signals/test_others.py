"""Agreement, checks, answer calibration, gates and views."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kie_hvqa.answers.answer import REFUSAL, Reading, parse, render
from kie_hvqa.confidence.signals.agreement import agreement
from kie_hvqa.confidence.signals.answer_calibration import best_alpha, combined, regimes, verified
from kie_hvqa.confidence.signals.checks import amount, check_signal, checks_of
from kie_hvqa.confidence.signals.contrast import blacked, field_box
from kie_hvqa.confidence.signals.gates import INK, SHARPNESS, gates
from kie_hvqa.confidence.signals.views import cropped, jittered
from kie_hvqa.confidence.symbols import SymbolConfidence
from tests.kie_hvqa.confidence.pieces import readings
from tests.kie_hvqa.pieces import row, says, slots


def test_samples_vote_slot_by_slot():
    samples = [says("Smith"), says("Sm th"), says("Smyth"), says("mith"), "no answer"]
    assert agreement(Reading("Smith"), samples).symbols == (0.6, 0.8, 0.4, 0.8, 0.8)
    assert agreement(Reading("Sm th"), [*samples[:2], render(REFUSAL)]).symbols == pytest.approx(
        (2 / 3, 2 / 3, 2 / 3, 2 / 3, 2 / 3)
    )
    assert agreement(REFUSAL, [render(REFUSAL), says("A")]) == SymbolConfidence((), 0.5)


@given(readings(), st.integers(1, 4))
def test_who_always_says_the_same_agrees_with_itself(reading, count):
    parsed = parse(render(reading, tags=True)).reading
    found = agreement(parsed, [render(reading, tags=True)] * count)
    assert (found.refusal == 1.0) if parsed.refused else set(found.symbols) <= {1.0}


@pytest.mark.parametrize(
    ("final", "passed"),
    [
        ("31.02.1990", False),
        ("28.02.1990", True),
        ("12/31/1990", True),
        ("31/12/1990", True),
        ("13/31/1990", False),
        ("1990-02-30", False),
        ("1990-02-2 ", None),
        ("31.0 .1990", None),
        ("Smith", None),
        ("DE89 3704 0044 0532 0130 00", True),
        ("DE89 3704 0044 0532 0130 01", False),
        ("L898902C36UTO7408122F1204159ZE184226B<<<<<10", True),
        ("L898902C36UTO7408122F1204158ZE184226B<<<<<10", False),
        ("L89890 C36UTO7408122F1204159ZE184226B<<<<<10", True),
        ("D231458907UTO7408122F12041500000", None),
        ("I<UTOD231458907<<<<<<<<<<<<<<<", True),
        ("I<UTOD231458908<<<<<<<<<<<<<<<", False),
    ],
)
def test_what_no_document_prints_is_vetoed(final, passed):
    """Zones and account numbers are the published examples of ICAO Doc 9303 and of the IBAN registry."""
    found = checks_of({"f": Reading(final)})["f"]
    assert ({check.passed for check in found} or {None}) == (
        {passed} if passed is not False else {True, False} & {c.passed for c in found}
    )
    assert passed is not False or not all(check.passed for check in found)
    said = check_signal(Reading(final), found).symbols
    assert (0.0 in said) == (passed is False), "what passes, and what cannot be checked, is not touched"


def test_totals_that_do_not_add_up_veto_all_three():
    fields = {"subtotal": Reading("1,000.00"), "tax": Reading("190.00"), "total": Reading("$1,190.00")}
    assert all(check.passed for own in checks_of(fields).values() for check in own)
    wrong = checks_of(fields | {"tax": Reading("199.00")})
    assert [own[0].passed for own in wrong.values()] == [False] * 3
    assert not any(checks_of(fields | {"tax": Reading("1 0.00")}).values()), "a mark leaves it open"


def test_a_pattern_of_the_schema_vetoes_whole_values_only():
    patterns = {"n": r"[A-Z]\d{3}"}
    assert [check.passed for check in checks_of({"n": Reading("A123")}, patterns)["n"]] == [True]
    assert [check.passed for check in checks_of({"n": Reading("A12B")}, patterns)["n"]] == [False]
    assert not checks_of({"n": Reading("A1 3")}, patterns)["n"]
    assert not checks_of({"n": REFUSAL}, patterns)["n"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.234,50 €", "1234.50"),
        ("$ 1,234.5", "12345"),
        ("12", "12"),
        ("1'000.00", "1000.00"),
        ("1 2", None),
        ("x", None),
    ],
)
def test_amounts_in_the_usual_spellings(text, value):
    assert (None if (found := amount(text)) is None else str(found)) == value


@given(st.lists(st.none() | st.floats(0, 1), max_size=5), st.floats(0, 1), st.floats(0, 1))
def test_d_lies_between_its_parts(votes, share, alpha):
    found = combined(SymbolConfidence(tuple(votes)), share, alpha).symbols
    for vote, mixed in zip(votes, found, strict=True):
        assert (vote is None and mixed is None) or min(vote, share) - 1e-8 <= mixed <= max(vote, share) + 1e-8


def test_the_form_of_an_answer_is_checked():
    assert verified(parse(says("AB")), []) == (3, 3)
    assert verified(parse(render(Reading("AB", "", "A", 1, 0), tags=True)), []) == (2, 3)
    assert verified(parse('{"Final OCR": "AB"}'), []) == (0, 3)


@given(st.integers(1, 32), st.integers(1, 8), st.integers(1, 32), st.integers(0, 8))
def test_beyond_the_bounds_one_part_alone_decides(samples, checks, votes, passed):
    """From α₁ on a vote more beats any checks, up to α₂ a check more beats any votes."""
    votes, passed = min(votes, samples), min(passed, checks)
    first, second = regimes(samples, checks)

    def d(n, m, alpha):
        return alpha * n / samples + (1 - alpha) * m / checks

    assert d(votes, 0, first + 1e-9) >= d(votes - 1, checks, first + 1e-9)
    if passed:
        assert d(0, passed, second - 1e-9) >= d(samples, passed - 1, second - 1e-9)


def test_alpha_is_chosen_by_its_area():
    assert best_alpha(lambda alpha: abs(alpha - 0.35)) == 0.35
    assert best_alpha(lambda alpha: 0.0) == 1.0


def page():
    rng = np.random.default_rng(0)
    pixels = np.full((60, 120, 3), 255, np.uint8)
    pixels[20:30, 20:80] = rng.choice([0, 255], (10, 60, 1))
    return Image.fromarray(pixels)


FIELD = row(
    "d_1",
    tuple(replace(slot, box=(20 + 10 * i, 20, 30 + 10 * i, 30)) for i, slot in enumerate(slots("abcdef", "c" * 6))),
)


def test_gates_know_blur_and_faint_ink():
    from PIL import ImageEnhance, ImageFilter

    sharp, blurred = gates(page(), FIELD), gates(page().filter(ImageFilter.GaussianBlur(2)), FIELD)
    assert blurred[SHARPNESS] < sharp[SHARPNESS]
    faint = gates(ImageEnhance.Contrast(page()).enhance(0.3), FIELD)
    assert faint[INK] < sharp[INK]
    assert faint[SHARPNESS] == pytest.approx(sharp[SHARPNESS], abs=0.02), "contrast is not sharpness"
    assert gates(Image.new("RGB", (5, 5), "white"), FIELD) == {SHARPNESS: 0.0, INK: 0.0}


def test_only_the_field_is_blacked_out_where_its_place_is_known():
    black = np.asarray(blacked(page(), field_box(FIELD.slots)))
    assert not black[20:30, 20:80].any() and black[0, 0].all()
    assert field_box(()) is None and not np.asarray(blacked(page(), None)).any()


@pytest.mark.parametrize("view", [jittered(0), jittered(3), cropped])
def test_a_view_keeps_the_field_under_its_boxes(view):
    image, moved = view(page(), FIELD)
    assert view(page(), FIELD)[1] == moved, "the same view twice"
    dark = np.asarray(image.convert("L")) < 250
    x0, y0, x1, y1 = moved.slots[0].box[0], moved.slots[0].box[1], moved.slots[-1].box[2], moved.slots[-1].box[3]
    assert 0 <= x0 < x1 <= image.width + 1 and 0 <= y0 < y1 <= image.height + 1
    ys, xs = np.nonzero(dark)
    assert abs(xs.min() - x0) < 4 and abs(xs.max() - x1) < 4 and abs(ys.min() - y0) < 4 and abs(ys.max() - y1) < 4


def test_a_field_whose_place_nobody_knows_is_not_cropped():
    assert cropped(page(), replace(FIELD, slots=None)) is None
    assert jittered(0)(page(), replace(FIELD, slots=None))[1].slots is None
