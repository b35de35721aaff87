"""Real documents and their annotations: reading them strictly, and finding the asked values in the printed lines.

One JSON object a line: ``file_name``, ``document_type``, ``size`` [width, height], ``fields`` (key → value) and
``lines`` (``text`` and ``box`` [x0, y0, x1, y1] of each printed line), as in ICDAR 2019 SROIE.

Two things about such annotations have to be met. A field's value was typed by somebody, so it differs from the
print in a character here and there: it is found by edit distance, and the *printed* text is what the ledger
takes. And published line texts often stop at their first comma, because the files are comma-separated: the box
then holds more than the text. Such a line is completed from the value it belongs to, and every completion is
counted.

Text is composed and free of invisible characters before anything is compared. Only annotated lines can be copies of a
value: that a total stands on the receipt in somebody's hand as well, nobody tells. Such questions are named in the recipe
(``exclude``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, Field
from rapidfuzz.distance import Levenshtein

from degradations.annotated.text import clean, fold
from kie_hvqa.config import Config, validate
from kie_hvqa.data.json_lines import records
from kie_hvqa.data.ledger import Box
from kie_hvqa.errors import InputError

_ROW_OVERLAP = 0.5
_MAX_LINES = 6

Text = Annotated[str, AfterValidator(clean)]


class AnnotatedLine(Config):
    text: Text
    box: tuple[float, float, float, float]


class Annotation(Config):
    """One document: where its image is, what is printed on which line, and the values asked about.

    ``where`` are the lines that hold a value whole, in order, for whoever knows; ``names`` what to call a field in a question.
    """

    file_name: Annotated[str, Field(min_length=1)]
    document_type: Annotated[str, Field(min_length=1)]
    size: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
    fields: dict[str, Text]
    lines: list[AnnotatedLine]
    where: dict[str, list[int]] = {}
    names: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Part:
    """Characters ``start`` to ``stop`` of ``text``, the whole text of printed line ``line``."""

    line: int
    text: str
    start: int
    stop: int

    @property
    def value(self) -> str:
        return self.text[self.start : self.stop]


@dataclass(frozen=True, slots=True)
class Found:
    """Where a value is printed: its parts by line, further prints of the same text, and how near the match is.

    ``completed`` counts the lines whose text had to be completed from the value.
    """

    parts: tuple[Part, ...]
    copies: tuple[Part, ...]
    similarity: float
    completed: int

    @property
    def value(self) -> str:
        return " ".join(part.value for part in self.parts)


def read_annotations(path: Path) -> Iterator[tuple[int, Annotation]]:
    """(line number, annotation) of every document. Raises InputError with file, line, field and remedy."""
    found = False
    once, remedy = "Annotate every document once.", "Name a .jsonl file of annotations."
    for number, annotation in records(
        path, _annotation, "file_name", what="an annotation", named="the document", once=once, remedy=remedy
    ):
        found = True
        yield number, annotation
    if not found:
        raise InputError("there are no annotations", file=path, remedy="Give one JSON object a line.")


def document_names(file_names: Sequence[str]) -> list[str]:
    """What ids call each document: its file's name, with folders (and ending) where another one has the same.

    ``train/0001.png`` and ``test/0001.png`` are ``train-0001`` and ``test-0001``.
    """
    paths = [PurePosixPath(name) for name in file_names]
    ways: list[Callable[[PurePosixPath], str]] = [
        lambda path: path.stem,
        lambda path: "-".join(path.with_suffix("").parts),
        lambda path: "-".join(path.parts),
    ]
    names: list[str] = [""] * len(paths)
    for way in ways:
        counts = Counter(name.casefold() for name in names)
        names = [
            name if name and counts[name.casefold()] == 1 else way(path)
            for name, path in zip(names, paths, strict=True)
        ]
    counts = Counter(name.casefold() for name in names)
    return [name if counts[name.casefold()] == 1 else f"{name}-{index}" for index, name in enumerate(names)]


def _annotation(data: dict) -> Annotation:
    # JSON has lists where the model has tuples, and strict validation keeps them apart.
    annotation = validate(_tuples(data), Annotation)
    width, height = annotation.size
    for key, numbers in annotation.where.items():
        if not numbers or not all(0 <= at < len(annotation.lines) for at in numbers) or key not in annotation.fields:
            what, remedy = "a field's lines are numbers from 0 on", "Number the document's lines."
            raise InputError(what, field=f"where.{key}", remedy=remedy)
    for index, line in enumerate(annotation.lines):
        x0, y0, x1, y1 = line.box
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise InputError(
                f"the box {list(line.box)} is empty or outside the image of {width} x {height} pixels",
                field=f"lines[{index}].box",
                remedy="A box is [x0, y0, x1, y1] with x0 < x1 and y0 < y1.",
            )
    return annotation


def _tuples(data: dict) -> dict:
    data = dict(data)
    if isinstance(data.get("size"), list):
        data["size"] = tuple(data["size"])
    if isinstance(data.get("lines"), list):
        lines = [dict(line) if isinstance(line, dict) else line for line in data["lines"]]
        for line in lines:
            if isinstance(line, dict) and isinstance(line.get("box"), list):
                line["box"] = tuple(line["box"])
        data["lines"] = lines
    return data


def find_value(
    key: str, value: str, lines: Sequence[AnnotatedLine], min_similarity: float, where: Sequence[int] = ()
) -> Found | None:
    """Where ``value`` is printed, or None. The annotator may have said: all of the lines ``where``.

    A value printed whole inside a line is looked for first; of several prints the one beside the word ``key`` (a
    total beside "TOTAL") is asked about and the others are its copies. Else the value is laid over runs of lines.
    """
    value = " ".join(clean(value).split())
    if not value:
        return None
    prints = list(_prints(value, lines))
    if where:
        parts = tuple(Part(index, lines[index].text, 0, len(lines[index].text)) for index in where)
        return Found(parts, tuple(part for part in prints if part.line not in where), 1.0, 0)
    if prints:
        best = max(prints, key=lambda part: (_beside(key, part, lines), -part.line if key != "total" else part.line))
        return Found((best,), tuple(part for part in prints if part is not best), 1.0, 0)
    found = [_lay(value, lines, first) for first in range(len(lines))]
    best_run = max((run for run in found if run is not None), key=lambda run: run.similarity, default=None)
    return best_run if best_run is not None and best_run.similarity >= min_similarity else None


def _prints(value: str, lines: Sequence[AnnotatedLine]) -> Iterator[Part]:
    for index, line in enumerate(lines):
        text, wanted = fold(line.text), fold(value)
        start = text.find(wanted)
        while start >= 0:
            stop = start + len(value)
            before, after = line.text[:start][-1:], line.text[stop:][:1]
            if not _continues(before, value[0]) and not _continues(after, value[-1]):
                yield Part(index, line.text, start, stop)
            start = text.find(wanted, start + 1)


def _continues(near: str, edge: str) -> bool:
    """Whether the character beside a match makes it part of a longer number or word."""
    if edge.isdigit():
        return near.isdigit() or near in (".", ",", "/", "-")
    return near.isalpha() and edge.isalpha()


def _beside(key: str, part: Part, lines: Sequence[AnnotatedLine]) -> int:
    """How well the row of ``part`` is labelled as ``key``: 2 just so, 1 with other words (sub, items), 0 not."""
    row = lines[part.line].box
    texts = [line.text for line in lines if _same_row(line.box, row)]
    label = " ".join(texts).upper()
    if key.upper() not in label:
        return 0
    return 1 if any(word in label for word in ("SUB", "QTY", "ITEM", "EXCL", "GST", "TAX", "DISC", "SAVING")) else 2


def _same_row(a: Box, b: Box) -> bool:
    shared = min(a[3], b[3]) - max(a[1], b[1])
    return shared > _ROW_OVERLAP * min(a[3] - a[1], b[3] - b[1])


def _lay(value: str, lines: Sequence[AnnotatedLine], first: int) -> Found | None:
    """Lay ``value`` over consecutive lines from ``first`` on: each takes the stretch that it matches best.

    What the value has between the end of one line and the start of the next was cut off at a comma and completes
    that line.
    """
    parts: list[Part] = []
    position, completed, wrong = 0, 0, 0
    for index in range(first, min(first + _MAX_LINES, len(lines))):
        text = " ".join(lines[index].text.split())
        if not text or position >= len(value):
            break
        matched = _best_prefix(value[position:], text) if not parts else _next_line(value, position, text)
        if matched is None:
            if not parts:
                return None
            break
        start, stop, errors = matched
        own = _own(value[start:stop] if parts else value[:stop], text)
        if own is None:
            return None
        if parts and start > position:
            if parts[-1].text[parts[-1].stop :].strip(" ,."):
                return None  # the line has other print where its text would go on
            parts[-1] = _complete(parts[-1], value[position:start])
            completed += 1
        parts.append(Part(index, text, *own))
        wrong += max(0, errors - (len(text) - (own[1] - own[0])))
        position = stop
        while position < len(value) and value[position] == " ":
            position += 1
    rest = value[position:].strip()
    if parts and rest and rest[0] in ",." and parts[-1].stop == len(parts[-1].text):
        parts[-1] = _complete(parts[-1], rest)
        completed += rest not in (",", ".")
        rest = ""
    wrong += len(rest)
    return Found(tuple(parts), (), 1 - wrong / len(value), completed) if parts else None


def _complete(part: Part, more: str) -> Part:
    text = (part.text + ("" if more[0] in ",." else " ") + more).strip()
    return Part(part.line, text, part.start, len(text))


def _own(value: str, text: str) -> tuple[int, int] | None:
    """Where in ``text`` the print of ``value`` begins and ends: what is glued to either end is not the value's.

    One more letter on a word is print that the annotator left out. None where more letters or any digit go on: another word.
    """
    steps = Levenshtein.opcodes(fold(value), fold(text))
    start = steps[0].dest_end if steps[0].tag == "insert" else 0
    stop = steps[-1].dest_start if steps[-1].tag == "insert" else len(text)
    if start >= stop:
        return None
    for glued, near, edge in (
        (text[:start], text[start - 1 : start], text[start]),
        (text[stop:], text[stop : stop + 1], text[stop - 1]),
    ):
        if _continues(near, edge) and (edge.isdigit() or len(glued) > 1):
            return None
    if _continues(text[start - 1 : start], text[start]):
        start = 0
    if _continues(text[stop : stop + 1], text[stop - 1]):
        stop = len(text)
    while text[start] == " ":
        start += 1
    while text[stop - 1] == " ":
        stop -= 1
    return start, stop


def _best_prefix(value: str, text: str) -> tuple[int, int, int] | None:
    """(0, length, errors) of the prefix of ``value`` nearest to ``text``; None if a quarter of it is wrong."""
    lengths = range(max(1, len(text) - 4), min(len(value), len(text) + 4) + 1)
    choices = [(Levenshtein.distance(fold(value[:n]), fold(text)), abs(n - len(text)), n) for n in lengths]
    if not choices or min(choices)[0] > 0.25 * len(text):
        return None
    errors, _, length = min(choices)
    return 0, length, errors


def _next_line(value: str, position: int, text: str) -> tuple[int, int, int] | None:
    """(start, stop, errors) of ``text`` in ``value``: at ``position``, or at a later word if a comma stands there."""
    starts = [position]
    if value[position] in ",.":
        starts += [i + 1 for i in range(position, len(value) - 1) if value[i] in " ," and value[i + 1] != " "]
    matched = []
    for start in starts:
        found = _best_prefix(value[start:], text)
        if found is not None:
            stop = start + found[1]
            # The same word may stand twice in an address; a line ends the value, or was cut at a comma.
            ends = value[stop : stop + 1] in ("", ",", ".")
            matched.append((found[2], not ends, start, stop))
    if not matched:
        return None
    errors, _, start, stop = min(matched)
    return start, stop, errors
