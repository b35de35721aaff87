"""The report's numbers: headline tables with paired differences, and bar charts of where the errors are."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from typing import Any

from kie_hvqa.ledger import Row
from kie_hvqa.metrics import compare, score_rows
from kie_hvqa.report.charts import Bar, axis_top, colour, grouped_bars
from kie_hvqa.runs import Run
from kie_hvqa.tables import LEDGER, OFFICIAL, ScoreLabel, difference, interval, number, verdict

_CHARTED = ("hallucination_free_accuracy", "invented_rate", "misread_rate", "over_refusal_rate")
_COLUMNS = (("severity", "severity"), ("document_type", "document type"), ("question_kind", "question kind"))
_HEADLINE = "hallucination_free_accuracy"
_ARROWS = {"higher": " ↑", "lower": " ↓", "neither": ""}

Differences = Sequence[Mapping[str, Any] | None]


def numbers(runs: Sequence[Run], rows: Sequence[Row]) -> str:
    """HTML of the tables and charts; ``rows`` are those that all runs share, for the paired differences."""
    differences = _differences(runs, rows)
    note = ""
    if len(runs) > 1:
        note = (
            f"Below each value of a later run: its paired difference from <b>{escape(runs[0].name)}</b> with a 95 % "
            f"interval, a bootstrap over documents on the {len(rows)} questions that all were asked; tinted where the "
            f"interval excludes 0."
        )
    ledger = _table(runs, differences, LEDGER)
    official = _table(runs, differences, OFFICIAL)
    return (
        f'<h2>Against the ledger</h2><p class="lead">Percent. What the reader said about each character slot, against what the damaged '
        f'pixels still support. {note}</p><div class="panel">{ledger}</div>'
        '<h2>Where</h2><p class="lead">Percent, with 95 % intervals. Point at a bar for its numbers.</p>'
        f'<div class="panel">{_charts(runs)}</div>'
        '<h2>Official scores</h2><p class="lead">KIE-HVQA’s own scores × 100. They strip all spaces before comparing, so a mark in the wrong '
        f'place costs nothing and a lucky guess pays: read them beside the ledger.</p><div class="panel">{official}</div>'
    )


def assemble(runs: Sequence[Run], body: str) -> str:
    """The whole document around ``body``, style and script inlined."""
    first = runs[0]
    metrics = first.metrics
    names = ", ".join(run.name for run in runs)
    script = _asset("report.js")
    keys = "".join(
        f'<li><i style="background:{colour(index)}"></i><b>{escape(run.name)}</b>&ensp;<span class="small">{escape(_short(run.record.reader))}</span></li>'
        for index, run in enumerate(runs)
    )
    part = f", split {escape(first.record.split)}" if first.record.split else ""
    lead = f"{metrics['samples']} questions about {metrics['documents']} documents, from <code>{escape(_short(first.record.data))}</code>{part}."
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        # Nothing from anywhere but this file, and no script but its own, whatever a model wrote.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{_digest(script)}'\">"
        f'<title>KIE-HVQA: {escape(names)}</title><link rel="icon" href="data:,"><style>{_asset("report.css")}</style></head>'
        f"<body><header><div><h1>What was read, and what the pixels support</h1>"
        f'<p class="lead">{lead}</p><ul class="keys">{keys}</ul></div></header><main>{body}</main>'
        f'<footer><div style="max-width:1192px;margin:0 auto;padding:0 24px">kie-hvqa {escape(_version(runs))}</div></footer>'
        f"<script>{script}</script></body></html>\n"
    )


def _differences(runs: Sequence[Run], rows: Sequence[Row]) -> Differences:
    """Per run its paired differences from the first one; None for the first."""
    scores = [score_rows(rows, {row.id: run.response(row) for row in rows}) for run in runs]
    return [None, *(compare(other, scores[0]) for other in scores[1:])]


def _table(runs: Sequence[Run], differences: Differences, labels: Mapping[str, ScoreLabel]) -> str:
    head = "".join(
        f'<th><i style="color:{colour(index)}">●</i> {escape(run.name)}</th>' for index, run in enumerate(runs)
    )
    lines = []
    for name, label in labels.items():
        if all(run.metrics["overall"].get(name, {}).get("value") is None for run in runs):
            continue  # the data say nothing about it: no ledger, or no such slot
        cells = "".join(_cell(run, found, name, label) for run, found in zip(runs, differences, strict=True))
        strong = ' class="strong"' if name in (_HEADLINE, "average") else ""
        lines.append(
            f"<tr{strong}><th>{escape(label.title)}{_ARROWS[label.better]}<small>{escape(label.meaning)}</small></th>{cells}</tr>"
        )
    if not lines:
        return '<p class="missing">These data have no ledger, so there is nothing to say here.</p>'
    return f'<table class="scores"><thead><tr><th></th>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table>'


def _cell(run: Run, found: Mapping[str, Any] | None, name: str, label: ScoreLabel) -> str:
    score = run.metrics["overall"].get(name)
    if score is None or score["value"] is None:
        return '<td class="missing">–</td>'
    spread = interval(score, label)
    text = f"<b>{number(score['value'], label)}</b>"
    if spread != "–":
        text += f'<span class="interval">{spread}</span>'
    if found is not None and found[name]["mean"] is not None:
        text += f'<span class="delta {verdict(found[name], label)}">{difference(found[name], label)}</span>'
    return f'<td class="num" title="n = {score["n"]}">{text}</td>'


def _charts(runs: Sequence[Run]) -> str:
    names = [run.name for run in runs]
    parts = []
    for score in _CHARTED:
        label = LEDGER[score]
        rows = [(title, _groups(runs, column, score)) for column, title in _COLUMNS]
        top = max(axis_top(groups) for _, groups in rows)  # one axis a score, so that its charts compare
        for title, groups in rows:
            heading = f"{label.title} by {title}"
            chart = '<p class="missing small">no such slot in these data</p>'
            if groups:
                chart = grouped_bars(groups, names, heading, top)
            parts.append(f"<div><h4>{escape(heading)}{_ARROWS[label.better]}</h4>{chart}</div>")
    return f'<div class="charts">{"".join(parts)}</div>'


def _groups(runs: Sequence[Run], column: str, score: str) -> list[tuple[str, list[Bar | None]]]:
    groups = []
    for value in _values(runs, column):
        bars = [_bar(run.metrics["by"][column].get(value, {}).get(score)) for run in runs]
        if any(bar is not None for bar in bars):
            groups.append((value.replace("_", " "), bars))
    return groups


def _values(runs: Sequence[Run], column: str) -> list[str]:
    """The values of ``column`` in any run, in the order of ``metrics.json``."""
    return list(dict.fromkeys(value for run in runs for value in run.metrics["by"][column]))


def _bar(score: Mapping[str, Any] | None) -> Bar | None:
    if score is None or score["value"] is None:
        return None
    return Bar(score["value"], score["low"], score["high"], score["n"])


def _short(text: str) -> str:
    """The last parts of the path that ``text`` is or ends in."""
    before, space, path = text.rpartition(" ")
    parts = path.split("/")
    return text if len(parts) <= 4 else f"{before}{space}…/{'/'.join(parts[-3:])}"


def _version(runs: Sequence[Run]) -> str:
    return ", ".join(sorted({(run.record.versions or {}).get("kie_hvqa", "?") for run in runs}))


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


def _asset(name: str) -> str:
    return resources.files("kie_hvqa.report").joinpath(name).read_text(encoding="utf-8")
