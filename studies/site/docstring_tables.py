"""Tables of docstrings on the site: they are drawn for a terminal, with lines of ``====``, and a page wants Markdown's.

``mkdocs.yml`` names it as an extension of Griffe, which reads the docstrings.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_RULE = re.compile(r"=+(?: +=+)+")


def as_markdown(text: str) -> str:
    """``text`` with each simple table of reStructuredText as one of Markdown; a cell that goes over lines stays one cell."""
    lines = text.split("\n")
    rules = [number for number, line in enumerate(lines) if _RULE.fullmatch(line.strip())]
    for first, head, last in reversed(list(zip(rules[::3], rules[1::3], rules[2::3], strict=False))):
        starts = [found.start() for found in re.finditer("=+", lines[first])]
        ends = [*starts[1:], None]
        rows: list[list[str]] = []
        for line in (*lines[first + 1 : head], *lines[head + 1 : last]):
            cells = [line[start:end].strip() for start, end in zip(starts, ends, strict=True)]
            if cells[0] or not rows:
                rows.append(cells)
            else:
                rows[-1] = [f"{above} {cell}".strip() for above, cell in zip(rows[-1], cells, strict=True)]
        made = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
        lines[first : last + 1] = ["", made[0], "|---" * len(starts) + "|", *made[1:], ""]
    return "\n".join(lines)


class DocstringTables(griffe.Extension):
    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)
