"""``data_issues.json``: what was wrong with somebody else's data, line by line, and what was done about it.

A published file is what it is: nobody here can mend it at its source, and a row that vanishes without a word changes
every score. So whatever is repaired on the way in, and whatever has to be refused, is an ``Issue``, and every
evaluation writes all of them beside its scores. Four kinds:

==================  ==================================================================================================
``repaired``        the record says something that can be understood in one way only, and was taken that way
``refused``         the line is no record (not JSON, no question, an image path that climbs out): nothing was asked
``unreadable truth``  the record's answer cannot be read: it is asked, has no official scores, and is counted apart
``unreadable image``  the image is missing or broken: nobody could be asked, the record counts as answered wrongly
==================  ==================================================================================================
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from kie_hvqa.answers.answer import parse
from kie_hvqa.data.files import read_json, write_json
from kie_hvqa.data.ledger import Row

DATA_ISSUES = "data_issues.json"

IssueKind = Literal["repaired", "refused", "unreadable truth", "unreadable image"]
ISSUE_KINDS: tuple[IssueKind, ...] = get_args(IssueKind)
UNREADABLE_IMAGE: Literal["unreadable image"] = "unreadable image"


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing about one line (1-based) of a row file; ``id`` is the record's name here, None where it got none."""

    line: int
    id: str | None
    kind: IssueKind
    field: str | None
    what: str


def write_issues(path: Path, file: Path, records: int, issues: Sequence[Issue], *, private: bool = False) -> None:
    """Write ``{"file", "records", "counts", "issues"}``; ``records`` rows were taken from ``file``.

    ``private`` leaves out what may quote the data.
    """
    if private:
        issues = [replace(issue, what="not said: the data is private") for issue in issues]
    counts = Counter(issue.kind for issue in issues)
    ordered = sorted(issues, key=lambda issue: (issue.line, ISSUE_KINDS.index(issue.kind), issue.field or ""))
    data = {
        "file": file.name,
        "records": records,
        "counts": {kind: counts[kind] for kind in ISSUE_KINDS},
        "issues": [asdict(issue) for issue in ordered],
    }
    write_json(path, data)


def unreadable_truths(rows: Iterable[Row]) -> list[Issue]:
    """An issue for every official evaluator's line (``line-N``) whose truth cannot be read."""
    return [
        Issue(int(row.id.removeprefix("line-")), row.id, "unreadable truth", "answer", "no reading in it")
        for row in rows
        if parse(row.answer).reading is None
    ]


def summary(path: Path) -> str:
    """What the ``data_issues.json`` at ``path`` counts, such as ``3 repaired, 1 refused``; empty where that is nothing."""
    counts = read_json(path)["counts"]
    return ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
