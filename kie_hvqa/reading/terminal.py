"""A document's fields on the terminal, marks visible."""

from __future__ import annotations

import sys
import unicodedata

from kie_hvqa.console import coloured
from kie_hvqa.reading.results import DocumentResult, FieldResult

_COLOURS = {"read": "32", "partly": "33", "unreadable": "31", "absent": "2", "failed": "31;1"}


def shown(result: DocumentResult, *, colour: bool | None = None) -> str:
    """Lines for a terminal: a field each, with what it is worth and why it is not more. ``colour`` None: where it is one."""
    painted = coloured(sys.stdout) if colour is None else colour
    pages = "" if result.pages == 1 else f", {result.pages} pages"
    lines = [f"{_plain(result.document)}{pages}"]
    if result.error is not None:
        lines.append(f"  {_plain(result.error)}")
    width = max((_width(field.name) for field in result.fields), default=0)
    room = min(40, max((_width(field.value) for field in result.fields), default=0))
    for field in result.fields:
        value = _plain(field.value) or "–"
        status = field.status.ljust(10)
        if painted:
            status = f"\x1b[{_COLOURS[field.status]}m{status}\x1b[0m"
        sure = "     " if field.confidence is None else f"{_percent(field):>5}"
        page = "" if result.pages == 1 or field.page is None else f"p. {field.page}"
        why = "; ".join(map(_plain, field.reasons))
        cells = (_padded(field.name, width), _padded(value, room), status, sure, page, why)
        lines.append("  " + "  ".join(cell for cell in cells if cell).rstrip())
    if result.hint is not None:
        lines.append(f"  → {result.hint}")
    return "\n".join(lines)


def _percent(field: FieldResult) -> str:
    """Rounded down: nothing is called certain that is not."""
    assert field.confidence is not None
    return f"{int(field.confidence * 100)} %"


def _plain(text: str) -> str:
    """``text`` without what moves a cursor or changes a colour: a page, or a file's name, may say anything."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _padded(text: str, width: int) -> str:
    return text + " " * max(0, width - _width(text))
