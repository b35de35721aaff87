"""The OCR engine as a reader: which characters of a page belong to the field, and what becomes a mark."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kie_hvqa.answers.answer import parse
from kie_hvqa.data.dataset import dataset_root, image_path, load_rows
from kie_hvqa.data.ledger import Slot
from kie_hvqa.errors import InputError
from kie_hvqa.readers import Task, open_reader
from kie_hvqa.readers.ocr import FoundLine, Glyph, printed_lines, reading_over
from kie_hvqa.readers.rapidocr_reader import window_around
from kie_hvqa.runs.evaluator import evaluate
from kie_hvqa.runs.predictions import read_predictions
from kie_hvqa.scoring.scores import score


def line(text: str, *, x: float = 0, y: float = 0, pitch: float = 10, sure: float = 0.99) -> FoundLine:
    """``text`` at ``pitch`` pixels a character; ``_`` is a place where the engine found nothing, ``~`` a doubtful x."""
    glyphs = []
    for index, char in enumerate(text):
        box = (x + index * pitch, y, x + (index + 1) * pitch, y + 16)
        if char == "~":
            glyphs.append(Glyph("x", 0.3, box))
        elif char != "_":
            glyphs.append(Glyph(char, sure, box))
    return FoundLine(tuple(glyphs))


def over(lines, *regions, min_confidence=0.5, flag_below=0.8):
    return reading_over(lines, regions, min_confidence=min_confidence, flag_below=flag_below).reading


def slots(text: str, *, x: float = 0, y: float = 0, pitch: float = 10) -> list[Slot]:
    return [Slot(c, "clear", 1.0, (x + i * pitch, y, x + (i + 1) * pitch, y + 16)) for i, c in enumerate(text)]


def test_only_the_part_over_the_field_counts():
    page = [line("NAME:SMITH"), line("DATE:1999", y=30)]
    assert over(page, (50, 0, 100, 16)).final == "SMITH"


def test_a_doubtful_character_is_a_mark_and_a_weak_one_is_flagged():
    reading = over([line("SM~TH")], (0, 0, 50, 16))
    assert (reading.final, reading.clear, reading.not_clear) == ("SM TH", "SMTH", "")
    weak = over([line("SMITH", sure=0.7)], (0, 0, 50, 16))
    assert (weak.final, weak.clear, weak.not_clear, weak.not_clear_number) == ("SMITH", "", "SMITH", 5)


@pytest.mark.parametrize(("seen", "final"), [("SM__H", "SM  H"), ("__ITH", "  ITH"), ("SMI__", "SMI  ")])
def test_a_gap_becomes_as_many_marks_as_characters_fit(seen, final):
    assert over([line(seen)], (0, 0, 50, 16)).final == final


def test_nothing_over_the_field_is_a_refusal():
    assert over([line("DATE:1999", y=60)], (0, 0, 50, 16)).refused
    assert over([line("~~~~~")], (0, 0, 50, 16)).refused
    assert over([]).refused


def test_a_field_of_two_printed_lines_is_read_in_order():
    value = [*slots("12 MAIN", x=40), *slots("BERLIN", x=10, y=24)]
    regions = printed_lines(value)
    assert regions == [(40, 0, 110, 16), (10, 24, 70, 40)]
    page = [line("BERLIN", x=10, y=24), line("TO:12_MAIN", x=10)]
    assert over(page, *regions).final == "12 MAIN BERLIN"


def test_a_neighbouring_line_does_not_reach_into_a_generous_box():
    page = [line("PUSAT__NIAGA", y=0), line("48000__IJOK", y=14), line("TEL__12345", y=28)]
    generous = [(0, -8, 120, 22), (0, 8, 110, 36)]
    assert over(page, *generous).final == "PUSAT  NIAGA 48000  IJOK"


def test_two_found_lines_over_one_region_are_not_interleaved():
    page = [line("123456789", x=3, y=5), line("SMITH", y=-1)]
    assert over(page, (0, 0, 50, 16)).final == "SMITH"


def test_slanted_text_is_still_one_line():
    slanted = [Slot("a", "clear", 1.0, (10.0 * i, 1.5 * i, 10.0 * i + 9, 1.5 * i + 16)) for i in range(12)]
    assert len(printed_lines(slanted)) == 1


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0, 1), st.floats(0, 1))
def test_a_stricter_threshold_never_asserts_more(confidences, one, other):
    glyphs = tuple(Glyph("x", c, (10.0 * i, 0, 10.0 * i + 10, 16)) for i, c in enumerate(confidences))
    region = (0, 0, 10.0 * len(glyphs), 16)
    loose, strict = sorted((one, other))
    asserted = [
        len(over([FoundLine(glyphs)], region, min_confidence=threshold).final.replace(" ", ""))
        for threshold in (loose, strict)
    ]
    assert asserted[0] >= asserted[1]


@settings(deadline=None)  # a busy machine is no failure
@given(st.permutations([line("NAME:SMITH"), line("DATE:1999", y=30), line("TOTAL:12.50", y=60)]))
def test_the_order_of_the_engines_lines_changes_nothing(page):
    assert over(page, (50, 30, 90, 46)).final == "1999"


@pytest.fixture(scope="module")
def large_cards(tmp_path_factory, make_cards):
    return make_cards(tmp_path_factory.mktemp("rapidocr") / "cards", documents=3, size=(384, 192))


def test_the_real_engine_reads_what_is_there_and_marks_what_is_not(large_cards):
    rows = load_rows(large_cards)
    tasks = [Task(row, image_path(dataset_root(large_cards), row)) for row in rows]
    reader = open_reader("rapidocr:threads=1")
    answers = {answer.id: answer for answer in reader.read(tasks, done={"card_2_number"})}
    assert answers.keys() == {row.id for row in rows} - {"card_2_number"}
    for row in rows:
        if row.id not in answers:
            continue
        response = answers[row.id].response
        counts = score(row, response).counts
        assert counts["invented"] == 0, response
        if row.field == "number":
            assert parse(response).reading.final == "".join(slot.char for slot in row.slots)
            assert answers[row.id].confidence > 0.9
        if row.field == "name":
            assert counts["clear_right"] >= counts["clear"] - 1, response
        if row.field == "height":
            assert parse(response).reading.refused


def test_a_row_without_a_ledger_is_refused(large_cards):
    row = dataclasses.replace(load_rows(large_cards)[0], slots=None)
    with pytest.raises(InputError, match="must be told where the field lies"):
        open_reader("rapidocr").asks(row)


def test_what_the_engine_is_told_is_the_location_and_nothing_of_the_truth(large_cards):
    row = load_rows(large_cards)[0]
    reader = open_reader("rapidocr")
    others = tuple(dataclasses.replace(slot, char="X", legibility="hidden", evidence=0.0) for slot in row.slots)
    assert reader.asks(row) == reader.asks(dataclasses.replace(row, slots=others, answer="{}"))


def test_the_engine_is_shown_the_field_and_three_heights_around_it(large_cards, monkeypatch):
    row = next(row for row in load_rows(large_cards) if row.field == "number")
    task = Task(row, image_path(dataset_root(large_cards), row))
    reader = open_reader("rapidocr:threads=1")
    (whole,) = reader.read([task])
    seen, engine = [], reader._engine
    reader._engine = lambda pixels, **named: seen.append(pixels.shape) or engine(pixels, **named)
    assert list(reader.read([task])) == [whole]
    ((x0, y0, x1, y1),) = printed_lines(row.slots)
    margin = 3 * (y1 - y0)
    width, height = Image.open(task.image).size
    expected = min(height, y1 + margin) - max(0, y0 - margin), min(width, x1 + margin) - max(0, x0 - margin)
    assert seen[0][:2] == pytest.approx(expected, abs=2) and seen[0][1] < width


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-50, 250), st.floats(-50, 250), st.floats(0, 90), st.floats(0, 40)), min_size=1, max_size=3
    ),
    st.tuples(st.integers(1, 200), st.integers(1, 200)),
)
def test_the_window_holds_the_field_and_never_leaves_the_image(places, size):
    regions = [(x, y, x + wide, y + high) for x, y, wide, high in places]
    left, top, right, bottom = window_around(regions, size)
    assert 0 <= left < right <= size[0] and 0 <= top < bottom <= size[1]
    for x0, y0, x1, y1 in regions:
        assert left <= max(0, min(x0, size[0] - 1)) and right >= min(x1, size[0])
        assert top <= max(0, min(y0, size[1] - 1)) and bottom >= min(y1, size[1])


def test_what_the_engine_throws_is_a_failed_row_and_not_the_runs_end(large_cards, tmp_path):
    reader = open_reader("rapidocr:threads=1")
    list(reader.read([Task(row, image_path(dataset_root(large_cards), row)) for row in load_rows(large_cards)[:1]]))
    engine, calls = reader._engine, []

    def fail_once(pixels, **named):
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("cannot reshape array\nof size 0")
        return engine(pixels, **named)

    reader._engine = fail_once
    metrics = evaluate(large_cards, reader, tmp_path / "out", progress=False)
    assert (metrics["failed"], metrics["samples"]) == (1, 9)
    errors = [kept.error for kept in read_predictions(tmp_path / "out" / "predictions.jsonl").values() if kept.error]
    assert errors == ["rapidocr failed (ValueError: cannot reshape array of size 0)"]
