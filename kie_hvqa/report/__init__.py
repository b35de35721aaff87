"""``kie-hvqa report``: runs as one HTML file that needs no network, no server and no library.

    write_report([Path("runs/demo/base"), Path("runs/demo/grpo")], Path("report.html"))

Headline scores with intervals and paired differences, the same by severity, document type and question kind, and
a gallery of damaged pictures with what each run read over every slot. The page's parts: ``page`` (numbers),
``charts`` (SVG), ``gallery``, ``pictures`` and ``marking`` (samples); its style and script are the files beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kie_hvqa.errors import InputError
from kie_hvqa.files import write_text
from kie_hvqa.report.gallery import gallery
from kie_hvqa.report.page import assemble, numbers
from kie_hvqa.runs import Run, load_run, shared_rows

__all__ = ["write_report"]


def write_report(directories: Sequence[Path], out: Path, *, samples: int = 80) -> None:
    """Write the report of the run ``directories`` to ``out``; differences are against the first.

    ``samples`` bounds the gallery, and so the size of the file. Raises InputError for what is no finished run, and for
    runs that were not asked the same questions.
    """
    if samples < 0:
        raise InputError(f"must not be negative, {samples} is", field="--samples", remedy="Mend the value.")
    if out.is_dir():
        raise InputError("this is a directory", file=out, remedy="Name an .html file.")
    runs = _load(directories)
    rows = shared_rows(runs)
    page = assemble(runs, numbers(runs, rows) + gallery(runs, rows, samples))
    # A model may write half a surrogate pair, which no file can hold.
    write_text(out, page.encode("utf-8", "replace").decode("utf-8"))


def _load(directories: Sequence[Path]) -> list[Run]:
    names = [directory.resolve().name for directory in directories]
    for index, name in enumerate(names):
        if names.count(name) > 1:  # a/metrics b/metrics: the parent tells them apart
            names[index] = "/".join(directories[index].resolve().parts[-2:])
    return [load_run(directory, name=name) for directory, name in zip(directories, names, strict=True)]
