"""``kie-hvqa eval --dry-run``: what an evaluation would read, with how many tokens, and for how long.

Nothing is written. Images count exactly where the model has a pixel budget; text counts by its characters, four a token.
The time is measured: the first rows that are missing are read once and thrown away, which also shows that the reader
starts. A server is asked nothing, because its answers may cost money, so its time stays unknown.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kie_hvqa.runs.evaluator import answered, tasks_of
from kie_hvqa.runs.predictions import read_predictions
from kie_hvqa.errors import InputError
from kie_hvqa.readers import Reader, Task, open_reader
from kie_hvqa.readers.openai_reader import OpenAIReader
from kie_hvqa.readers.transformers_reader import TransformersReader
from kie_hvqa.runs.run_directory import PREDICTIONS
from kie_hvqa.suites.rows import chosen
from kie_hvqa.torch_check import require_torch

PROBE = 8  # rows that are read for the time
_CHARACTERS = 4  # a token of English text


@dataclass(frozen=True, slots=True)
class Plan:
    """``image_tokens`` (all rows, the largest page), ``text_tokens`` and ``new_tokens`` (at most) where known;
    ``seconds`` where measured."""

    reader: str
    rows: int
    pages: int
    missing: int
    issues: int
    image_tokens: tuple[int, int] | None
    text_tokens: int | None
    new_tokens: int | None
    seconds: float | None

    def text(self) -> str:
        """As lines for a terminal."""
        lines = [
            f"reader: {self.reader}",
            f"rows: {self.rows} about {self.pages} images; {self.missing} of them are to be read",
        ]
        if self.issues:
            lines.append(f"data: {self.issues} issues, which the evaluation lists in data_issues.json")
        if self.image_tokens is not None:
            lines.append(f"image tokens: {self.image_tokens[0]:,}, the largest page {self.image_tokens[1]:,}")
        if self.text_tokens is not None and self.new_tokens is not None:
            lines.append(f"text tokens: about {self.text_tokens:,} to read, at most {self.new_tokens:,} to write")
        lines.append(f"time: {_duration(self.seconds)}")
        return "\n".join(lines)


def plan(
    data: Path,
    spec: str,
    out: Path,
    *,
    split: str | None = None,
    limit: int | None = None,
    suite: str | None = None,
    **options: Any,
) -> Plan:
    """The plan of ``evaluate`` with the same arguments. InputError where that would raise one before reading."""
    dataset = chosen(data, split=split, limit=limit, suite=suite)
    reader = open_reader(spec, **options)
    tasks, issues = tasks_of(dataset)
    log = out / PREDICTIONS
    kept = read_predictions(log, repeated=True) if log.is_file() else {}
    done = answered(reader, tasks, kept)
    missing = [task for task in tasks if task.row.id not in done]
    samples = getattr(reader, "samples", 1)
    written = getattr(reader, "max_new_tokens", None)
    return Plan(
        reader=reader.name,
        rows=len(tasks),
        pages=len({task.image for task in tasks}),
        missing=len(missing),
        issues=len(dataset.issues) + len(issues),
        image_tokens=_image_tokens(reader, missing),
        text_tokens=None if written is None else sum(len(reader.asks(task.row)) for task in missing) // _CHARACTERS,
        new_tokens=None if written is None else len(missing) * samples * written,
        seconds=_seconds(reader, missing),
    )


def _image_tokens(reader: Reader, tasks: list[Task]) -> tuple[int, int] | None:
    from PIL import Image

    from kie_hvqa.data.pixels import image_size, image_tokens

    reader = getattr(reader, "reader", reader)  # one that also reads again shows the same
    if not isinstance(reader, TransformersReader) or reader.budget is None or not tasks:
        return None
    require_torch()  # before qwen_vl_utils, which counts, imports torchvision on its own
    sizes = {}
    for page in {task.image for task in tasks}:
        try:
            sizes[page] = image_tokens(*image_size(page), reader.budget)
        except InputError:  # that row's issue: it is not shown to the model
            sizes[page] = 0
    counts = [sizes[task.image] for task in tasks]
    return sum(counts), max(counts)


def _seconds(reader: Reader, tasks: list[Task]) -> float | None:
    if isinstance(getattr(reader, "reader", reader), OpenAIReader):
        return None
    if not tasks:
        return 0.0
    first = next(iter(reader.read(tasks[:1])), None)  # loads the weights, which is done once
    assert first is not None
    step = max(1, len(tasks) // PROBE)  # spread over the rows: neighbours are alike
    probe = list(itertools.islice(tasks, 0, None, step))[:PROBE]
    start = time.perf_counter()
    read = sum(1 for _ in reader.read(probe))
    return (time.perf_counter() - start) / read * len(tasks)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "unknown, it depends on the server"
    if seconds < 90:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} minutes" if seconds < 5400 else f"about {seconds / 3600:.1f} hours"
