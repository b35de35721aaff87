"""Rows are right, or the message names file, line and field; image paths stay inside the dataset."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kie_hvqa.answers.answer import render, truth
from kie_hvqa.data.dataset import dataset_root, image_path, load_image, load_rows, read_dataset
from kie_hvqa.data.ledger import Row, Slot
from kie_hvqa.errors import InputError
from kie_hvqa.scoring.metrics import score_rows

SLOTS = (Slot("S", "clear", 1.0, (0, 0, 4, 8)), Slot("m", "hidden", 0.0, (4, 0, 8, 8)))
ROW = Row(
    id="card_1_ln",
    file_name="images/1.png",
    document_id="card_1",
    document_type="id_card",
    split="test",
    field="ln",
    question_kind="answerable",
    problem="<image>What is the LN in the image?",
    answer=render(truth(SLOTS)),
    slots=SLOTS,
    severity=3,
    recipe={"operators": [{"name": "glare", "strength": 0.5}]},
    template="us",
)
OFFICIAL = {
    "id": "card_1_1",
    "image": "./images/image_000334.png",
    "problem": "What is the LN in the image?",
    "answer": '{"clear Char-level OCR": "S m t ", "not clear enough Char-level OCR": "", "clear number": 3, '
    '"not clear enough number": 0, "Final OCR": "Sm t "}',
}


def written(directory: Path, *rows: dict[str, Any] | str, name: str = "metadata.jsonl") -> Path:
    lines = [line if isinstance(line, str) else json.dumps(line) for line in rows]
    (directory / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return directory / name


def changed(**values: Any) -> dict[str, Any]:
    return {**ROW.to_json(), **values}


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in ROW.to_json().items() if name != key}


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    second = changed(id="2", document_id="card_2", split="train", extra={"kept": "out"})
    written(tmp_path, ROW.to_json(), "", second)
    rows = load_rows(tmp_path)
    assert rows[0] == ROW and rows[1].id == "2"
    assert load_rows(tmp_path / "metadata.jsonl") == rows
    assert [row.id for row in load_rows(tmp_path, split="train")] == ["2"]
    assert load_rows(tmp_path, limit=1) == [ROW]
    assert dataset_root(tmp_path) == dataset_root(tmp_path / "metadata.jsonl") == tmp_path


def test_optional_columns_may_be_left_out(tmp_path: Path) -> None:
    bare = {k: v for k, v in ROW.to_json().items() if k not in ("slots", "severity", "recipe", "template")}
    written(tmp_path, bare)
    row = load_rows(tmp_path)[0]
    assert (row.slots, row.severity, row.recipe, row.template) == (None, None, None, None)


def slot(**values: Any) -> list[dict[str, Any]]:
    return [{**SLOTS[0].to_json(), **values}]


BROKEN = [
    ("{not json", None, "not JSON"),
    ("[1, 2]", None, "a row is a JSON object"),
    ("[" * 100_000, None, "not JSON"),
    (without("answer"), "answer", "required"),
    (without("file_name"), "file_name", "required"),
    (changed(id=7), "id", "must be text"),
    (changed(id=""), "id", "empty"),
    (changed(question_kind="maybe"), "question_kind", "unknown question kind"),
    (changed(severity=7), "severity", "not a severity"),
    (changed(severity=True), "severity", "not a severity"),
    (changed(severity=1.5), "severity", "not a severity"),
    (changed(slots="Sm"), "slots", "list of slots"),
    (changed(slots=["S"]), "slots[0]", ""),
    (changed(slots=[{"char": "S"}]), "slots[0]", "'legibility' is missing"),
    (changed(slots=slot(char="Sm")), "slots[0]", "one character"),
    (changed(slots=slot(legibility="foggy")), "slots[0]", "legibility"),
    (changed(slots=slot(evidence=1.5)), "slots[0]", "evidence"),
    (changed(slots=slot(box=[1, 2, 3])), "slots[0]", "four numbers"),
    (changed(slots=slot(box=None)), "slots[0]", ""),
    (changed(question_kind="absent"), "slots", "contradict"),
    (changed(question_kind="unreadable"), "slots", "contradict"),
    (changed(file_name="/etc/passwd"), "file_name", "leaves the dataset"),
    (changed(file_name="images/../../x.png"), "file_name", "leaves the dataset"),
    (changed(file_name="..\\x.png"), "file_name", "leaves the dataset"),
    (changed(file_name="images/x\0.png"), "file_name", "not a file name"),
    (changed(file_name=""), "file_name", "not a file name"),
]


@pytest.mark.parametrize(("row", "field", "what"), BROKEN)
def test_a_wrong_row_is_named_by_file_line_and_field(
    tmp_path: Path, row: dict[str, Any] | str, field: str | None, what: str
) -> None:
    file = written(tmp_path, changed(id="fine"), row)
    with pytest.raises(InputError) as caught:
        load_rows(tmp_path)
    error = caught.value
    assert (error.file, error.line, error.field) == (str(file), 2, field)
    assert what in error.what
    assert error.remedy.endswith(".")


def test_a_duplicate_id_names_both_lines(tmp_path: Path) -> None:
    written(tmp_path, changed(id="1"), changed(id="2"), changed(id="1"))
    with pytest.raises(InputError, match=r"metadata\.jsonl:3: id: the id '1' is already on line 1\."):
        load_rows(tmp_path)


def test_bytes_that_are_not_text(tmp_path: Path) -> None:
    (tmp_path / "metadata.jsonl").write_bytes(json.dumps(ROW.to_json()).encode() + b'\n{"id": "\xff\xfe"}\n')
    with pytest.raises(InputError, match=r"metadata\.jsonl:2: not UTF-8"):
        load_rows(tmp_path)


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"neither metadata\.jsonl nor kie_hocr\.jsonl"):
        load_rows(tmp_path)
    with pytest.raises(InputError, match="cannot read it"):
        load_rows(tmp_path / "nowhere.jsonl")
    written(tmp_path)
    with pytest.raises(InputError, match="there are no rows"):
        load_rows(tmp_path)
    written(tmp_path, ROW.to_json())
    with pytest.raises(InputError, match=r"no row is in split 'tset'.*There is: test"):
        load_rows(tmp_path, split="tset")
    with pytest.raises(InputError, match="0 rows"):
        load_rows(tmp_path, limit=0)


def test_a_symbolic_link_out_of_the_dataset_is_refused(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "data"
    outside.mkdir()
    (inside / "images").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(outside / "secret.png")
    (inside / "images" / "1.png").symlink_to(outside / "secret.png")
    written(inside, ROW.to_json())
    with pytest.raises(InputError, match=r"metadata\.jsonl:1: file_name: the image path 'images/1\.png' leaves"):
        load_rows(inside)
    with pytest.raises(InputError, match="leaves the dataset"):
        image_path(inside, ROW)
    (inside / "far").symlink_to(outside)
    written(inside, changed(file_name="far/secret.png"))
    with pytest.raises(InputError, match="leaves the dataset"):
        load_rows(inside)
    # A link that stays inside is fine, and so is a dataset that is itself reached through a link.
    (inside / "images" / "1.png").unlink()
    Image.new("RGB", (8, 8)).save(inside / "real.png")
    (inside / "images" / "1.png").symlink_to(inside / "real.png")
    (tmp_path / "link").symlink_to(inside)
    written(inside, ROW.to_json())
    assert image_path(tmp_path / "link", load_rows(tmp_path / "link")[0]).is_file()


def test_the_official_file_loads_without_ledger_and_finds_its_images(tmp_path: Path) -> None:
    malformed = {**OFFICIAL, "id": "card_1_2", "answer": OFFICIAL["answer"][:-1] + ",}"}
    written(tmp_path, OFFICIAL, malformed, name="kie_hocr.jsonl")
    (tmp_path / "data").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "data" / "image_000334.png")
    first, second = load_rows(tmp_path)
    assert (first.id, first.document_id, first.document_type, first.field) == ("card_1_1", "card_1", "card", "LN")
    assert (first.slots, first.severity, first.question_kind, first.split) == (None, None, "answerable", "test")
    assert image_path(tmp_path, first) == tmp_path / "data" / "image_000334.png"
    scores = score_rows([first, second], {"card_1_1": first.answer, "card_1_2": first.answer})
    assert [score.official.average for score in scores if score.official] == [1, 1]  # the malformed one was mended
    (tmp_path / "data" / "image_000334.png").unlink()
    with pytest.raises(InputError, match="no such image"):
        image_path(tmp_path, first)


def test_images_are_rgb_and_whole(tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    layered = Image.new("RGBA", (40, 30), (10, 20, 30, 0))
    layered.putpixel((5, 5), (10, 20, 30, 255))
    layered.save(good)
    image = load_image(good)
    assert (image.mode, image.size) == ("RGB", (40, 30))
    assert image.getpixel((0, 0)) == (255, 255, 255) and image.getpixel((5, 5)) == (10, 20, 30)
    for mode in ("L", "P", "1", "LA", "CMYK"):
        path = tmp_path / f"{mode}.tiff"
        Image.new(mode, (4, 4)).save(path)
        assert load_image(path).mode == "RGB"


def test_a_broken_image_is_an_input_error_with_a_remedy(tmp_path: Path) -> None:
    noise = Image.effect_noise((200, 200), 80)
    noise.save(tmp_path / "whole.png")
    noise.save(tmp_path / "whole.jpg")
    for name in ("whole.png", "whole.jpg"):
        data = (tmp_path / name).read_bytes()
        for share in (0.0, 0.01, 0.5, 0.9):
            broken = tmp_path / f"broken_{share}{name[-4:]}"
            broken.write_bytes(data[: int(len(data) * share)])
            with pytest.raises(InputError, match="unreadable or truncated image") as caught:
                load_image(broken)
            assert caught.value.file == str(broken) and caught.value.remedy
    (tmp_path / "text.png").write_text("not an image")
    with pytest.raises(InputError, match="unreadable"):
        load_image(tmp_path / "text.png")
    with pytest.raises(InputError, match="no such image"):
        load_image(tmp_path / "none.png")
    with pytest.raises(InputError, match="unreadable"):
        load_image(tmp_path)


@pytest.mark.parametrize(
    ("limit", "documents"), [(None, "abc"), (1, "a"), (3, "a"), (4, "ab"), (6, "abc"), (7, "abc"), (99, "abc")]
)
def test_a_limit_draws_whole_documents(tmp_path: Path, limit: int | None, documents: str) -> None:
    order = "aababcc"  # the rows of a document need not stand together
    rows = [replace(ROW, id=f"r{number}", document_id=name) for number, name in enumerate(order)]
    written(tmp_path, *(row.to_json() for row in rows))
    found = read_dataset(tmp_path, limit=limit)
    assert [row.id for row in found.rows] == [f"r{number}" for number, name in enumerate(order) if name in documents]
    assert set(found.lines) == {row.id for row in found.rows}
    assert len(load_rows(tmp_path, limit=limit)) == min(limit or 7, 7)  # training counts rows


def test_a_hidden_slot_may_say_where_its_character_stands_and_no_other_may() -> None:
    data = {"char": "a", "legibility": "hidden", "evidence": 0.0, "box": [0, 0, 1, 1]}
    assert "derivable" not in Slot.from_json(data).to_json()
    kept = Slot.from_json({**data, "derivable": "total"})
    assert kept.derivable == "total" and Slot.from_json(kept.to_json()) == kept
    with pytest.raises(ValueError, match="only a hidden slot is derivable"):
        Slot.from_json({**data, "derivable": "total", "legibility": "partial"})
    with pytest.raises(ValueError, match="must name where"):
        Slot.from_json({**data, "derivable": 3})
