from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from degradations.chance import generator
from degradations.config import SimulateConfig
from degradations.legibility import LegibilityModel
from degradations.legibility.constants import CALIBRATION
from degradations.legibility.observer import Trace
from degradations.legibility.structure import curve
from degradations.operators import OPERATORS, Context, GaussianBlur, Noise
from degradations.recipe import Recipe
from degradations.simulate import document_samples
from kie_hvqa.data.files import read_json
from kie_hvqa.data.ledger import Slot
from studies.calibration import dataset
from studies.calibration import readers as reader_room
from studies.calibration.ceiling import TEXTS, forecast, others
from studies.calibration.figure import draw
from studies.calibration.fit import Slots, crossing, fit_observer, fit_structure, fit_thresholds, monotone
from studies.calibration.lines import Line, fit_for_trials, printed_lines
from studies.calibration.readers import Remembered, open_readers
from studies.calibration.summary import auroc, bins, flat, summarise
from studies.calibration.trials import around, drawn_wide, read_right, suiting, trial, trials

MODEL = LegibilityModel()


def line_of(page, document="0", name="f"):
    return Line(document, name, page.image, page.value, page.boxes, None)


def test_auroc_of_known_orders():
    right = np.array([True, True, False, False])
    assert auroc(np.array([0.9, 0.8, 0.2, 0.1]), right) == 1.0
    assert auroc(np.array([0.1, 0.2, 0.8, 0.9]), right) == 0.0
    assert auroc(np.array([0.5, 0.5, 0.5, 0.5]), right) == 0.5
    assert auroc(np.array([0.9, 0.3, 0.5, 0.1]), right) == 0.75
    assert auroc(np.array([0.9, 0.3]), np.array([True, True])) is None


def made_up(count, efficiency, noise, weight, masking, seed=4):
    """Slots whose reader has exactly these constants."""
    rng = np.random.default_rng(seed)
    signal = np.exp(rng.normal(2, 2.5, (count, 1)) + rng.normal(0, 0.4, (count, 8)))
    spread = np.where(rng.random((count, 1)) < 0.5, 0.0, np.exp(rng.normal(3, 1.5, (count, 1)))) * np.ones((1, 8))
    beside = np.where(rng.random((count, 1)) < 0.5, 0.0, np.exp(rng.normal(4, 1.5, (count, 1)))) * np.ones((1, 8))
    mismatch = signal * np.exp(rng.normal(-2, 1, (count, 8)))
    unseen = rng.integers(0, 18, count).astype(float)
    slots = Slots(signal, mismatch, spread, beside, unseen, np.zeros(count, bool), np.zeros(count, bool))
    model = dataclasses.replace(MODEL, efficiency=efficiency, noise=noise, noise_weight=weight, masking_weight=masking)
    evidence = slots.evidence(model)
    return dataclasses.replace(slots, right=rng.random(count) < 0.01 + 0.98 * evidence), evidence


def test_the_fit_finds_the_reader_that_made_the_data():
    slots, _ = made_up(12000, 6.0, 2.5, 1.5, 0.4)
    found = fit_observer(slots, MODEL)
    assert found.efficiency == pytest.approx(6.0, rel=0.15)
    assert found.noise == pytest.approx(2.5, rel=0.2)
    assert found.noise_weight == pytest.approx(1.5, rel=0.3)
    assert found.masking_weight == pytest.approx(0.4, rel=0.3)


def test_vectorised_evidence_is_what_a_trace_says():
    slots, evidence = made_up(50, MODEL.efficiency, MODEL.noise, MODEL.noise_weight, MODEL.masking_weight)
    for index in range(50):
        parts = (tuple(values[index].tolist()) for values in (slots.signal, slots.mismatch, slots.noise, slots.masking))
        assert Trace("abcdefgh", *parts, unseen=int(slots.unseen[index])).judge(MODEL).evidence == pytest.approx(
            evidence[index], abs=1e-5
        )


def test_the_structure_fit_finds_the_curve_that_made_the_data():
    rng = np.random.default_rng(4)
    structure = rng.uniform(0.05, 1.0, 20000)
    truth = dataclasses.replace(MODEL, half=0.4, slope=5.5)
    read = rng.random(20000) < 0.01 + 0.98 * curve(truth, structure)
    found = fit_structure(structure, read, MODEL)
    assert found.half == pytest.approx(0.4, abs=0.02) and found.slope == pytest.approx(5.5, abs=0.4)


def test_thresholds_are_where_the_curve_passes_the_targets():
    rng = np.random.default_rng(4)
    evidence = rng.random(40000)
    read = rng.random(40000) < evidence
    found = fit_thresholds(evidence, read, MODEL)
    assert found.clear == pytest.approx(0.9, abs=0.04) and found.hidden == pytest.approx(0.25, abs=0.04)
    assert crossing(evidence, np.zeros(40000, bool), 0.9) == 1.0


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40))
def test_pooling_makes_any_curve_rise_and_keeps_its_mean(values):
    smooth = monotone(np.array(values, float))
    assert (np.diff(smooth) >= 0).all() and smooth.mean() == pytest.approx(np.mean(values))
    if values == sorted(values):
        assert smooth.tolist() == values


def test_reading_is_judged_slot_by_slot(page):
    boxes = [(10 + 8 * i, 20, 18 + 8 * i, 34) for i in range(5)]
    assert read_right(lambda _: "SMXTH", page.image, "Smith", boxes).tolist() == [True, True, False, True, True]
    assert read_right(lambda _: "", page.image, "Smith", boxes).tolist() == [False] * 5
    away = [(x0, y0 + 9000, x1, y1 + 9000) for x0, y0, x1, y1 in boxes]
    assert read_right(lambda _: "SMITH", page.image, "Smith", away).tolist() == [False] * 5


def test_ink_contrast_is_blind_to_what_evidence_sees(page):
    """Noise that drowns the letters has all the contrast that the baseline asks for."""
    recipe = Recipe((Noise(6, read=200.0, shot=0.0, grain_size=2.0, chroma=0.0, seed=1),))
    found = trial(line_of(page), recipe, {}, {}, MODEL)
    assert found.contrast[:5].min() > 0.9 and curve(MODEL, found.structure[:5]).mean() < MODEL.hidden


def test_trials_hold_only_what_is_read_clean(make_page):
    page = make_page("AB CD", 30)
    found = list(trials(line_of(page), {"it": lambda _: "AB XD"}, MODEL, 1, 13))
    assert len(found) == 13 and len({each.operators for each in found}) > 5
    assert all(each.asked["it"].tolist() == [True, True, False, False, True] for each in found)
    slots = Slots.of(found, "it", 8)
    assert len(slots.right) == 39 and slots.untouched.all(), "real documents leave no trace"
    table = summarise(found, "it", flat(found, "it", "structure"), MODEL)
    assert table["overall"]["slots"] == 39 and table["overall"]["auroc"] is None
    assert set(table["by_operator"]) == {each.operator for each in found}
    again = trials(line_of(page), {"it": lambda _: "AB XD"}, MODEL, 1, 13)
    assert [each.operators for each in again] == [each.operators for each in found], "the same seed, the same damage"


def test_what_is_fitted_does_not_move_the_trials_it_is_fitted_on(page, monkeypatch):
    """Rungs follow from the constants: trials that knew them would give other constants at every fit."""
    context = Context.of(page.image, page.boxes)

    def drawn():
        rng = generator(3, "wide")
        return [drawn_wide(rng, context, sorted(OPERATORS)).to_json() for _ in range(120)]

    before = drawn()
    for cls in OPERATORS.values():
        monkeypatch.setattr(cls, "rungs", (0.5, 0.6, 0.7, 0.8, 0.9, 2.0))
    assert drawn() == before
    assert {len(steps) for steps in before} == {1, 2}
    assert all(sum(OPERATORS[step["operator"]].moves for step in steps) < 2 for steps in before)


def test_nothing_is_tried_on_what_no_reader_reads_clean(make_page):
    assert not list(trials(line_of(make_page("AB CD", 30)), {"it": lambda _: ""}, MODEL, 1, 3))


@pytest.mark.parametrize(("value", "fits"), [("AB", False), ("A B", False), ("P<GBR<<X", False), ("12-3", True)])
def test_which_lines_are_tried(page, value, fits):
    assert fit_for_trials(dataclasses.replace(line_of(page), value=value)) is fits


def test_bins_are_in_order_and_equally_full():
    evidence = np.linspace(0, 1, 100)
    rows = bins(evidence, evidence > 0.5)
    assert len(rows) == 10 and [row["read"] for row in rows] == sorted(row["read"] for row in rows)


def test_a_reader_is_asked_once_for_the_same_pixels(tmp_path, page):
    asked = []

    def make():
        return lambda image: asked.append(image.shape) or "text"

    first = Remembered("it", make, tmp_path)
    assert first(page.image) == first(page.image) == "text" and len(asked) == 1
    (tmp_path / "it.jsonl").open("a").write('{"crop": "cut o')
    again = Remembered("it", make, tmp_path)
    assert again(page.image) == "text" and len(asked) == 1
    assert again(page.image[1:]) == "text" and len(asked) == 2


@pytest.mark.parametrize("name", reader_room.READERS)
def test_the_readers_read_a_clean_line(make_page, name):
    if name == "tesseract" and shutil.which("tesseract") is None:
        pytest.skip("tesseract is not installed")
    if name == "rapidocr":
        pytest.importorskip("rapidocr_onnxruntime")
    page = make_page("KLAUS 4827", 32)
    assert read_right(open_readers([name], None)[name], page.image, page.value, page.boxes)[:5].all()


def test_the_figure_is_drawn(tmp_path, make_page):
    pytest.importorskip("matplotlib")
    page = make_page("ABCDEFGH", 30)
    found = [
        trial(
            line_of(page, str(k)),
            Recipe((GaussianBlur(3, 0.3 + k),)),
            {"rapidocr": lambda _: "ABCX"},
            {"rapidocr": np.ones(8, bool)},
            MODEL,
        )
        for k in range(6)
    ]
    draw(found, ["rapidocr"], MODEL, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes()[:4] == b"\x89PNG"


def test_the_command_says_what_it_wants():
    done = subprocess.run(
        [sys.executable, "-m", "studies.calibration", "--help"], capture_output=True, text=True, check=True
    )
    assert "--annotations" in done.stdout and "--check" in done.stdout


def test_the_shipped_constants_come_with_what_was_measured_and_the_page_says_the_same():
    shipped = read_json(CALIBRATION)
    assert dataclasses.asdict(MODEL) == shipped["constants"]
    found = shipped["measured"]["held_out"]["rapidocr"]
    assert found["overall"]["auroc"] >= 0.92 and found["opaque"]["auroc"] >= 0.94 and found["bins_rise"]
    assert found["overall"]["auroc"] > found["overall"]["auroc_ink_contrast"] + 0.1
    page = (Path(__file__).parents[2] / "docs" / "legibility.md").read_text()
    for row, part in (("**all**", "overall"), ("opaque occluders", "opaque"), ("blur", "blur")):
        said = next(line for line in page.splitlines() if line.startswith(f"| {row} |"))
        assert f"{found[part]['slots']:,}" in said and f"{found[part]['auroc']:.3f}" in said


def test_a_forecast_is_the_share_of_other_texts_that_survive():
    rng = generator(3, "ceiling")
    line = next(line for line in printed_lines("full", 3, 4, 8) if any(map(str.isdigit, line.value)))
    found = others(line, lambda _: "", rng)
    assert len(found) == TEXTS and len({other.line.value for other in found}) > 1
    for other in found:
        text, page = other.line.value, other.line.page
        assert [c for c in text if not c.isalnum()] == [c for c in line.value if not c.isalnum()]
        assert all(a.isdigit() == b.isdigit() for a, b in zip(text, line.value, strict=True))
        assert text == line.value or (page != line.page).any()
        assert (page.shape == line.page.shape) and not other.right.any()

    half = [dataclasses.replace(other, right=np.arange(len(line.value)) % 2 == 0) for other in found]
    answers = iter([other.line.value for other in half])
    assert forecast(half, Recipe(()), lambda _: next(answers)) == 1.0
    assert forecast(half, Recipe(()), lambda _: "") == 0.0


def test_lines_are_tried_as_a_dataset_has_them_captured_and_with_what_can_happen_to_them():
    shown = []
    line = next(printed_lines("full", 1, 1, 8))
    assert line.capture is not None and line.density > 0

    def read(image):
        shown.append(image)
        return line.value

    for found in trials(line, {"it": read}, MODEL, 1, 4):
        assert set(found.operators) <= set(suiting(line.material)) and found.asked["it"].sum() >= 3
    x0, y0, x1, y1 = around(line.page, line.boxes)
    clean = line.page[y0:y1, x0:x1]
    assert abs(shown[0].shape[0] - clean.shape[0]) < 3
    size = min(shown[0].shape[0], clean.shape[0]), min(shown[0].shape[1], clean.shape[1])
    away = np.abs(shown[0][: size[0], : size[1]].astype(int) - clean[: size[0], : size[1]])
    assert away.mean() > 1, "the reader is asked about the picture, not the page"
    assert not set(suiting("thermal")) & {"scratches", "hologram_sheen"} and "faded_thermal" in suiting("thermal")


def test_the_users_figure_shows_each_asked_line_of_a_dataset_to_the_reader():
    config = SimulateConfig.model_validate({"seed": 5, "count": 1, "templates": {"us_licence": 1}, "scale": "tiny"})
    rows = [sample.row for sample in document_samples(config, 0)]
    for row in rows:
        text = "".join(slot.char for slot in row.slots)
        for said in ("", text):
            found = dataset.shown(row, lambda _, said=said: said)
            if not text:
                assert found is None
            else:
                assert found.right.all() == found.clean.all() == bool(said) and len(found.evidence) == len(found.text)
    assert dataset.shown(dataclasses.replace(rows[0], slots=()), lambda _: "") is None


def test_the_users_figure_counts_every_slot_and_says_which_the_reader_never_reads():
    slots = tuple(Slot(char, "clear", 0.9, (0, 0, 1, 1)) for char in "ABCD")
    row = types.SimpleNamespace(document_id="d", severity=2, slots=slots)
    marks = np.array([True, False, True, False]), np.array([True, True, True, False])
    found = dataset.summary([dataset.Shown(row, "ABCD", np.array([0.9, 0.1, 0.8, 0.95]), *marks)])
    assert found["all"] == {"slots": 4, "read": 0.5, "auroc": 0.5} and found["damaged_latin"]["slots"] == 4
    assert found["read_without_damage"] == {"slots": 3, "read": 0.6667, "auroc": 1.0}
