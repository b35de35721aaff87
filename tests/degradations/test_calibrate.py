from __future__ import annotations

import numpy as np
import pytest

from degradations.calibrate import auroc, crossing, fit_curve, ink_contrast, read_slots, summarise, trials
from degradations.legibility import LegibilityModel
from degradations.operators import Noise

MODEL = LegibilityModel()


def test_auroc_of_known_orders():
    right = np.array([True, True, False, False])
    assert auroc(np.array([0.9, 0.8, 0.2, 0.1]), right) == 1.0
    assert auroc(np.array([0.1, 0.2, 0.8, 0.9]), right) == 0.0
    assert auroc(np.array([0.5, 0.5, 0.5, 0.5]), right) == 0.5
    assert auroc(np.array([0.9, 0.3, 0.5, 0.1]), right) == 0.75
    assert auroc(np.array([0.9, 0.3]), np.array([True, True])) is None


def test_the_fit_finds_the_curve_that_made_the_data():
    rng = np.random.default_rng(4)
    structure = rng.uniform(0.05, 1.0, 20000)
    read = rng.random(20000) < 1 / (1 + (0.4 / structure) ** 5.5)
    half, slope = fit_curve(structure, read)
    assert half == pytest.approx(0.4, abs=0.01) and slope == pytest.approx(5.5, abs=0.25)


def test_crossing_is_where_accuracy_passes_the_target():
    rng = np.random.default_rng(4)
    evidence = rng.random(40000)
    read = rng.random(40000) < evidence
    assert crossing(evidence, read, 0.75) == pytest.approx(0.75, abs=0.051)
    assert crossing(evidence, read, 0.25) == pytest.approx(0.25, abs=0.051)


def test_reading_is_judged_slot_by_slot(page):
    boxes = [(10 + 8 * i, 20, 18 + 8 * i, 34) for i in range(5)]
    assert read_slots(lambda _: "SMXTH", page.image, "Smith", boxes).tolist() == [True, True, False, True, True]
    assert read_slots(lambda _: "", page.image, "Smith", boxes).tolist() == [False] * 5


def test_ink_contrast_is_blind_to_what_evidence_sees(page):
    """Noise that drowns the letters has all the contrast that the baseline asks for."""
    noise = Noise(6, read=200.0, shot=0.0, grain_size=2.0, chroma=0.0, seed=1).apply(page.image)
    contrast = ink_contrast(page.image, noise, page.boxes)
    evidence = np.nan_to_num(MODEL.evidence(page.image, noise, page.boxes))
    assert contrast[:5].min() > 0.9 and evidence[:5].mean() < MODEL.hidden


def test_trials_hold_only_what_is_read_clean(make_page):
    page = make_page("AB CD", 30)
    found = list(trials("0/f", page.image, page.value, page.boxes, lambda _: "AB XD", 1, 13))
    assert len(found) == 13 and len({trial.operator for trial in found}) == 12
    assert all(len(trial.right) == len(trial.structure) == len(trial.contrast) == 3 for trial in found)
    table = summarise(found, MODEL)
    assert table["slots"] == 39 and table["auroc"] is None and set(table["by_operator"]) == {t.operator for t in found}
