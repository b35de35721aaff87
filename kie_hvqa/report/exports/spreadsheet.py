"""Lines of values as CSV, for spreadsheets and data frames: RFC 4180, UTF-8, numbers in full."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any


def spreadsheet(lines: Iterable[Sequence[Any]]) -> str:
    """``lines``, the head first; None is an empty cell, a boolean 0 or 1."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerows([int(cell) if isinstance(cell, bool) else cell for cell in line] for line in lines)
    # A model may write half a surrogate pair, which no file can hold, and NUL, at which many readers of CSV stop.
    return stream.getvalue().encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")
