"""Datasets of rendered, damaged documents: every sample is a pure function of the recipe and its index.

``sample(config, index)`` makes one sample alone; ``write_dataset`` makes all of them, with any number of
processes on any number of machines, into a directory that is the same byte for byte. Every draw comes from a
generator derived from the dataset seed, the document id and the image id.

Run: ``kie-hvqa simulate --config configs/simulate/tiny.yaml --out DIR``.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from degradations.asked.nothing import nothing_questions
from degradations.asked.plan import absent_questions, plan_questions
from degradations.capture.draw import draw_capture
from degradations.chance import generator
from degradations.config import SimulateConfig
from degradations.damage import damage, draw_severity, make_row
from degradations.documents import Document
from degradations.field_view import view_field
from degradations.legibility import LegibilityModel
from degradations.operators import Image
from degradations.pages import planned, split_of
from degradations.storing.manifest import DatasetSummary
from degradations.storing.shards import WHOLE, Shard
from degradations.storing.writer import Piece, Sample, extension, write_pieces
from degradations.twins import twin_samples
from kie_hvqa.data.ledger import Row
from kie_hvqa.errors import InputError

__all__ = [
    "WHOLE", "DatasetSummary", "Shard", "SimulateConfig", "clean_document", "sample", "split_of", "write_dataset",
]  # fmt: skip


def clean_document(config: SimulateConfig, index: int) -> Document:
    """Document ``index`` (0 … count - 1) before any damage."""
    return planned(config, index).render()


def document_samples(
    config: SimulateConfig,
    index: int,
    only: int | None = None,
    *,
    epoch: int | None = None,
    document: Document | None = None,
) -> Piece:
    """The (row, damaged image) pairs of document ``index``; ``only`` makes the image of that one question alone.

    ``epoch`` asks other questions and draws other damage, and stands in the ids (``…-e2-q1``); None is what is written
    to disk. ``document`` is the clean document where the caller has it already.
    """
    key = planned(config, index)
    document = document or key.render()
    name = key.document_id
    draw = name if epoch is None else f"{name}-e{epoch}"
    if config.twins:
        twins = twin_samples(config, document, key.split, draw, name, only)
        return [
            sample._replace(row=replace(sample.row, page=replace(key, printed=printed).to_json()))
            for sample, printed in twins
        ]
    group = config.questions_per_image
    rng = generator(config.seed, draw, "questions")
    if key.nothing:
        questions = nothing_questions(document, key.nothing, config.questions_per_document, group, rng)
    else:
        questions = plan_questions(
            document, config.question_kinds, config.questions_per_document, group, rng, config.false_premises
        )
    elsewhere = sorted(document.fields.items())
    piece: Piece = []
    for start in range(0, len(questions), group):
        if only is not None and not start <= only < start + group:
            continue
        image_id = f"{draw}-i{start // group}"
        rng = generator(config.seed, name, image_id)
        asked = questions[start : start + group]
        other = elsewhere[int(rng.integers(len(elsewhere)))][1].boxes
        damaged = damage(
            document.image,
            asked,
            draw_severity(rng, config.severities, asked),
            rng,
            config.operators_for(key.split, document.material),
            config.operators_per_image,
            LegibilityModel(),
            elsewhere=other,
            hide_other_prints=config.hide_other_prints,
            capture=draw_capture(document, generator(config.seed, name, image_id, "capture"), config.captures or None),
            density=document.density,
        )
        identity = {
            "document_id": name,
            "document_type": document.document_type,
            "split": key.split,
            "template": document.template,
            "page": key.to_json(),
        }
        due = [(f"{draw}-q{start + offset}", question, damaged, offset) for offset, question in enumerate(asked)]
        if only is None:
            bare = replace(damaged, slots=((),))
            beside = generator(config.seed, name, image_id, "absent beside")
            extra = absent_questions(document, config.absent_beside.get(key.split, 0), beside)  # type: ignore[call-overload]
            due += [(f"{image_id}-a{number}", question, bare, 0) for number, question in enumerate(extra)]
        for row_id, question, shown, at in due:
            if only is not None and row_id != f"{draw}-q{only}":
                continue
            file_name, window = f"{image_id}.{extension(damaged.file)}", None
            if config.view == "field":
                view = generator(config.seed, name, row_id, "view")
                shown, window = view_field(
                    document.image, question, shown, at, view, LegibilityModel(), elsewhere=other
                )
                at, file_name = 0, f"{row_id}.png"
            row = make_row(question, shown, at, id=row_id, file_name=f"images/{file_name}", view=window, **identity)
            piece.append(Sample(row, shown.image, shown.file))
    return piece


def sample(config: SimulateConfig, index: int) -> tuple[Row, Image]:
    """Sample ``index`` (0 … ``config.rows`` - 1) made alone: the row, and its image as uint8 [H, W, 3] RGB.

    Equal to the row and image that ``write_dataset`` writes. Raises InputError for an index out of range.
    """
    if not 0 <= index < config.rows:
        raise InputError(
            f"there is no sample {index} among {config.rows}", field="index", remedy="Raise count, or lower the index."
        )
    return document_samples(config, *divmod(index, config.questions_per_document))[0][:2]


def write_dataset(
    config: SimulateConfig, out: Path, *, workers: int = 1, progress: bool = False, shard: Shard = WHOLE
) -> DatasetSummary:
    """Write the dataset directory of ``config``, or ``shard`` of it, to ``out`` (DESIGN contract 1).

    Interrupted or killed, the same call goes on where it stopped. Raises InputError if ``out`` holds anything but this
    very dataset, which is then left alone; WorkError if the disk is full or a worker dies.
    """
    return write_pieces(
        partial(document_samples, config),
        config.count,
        Path(out),
        kind="simulate",
        config=config.model_dump(mode="json"),
        workers=workers,
        progress=progress,
        shard=shard,
    )
