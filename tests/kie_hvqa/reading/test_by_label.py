"""An engine finds a field by its label, its box is given, and a server is shown no more than that."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from kie_hvqa.answers.answer import parse
from kie_hvqa.data.ledger import Row
from kie_hvqa.errors import InputError
from kie_hvqa.readers import Answer, Task, open_reader
from kie_hvqa.readers.ocr import FoundLine, Glyph, OCRReader
from kie_hvqa.reading.by_label import ByLabel, places, words_of
from kie_hvqa.reading.fields import Field
from kie_hvqa.reading.redact import Redacted, redacted
from kie_hvqa.reading.run import Run
from kie_hvqa.reading.sources import documents
from tests.kie_hvqa.reading.pieces import TableReader

WIDE, HIGH = 10.0, 16.0


def line(text: str, x: float, y: float) -> FoundLine:
    """``text`` from (x, y) on, a place a character; engines give word spaces as characters, or leave them out."""
    return FoundLine(
        tuple(
            Glyph(char, 0.95, (x + WIDE * i, y, x + WIDE * (i + 1) - 1, y + HIGH))
            for i, char in enumerate(text)
            if char != " "
        )
    )


def found(lines, **labels):
    """Field → the text that stands where it was found."""
    own = {name: words_of(Field(name, title, "", labels=tuple(more))) for name, (title, *more) in labels.items()}
    got = places(lines, own)
    return {name: "".join(glyph.char for glyph in place.value.glyphs) for name, place in got.items()}


def test_a_value_stands_behind_its_label_beside_it_or_below():
    lines = [
        line("Surname: QUIST", 10, 10),
        line("Born", 10, 40),
        line("12.03.1990", 120, 41),
        line("Place of birth", 10, 80),
        line("UPPSALA", 10, 104),
    ]
    labels = {"surname": ["surname"], "born": ["date of birth", "Born"], "place": ["place of birth"]}
    assert found(lines, **labels) == {"surname": "QUIST", "born": "12.03.1990", "place": "UPPSALA"}


def test_labels_on_one_line_part_its_values_and_a_wide_gap_does():
    one = [line("SEX F HGT 5-10 EYES BRN", 0, 0)]
    assert found(one, sex=["SEX"], height=["HGT"], eyes=["EYES"]) == {"sex": "F", "height": "5-10", "eyes": "BRN"}
    gap = FoundLine(line("Total 12.50", 0, 0).glyphs + line("PAID", 300, 0).glyphs)
    assert found([gap], total=["total"]) == {"total": "12.50"}


def test_a_label_within_another_one_or_within_a_word_is_none():
    lines = [line("Due date: 01.02.2026", 0, 0), line("Date: 02.01.2026", 0, 30), line("UPDATED TODAY", 0, 60)]
    assert found(lines, date=["date"], due=["due date"]) == {"date": "02.01.2026", "due": "01.02.2026"}
    assert found(lines[2:], date=["date"]) == {}


def test_letters_lost_in_a_long_label_are_forgiven_and_in_a_short_one_not():
    assert found([line("Date of b1rth: 1990", 0, 0)], born=["date of birth"]) == {"born": "1990"}
    assert found([line("DDB 1990", 0, 0)], born=["DOB"]) == {}


def test_a_value_whose_first_characters_are_missing_begins_in_its_column(tmp_path):
    lines = [line("LN", 10, 10), line("AGE", 110, 10), line("FN", 10, 40), line("JACK", 80, 40)]
    lines += [line("DOB", 10, 70), line("1990", 82, 70), line("SEX M HAIR BLK", 10, 100)]
    fields = [Field(n, n, "", labels=(n.upper(),), stops=("HAIR",)) for n in ("ln", "fn", "dob", "sex")]
    answers = ByLabel(Engine(lines), fields).read(
        [Task(row(field.name), white(tmp_path / "a.png")) for field in fields]
    )
    read = {answer.id.rpartition("/")[2]: answer for answer in answers}
    assert parse(read["ln"].response).reading.final == "   AGE" and read["ln"].box[0] == 80
    assert parse(read["fn"].response).reading.final == "JACK"
    assert parse(read["sex"].response).reading.final == "M"


class Engine(OCRReader):
    """Finds what it is told."""

    def __init__(self, lines) -> None:
        super().__init__("fake", "1", min_confidence=0.5, flag_below=0.8)
        self.lines = lines

    def lines_about(self, path, regions):
        return self.lines


def row(name: str) -> Row:
    return Row(f"a#1/{name}", "a", "a", "unknown", "read", name, "answerable", f"<image>{name}?", "")


def white(path: Path, size=(400, 120)) -> Path:
    image = Image.fromarray(np.random.default_rng(3).integers(200, 255, (*size[::-1], 3), np.uint8))
    image.save(path)
    return path


FIELDS = (Field.called("surname"), Field.called("born"))


def test_the_answer_says_where_the_value_stands_and_a_field_that_is_not_found_is_refused(tmp_path):
    engine = ByLabel(Engine([line("Surname QU ST", 20, 30)]), FIELDS)
    reading = Run(documents([white(tmp_path / "a.png")]), engine, FIELDS, tmp_path / "out", progress=False)
    with reading.claimed():
        (result,) = reading.results()
    assert (result["surname"].value, result["surname"].box) == ("QU ST", (100.0, 30.0, 149.0, 46.0))
    assert (result["born"].status, result["born"].box) == ("unreadable", None)


def test_a_server_is_shown_the_asked_fields_and_nothing_else(tmp_path):
    lines = [line("Surname QUIST", 20, 30), line("4711 0815", 20, 70), line("Sex", 300, 30)]
    server = TableReader({"surname": "QUIST"})
    seen = []
    server.look = lambda task: seen.append(np.asarray(Image.open(task.image)))
    reader = Redacted(server, ByLabel(Engine(lines), FIELDS), tmp_path / "redacted")
    file = white(tmp_path / "a.png")
    answers = {answer.id: answer for answer in reader.read([Task(row(name), file) for name in ("surname", "born")])}
    assert server.asked == ["a#1/surname"] and "not found" in answers["a#1/born"].error
    whole, (shown,) = np.asarray(Image.open(file)), seen
    grey = (shown == 128).all(axis=2)
    assert (shown[30:46, 20:150] == whole[30:46, 20:150]).all()  # the label and the value
    assert (shown[30:46, 150:220] == whole[30:46, 150:220]).all()  # and where more of it may be
    assert grey[60:].all() and grey[:, 300:].all() and grey[:20].all()
    assert not (tmp_path / "redacted").exists()
    empty = Redacted(server, ByLabel(Engine([]), FIELDS), tmp_path / "redacted")
    assert all(answer.error for answer in empty.read([Task(row("surname"), file)])) and len(seen) == 1


def test_only_a_server_is_redacted_for_and_only_an_engine_finds(tmp_path):
    server, engine = open_reader("openai:m@http://127.0.0.1:9/v1"), Engine([])
    assert redacted(server, engine, FIELDS, tmp_path).signals == server.signals
    with pytest.raises(InputError, match="no engine"):
        redacted(server, server, FIELDS, tmp_path)
    with pytest.raises(InputError, match="sends nothing away"):
        redacted(TableReader({}), engine, FIELDS, tmp_path)


def test_rapidocr_reads_the_fields_of_a_clean_page(tmp_path, kie_hvqa):
    pytest.importorskip("rapidocr_onnxruntime")
    image = Image.new("RGB", (620, 260), (252, 252, 250))
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size=28)
    for y, (label, value) in enumerate((("Invoice no.", "RE-20417"), ("Total", "1,284.50"))):
        pen.text((30, 40 + 90 * y), label, font=font, fill=(60, 60, 60))
        pen.text((300, 40 + 90 * y), value, font=font, fill=(10, 10, 10))
    image.save(tmp_path / "page.png")
    out = tmp_path / "out"
    done = kie_hvqa(
        *("read", tmp_path / "page.png", "--reader", "rapidocr:threads=1", "--field", "invoice no", "--field", "total"),
        *("--out", out, "--print", "--review", "--label-studio", tmp_path / "tasks.json"),
    )
    assert done.returncode == 0, done.stderr
    fields = json.loads((out / "results.jsonl").read_text())["fields"]
    assert (fields["invoice_no"]["value"], fields["total"]["value"]) == ("RE-20417", "1,284.50")
    x0, y0, x1, y1 = fields["total"]["box"]
    assert 280 < x0 < 320 and 115 < y0 < 150 and x1 < 480 and y1 < 190
    assert (out / "review.html").is_file()
    (task,) = json.loads((tmp_path / "tasks.json").read_text())
    texts = {
        part["id"]: part["value"]["text"] for part in task["predictions"][0]["result"] if part["type"] == "textarea"
    }
    assert texts == {"invoice_no": ["RE-20417"], "total": ["1,284.50"]}


def test_an_answer_keeps_its_box_through_the_file(tmp_path):
    from kie_hvqa.runs.predictions import Prediction, read_predictions, write_predictions

    kept = Prediction.of(Answer("a", "x", box=(1.0, 2.5, 3.0, 4.0)), "key")
    write_predictions(tmp_path / "p.jsonl", [kept])
    assert read_predictions(tmp_path / "p.jsonl")["a"] == kept
    (tmp_path / "p.jsonl").write_text('{"id": "a", "response": "x", "box": [1, 2]}\n')
    with pytest.raises(InputError, match="four numbers"):
        read_predictions(tmp_path / "p.jsonl")


def covered(path: Path, *boxes, colour=(60, 90, 150)) -> Path:
    """A page of paper with print where ``line`` puts it from x = 20 on, and something over ``boxes``."""
    white(path)
    image = Image.open(path)
    pen = ImageDraw.Draw(image)
    for start in (20, 120):
        for place in range(5):
            pen.rectangle((start + WIDE * place, 30, start + WIDE * place + 5, 30 + HIGH), fill=(20, 20, 30))
    for box in boxes:
        pen.rectangle(box, fill=colour)
    image.save(path)
    return path


@pytest.mark.parametrize(
    ("boxes", "behind", "value", "end"),
    [
        ([], "", "QUIST", 169),
        ([(172, 20, 230, 60)], "", "QUIST▯▯▯▯▯▯", 230),  # its end is covered, or nothing is: nobody can know
        ([(172, 20, 230, 60)], "ON", "QUIST▯▯▯▯▯▯ON", 250),  # it goes on behind the cover
        ([(172, 20, 176, 60)], "", "QUIST", 169),  # a line of the form
        ([(172, 20, 380, 25)], "", "QUIST", 169),  # above it
        ([(300, 20, 380, 60)], "", "QUIST", 169),  # paper in between
    ],
)
def test_a_value_goes_on_to_the_end_of_what_lies_over_it(tmp_path, boxes, behind, value, end):
    lines = [line("LABEL", 20, 30), line("QUIST", 120, 30), *([line(behind, 231, 30)] if behind else [])]
    engine = ByLabel(Engine(lines), [Field("a", "label", "")])
    page = covered(tmp_path / "a.png", *boxes)
    reading = Run(documents([page]), engine, [Field("a", "label", "")], tmp_path / "out", progress=False)
    with reading.claimed():
        (result,) = reading.results()
    assert result["a"].value == value and result["a"].box[2] == pytest.approx(end, abs=4)
    assert result["a"].status == ("partly" if "▯" in value else "read")
