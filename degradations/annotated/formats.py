"""Annotated sets as people have them: SROIE, FUNSD, CORD, WildReceipt and Label Studio exports, read as they are.

Each becomes ``Annotation``s that know which line holds which value, so nothing is searched for but further prints. A label on
several boxes is one value over several lines in reading order, or, where all boxes say the same, one print and its copies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from degradations.annotated.boxes import Line, around, words_by_row
from degradations.annotated.foreign import (
    Document,
    annotation_of,
    files_in,
    folder_of,
    list_of,
    naming,
    object_of,
    picture_of,
    slug,
    text_of,
)
from degradations.annotated.label_studio import label_studio
from degradations.annotated.values import read_annotations
from kie_hvqa.data.json_lines import objects
from kie_hvqa.errors import InputError

_CORD = {
    "sub_total.subtotal_price": "subtotal", "sub_total.discount_price": "discount", "sub_total.tax_price": "tax",
    "sub_total.service_price": "service charge", "total.total_price": "total", "total.cashprice": "cash paid",
    "total.changeprice": "change", "total.creditcardprice": "amount paid by card", "total.menuqty_cnt": "number of items",
    "total.emoneyprice": "amount paid by electronic money", "total.menutype_cnt": "number of kinds of items",
}  # fmt: skip
_WILDRECEIPT = [
    "Ignore",
    "Store_name_value",
    "Store_name_key",
    "Store_addr_value",
    "Store_addr_key",
    "Tel_value",
    "Tel_key",
    "Date_value",
    "Date_key",
    "Time_value",
    "Time_key",
    "Prod_item_value",
    "Prod_item_key",
    "Prod_quantity_value",
    "Prod_quantity_key",
    "Prod_price_value",
    "Prod_price_key",
    "Subtotal_value",
    "Subtotal_key",
    "Tax_value",
    "Tax_key",
    "Tips_value",
    "Tips_key",
    "Total_value",
    "Total_key",
    "Others",
]
_WILD_NAMES = {
    "Store_name_value": "store name", "Store_addr_value": "store address", "Tel_value": "telephone number",
    "Date_value": "date", "Time_value": "time", "Subtotal_value": "subtotal", "Tax_value": "tax", "Tips_value": "tip",
    "Total_value": "total",
}  # fmt: skip


def sroie(path: Path, images: Path) -> Iterator[Document]:
    """ICDAR 2019 SROIE: ``box/X.txt`` (eight coordinates and the text a line) and ``key/X.json`` or ``entities/X.txt``."""
    for file in files_in(folder_of(path, "box", ""), (".txt", ".csv")):
        key = next(
            (k for folder in ("key", "entities", "") for end in (".json", ".txt") if (k := path / folder / (file.stem + end)).is_file() and k != file),
            None,
        )  # fmt: skip
        if key is None:
            raise InputError(
                "there are no values for it", file=file, remedy="Put key/NAME.json or entities/NAME.txt beside box."
            )
        lines = []
        for number, row in enumerate(text_of(file).splitlines(), 1):
            parts = row.split(",", 8)
            if not row.strip():
                continue
            try:
                points = [float(part) for part in parts[:8]]
                lines.append(Line(parts[8], around(points)))
            except (ValueError, IndexError):
                raise InputError(
                    "a line is eight coordinates and a text, with commas between",
                    file=file, line=number, remedy="Mend or remove that line.",
                ) from None  # fmt: skip
        values = object_of(key)
        fields = {name: value for name, value in values.items() if isinstance(value, str)}
        yield key, None, annotation_of(key, picture_of(images, file.stem), images, "receipt", lines, fields)


def funsd(path: Path, images: Path) -> Iterator[Document]:
    """FUNSD: ``annotations/X.json``; an answer that is linked to a question is that question's value."""
    for file in files_in(folder_of(path, "annotations", ""), (".json",)):
        form = list_of(object_of(file), "form", file)
        lines: list[Line] = []
        texts: dict[Any, str] = {}
        rows: dict[Any, list[int]] = {}
        for number, entity in enumerate(form):
            with naming(file, f"form[{number}]"):
                words = [Line(str(word["text"]), around(word["box"])) for word in entity.get("words") or [entity]]
                found = words_by_row([word for word in words if word.text.strip()])
                rows[entity["id"]] = list(range(len(lines), len(lines) + len(found)))
                lines += found
                texts[entity["id"]] = " ".join(str(entity["text"]).split())
        answers: dict[Any, list[Any]] = {}
        labels = {entity["id"]: entity.get("label") for entity in form}
        for a, b in dict.fromkeys(
            tuple(pair) for entity in form for pair in entity.get("linking", []) if len(pair) == 2
        ):
            for question, answer in ((a, b), (b, a)):
                if labels.get(question) == "question" and labels.get(answer) == "answer" and rows.get(answer):
                    answers.setdefault(question, []).append(answer)
        asked = [texts[question].strip(" :.*#") for question in answers]
        places, names = {}, {}
        for question, name in zip(answers, asked, strict=True):
            if name and asked.count(name) == 1:  # a name that stands twice asks for nobody knows which
                key = slug(name)
                places[key] = [row for answer in answers[question] for row in rows[answer]]
                names[key] = name
        yield file, None, annotation_of(file, picture_of(images, file.stem), images, "form", lines, {}, places, names)


def cord(path: Path, images: Path) -> Iterator[Document]:
    """CORD: ``json/X.json`` with ``valid_line``s; ``group_id`` tells a menu's items apart, which are not asked for."""
    for file in files_in(folder_of(path, "json", ""), (".json",)):
        data = object_of(file)
        lines: list[Line] = []
        places: dict[str, list[int]] = {}
        for number, valid in enumerate(list_of(data, "valid_line", file)):
            with naming(file, f"valid_line[{number}]"):
                for is_key in (1, 0):  # a label and its value lie far apart
                    words = [
                        Line(str(word["text"]), around([float(word["quad"][f"{axis}{i}"]) for i in range(1, 5) for axis in "xy"]))
                        for word in valid["words"]
                        if int(word.get("is_key", 0)) == is_key and str(word["text"]).strip()
                    ]  # fmt: skip
                    found = words_by_row(words)
                    if not is_key and valid["category"] in _CORD:
                        rows = range(len(lines), len(lines) + len(found))
                        places.setdefault(valid["category"], []).extend(rows)
                    lines += found
        size = data.get("meta", {}).get("image_size") or {}
        known = (int(size["width"]), int(size["height"])) if {"width", "height"} <= set(size) else None
        named = {slug(category): rows for category, rows in places.items()}
        names = {slug(category): _CORD[category] for category in places}
        yield (
            file,
            None,
            annotation_of(file, picture_of(images, file.stem), images, "receipt", lines, {}, named, names, known),
        )


def wildreceipt(path: Path, images: Path) -> Iterator[Document]:
    """WildReceipt: ``train.txt`` with one JSON object a line; labels as in ``class_list.txt`` beside it, or as published."""
    classes = dict(enumerate(_WILDRECEIPT))
    listed = path.with_name("class_list.txt")
    if listed.is_file():
        pairs = (row.split() for row in text_of(listed).splitlines() if row.strip())
        classes = {int(pair[0]): pair[1] for pair in pairs if len(pair) == 2 and pair[0].isdigit()}
    for number, data in objects(path, what="a receipt", remedy="Name WildReceipt's train.txt or test.txt."):
        lines: list[Line] = []
        places: dict[str, list[int]] = {}
        for index, item in enumerate(list_of(data, "annotations", path, number)):
            with naming(path, f"annotations[{index}]", number):
                name = classes.get(item["label"], "")
                if not str(item["text"]).strip():
                    continue
                if name in _WILD_NAMES:
                    places.setdefault(name, []).append(len(lines))
                lines.append(Line(str(item["text"]), around(item["box"])))
        with naming(path, "file_name", number):
            file_name, size = str(data["file_name"]), (int(data["width"]), int(data["height"]))
        names = {slug(name): _WILD_NAMES[name] for name in places}
        named = {slug(name): rows for name, rows in places.items()}
        yield path, number, annotation_of(path, file_name, images, "receipt", lines, {}, named, names, size, number)


def _jsonl(path: Path, images: Path) -> Iterator[Document]:
    for number, annotation in read_annotations(path):
        yield path, number, annotation


FORMATS: dict[str, Callable[[Path, Path], Iterator[Document]]] = {
    "jsonl": _jsonl,
    "sroie": sroie,
    "funsd": funsd,
    "cord": cord,
    "wildreceipt": wildreceipt,
    "label-studio": label_studio,
}


def documents(layout: str, path: Path, images: Path) -> list[Document]:
    """Every document annotated at ``path`` in one of ``FORMATS``, whose pictures lie under ``images``. Raises InputError."""
    try:
        return list(FORMATS[layout](path, images))
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError, RecursionError) as error:
        raise InputError(
            f"not as {layout} has it ({type(error).__name__})",
            file=path,
            field="--format",
            remedy="Is this the right one?",
        ) from None
