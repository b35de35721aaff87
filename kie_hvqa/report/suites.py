"""The report's part about suites: the tables that the terminal shows, as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from kie_hvqa.report.markup import plain_table, section
from kie_hvqa.suites.tables import tables

_LEADS = {
    "twins": "Pairs of a plausible and an implausible value under the same damage. A reader that reads pixels does as well on either.",
    "wording": "The same questions in other words, without the JSON shown, and under pressure. Marks should hold.",
    "clean": "Documents that nobody damaged. Nothing may be marked.",
}


def suite_sections(suites: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """One section a suite; ``suites`` are (name of the directory, content of ``suite.json``)."""
    parts = []
    for number, (name, result) in enumerate(suites):
        shown = []
        for table in tables(result):
            note = f'<p class="small">{escape(table.note)}</p>' if table.note else ""
            shown.append(f"<div>{plain_table(table.head, table.rows, table.title)}{note}</div>")
        lead = (
            f"{_LEADS[result['suite']]} <b>{escape(str(result.get('reader')))}</b>, {result.get('questions', 0):,} questions about "
            f"{result.get('documents', 0):,} documents."
        )
        title = f"Suite {result['suite']}: {name}"
        parts.append(section(f"suite-{number}", title, lead, f'<div class="panel tables">{"".join(shown)}</div>'))
    return "".join(parts)
