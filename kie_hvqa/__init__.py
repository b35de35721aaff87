"""KIE-HVQA: what a reader says about a damaged document, held against what its pixels support.

This package is the benchmark itself: the vocabulary, the answer format, the scores, the readers, the
evaluator and the command line. It imports neither the simulator, the rewards nor the trainers, and
importing it does not import torch.

Five calls are what a program needs (docs/reading.md shows them)::

    from kie_hvqa import open_reader, parse, read, score, simulate

    for document in read("scans/", "embedded", fields=["date of birth", "surname"]):
        print(document.document, document["surname"].value, document["surname"].status)

Everything else may move between releases; these five do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

    from kie_hvqa.answers.answer import Parsed
    from kie_hvqa.readers import Reader
    from kie_hvqa.reading.fields import Field
    from kie_hvqa.reading.results import DocumentResult

__version__ = "0.1.0"
__all__ = ["__version__", "open_reader", "parse", "read", "score", "simulate"]


def open_reader(spec: str, **options: Any) -> Reader:
    """The reader that ``spec`` names: a checkpoint, a server, an engine (``kie_hvqa.readers``). Weights are loaded by its first use.

    ``options`` are those of the command line, with underscores: ``batch_size``, ``device``, ``prompt`` … Raises InputError for
    a spec that names nothing, and for an option that this reader does not have.
    """
    from kie_hvqa.readers import open_reader as opened

    return opened(spec, **options)


def read(
    sources: str | Path | Image | Sequence[str | Path | Image],
    reader: str | Reader = "embedded",
    *,
    fields: str | Path | Sequence[str | Field] | None = None,
    template: str | None = None,
    out: str | Path | None = None,
    operating_point: str | Path | None = None,
    dpi: int = 200,
    max_pages: int | None = None,
    workers: int = 2,
    progress: bool = False,
    **options: Any,
) -> list[DocumentResult]:
    """The fields of ``sources`` (images, TIFF and PDF files, folders, patterns of names, PIL images), one result a document.

    ``fields`` is a file of fields or a JSON Schema (a path), or a list of what a question calls them; ``template`` names a shipped set
    instead. With ``out`` answers and results are kept there, as by ``kie-hvqa read``, and the same call goes on; without, nothing is kept.
    ``dpi`` is that of PDF pages, and ``options`` are the reader's. A document or a field that failed is a result that says so. Raises InputError for
    wrong input, and WorkError for a reader that ends the run.
    """
    from kie_hvqa.reading.api import read_documents

    return read_documents(
        sources,
        reader,
        fields=fields,
        template=template,
        out=out,
        operating_point=operating_point,
        dpi=dpi,
        max_pages=max_pages,
        workers=workers,
        progress=progress,
        **options,
    )


def parse(text: str) -> Parsed:
    """What a model wrote, as a reading: ``.reading`` (None: there is none), and in ``.repairs`` how it had to be mended. Never raises."""
    from kie_hvqa.answers.answer import parse as parsed

    return parsed(text)


def score(
    predictions: str | Path, out: str | Path, *, data: str | Path | None = None, **options: Any
) -> dict[str, Any]:
    """Scores of answers that exist already, written to the directory ``out`` and returned: the content of ``metrics.json``.

    ``predictions`` holds lines ``{"id", "response"}`` about the rows of ``data``, or without it the official evaluator's lines
    ``{"answer", "response"}``. ``options``: ``split``, ``limit``, ``private``. Raises InputError naming file and line.
    """
    from kie_hvqa.runs.evaluator import score_predictions

    return score_predictions(Path(predictions), Path(out), data=data, **options)


def simulate(
    config: str | Path, out: str | Path, *, workers: int = 1, progress: bool = False, **overrides: Any
) -> Path:
    """Render and damage documents after the recipe at ``config`` into the dataset directory ``out``, and return it.

    ``overrides`` are keys of the recipe (``count=10, seed=3``). Interrupted, the same call goes on. Raises InputError for a recipe that is
    none, WorkError for a full disk.
    """
    from degradations.simulate import SimulateConfig, write_dataset  # the other room, when it is wanted and not before
    from kie_hvqa.config import load

    recipe = load(config, SimulateConfig, [f"{key}={value}" for key, value in overrides.items()])
    write_dataset(recipe, Path(out), workers=workers, progress=progress)
    return Path(out)
