"""What was read, as files: one JSON object a document, and a table for spreadsheets.

Both are made of kept answers, so they can be made again at no cost: a run that ends early writes what it has.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from kie_hvqa.data.files import replacing, write_text
from kie_hvqa.data.json_lines import objects
from kie_hvqa.errors import InputError
from kie_hvqa.reading.fields import Field
from kie_hvqa.reading.results import DocumentResult, of_json
from kie_hvqa.report.exports.spreadsheet import spreadsheet

RESULTS, TABLE = "results.jsonl", "results.csv"


def write_results(out: Path, results: Iterable[DocumentResult], fields: Sequence[Field]) -> Iterator[DocumentResult]:
    """Hand ``results`` on while they are written to ``out``; whatever ends them, those that came until then are there.

    Only for who holds ``out``.
    """
    error: BaseException | None = None
    with replacing(out / RESULTS) as stream:
        try:
            for result in results:
                stream.write(json.dumps(result.to_json(), ensure_ascii=True, allow_nan=False) + "\n")
                yield result
        except BaseException as raised:
            error = raised
    write_text(out / TABLE, table(read_results(out / RESULTS), fields))
    if error is not None:
        raise error


def read_results(path: Path) -> Iterator[DocumentResult]:
    """The documents of a ``results.jsonl``. InputError for anything else."""
    for line, data in objects(path, what="a document", remedy="Name a directory that `kie-hvqa read` wrote."):
        try:
            yield of_json(data)
        except (KeyError, TypeError, AttributeError, ValueError):
            raise InputError("not a document's line", file=path, line=line, remedy="Run the reading again.") from None


def table(results: Iterable[DocumentResult], fields: Sequence[Field]) -> str:
    """A line a document as CSV: of each field its value, its status and its confidence, and what a person could do."""
    head: list[object] = ["document", "pages", "status", "hint"]
    for field in fields:
        head += [field.name, f"{field.name}.status", f"{field.name}.confidence"]

    def lines() -> Iterator[list[object]]:
        yield head
        for result in results:
            cells: list[object] = [_cell(result.document), result.pages, result.status, result.hint]
            for one in result.fields:
                cells += [_cell(one.value), one.status, one.confidence]
            yield cells

    return spreadsheet(lines())


def _cell(text: str) -> str:
    """``text`` as a spreadsheet shows it and does not compute it: a page may print what looks like a formula."""
    formula = text[:1] in ("=", "+", "-", "@", "\t", "\r") and not re.fullmatch(r"[-+][\d.,]+", text)
    return f"'{text}" if formula else text
