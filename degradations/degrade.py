"""Real annotated documents, damaged with the same operators and judged by the same legibility as rendered ones.

Run: ``kie-hvqa degrade --annotations A.jsonl --images DIR --out DIR [--config configs/simulate/receipts.yaml]``, or with
``--format sroie`` (funsd, cord, wildreceipt, label-studio) a published set as it is.

The clean page is the scan as it is, so ``clear`` means "as legible as in the scan". A field that cannot be found
among the printed lines, or whose line does not hold its text, is left out and named in ``dataset.json`` (``notes``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from degradations.annotated.charboxes import fit_characters
from degradations.annotated.formats import documents as documents_of
from degradations.annotated.text import right_to_left
from degradations.annotated.turned import as_seen, swaps_sides
from degradations.annotated.values import Annotation, Found, Part, document_names, find_value
from degradations.asked.question import Question
from degradations.chance import generator
from degradations.config import DegradeConfig
from degradations.damage import damage, draw_severity, make_row
from degradations.field_view import view_field
from degradations.legibility import LegibilityModel
from degradations.operators import Image
from degradations.recent import Recent
from degradations.storing.manifest import DatasetSummary
from degradations.storing.writer import Piece, Sample, write_pieces
from kie_hvqa.data.files import sha256
from kie_hvqa.data.image_paths import Inside
from kie_hvqa.data.ledger import Box, QuestionKind
from kie_hvqa.data.pixels import open_image, orientation_of
from kie_hvqa.errors import InputError

TEMPLATE = "scan"
_KEPT = 256 << 20  # bytes of pages
_NOT_PRINTED = "is not among the printed lines"
_NOT_ANNOTATED = "is not annotated"


@dataclass(frozen=True, slots=True)
class AnnotatedPage:
    """One scan, reduced to the pixel budget: ``image`` uint8 [H, W, 3] RGB and the fields found on it.

    ``notes`` say what was left out or completed, and why.
    """

    name: str
    document_type: str
    image: Image
    questions: tuple[Question, ...]
    notes: tuple[str, ...]


def load_page(
    config: DegradeConfig,
    annotations: Path,
    line: int | None,
    annotation: Annotation,
    images: Path,
    name: str | None = None,
) -> AnnotatedPage:
    """Read the scan of ``annotation`` and find its fields; ``name`` is what ids call the document, else its file's name.

    Raises InputError (file, line, remedy) for a bad image.
    """
    try:
        Inside(images, "image directory").check(annotation.file_name)
    except InputError as error:
        raise InputError(error.what, file=annotations, line=line, field="file_name", remedy=error.remedy) from None
    try:
        picture = open_image(images / annotation.file_name)
    except InputError as error:
        what = f"{error.what}: {images / annotation.file_name}"
        raise InputError(what, file=annotations, line=line, field="file_name", remedy=error.remedy) from None
    annotation = _as_seen(annotation, images, picture.size)
    if picture.size != annotation.size:
        raise InputError(
            f"size says {list(annotation.size)} and the image has {list(picture.size)} pixels",
            file=annotations,
            line=line,
            field="size",
            remedy="Correct the size, and the boxes with it.",
        )
    image = np.asarray(picture)
    scale = min(1.0, (config.max_pixels / (image.shape[0] * image.shape[1])) ** 0.5)
    if scale < 1:
        size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    shown = (lambda value: "a value") if config.private else repr
    questions, notes = [], []
    name = name or document_names([annotation.file_name])[0]
    excluded = config.exclude.get(name, {})
    wanted = config.fields
    if wanted is None:
        wanted = {key: annotation.names.get(key, key.replace("_", " ")) for key in annotation.fields}
    for key, asked in wanted.items():
        value = " ".join(annotation.fields.get(key, "").split())
        if not value:
            notes.append(f"{name} {key}: {_NOT_ANNOTATED}")
            continue
        if key in excluded:
            notes.append(f"{name} {key}: left out by the recipe ({excluded[key]})")
            continue
        found = find_value(key, value, annotation.lines, config.min_similarity, annotation.where.get(key, ()))
        if found is None:
            notes.append(f"{name} {key}: {shown(value)} {_NOT_PRINTED}")
            continue
        question, why = _question(image, scale, annotation, key, asked, found)
        if question is None:
            notes.append(f"{name} {key}: {'it cannot be placed' if config.private else why}")
            continue
        questions.append(question)
        if found.completed:
            notes.append(f"{name} {key}: {found.completed} line(s) completed from the field's value")
        if found.value != value:
            notes.append(f"{name} {key}: asked {shown(value)}, printed {shown(found.value)}")
    return AnnotatedPage(name, annotation.document_type, image, tuple(questions), tuple(notes))


def _as_seen(annotation: Annotation, images: Path, upright: tuple[int, int]) -> Annotation:
    """The annotation in upright pixels: somebody may have annotated the stored ones, which only EXIF data turn."""
    width, height = annotation.size
    orientation = orientation_of(images / annotation.file_name)
    if annotation.size == upright or (height, width) != upright or not swaps_sides(orientation):
        return annotation
    lines = [
        line.model_copy(update={"box": as_seen(line.box, orientation, annotation.size)}) for line in annotation.lines
    ]
    return annotation.model_copy(update={"size": upright, "lines": lines})


def _question(
    image: Image, scale: float, annotation: Annotation, key: str, asked: str, found: Found
) -> tuple[Question | None, str]:
    boxes: list[Box] = []
    for part in found.parts:
        placed = _place(image, scale, annotation, part)
        if isinstance(placed, str):
            return None, placed
        if boxes:  # the word space between two lines stands at the end of the first
            _, y0, x1, y1 = boxes[-1]
            boxes.append((x1, y0, min(float(image.shape[1]), x1 + 0.3 * (y1 - y0)), y1))
        boxes += placed
    copies = []
    for part in found.copies:
        placed = _place(image, scale, annotation, part)
        if isinstance(placed, str):
            return None, f"another print of it cannot be placed ({placed})"
        copies.append(tuple(placed))
    return Question("answerable", key, asked, found.value, tuple(boxes), tuple(copies)), ""


def _place(image: Image, scale: float, annotation: Annotation, part: Part) -> list[Box] | str:
    """The boxes of the part's characters, or why there are none."""
    x0, y0, x1, y1 = (value * scale for value in annotation.lines[part.line].box)
    if right_to_left(part.text):
        return f"line {part.text!r} is written from right to left, and which box is whose cannot be told"
    try:
        fit = fit_characters(image, (x0, y0, x1, y1), part.text)
    except ValueError as error:
        return f"line {part.text!r}: {error}"
    if not fit.plausible:
        return (
            f"line {part.text!r} does not fill its box (letters {fit.aspect:.2f} as wide as high, cost {fit.cost:.2f})"
        )
    return list(fit.boxes[part.start : part.stop])


def page_samples(config: DegradeConfig, page: AnnotatedPage) -> Piece:
    """The (row, damaged image) pairs of one page: each field ``samples_per_field`` times, each with its own damage."""
    piece: Piece = []
    for question in page.questions:
        for index in range(config.samples_per_field):
            sample_id = f"{page.name}-{question.field}-{index}"
            rng = generator(config.seed, page.name, sample_id)
            planned: QuestionKind = "unreadable" if rng.random() < config.unreadable else "answerable"
            asked = Question(planned, question.field, question.name, question.value, question.boxes, question.copies)
            damaged = damage(
                page.image,
                [asked],
                draw_severity(rng, config.severities, [asked]),
                rng,
                config.operators,
                config.operators_per_image,
                LegibilityModel(),
            )
            window = None
            if config.view == "field":
                view = generator(config.seed, page.name, sample_id, "view")
                damaged, window = view_field(page.image, asked, damaged, 0, view, LegibilityModel())
            row = make_row(
                asked,
                damaged,
                0,
                id=sample_id,
                file_name=f"images/{sample_id}.png",
                document_id=page.name,
                document_type=page.document_type,
                split=config.split,
                template=TEMPLATE,
                view=window,
            )
            piece.append(Sample(row, damaged.image))
    return piece


def write_degraded(
    config: DegradeConfig,
    annotations: Path,
    images: Path | None,
    out: Path,
    *,
    layout: str = "jsonl",
    progress: bool = False,
    workers: int = 1,
) -> DatasetSummary:
    """Write the dataset directory of the annotated documents to ``out`` (DESIGN contract 1).

    ``layout`` is one of ``annotated.formats.FORMATS``; without ``images`` they lie where the annotations do. Raises InputError
    for anything wrong in the annotations or images (file, line, remedy), or if ``out`` holds anything but this very dataset;
    WorkError if the disk is full. ``notes`` of the result name every field that was left out.
    """
    annotations = Path(annotations)
    root = Path(images) if images is not None else annotations if annotations.is_dir() else annotations.parent
    documents = documents_of(layout, annotations, root)
    if not documents:
        raise InputError("there are no annotations", file=annotations, remedy="Is this the right file and --format?")
    names = document_names([annotation.file_name for _, _, annotation in documents])
    pages = [
        partial(load_page, config, source, line, annotation, root, name)
        for name, (source, line, annotation) in zip(names, documents, strict=True)
    ]
    files = [annotations] if layout == "jsonl" else sorted({source for source, _, _ in documents})
    return write_pages(config, pages, files, annotations, out, progress=progress, workers=workers)


def write_pages(
    config: DegradeConfig,
    pages: Sequence[Callable[[], AnnotatedPage]],
    files: Sequence[Path],
    named: Path,
    out: Path,
    *,
    progress: bool,
    workers: int,
) -> DatasetSummary:
    """Damage ``pages``, which ``files`` tell of, into ``out``; an error about all of them is about ``named``."""
    # Every image is opened before the first is damaged: a truncated one is found now, not after an hour. As many as fit are
    # kept: finding where every character stands takes as long as damaging it.
    kept: Recent[int, AnnotatedPage] = Recent(_KEPT, _bytes)
    notes: list[str] = []
    found = 0
    for index, load in enumerate(pages):
        page = kept.get(index, load)
        notes += page.notes
        found += len(page.questions)
    if not found:
        # That a value stands nowhere is the least that can be said: another field's reason helps more.
        idle = (_NOT_PRINTED, _NOT_ANNOTATED)
        first = next(
            (note for note in notes if not note.endswith(idle)), notes[0] if notes else "no field is annotated"
        )
        wanted = "the fields that are asked for" if config.fields is None else ", ".join(config.fields)
        raise InputError(
            f"there is nothing to ask about: {first}",
            file=named,
            field="fields",
            remedy=f"Check that fields has {wanted} and lines their printed text.",
        )
    digests = [sha256(file) for file in files]
    digest = digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    return write_pieces(
        partial(_piece, config, pages, kept),
        len(pages),
        Path(out),
        kind="degrade",
        config={**config.model_dump(mode="json"), "annotations_sha256": digest},
        workers=workers,
        progress=progress,
        notes=notes,
    )


def _bytes(page: AnnotatedPage) -> int:
    return page.image.nbytes


def _piece(
    config: DegradeConfig, pages: Sequence[Callable[[], AnnotatedPage]], kept: Recent[int, AnnotatedPage], index: int
) -> Piece:
    return page_samples(config, kept.get(index, pages[index]))
