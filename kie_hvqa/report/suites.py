"""The report's part about suites: the tables that the terminal shows, as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from kie_hvqa.report.markup import fill
from kie_hvqa.suites.tables import tables

_LEADS = {
    "nothing": "Pages on which nothing that is asked for stands: blank, black, torn, of another kind, or with a line that tells the reader to answer. Every answer is invented.",
    "twins": "Pairs of a plausible and an implausible value under the same damage. A reader that reads pixels does as well on either.",
    "wording": "The same questions in other words, without the JSON shown, and under pressure. Marks should hold.",
    "clean": "Documents that nobody damaged. Nothing may be marked.",
}


def suite_sections(suites: Sequence[tuple[str, Mapping[str, Any]]]) -> Markup:
    """One section a suite; ``suites`` are (name of the directory, content of ``suite.json``)."""
    shown = [
        {
            "title": f"Suite {result['suite']}: {name}",
            "lead": _LEADS[result["suite"]],
            "reader": result.get("reader"),
            "questions": result.get("questions", 0),
            "documents": result.get("documents", 0),
            "tables": tables(result),
        }
        for name, result in suites
    ]
    return fill("suites.html", suites=shown) if shown else Markup()
