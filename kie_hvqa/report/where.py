"""The report's charts: where the errors are, and what a reader's confidence is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from kie_hvqa.report.charts import Bar, Curve, axis_top, curves, dots, lines
from kie_hvqa.report.headline import Differences
from kie_hvqa.report.markup import ARROWS, numbers_behind, plain_table, section
from kie_hvqa.runs.run_directory import Run
from kie_hvqa.scoring import risk
from kie_hvqa.scoring.scores import SampleScore
from kie_hvqa.scoring.tables import LABELS, LEDGER, ScoreLabel, difference, number, with_interval

_CHARTED = ("hallucination_free_accuracy", "invented_rate", "misread_rate", "over_refusal_rate")
_WITHOUT_LEDGER = ("average", "final")
_COLUMNS = {
    "severity": "severity",
    "document_type": "document type",
    "question_kind": "question kind",
    "operator": "operator",
}

Groups = list[tuple[str, list[Bar | None]]]


def where_section(runs: Sequence[Run]) -> str:
    """Each charted score by severity, document type, question kind and operator of the damage."""
    known = [name for name in _CHARTED if _known(runs, name)] or [
        name for name in _WITHOUT_LEDGER if _known(runs, name)
    ]
    body = "".join(_score(runs, name) for name in known)
    lead = "Percent, with 95 % intervals. Point at a mark for its numbers. A sample with several operators counts under each."
    return section("where", "Where", lead, f'<div class="panel">{body}</div>') if body else ""


def _known(runs: Sequence[Run], name: str) -> bool:
    return any(run.metrics["overall"].get(name, {}).get("value") is not None for run in runs)


def _score(runs: Sequence[Run], name: str) -> str:
    label, names = LABELS[name], [run.name for run in runs]
    found = {column: _groups(runs, column, name, label) for column in _COLUMNS}
    shown = {column: groups for column, groups in found.items() if len(groups) > (column != "severity")}
    if not shown:
        return ""
    top = max(axis_top(groups) for groups in shown.values())  # one axis a score, so that its charts compare
    title = label.title if name in LEDGER else f"official: {label.title}"
    drawn = []
    # What has few rows shares a column of the grid.
    for columns in (("severity",), ("document_type", "question_kind"), ("operator",)):
        parts = "".join(
            f"<h4>by {_COLUMNS[column]}</h4>"
            + (lines if column == "severity" else dots)(shown[column], names, f"{title} by {_COLUMNS[column]}", top)
            for column in columns
            if column in shown
        )
        drawn.append(f"<div>{parts}</div>" if parts else "")
    tables = "".join(
        plain_table(
            (_COLUMNS[column], *names),
            [(group, *("–" if bar is None else bar.said() for bar in bars)) for group, bars in groups],
            f"{title} by {_COLUMNS[column]}",
        )
        for column, groups in shown.items()
    )
    return (
        f'<div class="score"><h3>{escape(title)}{ARROWS[label.better]} <small>{escape(label.meaning)}</small></h3>'
        f'<div class="charts">{"".join(drawn)}</div>{numbers_behind(tables)}</div>'
    )


def _groups(runs: Sequence[Run], column: str, score: str, label: ScoreLabel) -> Groups:
    """Label → one bar a run, for the values of ``column`` in any run, in the order of ``metrics.json``."""
    values = dict.fromkeys(value for run in runs for value in run.metrics["by"].get(column, {}))
    groups: Groups = []
    for value in values:
        bars = [_bar(run.metrics["by"].get(column, {}).get(value, {}).get(score), label) for run in runs]
        if any(bar is not None for bar in bars):
            groups.append((value.replace("_", " "), bars))
    return groups


def _bar(score: Mapping[str, Any] | None, label: ScoreLabel) -> Bar | None:
    if score is None or score["value"] is None:
        return None
    value, low, high = (
        None if end is None else end * label.scale / 100 for end in (score["value"], score["low"], score["high"])
    )
    return Bar(value or 0.0, low, high, score["n"])


def risk_section(runs: Sequence[Run], scores: Sequence[Sequence[SampleScore]], differences: Differences) -> str:
    """Risk–coverage curves of all runs with confidences, over the rows that they share, and their areas."""
    drawn, rows = [], []
    for index, (run, own) in enumerate(zip(runs, scores, strict=True)):
        beside = risk.beside(own, places=6)
        if beside is None:
            continue
        area = run.metrics["overall"].get("aurc", {"value": None, "low": None, "high": None})
        found = differences[index]
        delta = "–" if found is None else difference(found["aurc"], LABELS["aurc"])
        label = LABELS["aurc"]
        drawn.append(Curve(index, [(100 * x, 100 * y) for x, y in beside["curve"]], f"{run.name}, risk over coverage"))
        rows.append(
            (
                run.name,
                with_interval(area, label),
                number(beside["best"], label),
                number(beside["random"], label),
                delta,
                f"{beside['answers']:,}",
            )
        )
    if not drawn:
        return ""
    top = next(
        step for step in (10, 20, 40, 60, 80, 100) if step >= min(100, max(y for c in drawn for _, y in c.points))
    )
    chart = curves(
        drawn, "Risk over coverage", across=(0, 100), up=(0, top), axis="coverage: the surest answers, %", height=230
    )
    head = ("", "area (AURC)", "best order", "no order", f"paired, from {runs[0].name}", "answers")
    ledger = scores[0] and scores[0][0].counts is not None
    up = (
        "risk: not hallucination-free among those kept, %"
        if ledger
        else "risk: what Final OCR misses among those kept, %"
    )
    lead = (
        "Keep only the answers of which a reader is surest: how many of those are not hallucination-free? A reader that knows "
        "when it is wrong starts low. The area is the mean risk over all coverages, between that of the best order of the "
        "same answers and that of none."
        if ledger
        else "Keep only the answers of which a reader is surest: how much of Final OCR do those still miss?"
    )
    table = plain_table(head, rows, "Area under risk over coverage, percent")
    return section(
        "risk",
        "Risk against coverage",
        lead,
        f'<div class="panel pair"><div><h4>{up}</h4>{chart}</div><div>{table}</div></div>',
    )
