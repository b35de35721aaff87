"""Published sets and exports are read as they are: the same receipt, annotated in five ways, becomes the same dataset."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from degradations.annotated.formats import FORMATS, documents
from degradations.config import DegradeConfig
from degradations.degrade import write_degraded
from kie_hvqa.cli import main
from kie_hvqa.data.dataset import load_rows
from kie_hvqa.data.ledger import value_of
from kie_hvqa.errors import InputError
from tests.degradations.annotated.receipts import typeset_lines

TEXTS = ["KEDAI BUKU HANDAL", "NO. 12, JALAN BESAR", "45600 BATANG", "DATE:", "27/01/2018", "TOTAL", "27.35"]
CONFIG = DegradeConfig(seed=3, samples_per_field=1, severities={0: 1.0}, unreadable=0.0, fields=None)
VALUES = {"name": TEXTS[0], "address": f"{TEXTS[1]} {TEXTS[2]}", "date": TEXTS[4], "total": TEXTS[6]}


@pytest.fixture
def receipt(tmp_path):
    image, boxes, _ = typeset_lines(TEXTS, "Arimo", 22)
    (tmp_path / "set").mkdir()
    return tmp_path / "set", Image.fromarray(image), boxes


def quad(box) -> list[int]:
    x0, y0, x1, y1 = box
    return [x0, y0, x1, y0, x1, y1, x0, y1]


def words_of(text: str, box) -> list[dict]:
    """The words of a line, the box cut in proportion to their letters."""
    x0, y0, x1, y1 = box
    found, at = [], 0
    for word in text.split():
        start = text.index(word, at)
        at = start + len(word)
        left, right = (round(x0 + (x1 - x0) * place / len(text)) for place in (start, at))
        found.append({"text": word, "box": [left, y0, right, y1]})
    return found


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def make_sroie(folder, image, boxes):
    (folder / "img").mkdir()
    image.save(folder / "img" / "X51.jpg", quality=95)
    rows = [",".join([*map(str, quad(box)), text]) for text, box in zip(TEXTS, boxes, strict=True)]
    put(folder / "box" / "X51.txt", "\r\n".join(rows) + "\r\n")
    put(
        folder / "key" / "X51.json",
        json.dumps({"company": VALUES["name"], **{k: VALUES[k] for k in ("date", "address", "total")}}),
    )
    return folder, {"company": "name", "date": "date", "address": "address", "total": "total"}


def make_funsd(folder, image, boxes):
    (folder / "images").mkdir()
    image.save(folder / "images" / "0001.png")
    groups = [([0], "header", []), ([1, 2], "answer", []), ([3], "question", [[2, 3]]), ([4], "answer", [[2, 3]]),
              ([5], "question", [[4, 5]]), ([6], "answer", [[4, 5]])]  # fmt: skip
    form = [
        {
            "id": number,
            "text": " ".join(TEXTS[i] for i in rows),
            "box": boxes[rows[0]],
            "label": label,
            "words": [word for i in rows for word in words_of(TEXTS[i], boxes[i])],
            "linking": linking,
        }
        for number, (rows, label, linking) in enumerate(groups)
    ]
    put(folder / "annotations" / "0001.json", json.dumps({"form": form}))
    return folder, {"date": "date", "total": "total"}


def make_cord(folder, image, boxes):
    (folder / "image").mkdir()
    image.save(folder / "image" / "receipt_00000.png")

    def words(i, is_key):
        named = ("x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4")
        return [
            {
                "quad": dict(zip(named, quad(word["box"]), strict=True)),
                "is_key": is_key,
                "row_id": 10 + i,
                "text": word["text"],
            }
            for word in words_of(TEXTS[i], boxes[i])
        ]

    lines = [
        {"words": words(0, 0), "category": "menu.nm", "group_id": 1},
        {"words": words(5, 1) + words(6, 0), "category": "total.total_price", "group_id": 2},
        {"words": words(3, 1) + words(4, 0), "category": "total.cashprice", "group_id": 2},
    ]
    meta = {
        "version": "0.2.1",
        "split": "train",
        "image_id": 0,
        "image_size": {"width": image.width, "height": image.height},
    }
    put(folder / "json" / "receipt_00000.json", json.dumps({"dontcare": [], "valid_line": lines, "meta": meta}))
    return folder, {"total_total_price": "total", "total_cashprice": "date"}


def make_wildreceipt(folder, image, boxes):
    (folder / "image_files").mkdir()
    image.save(folder / "image_files" / "a.png")
    labels = [1, 3, 3, 8, 7, 24, 23]
    annotations = [
        {"box": [float(v) for v in quad(box)], "text": text, "label": label}
        for text, box, label in zip(TEXTS, boxes, labels, strict=True)
    ]
    data = {"file_name": "image_files/a.png", "height": image.height, "width": image.width, "annotations": annotations}
    put(folder / "train.txt", json.dumps(data) + "\n")
    names = {"store_name_value": "name", "store_addr_value": "address", "date_value": "date", "total_value": "total"}
    return folder / "train.txt", names


def percent(box, image):
    x0, y0, x1, y1 = box
    w, h = image.width / 100, image.height / 100
    return {"x": x0 / w, "y": y0 / h, "width": (x1 - x0) / w, "height": (y1 - y0) / h, "rotation": 0}


LABELS = ["Shop name", "Address", "Address", None, "Date", None, "Total"]
SHOP = {"shop_name": "name", "address": "address", "date": "date", "total": "total"}


def make_label_studio(folder, image, boxes):
    image.save(folder / "receipt.png")
    result = []
    for i, (text, box, label) in enumerate(zip(TEXTS, boxes, LABELS, strict=True)):
        value = percent(box, image)
        size = {"original_width": image.width, "original_height": image.height, "image_rotation": 0, "to_name": "image"}
        result.append({"id": f"r{i}", "type": "rectangle", "from_name": "bbox", "value": value, **size})
        if label:
            result.append(
                {"id": f"r{i}", "type": "labels", "from_name": "label", "value": {**value, "labels": [label]}, **size}
            )
        result.append(
            {
                "id": f"r{i}",
                "type": "textarea",
                "from_name": "transcription",
                "value": {**value, "text": [text]},
                **size,
            }
        )
    cancelled = {"id": 1, "was_cancelled": True, "result": result[:1]}
    task = {"id": 7, "data": {"ocr": "/data/upload/3/0a1b2c3d-receipt.png"},
            "annotations": [cancelled, {"id": 2, "was_cancelled": False, "result": result}], "predictions": []}  # fmt: skip
    waiting = {"id": 8, "data": {"ocr": "/data/upload/3/none.png"}, "annotations": []}
    put(folder / "export.json", json.dumps([task, waiting]))
    return folder / "export.json", SHOP


def make_json_min(folder, image, boxes):
    image.save(folder / "receipt.png")
    bbox = [percent(box, image) for box in boxes]
    label = [{**box, "labels": [name]} if name else dict(box) for box, name in zip(bbox, LABELS, strict=True)]
    task = {"ocr": "/data/local-files/?d=receipt.png", "id": 7, "bbox": bbox, "label": label, "transcription": TEXTS}
    put(folder / "min.json", json.dumps([task]))
    return folder / "min.json", SHOP


MAKERS = {"sroie": make_sroie, "funsd": make_funsd, "cord": make_cord, "wildreceipt": make_wildreceipt,
          "label-studio": make_label_studio, "json-min": make_json_min}  # fmt: skip


def layout_of(name: str) -> str:
    return "label-studio" if name == "json-min" else name


@pytest.mark.parametrize("name", MAKERS)
def test_a_set_is_read_as_it_is(name, receipt, tmp_path):
    path, fields = MAKERS[name](*receipt)
    summary = write_degraded(CONFIG, path, None, tmp_path / "out", layout=layout_of(name))
    rows = {row.field: row for row in load_rows(tmp_path / "out")}
    assert {field: value_of(row.slots) for field, row in rows.items()} == {f: VALUES[v] for f, v in fields.items()}
    assert not summary.notes
    _, _, boxes = receipt
    for row in rows.values():
        # Every value lies in its own line's box, wherever another format would have had to look for it.
        first = TEXTS.index(next(text for text in TEXTS if value_of(row.slots).startswith(text)))
        x0, y0, x1, y1 = boxes[first]
        box = row.slots[0].box
        assert x0 - 3 <= box[0] and box[2] <= x1 + 3 and y0 - 4 <= box[1] and box[3] <= y1 + 4


def test_what_questions_call_fields(receipt, tmp_path):
    path, _ = make_funsd(*receipt)
    write_degraded(CONFIG, path, None, tmp_path / "out", layout="funsd")
    assert {row.problem for row in load_rows(tmp_path / "out")} == {
        "<image>What is the DATE in the image?",
        "<image>What is the TOTAL in the image?",
    }


def test_the_command_takes_a_format_and_what_it_asks_for(receipt, tmp_path, capsys):
    path, fields = make_wildreceipt(*receipt)
    main(["degrade", "--format", "wildreceipt", "--annotations", str(path), "--out", str(tmp_path / "out")])
    assert {row.field for row in load_rows(tmp_path / "out")} == set(fields)


def test_two_prints_of_one_value_under_one_label_are_a_value_and_its_copy(receipt, tmp_path):
    folder, image, boxes = receipt
    path, _ = make_wildreceipt(folder, image, boxes)
    data = json.loads(path.read_text())
    data["annotations"][4] |= {"text": "27.35", "label": 23}
    path.write_text(json.dumps(data))
    (_, _, annotation), *_ = FORMATS["wildreceipt"](path, folder)
    assert annotation.fields["total_value"] == "27.35" and annotation.where["total_value"] == [4]


@pytest.mark.parametrize(
    ("name", "file", "broken", "says"),
    [
        ("sroie", "box/X51.txt", "1,2,3,KEDAI\n", "eight coordinates"),
        ("sroie", "key/X51.json", "[]", "JSON object"),
        ("funsd", "annotations/0001.json", '{"form": 3}', "form"),
        ("funsd", "annotations/0001.json", '{"form": [{"id": 0}]}', "form[0]"),
        ("cord", "json/receipt_00000.json", '{"valid_line": [{"words": [{}]}]}', "valid_line[0]"),
        ("wildreceipt", "train.txt", '{"annotations": [{"label": 1, "text": "A", "box": [1]}]}', "annotations[0]"),
        ("wildreceipt", "train.txt", '{"annotations": []}', "file_name"),
        ("label-studio", "export.json", "{}", "array of tasks"),
        ("label-studio", "export.json", '[{"annotations": [{"result": [{"id": 1, "value": 3}]}]}]', "[0]"),
        ("label-studio", "export.json", "[{", "not JSON"),
    ],
)
def test_a_broken_file_is_named_with_its_part(name, file, broken, says, receipt, tmp_path):
    folder, *_ = receipt
    path, _ = MAKERS[name](*receipt)
    (folder / file).write_text(broken)
    with pytest.raises(InputError) as caught:
        write_degraded(CONFIG, path, None, tmp_path / "out", layout=name)
    assert says in str(caught.value) and Path(file).name in str(caught.value) and caught.value.remedy
    assert not (tmp_path / "out").exists()


def test_an_export_cannot_name_files_outside_the_images(receipt, tmp_path):
    path, _ = make_label_studio(*receipt)
    (tmp_path / "private.png").write_bytes((path.parent / "receipt.png").read_bytes())
    path.write_text(
        path.read_text().replace("/data/upload/3/0a1b2c3d-receipt.png", "/data/local-files/?d=../private.png")
    )
    with pytest.raises(InputError, match="no image"):
        write_degraded(CONFIG, path, None, tmp_path / "out", layout="label-studio")


SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=3)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


def changed(node, draw):
    """``node`` with one of its parts replaced by any JSON."""
    if isinstance(node, dict | list) and node and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        node[key] = changed(node[key], draw)
        return node
    return draw(JSON)


@pytest.mark.parametrize(("name", "file"), [("funsd", "annotations/0001.json"), ("cord", "json/receipt_00000.json"),
                                            ("wildreceipt", "train.txt"), ("label-studio", "export.json"), ("json-min", "min.json")])  # fmt: skip
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_stands_in_a_file_is_read_or_refused(name, file, data, receipt):
    folder, image, boxes = receipt
    if not (folder / file).exists():
        MAKERS[name](folder, image, boxes)
        (folder / "whole.json").write_text((folder / file).read_text())
    broken = changed(json.loads((folder / "whole.json").read_text()), data.draw)
    (folder / file).write_text(json.dumps(broken))
    path = folder / file if name in ("wildreceipt", "label-studio", "json-min") else folder
    with contextlib.suppress(InputError):
        for _, _, annotation in documents(layout_of(name), path, folder):
            for line in annotation.lines:
                assert 0 <= line.box[0] < line.box[2] <= annotation.size[0]
