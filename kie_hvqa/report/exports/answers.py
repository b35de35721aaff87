"""Every answer of some runs as one table, for a spreadsheet or a data frame: ``kie-hvqa report RUN … --out ANSWERS.csv``.

One line a run and question: what was printed and how much of it could be read, what the run made of it, slot by slot, which
errors that is, and the answer as it was written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kie_hvqa.answers.answer import MARK, parse
from kie_hvqa.answers.prompt import question
from kie_hvqa.data.ledger import Row, value_of
from kie_hvqa.report.exports.spreadsheet import spreadsheet
from kie_hvqa.report.marking import mark_up
from kie_hvqa.runs.run_directory import Run
from kie_hvqa.scoring.scores import operators, score
from kie_hvqa.scoring.strata import stratum_of

COLUMNS: dict[str, str] = {
    "run": "name of the run",
    "id": "id of the question",
    "document_id": "its document",
    "document_type": "id card, invoice …",
    "template": "drawing of the document",
    "field": "what is asked for",
    "question_kind": "answerable, unreadable or absent",
    "stratum": "whole, faint, mixed, partial_only or nothing; empty without a ledger",
    "severity": "of the damage, 0 to 6",
    "operators": "of the damage, a semicolon between two",
    "question": "as it was asked",
    "printed": "the printed value; empty without a ledger",
    "legibility": "a letter a character of it: clear, partial, hidden, _ for a word space",
    "read": "Final OCR, a middle dot for each mark; empty where it cannot be parsed",
    "not_clear": "its list of what is not clear enough",
    "outcomes": "a code a character of the printed value (kie_hvqa.answers.verdicts)",
    "hallucination_free": "1 or 0; empty without a ledger",
    "errors": "kinds of error, a semicolon between two",
    "confidence": "the reader's own, higher is surer",
    "response": "what was answered, verbatim",
    "failed": "why the reader could not answer",
}
"""Column → what stands in it."""
_VALUES = {"question", "printed", "read", "not_clear", "response", "failed"}  # empty where the data is private


def answers_csv(runs: Sequence[Run]) -> str:
    """All answers of ``runs``, in their order and that of their datasets. Text is as it was written: a cell that begins with
    an equals sign is text, and a spreadsheet should be told to import it as such."""
    lines = [tuple(COLUMNS), *(_line(run, row) for run in runs for row in run.rows)]
    return spreadsheet(lines)


def _line(run: Run, row: Row) -> tuple[Any, ...]:
    response = run.response(row)
    reading = None if response is None else parse(response).reading
    marked = mark_up(row, response, failed=run.error(row) is not None)
    counts = score(row, response).counts
    slots = row.slots or ()
    values: dict[str, Any] = {
        "run": run.name,
        "id": row.id,
        "document_id": row.document_id,
        "document_type": row.document_type,
        "template": row.template,
        "field": row.field,
        "question_kind": row.question_kind,
        "stratum": None if counts is None else stratum_of(counts),
        "severity": row.severity,
        "operators": ";".join(operators(row)),
        "question": question(row),
        "printed": value_of(slots),
        "legibility": "".join(slot.legibility[0] if slot.scored else "_" for slot in slots),
        "read": None if reading is None else reading.final.replace(MARK, "·"),
        "not_clear": None if reading is None else reading.not_clear,
        "outcomes": marked.outcomes,
        "hallucination_free": marked.free,
        "errors": ";".join(marked.errors),
        "confidence": run.confidence(row),
        "response": response,
        "failed": run.error(row),
    }
    return tuple(None if run.record.private and name in _VALUES else values[name] for name in COLUMNS)
