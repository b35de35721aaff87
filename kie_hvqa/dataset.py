"""Dataset rows, read strictly: every row is right, or the message names its file, line and field.

Two sources give the same ``Row``. A dataset directory (DESIGN contract 1) has ``metadata.jsonl`` with a ledger
per row. The official KIE-HVQA file has ``id``, ``image``, ``problem`` and ``answer`` only: its rows have no slots and
no severity, the document is the id without its last part (``card_1_2`` belongs to ``card_1``), and its image
paths say ``./images/`` where the published files lie in ``./data/``, so both places are tried. Malformed JSON
*inside* an ``answer`` string is not an error here: ``answer.parse`` mends it when it is scored, and it is
counted there.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from kie_hvqa.errors import InputError
from kie_hvqa.ledger import MAX_SEVERITY, QUESTION_KINDS, Row, Slot
from kie_hvqa.pixels import open_image

if TYPE_CHECKING:
    from PIL.Image import Image

METADATA = "metadata.jsonl"
OFFICIAL = "kie_hocr.jsonl"
_TEXT_KEYS = ("id", "file_name", "document_id", "document_type", "split", "field", "question_kind", "problem", "answer")
_OFFICIAL_KEYS = ("id", "image", "problem", "answer")
_ASKED = re.compile(r"What is the (.{1,200}?) in the image", re.IGNORECASE)


def rows_file(path: str | Path) -> Path:
    """The file of rows that ``path`` means: itself, or ``metadata.jsonl`` or ``kie_hocr.jsonl`` in a directory."""
    path = Path(path)
    if not path.is_dir():
        return path
    for name in (METADATA, OFFICIAL):
        if (path / name).is_file():
            return path / name
    raise InputError(
        f"neither {METADATA} nor {OFFICIAL} is in this directory",
        file=path,
        remedy="Name a dataset directory (kie-hvqa simulate writes one) or a .jsonl file.",
    )


def dataset_root(path: str | Path) -> Path:
    """The directory that the image paths of ``path`` (a directory or a file of rows) start from."""
    return rows_file(path).parent


def load_rows(path: str | Path, *, split: str | None = None, limit: int | None = None) -> list[Row]:
    """The rows of a dataset directory or ``.jsonl`` file, in file order.

    ``split`` keeps the rows of one split, ``limit`` the first rows of what is left (reading stops there). Extra keys
    are allowed. Raises InputError for anything wrong, and for a result without rows.
    """
    if limit is not None and limit < 1:
        raise InputError(f"{limit} rows cannot be read", field="limit", remedy="Use 1 or more.")
    file = rows_file(path)
    inside = _Inside(file.parent)
    rows: list[Row] = []
    lines: dict[str, int] = {}
    splits: set[str] = set()
    for line, data in _json_lines(file):
        try:
            row = _row(data)
            inside.check(row.file_name)
        except InputError as error:
            raise InputError(error.what, remedy=error.remedy, file=file, line=line, field=error.field) from None
        if row.id in lines:
            raise InputError(
                f"the id {row.id!r} is already on line {lines[row.id]}",
                file=file,
                line=line,
                field="id",
                remedy="Give every row an id of its own.",
            )
        lines[row.id] = line
        splits.add(row.split)
        if split is None or row.split == split:
            rows.append(row)
        if limit is not None and len(rows) == limit:
            break
    if not lines:
        raise InputError("there are no rows", file=file, remedy="Make the dataset again.")
    if not rows:
        raise InputError(
            f"no row is in split {split!r}", file=file, field="split", remedy=f"There is: {', '.join(sorted(splits))}."
        )
    return rows


def image_path(root: str | Path, row: Row) -> Path:
    """Where the image of ``row`` lies under ``root``; InputError if it is not there or lies outside."""
    root = Path(root)
    inside = _Inside(root)
    for name in _places(row.file_name):
        inside.check(name)
        if (root / name).is_file():
            return root / name
    raise InputError("no such image", file=root / row.file_name, remedy="Fetch the images beside the rows.")


def load_image(path: str | Path) -> Image:
    """The image at ``path`` as RGB, whole; InputError if it is missing, unreadable or truncated."""
    return open_image(path)


def _places(name: str) -> Iterator[str]:
    yield name
    first, *rest = PurePosixPath(name).parts
    other = {"images": "data", "data": "images"}.get(first)
    if other and rest:
        yield str(PurePosixPath(other, *rest))


class _Inside:
    """Refuses image paths that leave the dataset directory, by name or through a symbolic link."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.real = os.path.realpath(root)
        self.parents: dict[str, bool] = {}  # folder → does it stay inside; folders are few, rows are many

    def check(self, name: str) -> None:
        path = PurePosixPath(name)
        if not path.parts or "\0" in name:
            raise InputError("not a file name", field="file_name", remedy="Name an image under the dataset directory.")
        if path.is_absolute() or ".." in path.parts or "\\" in name:
            raise self._escape(name)
        full = os.path.join(self.root, name)
        parent = os.path.dirname(full)
        if parent not in self.parents:
            self.parents[parent] = self._holds(os.path.realpath(parent))
        if not self.parents[parent] or (os.path.islink(full) and not self._holds(os.path.realpath(full))):
            raise self._escape(name)

    def _holds(self, real: str) -> bool:
        return os.path.commonpath([self.real, real]) == self.real

    def _escape(self, name: str) -> InputError:
        return InputError(
            f"the image path {name!r} leaves the dataset directory",
            field="file_name",
            remedy="Put the image under it and name it relative to it.",
        )


def _json_lines(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(1-based line, object) of every line that is not blank."""
    try:
        stream = file.open("rb")
    except OSError as error:
        raise InputError(
            f"cannot read it ({error.strerror})", file=file, remedy="Name a dataset directory or a .jsonl file."
        ) from None
    with stream:
        for line, raw in enumerate(stream, 1):
            if raw.isspace():
                continue
            try:
                data = json.loads(raw.decode("utf-8-sig" if line == 1 else "utf-8"))
            except (ValueError, RecursionError) as error:
                reason = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
                raise InputError(
                    f"not JSON ({reason})", file=file, line=line, remedy="Mend or remove that line."
                ) from None
            if not isinstance(data, dict):
                raise InputError("a row is a JSON object", file=file, line=line, remedy="Mend or remove that line.")
            yield line, data


def _row(data: Mapping[str, Any]) -> Row:
    if "file_name" not in data and "image" in data and "document_id" not in data:
        return _official_row(data)
    text = {key: _string(data, key) for key in _TEXT_KEYS}
    if not text["id"]:
        raise InputError("it is empty", field="id", remedy="Give every row an id of its own.")
    if text["question_kind"] not in QUESTION_KINDS:
        raise InputError(
            f"unknown question kind {text['question_kind']!r}",
            field="question_kind",
            remedy=f"Use {', '.join(QUESTION_KINDS)}.",
        )
    severity = data.get("severity")
    if severity is not None and (type(severity) is not int or not 0 <= severity <= MAX_SEVERITY):
        raise InputError(
            f"{severity!r} is not a severity", field="severity", remedy=f"Use a whole number from 0 to {MAX_SEVERITY}."
        )
    template = data.get("template")
    if template is not None:
        template = _string(data, "template")
    slots = _slots(data.get("slots"))
    legible = slots is not None and any(slot.scored and slot.legibility != "hidden" for slot in slots)
    if (text["question_kind"] == "absent" and slots) or (text["question_kind"] == "unreadable" and legible):
        raise InputError(
            f"the slots contradict the question kind {text['question_kind']!r}",
            field="slots",
            remedy="An absent field has no slots, an unreadable one only hidden slots.",
        )
    return Row(**text, slots=slots, severity=severity, recipe=data.get("recipe"), template=template)  # type: ignore[arg-type]


def _official_row(data: Mapping[str, Any]) -> Row:
    text = {key: _string(data, key) for key in _OFFICIAL_KEYS}
    if not text["id"]:
        raise InputError("it is empty", field="id", remedy="Give every row an id of its own.")
    asked = _ASKED.search(text["problem"])
    return Row(
        id=text["id"],
        file_name=text["image"],
        document_id=text["id"].rpartition("_")[0] or text["id"],
        document_type=text["id"].partition("_")[0],
        split="test",
        field=asked[1] if asked else text["problem"],
        question_kind="answerable",
        problem=text["problem"],
        answer=text["answer"],
    )


def _string(data: Mapping[str, Any], key: str) -> str:
    if key not in data:
        raise InputError("this key is required", field=key, remedy="Add it.")
    if not isinstance(data[key], str):
        raise InputError(f"must be text, not {str(data[key])[:60]!r}", field=key, remedy="Mend the value.")
    return data[key]


def _slots(data: Any) -> tuple[Slot, ...] | None:
    if data is None:
        return None
    if not isinstance(data, list):
        raise InputError("must be a list of slots", field="slots", remedy="Mend the value.")
    slots = []
    for index, item in enumerate(data):
        try:
            slots.append(Slot.from_json(item))
        except KeyError as error:
            raise InputError(
                f"the key {error} is missing",
                field=f"slots[{index}]",
                remedy="A slot has char, legibility, evidence, box.",
            ) from None
        except (ValueError, TypeError) as error:
            raise InputError(str(error), field=f"slots[{index}]", remedy="Mend the value.") from None
    return tuple(slots)
