"""Real documents in miniature: receipts typeset here, annotated as published sets are, slips included."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from degradations.annotated.charboxes import fit_characters
from degradations.annotated.values import AnnotatedLine, Annotation, find_value, read_annotations
from degradations.config import DegradeConfig
from degradations.degrade import load_page, write_degraded, write_pages
from kie_hvqa.config import load
from kie_hvqa.data.dataset import load_rows
from kie_hvqa.errors import InputError
from tests.degradations.annotated.receipts import RECEIPT, typeset_lines

CONFIG = DegradeConfig(seed=3, samples_per_field=2)
FIELDS = {
    "company": "KEDAI BUKU HANDEL SDN BHD",  # the annotator's slip: the print has an A
    "date": "27/01/2018",
    "address": "NO. 12, JALAN BESAR 4, 45600 BATANG, SELANGOR",
    "total": "27.35",
}


@pytest.mark.parametrize("family", ["Arimo", "Roboto Mono", "PT Serif", "Inter"])
@pytest.mark.parametrize("tilt", [0.0, 0.05])
def test_boxes_sit_on_their_characters(family, tilt):
    image, boxes, centres = typeset_lines(RECEIPT, family, 22, tilt)
    worst = []
    for text, box, truth in zip(RECEIPT, boxes, centres, strict=True):
        fit = fit_characters(image, tuple(box), text)
        assert fit.plausible and len(fit.boxes) == len(text)
        errors = [abs((b[0] + b[2]) / 2 - c) for b, c, char in zip(fit.boxes, truth, text, strict=True) if char != " "]
        worst.append(max(errors) / 22)
        assert all(left[2] == right[0] for left, right in zip(fit.boxes, fit.boxes[1:], strict=False))
    # Half a letter off would put a patch on the neighbour.
    assert np.mean(worst) < 0.2 and max(worst) < 0.45, worst


def test_boxes_follow_a_tilted_line():
    image, boxes, _ = typeset_lines(RECEIPT, "Arimo", 22, 0.06)
    fit = fit_characters(image, tuple(boxes[0]), RECEIPT[0])
    assert fit.boxes[-1][1] - fit.boxes[0][1] > 0.04 * (fit.boxes[-1][0] - fit.boxes[0][0])


def test_a_box_that_holds_more_than_its_text_is_not_believed():
    image, boxes, _ = typeset_lines(RECEIPT, "Arimo", 22)
    assert not fit_characters(image, tuple(boxes[1]), "NO").plausible
    with pytest.raises(ValueError, match="no ink"):
        fit_characters(np.full((30, 200, 3), 230, np.uint8), (0, 0, 200, 30), "TEXT")


def lines(*texts: str) -> list[AnnotatedLine]:
    return [AnnotatedLine(text=text, box=(10.0, 20.0 * i, 200.0, 20.0 * i + 15)) for i, text in enumerate(texts)]


def test_a_value_is_found_in_its_line_and_its_copies_elsewhere():
    found = find_value("total", "27.35", lines(*RECEIPT), 0.75)
    assert found is not None and found.value == "27.35" and found.parts[0].line == 6
    assert [part.line for part in found.copies] == [7]


def test_a_number_inside_a_longer_one_is_not_it():
    assert find_value("total", "4.20", lines("SUB TOTAL 14.20", "CHANGE 4.200"), 0.75) is None


def test_the_print_wins_over_the_annotated_value():
    found = find_value("company", FIELDS["company"], lines(*RECEIPT), 0.75)
    assert found is not None and found.value == RECEIPT[0] and 0.9 < found.similarity < 1


def test_lines_cut_at_their_comma_are_completed_from_the_value():
    cut = [text.split(",")[0] for text in RECEIPT]
    found = find_value("address", FIELDS["address"], lines(*cut), 0.75)
    assert found is not None and found.value == FIELDS["address"] and found.completed == 2
    assert [part.text for part in found.parts] == RECEIPT[1:3]


def test_a_word_that_stands_twice_is_taken_where_its_line_ends():
    value = "12, JALAN TAMPOI 7/4,KAWASAN TAMPOI,81200 JOHOR"
    found = find_value("address", value, lines("12", "TAMPOI"), 0.75)
    assert found is not None
    assert [part.text for part in found.parts] == ["12, JALAN TAMPOI 7/4,KAWASAN", "TAMPOI,81200 JOHOR"]


def test_what_is_not_printed_is_not_found():
    assert find_value("address", "9 OTHER STREET, 10001 ELSEWHERE", lines(*RECEIPT), 0.75) is None
    assert find_value("company", "   ", lines(*RECEIPT), 0.75) is None


@pytest.fixture
def receipts(tmp_path):
    """Two receipts and their annotations in ``tmp_path``, as a list that tests may change and write again."""
    entries = []
    (tmp_path / "images").mkdir()
    for name, family in (("one", "Arimo"), ("two", "Roboto Mono")):
        image, boxes, _ = typeset_lines(RECEIPT, family, 18)
        Image.fromarray(image).save(tmp_path / "images" / f"{name}.jpg", quality=95)
        entries.append(
            {
                "file_name": f"images/{name}.jpg",
                "document_type": "receipt",
                "size": [image.shape[1], image.shape[0]],
                "fields": dict(FIELDS),
                "lines": [{"text": text, "box": box} for text, box in zip(RECEIPT, boxes, strict=True)],
            }
        )
    write(tmp_path, entries)
    return tmp_path, entries


def write(folder: Path, entries: list) -> Path:
    path = folder / "annotations.jsonl"
    path.write_text("".join(entry if isinstance(entry, str) else json.dumps(entry) + "\n" for entry in entries))
    return path


def test_annotated_documents_become_the_same_kind_of_dataset(receipts):
    folder, _ = receipts
    summary = write_degraded(CONFIG, folder / "annotations.jsonl", folder, folder / "out")
    rows = load_rows(folder / "out")
    assert summary.rows == len(rows) == 2 * 4 * 2
    assert {row.problem for row in rows} == {
        f"<image>What is the {name} in the image?" for name in ("company name", "date", "address", "total")
    }
    assert {row.document_type for row in rows} == {"receipt"} and {row.split for row in rows} == {"test"}
    company = next(row for row in rows if row.field == "company")
    assert "".join(slot.char for slot in company.slots) == RECEIPT[0]
    assert any("HANDEL" in note for note in summary.notes)
    address = next(row for row in rows if row.field == "address")
    assert "".join(slot.char for slot in address.slots) == FIELDS["address"]
    assert all(slot.legibility == "clear" for row in rows if row.severity == 0 for slot in row.slots)
    again = write_degraded(CONFIG, folder / "annotations.jsonl", folder, folder / "again", workers=2)
    assert (again.rows_sha256, again.images_sha256) == (summary.rows_sha256, summary.images_sha256)


def test_a_field_that_is_not_printed_is_left_out_and_named(receipts):
    folder, entries = receipts
    entries[0]["fields"]["company"] = "SOMEBODY ELSE ENTIRELY"
    path = write(folder, entries)
    summary = write_degraded(CONFIG, path, folder, folder / "out")
    assert summary.rows == 2 * (3 + 4)
    assert any("one company" in note and "SOMEBODY ELSE" in note for note in summary.notes)
    assert any("SOMEBODY ELSE" in note for note in json.loads((folder / "out" / "dataset.json").read_text())["notes"])


def test_large_scans_are_reduced_with_their_boxes(receipts):
    folder, _ = receipts
    line, annotation = next(iter(read_annotations(folder / "annotations.jsonl")))
    small = CONFIG.model_copy(update={"max_pixels": annotation.size[0] * annotation.size[1] // 2})
    page = load_page(small, folder / "annotations.jsonl", line, annotation, folder)
    full = load_page(CONFIG, folder / "annotations.jsonl", line, annotation, folder)
    scale = page.image.shape[1] / full.image.shape[1]
    assert 0.68 < scale < 0.73
    for a, b in zip(page.questions, full.questions, strict=True):
        centres = [[(box[0] + box[2]) / 2 for box in q.boxes] for q in (a, b)]
        assert np.abs(np.array(centres[0]) / scale - np.array(centres[1])).max() < 6


def change(path, value):
    def apply(entry):
        target = entry
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = value

    return apply


def drop(key):
    return lambda entry: entry.pop(key)


@pytest.mark.parametrize(
    ("breaks", "field", "says"),
    [
        (drop("lines"), "lines", "required"),
        (drop("size"), "size", "required"),
        (change(["fields"], ["company"]), "fields", "dictionary"),
        (change(["fields", "date"], 27), "fields.date", "string"),
        (change(["lines", 3, "box"], [5, 5, 50]), "lines.3.box.3", "required"),
        (change(["lines", 3, "box"], [5, 5, 99999, 50]), "lines[3].box", "outside the image"),
        (change(["lines", 3, "box"], [50, 5, 40, 50]), "lines[3].box", "outside the image"),
        (change(["lines", 0, "txt"], "A"), "lines.0.txt", "text"),
        (change(["size"], [10000, 20000]), "size", "the image has"),
        (change(["file_name"], "images/gone.jpg"), "file_name", "gone.jpg"),
        (change(["file_name"], "../other.jpg"), "file_name", "leaves the image directory"),
        (change(["file_name"], "images/one.jpg"), "file_name", "already on line 1"),
    ],
)
def test_wrong_annotations_name_file_line_and_field(receipts, breaks, field, says):
    folder, entries = receipts
    breaks(entries[1])
    path = write(folder, entries)
    with pytest.raises(InputError) as caught:
        write_degraded(CONFIG, path, folder, folder / "out")
    error = caught.value
    assert error.file == str(path) and error.line == 2 and error.field == field
    assert says in str(error) and error.remedy
    assert not (folder / "out").exists()


def test_lines_that_are_not_json_objects(receipts):
    folder, entries = receipts
    for bad, says in (("{not json\n", "not JSON"), ("[1, 2]\n", "JSON object"), ("\x00\n", "not JSON")):
        path = write(folder, [entries[0], bad])
        with pytest.raises(InputError, match=says) as caught:
            write_degraded(CONFIG, path, folder, folder / "out")
        assert caught.value.line == 2
    with pytest.raises(InputError, match="no annotations"):
        write_degraded(CONFIG, write(folder, ["\n"]), folder, folder / "out")
    with pytest.raises(InputError, match="cannot read"):
        write_degraded(CONFIG, folder / "nowhere.jsonl", folder, folder / "out")


def test_the_notes_about_private_documents_quote_no_value(receipts):
    folder, entries = receipts
    entries[0]["fields"]["total"] = "99999.99 SECRET"
    path = write(folder, entries)
    said = {}
    for private in (False, True):
        config = DegradeConfig(seed=3, samples_per_field=1, private=private)
        said[private] = write_degraded(config, path, folder, folder / f"out{private}").notes
    assert len(said[True]) == len(said[False]) > 1
    quoted = [value for entry in entries for value in entry["fields"].values()]
    assert any(value in note for note in said[False] for value in quoted)
    assert not any(value in note for note in said[True] for value in quoted)
    assert json.loads((folder / "outTrue" / "dataset.json").read_text())["config"]["private"] is True


def test_a_picture_that_is_a_link_out_of_the_folder_is_not_opened(receipts, tmp_path_factory):
    folder, _ = receipts
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "private.jpg"
    image = folder / "images" / "two.jpg"
    image.rename(elsewhere)
    image.symlink_to(elsewhere)
    with pytest.raises(InputError, match="leaves the image directory") as caught:
        write_degraded(CONFIG, folder / "annotations.jsonl", folder, folder / "out")
    assert caught.value.line == 2 and not (folder / "out").exists()


def test_a_truncated_image_is_found_before_anything_is_written(receipts):
    folder, _ = receipts
    image = folder / "images" / "two.jpg"
    image.write_bytes(image.read_bytes()[:2000])
    with pytest.raises(InputError, match="truncated") as caught:
        write_degraded(CONFIG, folder / "annotations.jsonl", folder, folder / "out")
    assert caught.value.line == 2 and "two.jpg" in str(caught.value)
    assert not (folder / "out").exists()


def test_the_shipped_recipe_loads_and_wrong_keys_do_not():
    assert load("configs/simulate/receipts.yaml", DegradeConfig).split == "test"
    with pytest.raises(InputError, match="samples_per_field"):
        load("configs/simulate/receipts.yaml", DegradeConfig, ["sample_per_field=2"])
    with pytest.raises(InputError, match="opaque_occluder"):
        load("configs/simulate/receipts.yaml", DegradeConfig, ["operators.opaque_ocluder=2"])


def test_annotations_are_read_in_order(receipts):
    folder, entries = receipts
    found = list(read_annotations(folder / "annotations.jsonl"))
    assert [number for number, _ in found] == [1, 2]
    assert all(isinstance(annotation, Annotation) for _, annotation in found)
    assert found[0][1].fields == entries[0]["fields"]


def test_a_page_is_read_once_though_all_are_checked_before_the_first_is_damaged(receipts):
    folder, _ = receipts
    path = folder / "annotations.jsonl"
    read: list[str] = []

    def page(line: int, annotation: Annotation):
        read.append(annotation.file_name)
        return load_page(CONFIG, path, line, annotation, folder)

    pages = [partial(page, line, annotation) for line, annotation in read_annotations(path)]
    summary = write_pages(CONFIG, pages, [path], path, folder / "out", progress=False, workers=1)
    assert len(read) == len(set(read)) == 2 and summary.rows == 2 * 4 * 2
