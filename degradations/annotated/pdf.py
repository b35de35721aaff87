"""PDF files with a text layer: real layouts, and a ledger that is true, because the file says where every character is.

Every page is rendered and becomes a document. What is asked stands in a fields file (``{FILE: {field: value as printed}}``) or,
without one, is every ``Label: value`` that the page prints. All print is known, so every other print of a value is a copy.

A text layer can lie (an OCR engine's below a scan, hidden text): a value is left out where the rendering has no ink in one
of its characters' boxes.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from ctypes import byref, c_int
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from degradations.annotated.boxes import around, same_row
from degradations.annotated.foreign import slug
from degradations.annotated.text import clean
from degradations.annotated.values import AnnotatedLine, Part, find_value
from degradations.asked.question import Question
from degradations.config import DegradeConfig
from degradations.degrade import AnnotatedPage, write_pages
from degradations.operators import Image
from degradations.storing.manifest import DatasetSummary
from kie_hvqa.data.ledger import Box
from kie_hvqa.errors import InputError
from kie_hvqa.extras import remedy

_RESOLUTION = 200  # dots an inch, unless ``max_pixels`` asks for fewer: small print is legible, as on a scan
_COLUMN = 1.5  # a gap of so many text heights parts a label from its value
_INK = 12  # grey levels between a character and its ground below which nothing is printed there


@dataclass(frozen=True, slots=True)
class PdfLine:
    """One run of print: clean text and one box a character, in pixels of the rendered page."""

    text: str
    boxes: tuple[Box, ...]


def write_pdfs(
    config: DegradeConfig,
    files: Sequence[Path],
    fields: Path | None,
    out: Path,
    *,
    progress: bool = False,
    workers: int = 1,
) -> DatasetSummary:
    """Damage every page of ``files`` into ``out``; as ``degrade.write_degraded``, whose ledger it shares.

    Raises InputError for a file that is no PDF, is locked, or has no text layer, and for fields of files that are not there.
    """
    asked = _asked(fields, files)
    loads = []
    for file, name in zip(files, _names(files), strict=True):
        pages = [lines for _, lines in _pages(file, config.max_pixels, render=False)]
        if not any(pages):
            raise InputError(
                "there is no text layer", file=file, remedy="Annotate its pages, or name a PDF that was not scanned."
            )
        values: list[dict[str, str]] = [{} for _ in pages]
        notes: list[str] = []
        if asked is not None:
            for key, value in asked.get(file.name, {}).items():
                number = next((i for i, lines in enumerate(pages) if _find(key, value, lines)), None)
                if number is None:
                    notes.append(
                        f"{name} {key}: {'a value' if config.private else repr(value)} is not among the printed lines"
                    )
                else:
                    values[number][key] = value
        for number, wanted in enumerate(values):
            called = name if len(pages) == 1 else f"{name}-p{number + 1}"
            known = None if asked is None else wanted
            loads.append(
                partial(load_pdf_page, config, file, number, called, known, tuple(notes) if number == 0 else ())
            )
    sources = [*files, *([fields] if fields else [])]
    return write_pages(config, loads, sources, files[0], out, progress=progress, workers=workers)


def load_pdf_page(
    config: DegradeConfig,
    file: Path,
    number: int,
    name: str,
    values: Mapping[str, str] | None,
    notes: tuple[str, ...] = (),
) -> AnnotatedPage:
    """Page ``number`` (from 0) rendered, with ``values`` (field to text) or, if None, its labelled ones asked about."""
    ((image, lines),) = _pages(file, config.max_pixels, render=True, only=number)
    assert image is not None
    names = config.fields or {}
    wanted = {key: (names.get(key, key.replace("_", " ")), value) for key, value in (values or {}).items()}
    if values is None:
        wanted = labelled(lines)
    questions, left = [], list(notes)
    for key, (called, value) in wanted.items():
        found = _find(key, value, lines)
        if found is None:
            left.append(f"{name} {key}: {'it' if config.private else repr(value)} is not among the printed lines")
            continue
        first, *copies = (
            [(part.line, part.start, part.stop) for part in found[0]],
            *([(p.line, p.start, p.stop)] for p in found[1]),
        )
        boxes = _joined(first, lines)
        if not all(_inked(image, box) for box, char in zip(boxes, found[2], strict=True) if not char.isspace()):
            left.append(f"{name} {key}: there is no ink where its text is said to be")
            continue
        others = tuple(_joined(copy, lines) for copy in copies)
        seen = tuple(copy for copy in others if all(_inked(image, box) for box in copy))
        questions.append(Question("answerable", key, called, found[2], boxes, seen))
    return AnnotatedPage(name, "document", image, tuple(questions), tuple(left))


def labelled(lines: Sequence[PdfLine]) -> dict[str, tuple[str, str]]:
    """Field to (label, value) of every ``Label: value``, in one run or in two on a row. A label that stands twice asks for nothing."""
    found: list[tuple[str, str]] = []
    for line in lines:
        label, colon, value = line.text.partition(": ")
        if not colon and line.text.endswith(":"):
            label, here = line.text[:-1], around([v for box in line.boxes for v in box])
            right = [
                (other.boxes[0][0], other.text)
                for other in lines
                if other.boxes[0][0] >= here[2] and same_row(here, around([v for box in other.boxes for v in box]))
            ]
            value = min(right)[1] if right else ""
        value = value.strip()
        if (
            2 <= len(label) <= 40
            and any(char.isalpha() for char in label)
            and value
            and ":" not in label + value.replace(":", "", 1)
        ):
            found.append((label.strip(), value))
    keys = [slug(label) for label, _ in found]
    return {key: pair for key, pair in zip(keys, found, strict=True) if keys.count(key) == 1}


def _find(key: str, value: str, lines: Sequence[PdfLine]) -> tuple[tuple[Part, ...], tuple[Part, ...], str] | None:
    """The parts and copies of ``value``, letter for letter; None where it is not printed so."""
    boxed = [AnnotatedLine(text=line.text, box=around([v for box in line.boxes for v in box])) for line in lines]
    found = find_value(key, value, boxed, 1.0)
    if found is None or found.completed or found.similarity < 1:
        return None
    return found.parts, found.copies, found.value


def _joined(parts: Sequence[tuple[int, int, int]], lines: Sequence[PdfLine]) -> tuple[Box, ...]:
    boxes: list[Box] = []
    for line, start, stop in parts:
        if boxes:  # the word space between two lines stands at the end of the first
            _, y0, x1, y1 = boxes[-1]
            boxes.append((x1, y0, x1 + 0.3 * (y1 - y0), y1))
        boxes += lines[line].boxes[start:stop]
    return tuple(boxes)


def _inked(image: Image, box: Box) -> bool:
    x0, y0, x1, y1 = (round(v) for v in box)
    part = image[max(0, y0) : y1 + 1, max(0, x0) : x1 + 1]
    return part.size > 0 and int(np.ptp(cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_RGB2GRAY))) >= _INK


def _names(files: Sequence[Path]) -> list[str]:
    stems = [file.stem for file in files]
    for index, file in enumerate(files):
        if file in files[:index] or stems.count(file.stem) > 1:
            raise InputError(
                f"two files are called {file.name!r}", file=file, field="--pdf", remedy="Rename one of them."
            )
    return stems


def _asked(fields: Path | None, files: Sequence[Path]) -> dict[str, dict[str, str]] | None:
    if fields is None:
        return None
    try:
        data: Any = json.loads(fields.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"not a JSON file ({type(error).__name__})", file=fields, field="--fields", remedy="Name a JSON file."
        ) from None
    names = [file.name for file in files]
    if not isinstance(data, dict):
        raise InputError(
            "this is a JSON object", file=fields, remedy='Write {"FILE.pdf": {"field": "value as printed"}}.'
        )
    for name, values in data.items():
        if name not in names:
            raise InputError(
                "no such file is named by --pdf", file=fields, field=name, remedy=f"Use {', '.join(names)}."
            )
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise InputError("a file's fields map names to texts", file=fields, field=name, remedy="Mend it.")
        if bad := next((key for key in values if slug(key) != key.lower()), None):
            raise InputError(
                "a field's name is letters, digits and _", file=fields, field=f"{name}.{bad}", remedy="Rename it."
            )
    return data


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    try:
        import pypdfium2
    except ImportError:
        raise InputError("reading PDF files needs pypdfium2", field="--pdf", remedy=remedy("pdf")) from None
    try:
        document = pypdfium2.PdfDocument(file)
    except (OSError, pypdfium2.PdfiumError) as error:
        raise InputError(
            f"cannot be read as a PDF ({error})", file=file, field="--pdf", remedy="Name an unlocked PDF file."
        ) from None
    try:
        yield document
    finally:
        document.close()


def _pages(
    file: Path, max_pixels: int, *, render: bool, only: int | None = None
) -> Iterator[tuple[Image | None, list[PdfLine]]]:
    """Each page's picture (uint8 [H, W, 3] RGB, None without ``render``) and its runs of print in the picture's pixels."""
    with _opened(file) as document:
        for number in range(len(document)) if only is None else (only,):
            page = document[number]
            width, height = page.get_size()
            scale = min(_RESOLUTION / 72, (max_pixels / max(1.0, width * height)) ** 0.5)
            image = None
            if render:
                image = np.ascontiguousarray(page.render(scale=scale, rev_byteorder=True).to_numpy()[:, :, :3])
            size = (
                (max(1, round(width * scale)), max(1, round(height * scale))) if image is None else image.shape[1::-1]
            )
            yield image, _lines(page, (int(size[0]), int(size[1])))


def _lines(page: Any, size: tuple[int, int]) -> list[PdfLine]:
    """The page's print from its text layer: runs from left to right, parted at line ends and wide gaps."""
    from pypdfium2 import raw

    def place(x: float, y: float) -> tuple[float, float]:
        # PageToDevice counts whole pixels: thousandths of one, to keep fractions.
        column, row = c_int(), c_int()
        raw.FPDF_PageToDevice(page, 0, 0, 1000 * size[0], 1000 * size[1], 0, x, y, byref(column), byref(row))
        return column.value / 1000, row.value / 1000

    text = page.get_textpage()
    runs: list[list[tuple[str, Box]]] = [[]]
    for index in range(text.count_chars()):
        char = chr(raw.FPDFText_GetUnicode(text, index))
        if char in "\r\n\x00\ufffe":
            runs.append([])
            continue
        if char.isspace():  # often made up by the reader, without a place of its own
            if runs[-1] and not runs[-1][-1][0].isspace():
                _, (_, y0, x1, y1) = runs[-1][-1]
                runs[-1].append((" ", (x1, y0, x1, y1)))
            continue
        left, bottom, right, top = text.get_charbox(index, loose=True)
        box = around([*place(left, bottom), *place(right, top)])
        if runs[-1] and not _follows(runs[-1][-1][1], box):
            runs.append([])
        _append(runs[-1], char, box)
    return [line for run in runs if (line := _line(run)) is not None]


def _follows(last: Box, box: Box) -> bool:
    height = max(last[3] - last[1], 1.0)
    return same_row(last, box) and -0.5 * height < box[0] - last[2] < _COLUMN * height


def _append(run: list[tuple[str, Box]], char: str, box: Box) -> None:
    """``char`` as the ledger has it: composed with the letter before, a ligature as letters of equal width."""
    if run and unicodedata.combining(char):
        before, old = run[-1]
        joined = unicodedata.normalize("NFC", before + char)
        if len(joined) == 1:
            run[-1] = (joined, around([*old, *box]))
        return
    shown = clean(char)
    if run and run[-1][0] == " ":  # a word space fills the gap
        _, (x0, y0, _, y1) = run[-1]
        run[-1] = (" ", (x0, y0, max(x0, box[0]), y1))
    step = (box[2] - box[0]) / max(1, len(shown))
    run += [(part, (box[0] + i * step, box[1], box[0] + (i + 1) * step, box[3])) for i, part in enumerate(shown)]


def _line(run: list[tuple[str, Box]]) -> PdfLine | None:
    while run and run[-1][0] == " ":
        run.pop()
    text = "".join(char for char, _ in run)
    if not text.strip() or clean(text) != text:
        return None
    return PdfLine(text, tuple(box for _, box in run))
