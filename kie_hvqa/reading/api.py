"""``kie_hvqa.read``: the command's work for a program, which may bring its pictures in memory and keep nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kie_hvqa.confidence.operating_point import OperatingPoint
from kie_hvqa.errors import InputError
from kie_hvqa.readers import Reader, open_reader
from kie_hvqa.reading.by_label import for_fields
from kie_hvqa.reading.fields import Field, checked, load_fields
from kie_hvqa.reading.results import DocumentResult
from kie_hvqa.reading.run import Run
from kie_hvqa.reading.sources import documents
from kie_hvqa.reading.writing import write_results

if TYPE_CHECKING:
    from PIL.Image import Image

    Source = str | Path | Image


def read_documents(
    sources: Source | Sequence[Source],
    reader: str | Reader,
    *,
    fields: str | Path | Sequence[str | Field] | None,
    template: str | None,
    out: str | Path | None,
    operating_point: str | Path | None,
    dpi: int,
    max_pages: int | None,
    workers: int,
    progress: bool,
    **options: Any,
) -> list[DocumentResult]:
    """See ``kie_hvqa.read``."""
    asked = _fields(fields, template)
    point = None if operating_point is None else OperatingPoint.load(Path(operating_point))
    opened = open_reader(reader, **options) if isinstance(reader, str) else reader
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kie-hvqa-read-")))
        reading = Run(
            documents(_files(sources, place)),
            for_fields(opened, asked),
            asked,
            place / "out" if out is None else Path(out),
            dpi=dpi,
            workers=workers,
            most_pages=max_pages,
            point=point,
            point_file=None if operating_point is None else Path(operating_point),
            progress=progress,
        )
        with reading.claimed():
            return list(write_results(reading.out, reading.results(), asked))


def _fields(fields: str | Path | Sequence[str | Field] | None, template: str | None) -> tuple[Field, ...]:
    if (fields is None) == (template is None):
        raise InputError(
            "nothing says what to read, or two things do", field="fields", remedy="Give fields or template."
        )
    if template is not None:
        from kie_hvqa.commands.read import template_fields

        return template_fields(template)
    assert fields is not None
    if isinstance(fields, str | Path):
        return load_fields(Path(fields))
    return checked([Field.called(field) if isinstance(field, str) else field for field in fields])


def _files(sources: Source | Sequence[Source], place: Path) -> list[str | Path]:
    """``sources`` as paths; pictures in memory are written to ``place``, called image-1 and so on."""
    every = [sources] if isinstance(sources, str | Path) or not isinstance(sources, Sequence) else sources
    found: list[str | Path] = []
    for number, source in enumerate(every, start=1):
        if isinstance(source, str | Path):
            found.append(source)
            continue
        file = place / f"image-{number}.png"
        source.save(file, "PNG", compress_level=1)
        found.append(file)
    return found
