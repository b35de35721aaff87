"""The report's charts: where the errors are, and what a reader's confidence is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from markupsafe import Markup

from kie_hvqa.report.charts import Bar, Curve, References, axis_top, curves, dots, lines
from kie_hvqa.report.headline import Differences
from kie_hvqa.report.markup import ARROWS, fill
from kie_hvqa.runs.run_directory import Run
from kie_hvqa.scoring import selective
from kie_hvqa.scoring.scores import SampleScore
from kie_hvqa.scoring.tables import LABELS, LEDGER, READERS, ScoreLabel, difference, number, with_interval
from kie_hvqa.suites.tables import Table

_CHARTED: dict[str, str] = {
    "hallucination_free_accuracy": "",
    "invented_rate": "invented",
    "dropped_rate": "dropped",
    "misread_rate": "misread",
    "over_refusal_rate": "over_refused",
}
"""Score → the kind of error that the gallery is filtered by when somebody asks for the samples behind it."""
_WITHOUT_LEDGER = ("average", "final")
_COLUMNS = {
    "severity": "severity",
    "document_type": "document type",
    "question_kind": "question kind",
    "operator": "operator",
}

_SPACED = ("document_type", "operator")  # columns whose values the gallery shows with spaces
_SELECTS = {"severity": "severity", "document_type": "type", "question_kind": "question", "operator": "operator"}

Groups = list[tuple[str, list[Bar | None]]]


def where_section(runs: Sequence[Run]) -> Markup:
    """Each charted score by severity, document type, question kind and operator of the damage."""
    known = [name for name in _CHARTED if _known(runs, name)] or [
        name for name in _WITHOUT_LEDGER if _known(runs, name)
    ]
    shown = [found for name in known if (found := _score(runs, name))]
    readers = [READERS[name] for name in runs[0].metrics.get("references", {})]
    return fill("where.html", scores=shown, readers=readers) if shown else Markup()


def _known(runs: Sequence[Run], name: str) -> bool:
    return any(run.metrics["overall"].get(name, {}).get("value") is not None for run in runs)


def _score(runs: Sequence[Run], name: str) -> dict[str, Any] | None:
    """What ``where.html`` shows of one score; None where there is nothing to tell apart."""
    label, names = LABELS[name], [run.name for run in runs]
    found = {column: _groups(runs, column, name, label) for column in _COLUMNS}
    shown = {column: groups for column, groups in found.items() if len(groups) > (column != "severity")}
    if not shown:
        return None
    top = max(axis_top(groups) for groups in shown.values())  # one axis a score, so that its charts compare
    title = label.title if name in LEDGER else f"official: {label.title}"

    beside = {column: _references(runs[0], column, name, groups, label) for column, groups in shown.items()}

    def chart(column: str) -> tuple[str, Markup]:
        draw = lines if column == "severity" else dots
        drawn = draw(shown[column], names, f"{title} by {_COLUMNS[column]}", top, beside[column])
        return _COLUMNS[column], drawn

    # What has few rows shares a column of the grid.
    columns = (("severity",), ("document_type", "question_kind"), ("operator",))
    drawn = [[chart(column) for column in several if column in shown] for several in columns]
    tables = [_table(title, column, names, groups, beside[column]) for column, groups in shown.items()]
    return {
        "title": title + ARROWS[label.better],
        "meaning": label.meaning,
        "drawn": [charts for charts in drawn if charts],
        "tables": tables,
    }


def _table(title: str, column: str, names: Sequence[str], groups: Groups, references: References) -> Table:
    def said(value: float | None) -> str:
        return "–" if value is None else f"{100 * value:.1f}"

    rows = tuple(
        (label, *("–" if bar is None else bar.said() for bar in bars), *(said(values[row]) for _, values in references))
        for row, (label, bars) in enumerate(groups)
    )
    head = (_COLUMNS[column], *names, *(reader for reader, _ in references))
    return Table(f"{title} by {_COLUMNS[column]}", head, rows)


def _groups(runs: Sequence[Run], column: str, score: str, label: ScoreLabel) -> Groups:
    """Label → one bar a run, for the values of ``column`` in any run, in the order of ``metrics.json``."""
    values = dict.fromkeys(value for run in runs for value in run.metrics["by"].get(column, {}))
    groups: Groups = []
    for value in values:
        where = {_SELECTS[column]: value.replace("_", " ") if column in _SPACED else value}
        kind = {"kind": _CHARTED[score]} if _CHARTED.get(score) else {}
        bars = [
            _bar(
                run.metrics["by"].get(column, {}).get(value, {}).get(score),
                label,
                urlencode({"run": place, **where, **kind}),
            )
            for place, run in enumerate(runs)
        ]
        if any(bar is not None for bar in bars):
            groups.append((value.replace("_", " "), bars))
    return groups


def _references(first: Run, column: str, score: str, groups: Groups, label: ScoreLabel) -> References:
    """What the readers that need no model get in the same groups."""
    found = []
    for name, part in first.metrics.get("references", {}).items():
        by = {value.replace("_", " "): scores.get(score) for value, scores in part["by"].get(column, {}).items()}
        values = [None if (value := by.get(group)) is None else value * label.scale / 100 for group, _ in groups]
        found.append((READERS[name], values))
    return found


def _bar(score: Mapping[str, Any] | None, label: ScoreLabel, to: str) -> Bar | None:
    if score is None or score["value"] is None:
        return None
    value, low, high = (
        None if end is None else end * label.scale / 100 for end in (score["value"], score["low"], score["high"])
    )
    return Bar(value or 0.0, low, high, score["n"], to)


def risk_section(runs: Sequence[Run], scores: Sequence[Sequence[SampleScore]], differences: Differences) -> Markup:
    """Risk–coverage curves of all runs with confidences, over the rows that they share, and their areas."""
    drawn, rows = [], []
    points: dict[str, dict[str, str]] = {}
    for index, (run, own) in enumerate(zip(runs, scores, strict=True)):
        beside = selective.beside(own, places=6)
        if beside is None:
            continue
        area = run.metrics["overall"].get("aurc", {"value": None, "low": None, "high": None})
        found = differences[index]
        delta = "–" if found is None else difference(found["aurc"], LABELS["aurc"])
        label = LABELS["aurc"]
        drawn.append(Curve(index, [(100 * x, 100 * y) for x, y in beside["curve"]], run.name))
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
        at = {
            f"risk at coverage {100 * covered:g} %": beside["risk_at"][f"{covered:g}"]
            for covered in selective.COVERAGES
        }
        at |= {f"coverage at risk {100 * risk:g} %": beside["coverage_at"][f"{risk:g}"] for risk in selective.RISKS}
        points[run.name] = {name: with_interval(score, label) for name, score in at.items()}
    if not drawn:
        return Markup()
    top = next(
        step for step in (10, 20, 40, 60, 80, 100) if step >= min(100, max(y for c in drawn for _, y in c.points))
    )
    chart = curves(
        drawn, "Risk over coverage", across=(0, 100), up=(0, top), axis="coverage: the surest answers, %", height=230
    )
    head = ("", "area (AURC)", "best order", "no order", f"paired, from {runs[0].name}", "answers")
    table = Table("Area under risk over coverage, percent", head, tuple(rows))
    by_point = tuple((name, *(of_run[name] for of_run in points.values())) for name in next(iter(points.values())))
    operating = Table("Operating points, percent", ("", *points), by_point)
    ledger = bool(scores[0]) and scores[0][0].counts is not None
    return fill("risk.html", ledger=ledger, chart=chart, tables=[table, operating])
