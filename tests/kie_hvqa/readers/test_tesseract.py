"""Tesseract as a reader: its hOCR, the real program on real pages, and what is said where it is missing."""

from __future__ import annotations

import os
import shlex
import shutil

import pytest

from kie_hvqa.answers.answer import parse
from kie_hvqa.data.dataset import dataset_root, image_path, load_rows
from kie_hvqa.errors import InputError
from kie_hvqa.readers import Task, open_reader
from kie_hvqa.readers.tesseract_reader import lines_of
from kie_hvqa.runs.predictions import read_predictions
from kie_hvqa.scoring.scores import score

needs_tesseract = pytest.mark.skipif(shutil.which("tesseract") is None, reason="needs Debian's tesseract-ocr")

PAGE = b"""<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml"><body><div class='ocr_page'>
<span class='ocr_line' title="bbox 0 0 90 20">
 <span class='ocrx_word' title='bbox 60 0 90 20; x_wconf 90'>
  <span class='ocrx_cinfo' title='x_bboxes 60 0 80 20; x_conf 98.5'>&amp;</span>
 </span>
 <span class='ocrx_word' title='bbox 0 0 40 20; x_wconf 90'>
  <span class='ocrx_cinfo' title='x_bboxes 0 0 20 20; x_conf 12.5'>A</span>
  <span class='ocrx_cinfo' title='x_bboxes 20 0 40 20; x_conf 99'>fi</span>
 </span>
</span>
<span class='ocr_header'><span class='ocrx_word'><span class='ocrx_cinfo' title='x_bboxes 0 40 20 60; x_conf 101'>B</span>
<span class='ocrx_cinfo' title='x_bboxes 20 40'>C</span><span class='ocrx_cinfo' title='x_bboxes 0 40 20 60; x_conf 9'></span></span></span>
</div></body></html>"""


def test_hocr_becomes_lines_of_characters_with_boxes_in_the_images_pixels():
    first, second = lines_of(PAGE, 2.0)
    assert [(g.char, g.confidence, g.box) for g in first.glyphs] == [
        ("A", 0.125, (0, 0, 10, 10)),
        ("f", 0.99, (10, 0, 15, 10)),
        ("i", 0.99, (15, 0, 20, 10)),
        ("&", 0.985, (30, 0, 40, 10)),
    ]
    assert [(g.char, g.confidence) for g in second.glyphs] == [("B", 1.0)], "what has no box or no text is no character"


@pytest.fixture(scope="module")
def large_cards(tmp_path_factory, make_cards):
    return make_cards(tmp_path_factory.mktemp("tesseract") / "cards", documents=2, size=(384, 192))


@needs_tesseract
def test_the_real_program_reads_what_is_there_and_marks_what_is_not(large_cards):
    rows = load_rows(large_cards)
    reader = open_reader("tesseract")
    answers = {
        answer.id: answer
        for answer in reader.read([Task(row, image_path(dataset_root(large_cards), row)) for row in rows])
    }
    assert answers.keys() == {row.id for row in rows}
    for row in rows:
        response = answers[row.id].response
        if row.field == "number":
            assert parse(response).reading.final == "".join(slot.char for slot in row.slots)
            assert answers[row.id].confidence > 0.9
        if row.field == "name":
            counts = score(row, response).counts
            assert counts["clear_right"] >= counts["clear"] - 2 and counts["invented"] <= 1, response
        if row.field == "height":
            assert parse(response).reading.refused


@needs_tesseract
def test_a_threshold_marks_and_is_part_of_the_readers_identity(large_cards):
    row = next(row for row in load_rows(large_cards) if row.field == "number")
    task = Task(row, image_path(dataset_root(large_cards), row))
    answer = next(iter(open_reader("tesseract:min_confidence=1.0").read([task])))
    assert parse(answer.response).reading.refused and answer.confidence is None
    specs = ["tesseract", "tesseract:min_confidence=0.99", "tesseract:psm=6", "tesseract:scale=2"]
    assert len({open_reader(spec).identity for spec in specs}) == len(specs)
    assert open_reader("tesseract").name == "tesseract:min_confidence=0.9,flag_below=0.97"


@needs_tesseract
@pytest.mark.parametrize(
    ("spec", "what"),
    [
        ("tesseract:psm=0", "does not read pages"),
        ("tesseract:psm=x", "must be int"),
        ("tesseract:scale=9", r"must lie in \[0, 8\]"),
        ("tesseract:min_confidence=95", r"must lie in \[0, 1\]"),
        ("tesseract:language=../x", "is no language"),
        ("tesseract:language=tlh", "no data for the language 'tlh'.*tesseract-ocr-tlh"),
        ("tesseract:min_confidense=1", "Did you mean `min_confidence`"),
    ],
)
def test_a_wrong_option_is_refused(spec, what):
    with pytest.raises(InputError, match=what):
        open_reader(spec)


def test_a_missing_program_is_one_sentence(kie_hvqa, large_cards, tmp_path):
    done = kie_hvqa("eval", "--data", large_cards, "--reader", "tesseract", "--out", tmp_path / "out", PATH="/nowhere")
    assert done.returncode == 2
    assert "needs the program tesseract" in done.stderr and "apt-get install tesseract-ocr" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


BROKEN = "<html><body><span class='ocrx_word'>"


@pytest.mark.parametrize(
    ("does", "told"),
    [
        ("echo out of luck >&2; exit 3", "tesseract ended with status 3 (out of luck)"),
        ("exec sleep 60", "tesseract did not finish within 0.5 s"),
        (f'echo "{BROKEN}"', "tesseract wrote a broken page"),
        ("kill -9 $$", "tesseract ended with status -9"),
    ],
)
def test_a_page_that_the_program_fails_on_is_failed_rows_and_not_the_runs_end(kie_hvqa, tmp_path, cards, does, told):
    program = tmp_path / "bin" / "tesseract"
    program.parent.mkdir()
    good = shlex.quote(PAGE.decode())
    program.write_text(
        f"#!/bin/sh\ncase $1 in --list-langs) echo eng;; --version) echo tesseract 9;; *) "
        f'n=$(cat $0.n 2>/dev/null); echo x$n >$0.n; if [ -z "$n" ]; then {does}; else echo {good}; fi;; esac\n'
    )
    program.chmod(0o755)
    out = tmp_path / "out"
    path = f"{program.parent}:{os.environ['PATH']}"
    command = ("eval", "--data", cards, "--reader", "tesseract:timeout=0.5", "--out", out)
    done = kie_hvqa(*command, PATH=path)
    assert done.returncode == 1, done.stderr
    assert "2 of 12 rows failed" in done.stderr and told in done.stderr and "Traceback" not in done.stderr
    failed = {name for name, kept in read_predictions(out / "predictions.jsonl").items() if kept.error}
    assert failed == {"card_0_name", "card_0_number"}, "the question without a place needs no page"
    assert (tmp_path / "bin" / "tesseract.n").read_text().strip() == "xxxx", (
        "a page that failed is not waited for again"
    )
    assert kie_hvqa(*command, PATH=path).returncode == 0, "the next run asks them again"
