"""Documents go in, fields come out, whatever the documents are and whatever ends the run."""

from __future__ import annotations

import csv
import errno
import json
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from kie_hvqa.confidence.operating_point import OperatingPoint
from kie_hvqa.errors import InputError, WorkError
from kie_hvqa.readers.base import told
from kie_hvqa.reading import run as run_module
from kie_hvqa.reading.fields import Field
from kie_hvqa.reading.results import DocumentResult
from kie_hvqa.reading.run import Run
from kie_hvqa.reading.sources import PASSWORD, documents
from kie_hvqa.reading.writing import RESULTS, TABLE, read_results, write_results
from tests.kie_hvqa.reading.pieces import TableReader, page, pdf

FIELDS = (Field.called("surname"), Field("born", "date of birth", "When was the holder born?", "date"))


def read(sources, reader, out: Path, fields=FIELDS, **options) -> list[DocumentResult]:
    reading = Run(documents(sources), reader, fields, out, progress=False, **options)
    with reading.claimed():
        return list(write_results(out, reading.results(), fields))


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    (folder / "more").mkdir(parents=True)
    page().save(folder / "a.png")
    page().save(folder / "b.jpg")
    page().save(folder / "more" / "c.webp")
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"")
    return folder


def test_a_folder_of_pictures_becomes_fields_with_visible_marks(scans, tmp_path):
    found = read([scans], TableReader({"surname": "QU ST", "born": "12.  .1990"}), tmp_path / "out")
    assert [Path(one.document).name for one in found] == ["a.png", "b.jpg", "c.webp"]
    assert found[0]["surname"].value == "QU ST" and found[0]["surname"].status == "read"  # could be two words
    born = found[0]["born"]
    assert (born.value, born.status, born.page) == ("12.▯▯.1990", "partly", 1)
    assert [each.char for each in born.characters] == list("12.▯▯.1990")
    assert found[0].status == "partly"
    lines = [json.loads(line) for line in (tmp_path / "out" / RESULTS).read_text().splitlines()]
    assert lines[0]["fields"]["born"]["value"] == "12.▯▯.1990"
    assert list(read_results(tmp_path / "out" / RESULTS)) == found
    table = (tmp_path / "out" / TABLE).read_text(encoding="utf-8").splitlines()
    assert table[0].startswith("document,pages,status,hint,surname,surname.status") and len(table) == 4


def test_a_spreadsheet_computes_nothing_that_a_page_prints(scans, tmp_path):
    read([scans / "a.png"], TableReader({"surname": '=HYPERLINK("x")', "born": "-12.50"}), tmp_path / "out")
    _, line = csv.reader((tmp_path / "out" / TABLE).read_text(encoding="utf-8").splitlines())
    assert (line[4], line[7]) == ('\'=HYPERLINK("x")', "-12.50")


def test_the_same_command_asks_nothing_twice_and_a_new_field_alone(scans, tmp_path):
    first = TableReader({"surname": "QUIST"})
    found = read([scans], first, tmp_path / "out")
    assert len(first.asked) == 6
    again = TableReader({"surname": "another answer"})
    assert read([scans], again, tmp_path / "out") == found and again.asked == []
    more = (*FIELDS, Field.called("sex"))
    third = TableReader({"sex": "F"})
    assert read([scans], third, tmp_path / "out", more)[0]["sex"].value == "F"
    assert [name.rpartition("/")[2] for name in third.asked] == ["sex"] * 3
    page("OTHER").save(scans / "a.png")  # the file has changed: what was read of it does not count any more
    fourth = TableReader({})
    read([scans], fourth, tmp_path / "out", more)
    assert {name.rpartition("#")[0] for name in fourth.asked} == {(scans / "a.png").as_posix()}


def test_a_server_that_goes_leaves_what_is_done_and_the_same_command_goes_on(scans, tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "CHUNK", 1)
    out = tmp_path / "out"
    with pytest.raises(WorkError, match="has not answered"):
        read([scans], TableReader({"surname": "QUIST"}, ends=3), out)
    assert [Path(one.document).name for one in read_results(out / RESULTS)] == ["a.png"]
    assert not list(out.glob(".*"))
    rest = TableReader({"surname": "QUIST"})
    assert [one["surname"].value for one in read([scans], rest, out)] == ["QUIST"] * 3
    assert len(rest.asked) == 3
    page().save(scans / "0.png")  # comes first: what is done behind it stays a result while it cannot be asked about
    with pytest.raises(WorkError):
        read([scans], TableReader({}, ends=0), out)
    assert len(list(read_results(out / RESULTS))) == 3


def test_a_full_disk_ends_the_run_and_keeps_what_is_done(scans, tmp_path, monkeypatch):
    out, append = tmp_path / "out", run_module.PredictionLog.append

    def full(self, prediction):
        if len(self.kept) == 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(self, prediction)

    monkeypatch.setattr(run_module.PredictionLog, "append", full)
    with pytest.raises(OSError, match="No space"):
        read([scans], TableReader({"surname": "QUIST"}), out)
    assert [Path(one.document).name for one in read_results(out / RESULTS)] == ["a.png", "b.jpg"]
    assert not (out / ".pages").exists()
    monkeypatch.undo()
    rest = TableReader({"surname": "QUIST"})
    assert len(read([scans], rest, out)) == 3 and len(rest.asked) == 1


def test_another_readers_directory_is_left_alone(scans, tmp_path):
    read([scans], TableReader({"surname": "QUIST"}), tmp_path / "out")
    before = (tmp_path / "out" / RESULTS).read_bytes()
    with pytest.raises(InputError, match="another reader"):
        read([scans], TableReader({}, name="other"), tmp_path / "out")
    assert (tmp_path / "out" / RESULTS).read_bytes() == before


def test_pages_of_tiff_and_pdf_files_are_read_one_by_one_and_come_together(tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "CHUNK", 2)
    one = page()
    one.save(tmp_path / "many.tif", save_all=True, append_images=[page("B"), page("C")])
    pdf(tmp_path / "many.pdf", 7)
    reader = TableReader({"surname": "QUIST", "born": None})
    most: list[int] = []
    sizes: set[tuple[int, int]] = set()

    def look(task):
        most.append(len(list((tmp_path / "out" / ".pages").glob("*.png"))))
        sizes.add(Image.open(task.image).size)

    reader.look = look
    tiff, sheets = read([tmp_path / "many.tif", tmp_path / "many.pdf"], reader, tmp_path / "out", dpi=100)
    assert (tiff.pages, sheets.pages) == (3, 7)
    assert sizes == {(200, 120), (200, 200)}  # 144 points at 100 dots an inch
    assert max(most) <= 4  # the chunk that is read and the one that is prepared
    assert not (tmp_path / "out" / ".pages").exists()
    assert (tiff["surname"].page, tiff["born"].status) == (1, "unreadable")
    assert [one.pages for one in read([tmp_path / "many.pdf"], TableReader({}), tmp_path / "three", most_pages=3)] == [
        3
    ]


def test_a_field_is_taken_from_the_page_that_has_it_and_disagreement_is_said(tmp_path):
    pdf(tmp_path / "many.pdf", 3)

    class Pages(TableReader):
        def read(self, tasks, done=frozenset()):
            for task in tasks:
                number = task.row.id.partition("#")[2][0]
                self.values = {"1": {"surname": "Q IST  "}, "2": {"surname": "QUIST"}, "3": {"surname": "BERG"}}[number]
                yield from super().read([task])

    (found,) = read([tmp_path / "many.pdf"], Pages({}), tmp_path / "out")
    assert (found["surname"].value, found["surname"].page) == ("QUIST", 2)
    assert found["surname"].reasons == ("something else is read on page 1, 3",)


def test_pdf_files_that_are_locked_empty_or_broken_fail_alone(tmp_path, monkeypatch):
    pdf(tmp_path / "locked.pdf", 1, password="secret")
    pdf(tmp_path / "none.pdf", 0)
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4\nnothing\n")
    page().save(tmp_path / "whole.png")
    names = ["locked.pdf", "none.pdf", "broken.pdf", "whole.png"]
    locked, none, broken, whole = read(
        [tmp_path / name for name in names], TableReader({"surname": "A"}), tmp_path / "o"
    )
    assert "locked by a password" in locked.error and PASSWORD in locked.error
    assert none.error == broken.error == "no PDF file, a damaged one, or one without pages"
    assert [one.status for one in (locked, none, broken)] == ["failed"] * 3 and whole["surname"].value == "A"
    monkeypatch.setenv(PASSWORD, "wrong")
    assert "is not it" in documents([tmp_path / "locked.pdf"])[0].error
    monkeypatch.setenv(PASSWORD, "secret")
    (opened,) = read([tmp_path / "locked.pdf"], TableReader({"surname": "A"}), tmp_path / "p")
    assert opened["surname"].value == "A"  # it was rendered: a page of nothing would be blank


def test_a_pdf_of_ten_thousand_pages_opens_at_once_and_is_read_as_far_as_is_asked(tmp_path):
    (found,) = documents([pdf(tmp_path / "long.pdf", 10_000)])
    assert found.pages == 10_000
    reader = TableReader({"surname": "A"})
    (result,) = read([tmp_path / "long.pdf"], reader, tmp_path / "out", most_pages=2, dpi=36)
    assert result.pages == 2 and len(reader.asked) == 4


def test_an_image_bomb_is_a_document_that_failed(tmp_path):
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )
    (tmp_path / "bomb.png").write_bytes(bomb)
    reader = TableReader({})
    (found,) = read([tmp_path / "bomb.png"], reader, tmp_path / "out")
    assert found.status == "failed" and "pixels" in found.error and reader.asked == []


def test_nothing_is_asked_about_a_page_without_print(tmp_path):
    Image.new("RGB", (400, 300), (255, 255, 255)).save(tmp_path / "white.png")
    Image.new("RGB", (400, 300), (9, 9, 9)).save(tmp_path / "black.png")
    Image.linear_gradient("L").resize((640, 480)).convert("RGB").save(tmp_path / "shade.png")
    reader = TableReader({"surname": "INVENTED"})
    found = read([tmp_path], reader, tmp_path / "out")
    assert {Path(one.document).stem: (one["surname"].status, one["surname"].value) for one in found} == {
        "white": ("absent", ""),
        "black": ("unreadable", ""),
        "shade": ("absent", ""),
    }
    assert reader.asked == [] and found[0]["surname"].reasons == ("the page is black",)


def test_sources_that_name_nothing_are_wrong_input(tmp_path):
    for source in (tmp_path / "nowhere.png", tmp_path, str(tmp_path / "*.png")):
        with pytest.raises(InputError):
            documents([source])


def test_a_file_is_read_once_however_often_it_is_named(scans):
    assert len(documents([scans, str(scans / "*.png"), scans / "a.png"])) == 3


def unsure(**values: str) -> TableReader:
    reader = TableReader(values)
    reader.signals, reader.doubted = ("token_probability",), "I7"
    return reader


def point_for(reader: TableReader, **more) -> OperatingPoint:
    usual = {"reader": "table", "reader_identity": reader.identity, "asks": told(reader), "signal": "token_probability"}
    usual |= {"unit": "character", "risk": 0.05, "confidence": 0.95, "threshold": 0.5, "settings": {}}
    steps = ((0.0, 0.0), (1.0, 0.9))
    return OperatingPoint(**usual | {"probability": steps, "field_probability": steps} | more)


def test_confidence_is_the_signals_product_and_a_points_probability(scans, tmp_path):
    plain = read([scans / "a.png"], unsure(surname="QUIST"), tmp_path / "plain")[0]["surname"]
    assert plain.confidence == pytest.approx(0.99**4 * 0.3, abs=1e-6) and not plain.calibrated
    assert [each.probability for each in plain.characters] == [0.99, 0.99, 0.3, 0.99, 0.99]
    reader = unsure(surname="QUIST", born="I7")
    found = read([scans / "a.png"], reader, tmp_path / "out", point=point_for(reader))[0]
    surname, born = found["surname"], found["born"]
    assert (surname.value, surname.status, surname.calibrated) == ("QU▯ST", "partly", True)
    assert surname.reasons == ("1 of 5 characters cannot be read", "1 of them were below the operating point")
    assert [each.probability for each in surname.characters][:3] == pytest.approx([0.891, 0.891, 0.27])
    assert (born.status, born.reasons) == ("unreadable", ("what was read is below the operating point",))
    assert found.operating_point["risk"] == 0.05


def test_a_point_of_another_reader_or_without_its_signal_is_refused_before_anything_is_read(scans, tmp_path):
    reader = unsure(surname="QUIST")
    for wrong in (point_for(reader, reader_identity="another"), point_for(reader, signal="contrast")):
        with pytest.raises(InputError):
            read([scans], reader, tmp_path / "out", point=wrong)
    assert reader.asked == [] and not (tmp_path / "out").exists()


def test_what_no_document_prints_is_a_reason_and_fills_nothing(scans, tmp_path):
    fields = tuple(Field.called(name) for name in ("subtotal", "tax", "total"))
    values = {"subtotal": "10.00", "tax": "2.00", "total": "13.00"}
    found = read([scans / "a.png"], TableReader(values), tmp_path / "out", fields)[0]
    assert found["total"].value == "13.00"
    assert found["total"].reasons == ("subtotal and tax do not add up to the total",)
