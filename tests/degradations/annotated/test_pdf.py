"""PDF files with a text layer: what the file says stands where, and what it says that does not stand there."""

from __future__ import annotations

import json

import numpy as np
import pytest

from degradations.annotated.pdf import _pages as pages
from degradations.annotated.pdf import labelled, load_pdf_page, write_pdfs
from degradations.config import DegradeConfig
from kie_hvqa.cli import main
from kie_hvqa.data.dataset import load_rows
from kie_hvqa.data.ledger import value_of
from kie_hvqa.errors import InputError

CLEAN = DegradeConfig(seed=2, samples_per_field=1, severities={0: 1.0}, unreadable=0.0, fields=None)
INVOICE = [
    (40, 760, "Invoice No: A-2041", 0), (40, 740, "Date: 12.03.2026", 0), (40, 700, "Total:", 0), (300, 700, "1,299.50", 0),
    (40, 680, "Paid 1,299.50 on 12.03.2026", 0), (40, 640, "Secret: hidden value", 3),
]  # fmt: skip


def pdf(path, *sheets, rotate=0):
    """A PDF file written by hand: each sheet a list of (x, y, text, render mode; 3 shows nothing), in Helvetica of 14 points."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"", b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for sheet in sheets:
        content = "".join(f"BT /F1 14 Tf {mode} Tr {x} {y} Td ({text}) Tj ET\n" for x, y, text, mode in sheet).encode()
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content))
        kids.append(b"%d 0 R" % (len(objects) + 1))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Rotate %d /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % (rotate, len(objects))
        )
    objects[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(kids), len(kids))
    data, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = len(data)
    data += b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, table)
    path.write_bytes(data + b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, end))
    return path


@pytest.fixture
def invoice(tmp_path):
    return pdf(tmp_path / "invoice.pdf", INVOICE)


def test_every_box_holds_the_ink_of_its_character(invoice):
    ((image, lines),) = pages(invoice, 4_000_000, render=True)
    assert image.shape == (2339, 1653, 3)
    assert [line.text for line in lines][:4] == ["Invoice No: A-2041", "Date: 12.03.2026", "Total:", "1,299.50"]
    total = image.astype(int).sum(2) < 3 * 200
    held = np.zeros(total.shape, bool)
    for line in lines:
        assert all(a[2] <= b[2] for a, b in zip(line.boxes, line.boxes[1:], strict=False))
        for char, box in zip(line.text, line.boxes, strict=True):
            x0, y0, x1, y1 = (round(v) for v in box)
            held[y0 : y1 + 1, x0 : x1 + 1] = True
            ink = total[y0 : y1 + 1, x0 : x1 + 1].any()
            assert ink == (not line.text.startswith("Secret")) or char == " "
    assert not (total & ~held).any(), "ink outside every box"


def test_labels_and_values_are_asked_about_where_no_fields_are_given(invoice, tmp_path):
    summary = write_pdfs(CLEAN, [invoice], None, tmp_path / "out")
    rows = {row.field: row for row in load_rows(tmp_path / "out")}
    assert {field: value_of(row.slots) for field, row in rows.items()} == {
        "invoice_no": "A-2041", "date": "12.03.2026", "total": "1,299.50",
    }  # fmt: skip
    assert rows["invoice_no"].problem == "<image>What is the Invoice No in the image?"
    assert any("secret" in note and "no ink" in note for note in summary.notes)


def test_every_other_print_of_a_value_is_a_copy(invoice):
    page = load_pdf_page(CLEAN, invoice, 0, "invoice", {"total": "1,299.50", "number": "A-2041"})
    asked = {question.field: question for question in page.questions}
    assert len(asked["total"].copies) == 1 and len(asked["total"].copies[0]) == len("1,299.50")
    assert asked["number"].copies == ()


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_a_turned_page_keeps_its_boxes_on_its_ink(tmp_path, rotate):
    file = pdf(tmp_path / "turned.pdf", [(100, 400, "HHHH", 0)], rotate=rotate)
    ((image, lines),) = pages(file, 2_000_000, render=True)
    dark = image.min(2) < 128
    rows, columns = np.flatnonzero(dark.any(1)), np.flatnonzero(dark.any(0))
    found = [line for line in lines if line.text == "HHHH"]
    if rotate == 0:
        assert found
    for line in lines:
        for x0, y0, x1, y1 in line.boxes:
            assert columns[0] - 12 <= x0 and x1 <= columns[-1] + 12 and rows[0] - 12 <= y0 and y1 <= rows[-1] + 12


def test_fields_on_several_pages_of_several_files(tmp_path):
    long = pdf(tmp_path / "long.pdf", INVOICE, [(40, 700, "Delivered to Rua Nova 5", 0)])
    short = pdf(tmp_path / "short.pdf", INVOICE)
    fields = tmp_path / "fields.json"
    fields.write_text(
        json.dumps(
            {
                "long.pdf": {"address": "RUA NOVA 5", "total": "1,299.50", "iban": "DE00"},
                "short.pdf": {"date": "12.03.2026"},
            }
        )
    )
    main(["degrade", "--pdf", str(long), str(short), "--fields", str(fields), "--out", str(tmp_path / "out")])
    rows = load_rows(tmp_path / "out")
    assert {(row.document_id, row.field) for row in rows} == {
        ("long-p2", "address"),
        ("long-p1", "total"),
        ("short", "date"),
    }
    assert value_of(next(row.slots for row in rows if row.field == "address")) == "Rua Nova 5"
    manifest = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert manifest["notes"] == ["long iban: 'DE00' is not among the printed lines"]


def test_labels_that_stand_twice_ask_for_nothing(invoice):
    ((_, lines),) = pages(invoice, 1_000_000, render=False)
    assert "date" in labelled(lines) and "date" not in labelled([*lines, *lines])


@pytest.mark.parametrize(
    ("data", "fields", "says"),
    [
        (b"%PDF-1.4\nnothing", None, "cannot be read as a PDF"),
        (b"", None, "cannot be read as a PDF"),
        (None, [], "JSON object"),
        (None, {"other.pdf": {}}, "no such file"),
        (None, {"a.pdf": {"total": 3}}, "map names to texts"),
        (None, {"a.pdf": {"../total": "3"}}, "letters, digits"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, data, fields, says):
    file = pdf(tmp_path / "a.pdf", INVOICE)
    if data is not None:
        file.write_bytes(data)
    (tmp_path / "fields.json").write_text(json.dumps(fields))
    with pytest.raises(InputError, match=says) as caught:
        write_pdfs(CLEAN, [file], None if fields is None else tmp_path / "fields.json", tmp_path / "out")
    assert caught.value.remedy and not (tmp_path / "out").exists()


def test_a_scan_without_text_is_refused(tmp_path):
    with pytest.raises(InputError, match="no text layer"):
        write_pdfs(CLEAN, [pdf(tmp_path / "scan.pdf", [])], None, tmp_path / "out")
