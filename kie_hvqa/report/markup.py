"""The few pieces of HTML that every section needs. Text goes through ``html.escape`` here or at its caller, always."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from kie_hvqa.report.charts import colour

ARROWS = {"higher": " ↑", "lower": " ↓", "neither": ""}


def dot(run: int) -> str:
    """The coloured dot that stands for run number ``run``."""
    return f'<i class="dot {colour(run)}" aria-hidden="true"></i>'


def plain_table(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> str:
    """A table of text, all of it escaped; the first cell of a row names it, the others are numbers."""
    heading = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    lines = []
    for first, *rest in rows:
        cells = "".join(f'<td class="num">{escape(cell)}</td>' for cell in rest)
        lines.append(f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>')
    return (
        f'<div class="scroll" tabindex="0"><table class="plain"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{heading}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def section(name: str, title: str, lead: str, body: str) -> str:
    """A section of the page; ``lead`` and ``body`` are HTML."""
    return (
        f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{escape(title)}</h2>'
        f'<p class="lead">{lead}</p>{body}</section>'
    )


def numbers_behind(tables: str) -> str:
    """Tables that repeat a chart's numbers, folded away."""
    return f'<details class="numbers"><summary>Numbers</summary>{tables}</details>'
