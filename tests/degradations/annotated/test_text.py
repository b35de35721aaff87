"""Annotations as people make them: accents in two parts, glued garbage, turned photographs, white print, other scripts."""

from __future__ import annotations

import json
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from degradations.annotated.charboxes import fit_characters
from degradations.annotated.text import clean, fold
from degradations.annotated.turned import as_seen
from degradations.annotated.values import AnnotatedLine, document_names, find_value
from degradations.config import DegradeConfig
from degradations.degrade import write_degraded
from kie_hvqa.answers.answer import parse
from kie_hvqa.answers.verdicts import verdicts
from kie_hvqa.config import load
from kie_hvqa.data.dataset import load_rows
from kie_hvqa.data.ledger import value_of
from kie_hvqa.errors import InputError
from tests.degradations.annotated.receipts import RECEIPT, typeset_lines

CLEAN = DegradeConfig(
    seed=1, samples_per_field=1, severities={0: 1.0}, unreadable=0.0, fields={"company": "company", "total": "total"}
)


def lines(*texts: str) -> list[AnnotatedLine]:
    return [AnnotatedLine(text=text, box=(10.0, 20.0 * i, 200.0, 20.0 * i + 15)) for i, text in enumerate(texts)]


def folder(tmp_path, texts, fields, *, name="images/a.png", entry=None, change=None):
    """A dataset's input: one document (added to what is there), whose picture ``change`` alters before it is saved."""
    image, boxes, _ = typeset_lines(texts, "Arimo", 22)
    picture = Image.fromarray(image)
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    (change or (lambda picture: picture.save(path)))(picture)
    data = {
        "file_name": name,
        "document_type": "receipt",
        "size": list(picture.size),
        "fields": fields,
        "lines": [{"text": text, "box": box} for text, box in zip(texts, boxes, strict=True)],
    } | (entry or {})
    with (tmp_path / "a.jsonl").open("a") as stream:
        stream.write(json.dumps(data) + "\n")
    return tmp_path / "a.jsonl"


@given(st.text(max_size=30))
def test_cleaned_text_is_composed_visible_and_stays_so(text):
    found = clean(text)
    assert unicodedata.is_normalized("NFC", found) and clean(found) == found
    assert not any(unicodedata.category(char) in ("Cf", "Cc") for char in found)
    assert len(fold(found)) == len(found)


def test_an_accent_in_two_parts_is_one_slot_and_the_rows_own_truth_scores_full(tmp_path):
    apart = unicodedata.normalize("NFD", "CAFÉ MÜLLER")
    path = folder(tmp_path, ["CAFÉ MÜLLER", "TOTAL 12.40"], {"company": "\u200b" + apart, "total": "12.40\u00ad"})
    entry = json.loads(path.read_text())
    entry["lines"][0]["text"] = apart[:4] + "\ufeff" + apart[4:]
    path.write_text(json.dumps(entry) + "\n")
    summary = write_degraded(CLEAN, path, tmp_path, tmp_path / "out")
    rows = {row.field: row for row in load_rows(tmp_path / "out")}
    assert value_of(rows["company"].slots) == "CAFÉ MÜLLER" and value_of(rows["total"].slots) == "12.40"
    assert not summary.notes
    for row in rows.values():
        assert verdicts(row.slots, parse(row.answer).reading, row.question_kind).free


@pytest.mark.parametrize("value", ["GROSSE STRASSE 5", "Große Straße 5", "İSTANBUL OFİS", "oﬃce ﬁne"])
def test_a_match_keeps_its_offsets_after_letters_with_longer_capitals(value):
    text = f"ßßİﬁ {value} 77"
    found = find_value("company", value, lines(text), 0.75)
    assert found is not None and found.value == clean(value), found


@pytest.mark.parametrize(
    ("line", "value", "printed"),
    [
        ("**KEDAI BUKU HANDAL**", "KEDAI BUKU HANDEL", "KEDAI BUKU HANDAL"),
        ("#KEDAI BUKU HANDAL |", "KEDAI BUKU HANDEL", "KEDAI BUKU HANDAL"),
        ("KEDAI BUKU HANDALS", "KEDAI BUKU HANDEL", "KEDAI BUKU HANDALS"),  # one more letter is print
        ("RM27.35*", "27.35", "27.35"),
        ("XXKEDAI BUKU HANDAL", "KEDAI BUKU HANDEL", None),
        ("127.35", "27.35", None),
    ],
)
def test_garbage_that_is_glued_to_a_value_makes_no_slots(line, value, printed):
    found = find_value("company", value, lines(line), 0.75)
    assert (found.value if found else None) == printed


@given(st.sampled_from(["**", "| ", "# ", "-", "..", ""]), st.sampled_from(["**", " |", "!", "..", ""]))
def test_a_value_without_a_slip_is_found_whole_whatever_stands_around_it(before, after):
    found = find_value("company", "KEDAI BUKU", lines("TEL 5", f"{before}KEDAI BUKU{after}"), 0.75)
    assert found is not None and found.value == "KEDAI BUKU"


def test_white_print_on_a_dark_ground_gets_the_same_boxes():
    image, boxes, _ = typeset_lines(RECEIPT, "Arimo", 22)
    for text, box in zip(RECEIPT, boxes, strict=True):
        dark, light = (fit_characters(page, tuple(box), text) for page in (image, 255 - image))
        assert light.plausible
        assert np.abs(np.array(dark.boxes) - np.array(light.boxes)).max() < 1.5


def test_a_line_from_right_to_left_is_left_out_with_a_note(tmp_path):
    path = folder(tmp_path, ["KEDAI BUKU", "TOTAL 12.40"], {"company": "שלום חברה", "total": "12.40"})
    entry = json.loads(path.read_text())
    entry["lines"][0]["text"] = "שלום חברה"
    path.write_text(json.dumps(entry) + "\n")
    summary = write_degraded(CLEAN, path, tmp_path, tmp_path / "out")
    assert [row.field for row in load_rows(tmp_path / "out")] == ["total"]
    assert any("right to left" in note for note in summary.notes)


def test_when_nothing_is_found_the_first_true_reason_is_said(tmp_path):
    path = folder(
        tmp_path,
        ["KEDAI BUKU", "TOTAL 12.40"],
        {"company": "ELSEWHERE", "total": "12.40"},
        change=lambda picture: Image.new("RGB", picture.size, "white").save(tmp_path / "images" / "a.png"),
    )
    with pytest.raises(InputError, match="no ink in the line"):
        write_degraded(CLEAN, path, tmp_path, tmp_path / "out")


def test_two_splits_may_hold_files_of_one_name(tmp_path):
    for split in ("train", "test"):
        path = folder(tmp_path, ["KEDAI BUKU"], {"company": "KEDAI BUKU"}, name=f"{split}/0001.png")
    write_degraded(CLEAN, path, tmp_path, tmp_path / "out")
    assert {row.document_id for row in load_rows(tmp_path / "out")} == {"train-0001", "test-0001"}


@given(st.lists(st.from_regex(r"([ab]/){0,2}[ABab]\.(png|jpg)", fullmatch=True), unique=True, max_size=8))
def test_names_of_documents_differ_even_where_capitals_do_not(names):
    found = document_names(names)
    assert len({name.casefold() for name in found}) == len(names) and not any("/" in name for name in found)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_of_a_turned_photograph_lie_where_one_sees_them(tmp_path, orientation):
    """Annotated as seen; and in the stored pixels, where these have other sides."""
    stored_size = []

    def save(picture):
        # What has to be stored so that a viewer shows ``picture``: the turn that EXIF asks for, undone.
        undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
        stored = picture if orientation == 1 else picture.transpose(Image.Transpose(undo[orientation]))
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored.save(tmp_path / "images" / "a.jpg", quality=95, exif=exif)
        stored_size.append(stored.size)
        assert ImageOps.exif_transpose(Image.open(tmp_path / "images" / "a.jpg")).size == picture.size

    fields = {"company": RECEIPT[0], "total": "27.35"}
    path = folder(tmp_path, RECEIPT, fields, name="images/a.jpg", change=save)
    write_degraded(CLEAN, path, tmp_path, tmp_path / "seen")
    seen = load_rows(tmp_path / "seen")
    assert len(seen) == 2
    entry = json.loads(path.read_text())
    if list(stored_size[0]) == entry["size"]:
        return
    # The same boxes as an annotator found them whose tool did not heed EXIF.
    back = {5: 5, 6: 8, 7: 7, 8: 6}[orientation]
    for line in entry["lines"]:
        line["box"] = list(as_seen(tuple(line["box"]), back, tuple(entry["size"])))
    entry["size"] = list(stored_size[0])
    path.write_text(json.dumps(entry) + "\n")
    write_degraded(CLEAN, path, tmp_path, tmp_path / "stored")
    assert [row.slots for row in load_rows(tmp_path / "stored")] == [row.slots for row in seen]


def test_questions_whose_value_stands_elsewhere_by_hand_are_taken_out_by_the_recipe(tmp_path):
    shipped = load("configs/simulate/receipts.yaml", DegradeConfig)
    assert shipped.exclude["X51006334139"] == {"total": "handwritten beside the cash"}
    path = folder(tmp_path, ["KEDAI BUKU", "TOTAL 12.40"], {"company": "KEDAI BUKU", "total": "12.40"})
    config = CLEAN.model_copy(update={"exclude": {"a": {"total": "by hand"}}})
    summary = write_degraded(config, path, tmp_path, tmp_path / "out")
    assert [row.field for row in load_rows(tmp_path / "out")] == ["company"]
    assert list(summary.notes) == ["a total: left out by the recipe (by hand)"]
