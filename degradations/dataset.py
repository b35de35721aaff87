"""Datasets of rendered, damaged documents: every sample is a pure function of the recipe and its index.

``sample(config, index)`` makes one sample alone; ``write_dataset`` makes all of them, with any number of
processes, into a directory that is the same byte for byte. Every draw comes from a generator derived from the
dataset seed, the document id and the image id.

Run: ``kie-hvqa simulate --config configs/simulate/tiny.yaml --out DIR``.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from degradations import documents
from degradations.chance import generator
from degradations.config import SPLITS, SimulateConfig
from degradations.damage import damage, draw_severity, make_row
from degradations.documents import TEMPLATES, Document
from degradations.legibility import LegibilityModel
from degradations.operators import Image
from degradations.questions import plan_questions
from degradations.recipe import pick
from degradations.writer import DatasetSummary, Piece, write_pieces
from kie_hvqa.errors import InputError
from kie_hvqa.ledger import Row

__all__ = ["DatasetSummary", "SimulateConfig", "clean_document", "sample", "split_of", "write_dataset"]

_GOLDEN = 0.6180339887498949


def document_id(config: SimulateConfig, index: int) -> str:
    return f"s{config.seed}-d{index:06d}"


def split_of(config: SimulateConfig, index: int) -> str:
    """The split of document ``index``: spread evenly, so that even a short dataset has its shares."""
    total = sum(config.splits.values())
    position = (index + 0.5) * _GOLDEN % 1.0 * total
    last = ""
    for name in SPLITS:
        share = config.splits.get(name, 0.0)
        if share > 0:
            last = name
            position -= share
            if position < 0:
                break
    return last


def clean_document(config: SimulateConfig, index: int) -> Document:
    """Document ``index`` (0 … count - 1) before any damage."""
    if not 0 <= index < config.count:
        raise InputError(
            f"there is no document {index} among {config.count}",
            field="index",
            remedy="Raise count, or lower the index.",
        )
    rng = generator(config.seed, document_id(config, index), "page")
    weights = config.templates or dict.fromkeys(TEMPLATES, 1.0)
    names = sorted(weights)
    template = pick(rng, names, [weights[name] for name in names])
    kinds = sorted(config.values)
    values = pick(rng, kinds, [config.values[kind] for kind in kinds])
    return documents.render(template, rng, split=split_of(config, index), scale=config.scale, values=values)


def document_samples(config: SimulateConfig, index: int, only: int | None = None) -> Piece:
    """The (row, damaged image) pairs of document ``index``; ``only`` makes the image of that one question alone."""
    name = document_id(config, index)
    document = clean_document(config, index)
    split = split_of(config, index)
    group = config.questions_per_image
    rng = generator(config.seed, name, "questions")
    questions = plan_questions(document, config.question_kinds, config.questions_per_document, group, rng)
    elsewhere = sorted(document.fields.items())
    piece: Piece = []
    for start in range(0, len(questions), group):
        if only is not None and not start <= only < start + group:
            continue
        image_id = f"{name}-i{start // group}"
        rng = generator(config.seed, name, image_id)
        asked = questions[start : start + group]
        other = elsewhere[int(rng.integers(len(elsewhere)))][1].boxes
        damaged = damage(
            document.image,
            asked,
            draw_severity(rng, config.severities, asked),
            rng,
            config.operators_for(split),
            config.operators_per_image,
            LegibilityModel(),
            elsewhere=other,
        )
        for offset, question in enumerate(asked):
            row = make_row(
                question,
                damaged,
                offset,
                id=f"{name}-q{start + offset}",
                file_name=f"images/{image_id}.png",
                document_id=name,
                document_type=document.document_type,
                split=split,
                template=document.template,
            )
            if only is None or only == start + offset:
                piece.append((row, damaged.image))
    return piece


def sample(config: SimulateConfig, index: int) -> tuple[Row, Image]:
    """Sample ``index`` (0 … ``config.rows`` - 1) made alone: the row, and its image as uint8 [H, W, 3] RGB.

    Equal to the row and image that ``write_dataset`` writes. Raises InputError for an index out of range.
    """
    if not 0 <= index < config.rows:
        raise InputError(
            f"there is no sample {index} among {config.rows}", field="index", remedy="Raise count, or lower the index."
        )
    return document_samples(config, *divmod(index, config.questions_per_document))[0]


def write_dataset(config: SimulateConfig, out: Path, *, workers: int = 1, progress: bool = False) -> DatasetSummary:
    """Write the dataset directory of ``config`` to ``out`` (DESIGN contract 1).

    Raises InputError if ``out`` holds anything but this very dataset, which is then left alone; WorkError if the disk
    is full or a worker dies. Nothing half-written is left behind in either case.
    """
    return write_pieces(
        partial(document_samples, config),
        config.count,
        Path(out),
        kind="simulate",
        config=config.model_dump(mode="json"),
        workers=workers,
        progress=progress,
    )
