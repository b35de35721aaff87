"""Row files that somebody else wrote, the official KIE-HVQA one above all: every line becomes a record or an issue.

A record is ``image`` (or ``file_name``), ``problem`` and ``answer``; ``id``, ``document_id``, ``document_type``,
``split``, ``field`` and ``question_kind`` are taken where they are there. The official file as it is published
(``kie_hocr.jsonl``) has malformed JSON inside its answers, image paths that name another folder than the one that
was published, and keys in varying letter case. What can be understood in one way only is repaired:

* keys in another letter case, a byte-order mark, an id that is a number;
* an ``answer`` that is an object and not text, or whose inner quotes were never escaped, so that the line is not JSON;
* malformed JSON inside the answer, by ``answer.parse``, as a model's own answer would be;
* halves of surrogate pairs, which JSON can escape and UTF-8 cannot hold;
* a record without an id, one with an id that is taken, and one whose id is endless: they are called by their line.

Nothing else is guessed: such a line is refused. All of it is said, in ``kie_hvqa.data.data_issues``. Official records have
neither slots nor severity; the document of ``card_1_2`` is ``card_1``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kie_hvqa.answers.answer import parse
from kie_hvqa.data.data_issues import Issue, IssueKind
from kie_hvqa.data.image_paths import Inside
from kie_hvqa.data.json_lines import MAX_ID, check_one_a_line, json_of, raw_lines, text_of, without_halves
from kie_hvqa.data.ledger import QUESTION_KINDS, Row
from kie_hvqa.errors import InputError

_KEYS = (
    "id",
    "image",
    "file_name",
    "problem",
    "answer",
    "document_id",
    "document_type",
    "split",
    "field",
    "question_kind",
)
_ASKED = re.compile(r"What is the (.{1,200}?) in the image", re.IGNORECASE)
# An answer whose quotes were never escaped: where it begins, and what the line ends with behind it.
_RAW_ANSWER = re.compile(r'"answer"\s{0,8}:\s{0,8}(?="\{)', re.IGNORECASE)
_RAW_END = re.compile(r'\}"\s{0,8}\}\s{0,8}\Z')
_TAIL = 32  # characters that such an end has at most

Found = list[tuple[IssueKind, str | None, str]]
"""Kind, field and wording of what was found out about one line."""


class RowFile:
    """Reads the lines of ``file`` one after the other; ``issues`` grows with them."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.issues: list[Issue] = []
        self._inside = Inside(file.parent)
        self._ids: set[str] = set()

    def __iter__(self) -> Iterator[tuple[int, Row]]:
        """(line, row) of every line that is a record."""
        first = True
        for line, raw in raw_lines(self.file):
            found: Found = []
            if first:
                try:
                    check_one_a_line(raw)
                except InputError as error:
                    raise InputError(error.what, file=self.file, line=line, remedy=error.remedy) from None
            first = False
            try:
                row = self._row(line, raw, found)
            except InputError as error:
                self.issues.append(Issue(line, None, "refused", error.field, error.what))
                continue
            self.issues += [Issue(line, row.id, *issue) for issue in found]
            yield line, row

    def _row(self, line: int, raw: bytes, found: Found) -> Row:
        """The record on one line. Raises InputError for a line that is none."""
        data = _whole(_known(_object(raw, found), found), found)
        image_key = "file_name" if "file_name" in data else "image"
        image, problem = text_of(data, image_key), text_of(data, "problem")
        self._inside.check(image)
        answer = data.get("answer")
        if isinstance(answer, Mapping):
            answer = json.dumps(answer, ensure_ascii=False)
            found.append(("repaired", "answer", "it was an object: taken as the text that should hold it"))
        elif not isinstance(answer, str):
            answer = text_of(data, "answer")
        name = self._name(line, data, found)
        kind = data.get("question_kind", "answerable")
        if kind not in QUESTION_KINDS:
            raise InputError(
                f"unknown question kind {kind!r}",
                field="question_kind",
                remedy=f"Use {', '.join(QUESTION_KINDS)}.",
            )
        parsed = parse(answer)
        mended = [repair for repair in parsed.repairs if repair != "no tags"]  # a truth stands bare in its file
        if parsed.reading is None:
            found.append(("unreadable truth", "answer", f"no reading in it ({', '.join(mended)})"))
        elif mended:
            found.append(("repaired", "answer", ", ".join(mended)))
        asked = _ASKED.search(problem)
        return Row(
            id=name,
            file_name=image,
            document_id=_optional(data, "document_id") or _document(name, image),
            document_type=_optional(data, "document_type") or _type(name),
            split=_optional(data, "split") or "test",
            field=_optional(data, "field") or (asked[1] if asked else problem),
            question_kind=kind,
            problem=problem,
            answer=answer,
        )

    def _name(self, line: int, data: Mapping[str, Any], found: Found) -> str:
        given = data.get("id")
        if type(given) is int:
            given = str(given)
            found.append(("repaired", "id", "it was a number: taken as text"))
        elif given is None or given == "":
            given = f"line-{line}"
            found.append(("repaired", "id", f"there is none: called {given!r}"))
        elif not isinstance(given, str):
            given = text_of(data, "id")
        if len(given) > MAX_ID:
            length, given = len(given), f"line-{line}"
            found.append(("repaired", "id", f"it has {length} characters: called {given!r}"))
        if given in self._ids:
            repeated, given = given, f"{given}@line-{line}"
            found.append(("repaired", "id", f"{repeated!r} is taken: called {given!r}"))
        self._ids.add(given)
        return given


def _object(raw: bytes, found: Found) -> dict[str, Any]:
    if raw.startswith(b"\xef\xbb\xbf"):
        found.append(("repaired", None, "a byte-order mark was skipped"))
    try:
        data = json_of(raw, first=True)
    except InputError:
        escaped = _escaped(raw)
        if escaped is None:
            raise
        data = json_of(escaped)
        found.append(("repaired", "answer", "its quotes were not escaped"))
    if not isinstance(data, dict):
        raise InputError("a row is a JSON object", remedy="Mend or remove that line.")
    return data


def _escaped(raw: bytes) -> bytes | None:
    """The line with the quotes inside its last value, the answer, escaped; None where it is not such a line."""
    text = raw.decode("utf-8-sig", "replace")
    start, end = _RAW_ANSWER.search(text), _RAW_END.search(text, max(0, len(text) - _TAIL))
    if start is None or end is None or end.start() <= start.end():
        return None
    answer = text[start.end() + 1 : end.start() + 1]
    return (text[: start.end()] + json.dumps(answer) + text[end.start() + 2 :]).encode("utf-8", "surrogatepass")


def _whole(data: dict[str, Any], found: Found) -> dict[str, Any]:
    """``data`` without halves of surrogate pairs."""
    for key, value in data.items():
        whole = without_halves(value) if isinstance(value, str) else value
        if whole is not value:
            data = {**data, key: whole}
            found.append(("repaired", key, "half a surrogate pair in it was replaced by U+FFFD"))
    return data


def _known(data: Mapping[str, Any], found: Found) -> dict[str, Any]:
    """The keys that a record has, in their own letter case; others are left out."""
    known: dict[str, Any] = {key: data[key] for key in _KEYS if key in data}
    for key, value in data.items():
        folded = key.strip().lower().replace(" ", "_")
        if key in _KEYS or folded not in _KEYS:
            continue
        if folded in known:
            raise InputError(f"it stands twice, the second time as {key!r}", field=folded, remedy="Remove one.")
        known[folded] = value
        found.append(("repaired", folded, f"the key was written {key!r}"))
    return known


def _optional(data: Mapping[str, Any], key: str) -> str | None:
    return text_of(data, key) if data.get(key) is not None else None


def _document(name: str, image: str) -> str:
    """``card_1`` for ``card_1_2``, as the official ids are made; else the image: its questions are about one page."""
    document, _, question = _bare(name).rpartition("_")
    *letters, number = document.split("_")
    numbered = number.isdecimal() and question.isdecimal()
    return document if letters and numbered and all(part.isalpha() for part in letters) else image


def _type(name: str) -> str:
    """``card`` for ``card_1_2``: the letters in front of an id that ends in a number."""
    first, *rest = _bare(name).split("_")
    words = first.isalpha() and all(part.isalnum() or not part for part in rest)
    return first if rest and words and rest[-1].isdecimal() else "unknown"


def _bare(name: str) -> str:
    """``name`` without the ``@line-N`` that an id which was taken is given here."""
    head, at, line = name.rpartition("@line-")
    return head if at and line.isdecimal() else name
