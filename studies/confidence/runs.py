"""The runs behind docs/confidence.json, each made once and gone on with where it was interrupted.

pages              cards and bills of ``pages.yaml``: nobody's training data, and nobody's test
trained            a trained reader on all of them
drawn              the same reader on some of them, with eight answers drawn and the field blacked out
rapidocr           an engine, told where each field lies; one question a document, because it takes as long for each as a reader for ten
served             the embedded reader behind ``kie-hvqa serve``: a model that is seen over HTTP alone, with the probability of each token
…_receipts         real receipts with annotated lines, damaged: print that no point was made on
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kie_hvqa import simulate
from kie_hvqa.data.dataset import METADATA, load_rows
from kie_hvqa.data.files import write_text
from kie_hvqa.errors import WorkError
from kie_hvqa.runs.evaluator import evaluate

PAGES = Path(__file__).with_name("pages.yaml")
SAMPLES = 8


def make(
    reader: str,
    out: Path,
    *,
    count: int,
    drawn: int,
    limit: int | None = None,
    receipts: tuple[Path, Path] | None = None,
    receipt_rows: int = 200,
    only: tuple[str, ...] = (),
) -> None:
    """Make what is missing under ``out``: ``count`` documents, of which readers are asked the first ``limit`` rows (None: all) and answers are
    drawn about the first ``drawn``, and ``receipt_rows`` rows about ``receipts`` (annotations, folder of images) if there are any. ``only`` names runs."""
    pages = out / "pages"
    if not (pages / METADATA).is_file():
        simulate(PAGES, pages, count=count)
    steps: dict[str, Callable[[], object]] = {
        "trained": lambda: evaluate(pages, reader, out / "trained", limit=limit, batch_size=32),
        "drawn": lambda: evaluate(
            pages, reader, out / "drawn", limit=drawn, signals=("agreement", "contrast"), samples=SAMPLES, batch_size=32
        ),
        "rapidocr": lambda: evaluate(_first(pages, out / "first"), "rapidocr:threads=1", out / "rapidocr"),
        "served": lambda: _served(pages, out / "served", limit),
    }
    if receipts is not None:
        real = out / "receipts"
        steps["receipts"] = lambda: _damaged(*receipts, real)
        steps["rapidocr_receipts"] = lambda: evaluate(real, "rapidocr", out / "rapidocr_receipts", limit=receipt_rows)
        steps["trained_receipts"] = lambda: evaluate(real, reader, out / "trained_receipts", limit=receipt_rows)
    for name, step in steps.items():
        if not only or name in only:
            print(name, flush=True)
            step()


def _damaged(annotations: Path, images: Path, out: Path) -> None:
    from degradations.config import DegradeConfig
    from degradations.degrade import write_degraded

    if not (out / METADATA).is_file():
        write_degraded(DegradeConfig(), annotations, images, out, progress=True, workers=1)


def _first(pages: Path, out: Path) -> Path:
    """A dataset of the first row of each document of ``pages``."""
    if not (out / METADATA).is_file():
        first = {row.document_id: row for row in reversed(load_rows(pages))}
        (out / "images").mkdir(parents=True, exist_ok=True)
        for row in first.values():
            shutil.copy(pages / row.file_name, out / row.file_name)
        write_text(out / METADATA, "".join(json.dumps(row.to_json()) + "\n" for row in reversed(first.values())))
    return out


def _served(pages: Path, out: Path, limit: int | None) -> None:
    with server("embedded") as url:
        evaluate(pages, f"openai:embedded@{url}", out, limit=limit, prompt="question", concurrency=2)


@contextmanager
def server(model: str) -> Iterator[str]:
    """The URL of ``kie-hvqa serve MODEL`` in a process of its own. WorkError where it does not start."""
    command = [sys.executable, "-m", "kie_hvqa", "serve", model, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("serving "):
            raise WorkError(f"`{' '.join(command[2:])}` did not start")
        yield line.split()[-1]
    finally:
        process.terminate()
        process.wait()
