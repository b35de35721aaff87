"""Dataset rows: ours are right or the message names file, line and field; other people's are repaired where they can be.

Two sources give the same ``Row``. A dataset directory (DESIGN contract 1) has ``metadata.jsonl`` with a ledger per row and
is read strictly: whoever wrote it can write it again. Any other row file (``kie_hvqa.data.row_files``; the official KIE-HVQA
one is called ``kie_hocr.jsonl``) was published once and is what it is, so its lines are repaired or refused, and every
such line is an issue. ``read_dataset`` gives rows and issues; ``load_rows`` is for those who cannot do with part of the
rows, and raises at the first refusal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from kie_hvqa.data.data_issues import Issue
from kie_hvqa.data.image_paths import Inside, image_path
from kie_hvqa.data.json_lines import MAX_ID, json_of, raw_lines, records, text_of
from kie_hvqa.data.ledger import MAX_SEVERITY, QUESTION_KINDS, TWIN_KINDS, Row, Slot
from kie_hvqa.data.pixels import open_image
from kie_hvqa.data.row_files import RowFile
from kie_hvqa.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Dataset", "dataset_root", "image_path", "load_image", "load_rows", "read_dataset", "rows_file", "spread"]

T = TypeVar("T")

METADATA = "metadata.jsonl"
OFFICIAL = "kie_hocr.jsonl"
_TEXT_KEYS = ("id", "file_name", "document_id", "document_type", "split", "field", "question_kind", "problem", "answer")
_OURS = {"document_id", "question_kind"}
MAX_SLOTS = 1000  # of a field: aligning is quadratic in it


@dataclass(frozen=True, slots=True)
class Dataset:
    """Rows in file order, the line of each by its id, and what was wrong with the file.

    ``ours`` says that the file was read strictly; it has no issues then.
    """

    file: Path
    rows: list[Row]
    lines: dict[str, int]
    issues: tuple[Issue, ...]
    ours: bool


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
    """The rows of ``read_dataset``, all of them: InputError also for a line that ``read_dataset`` would refuse.

    ``limit`` is a number of rows here, exactly: training counts rows, an evaluation documents.
    """
    dataset = read_dataset(path, split=split, limit=limit)
    for issue in dataset.issues:
        if issue.kind == "refused":
            raise InputError(
                issue.what, file=dataset.file, line=issue.line, field=issue.field, remedy="Mend or remove that line."
            )
    return dataset.rows[:limit]


def read_dataset(path: str | Path, *, split: str | None = None, limit: int | None = None) -> Dataset:
    """The rows of a dataset directory or ``.jsonl`` file, and the issues of a file that is not ours.

    ``split`` keeps the rows of one split, ``limit`` the first documents of what is left (``first_documents``). Extra keys
    are allowed. Raises InputError for anything wrong in a file of ours, and for a result without rows.
    """
    if limit is not None and limit < 1:
        raise InputError(f"{limit} rows cannot be read", field="limit", remedy="Use 1 or more.")
    file = rows_file(path)
    ours = _is_ours(file)
    source = _strict(file) if ours else RowFile(file)
    rows: list[Row] = []
    lines: dict[str, int] = {}
    splits: set[str] = set()
    for line, row in source:
        splits.add(row.split)
        if split is None or row.split == split:
            lines[row.id] = line
            rows.append(row)
    issues = tuple(source.issues) if isinstance(source, RowFile) else ()
    if not splits:
        refused = f"; all {len(issues)} lines are refused, line {issues[0].line}: {issues[0].what}" if issues else ""
        raise InputError(f"there are no rows{refused}", file=file, remedy="Make the dataset again.")
    if not rows:
        raise InputError(
            f"no row is in split {split!r}", file=file, field="split", remedy=f"There is: {', '.join(sorted(splits))}."
        )
    rows = first_documents(rows, limit)
    kept = {row.id for row in rows}
    return Dataset(file, rows, {name: line for name, line in lines.items() if name in kept}, issues, ours)


def first_documents(rows: list[Row], limit: int | None) -> list[Row]:
    """The rows of the first documents that have ``limit`` rows or more together, in their order; all rows for None.

    Never part of a document: its questions share their luck, so a part of it would cost its reading and tell little (intervals go by
    documents), and two limits would compare different documents.
    """
    if limit is None:
        return rows
    sizes = Counter(row.document_id for row in rows)
    kept: set[str] = set()
    together = 0
    for row in rows:
        if row.document_id in kept:
            continue
        if together >= limit:
            break
        kept.add(row.document_id)
        together += sizes[row.document_id]
    return [row for row in rows if row.document_id in kept]


def spread(values: Sequence[T], most: int) -> list[T]:
    """At most ``most`` (≥ 1) of ``values``, evenly spread from the first to the last."""
    if len(values) <= most:
        return list(values)
    return [values[round(k * (len(values) - 1) / max(1, most - 1))] for k in range(most)]


def load_image(path: str | Path) -> Image:
    """The image at ``path`` as RGB, whole; InputError if it is missing, unreadable or truncated."""
    return open_image(path)


def _is_ours(file: Path) -> bool:
    """Whether a dataset writer of this project made ``file``: the first row that can be read at all decides."""
    for _, raw in raw_lines(file):
        try:
            data = json_of(raw, first=True)
        except InputError:
            continue
        if isinstance(data, dict):
            return "slots" in data or data.keys() >= _OURS
    return file.name == METADATA


def _strict(file: Path) -> Iterator[tuple[int, Row]]:
    """(line, row) of a file of ours. InputError naming file, line and field for the first thing wrong."""
    inside = Inside(file.parent)

    def parse(data: Mapping[str, Any]) -> Row:
        row = parse_row(data)
        inside.check(row.file_name)
        return row

    return records(file, parse, "id", what="a row", named="the id", once="Give every row an id of its own.")


def parse_row(data: Mapping[str, Any]) -> Row:
    """One row of ours. Raises InputError naming the field for anything wrong."""
    text = {key: text_of(data, key) for key in _TEXT_KEYS}
    if not 0 < len(text["id"]) <= MAX_ID:
        raise InputError(
            f"it is empty, or longer than {MAX_ID} characters",
            field="id",
            remedy="Give every row an id of its own.",
        )
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
        template = text_of(data, "template")
    slots = _slots(data.get("slots"))
    legible = slots is not None and any(slot.scored and slot.legibility != "hidden" for slot in slots)
    if (text["question_kind"] == "absent" and slots) or (text["question_kind"] == "unreadable" and legible):
        raise InputError(
            f"the slots contradict the question kind {text['question_kind']!r}",
            field="slots",
            remedy="An absent field has no slots, an unreadable one only hidden slots.",
        )
    return Row(
        **text,  # type: ignore[arg-type]
        slots=slots,
        severity=severity,
        recipe=data.get("recipe"),
        capture=data.get("capture"),
        template=template,
        page=data.get("page"),
        twin=_twin(data.get("twin")),
        view=_view(data.get("view")),
    )


def _view(data: Any) -> tuple[int, ...] | None:
    """Where the image was cut out, [x0, y0, x1, y1], or None for a whole picture."""
    if data is None:
        return None
    whole = isinstance(data, list) and len(data) == 4 and all(type(v) is int for v in data)
    if not whole or not (0 <= data[0] < data[2] and 0 <= data[1] < data[3]):
        raise InputError(
            "a view is [x0, y0, x1, y1] in whole pixels, with x0 < x1 and y0 < y1",
            field="view",
            remedy="Copy the row whole.",
        )
    return tuple(data)


def _twin(data: Any) -> Mapping[str, str] | None:
    """``{"pair", "kind"}``, or None for a row without a twin."""
    if data is None:
        return None
    if (
        not isinstance(data, dict)
        or set(data) != {"pair", "kind"}
        or not all(isinstance(v, str) for v in data.values())
    ):
        raise InputError("a twin has a pair and a kind, both text", field="twin", remedy="Make the dataset again.")
    if data["kind"] not in TWIN_KINDS:
        raise InputError(f"unknown kind {data['kind']!r}", field="twin.kind", remedy=f"Use {' or '.join(TWIN_KINDS)}.")
    return data


def _slots(data: Any) -> tuple[Slot, ...] | None:
    if data is None:
        return None
    if not isinstance(data, list):
        raise InputError("must be a list of slots", field="slots", remedy="Mend the value.")
    if len(data) > MAX_SLOTS:
        what = f"a field of {len(data)} slots; {MAX_SLOTS} is the most"
        raise InputError(what, field="slots", remedy="Ask about a shorter field.")
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
        except (ValueError, TypeError, OverflowError) as error:
            raise InputError(str(error), field=f"slots[{index}]", remedy="Mend the value.") from None
    return tuple(slots)
