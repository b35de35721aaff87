"""The report's tables of scores: values with intervals, paired differences, and what these data can tell apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from kie_hvqa.report.markup import ARROWS, dot, section
from kie_hvqa.runs.run_directory import Run
from kie_hvqa.scoring.metrics import compare
from kie_hvqa.scoring.scores import SampleScore
from kie_hvqa.scoring.tables import LABELS, LEDGER, OFFICIAL, ScoreLabel, difference, interval, number, verdict

_STRONG = ("hallucination_free_accuracy", "average")
_TILES = ("hallucination_free_accuracy", "invented_rate", "misread_rate", "over_refusal_rate", "average")

Differences = Sequence[Mapping[str, Any] | None]


def paired(scores: Sequence[Sequence[SampleScore]]) -> Differences:
    """Per run, given its scores of the rows that all runs share, its paired differences from the first; None for the first."""
    return [None, *(compare(other, scores[0]) for other in scores[1:])]


def tiles(runs: Sequence[Run], differences: Differences) -> str:
    """The last run at a glance: a few large numbers, and how far each is from the first run."""
    last, found = runs[-1], differences[-1]
    parts = []
    for name in _TILES:
        score, label = last.metrics["overall"].get(name), LABELS[name]
        if score is None or score["value"] is None:
            continue
        title = label.title if name in LEDGER else f"official {label.title}"
        delta = ""
        if found is not None and found[name]["mean"] is not None:
            mean = difference({**found[name], "low": None}, label)
            delta = f'<span class="delta {verdict(found[name], label)}">{mean}</span> against {escape(runs[0].name)}'
        parts.append(
            f"<li><span>{escape(title)}{ARROWS[label.better]}</span><b>{number(score['value'], label)}</b>"
            f"<small>{interval(score, label)}</small><small>{delta}</small></li>"
        )
    against = f", with its paired differences from {escape(runs[0].name)}" if len(runs) > 1 else ""
    return (
        f'<p class="glance" id="glance">{dot(len(runs) - 1)}<b>{escape(last.name)}</b> at a glance{against}</p>'
        f'<ul class="tiles" aria-labelledby="glance">{"".join(parts)}</ul>'
    )


def ledger_section(runs: Sequence[Run], questions: int, differences: Differences) -> str:
    """The table of ledger scores; ``questions`` is how many all runs share."""
    lead = "Percent. What the reader said about each character slot, against what the damaged pixels still support."
    if all(run.metrics["overall"].get(_STRONG[0], {}).get("value") is None for run in runs):
        lead = "These data have no ledger: what their pixels support nobody wrote down, so little can be said here."
    if len(runs) > 1:
        lead += (
            f" Below each value of a later run: its paired difference from <b>{escape(runs[0].name)}</b> with a 95 % interval, "
            f"a bootstrap over documents on the {questions:,} questions that all were asked; tinted where the interval "
            "excludes 0."
        )
    return section(
        "ledger", "Against the ledger", lead, f'<div class="panel">{_table(runs, differences, LEDGER)}</div>'
    )


def official_section(runs: Sequence[Run], differences: Differences) -> str:
    """The table of the benchmark's own scores."""
    lead = (
        "KIE-HVQA’s own scores × 100. They strip all spaces before comparing, so a mark in the wrong place costs nothing and "
        "a lucky guess pays: read them beside the ledger."
    )
    return section(
        "official", "Official scores", lead, f'<div class="panel">{_table(runs, differences, OFFICIAL)}</div>'
    )


def _table(runs: Sequence[Run], differences: Differences, labels: Mapping[str, ScoreLabel]) -> str:
    head = "".join(f'<th scope="col">{dot(index)}{escape(run.name)}</th>' for index, run in enumerate(runs))
    lines = []
    for name, label in labels.items():
        if all(run.metrics["overall"].get(name, {}).get("value") is None for run in runs):
            continue  # the data say nothing about it: no ledger, or no such slot
        cells = "".join(_cell(run, found, name, label) for run, found in zip(runs, differences, strict=True))
        strong = ' class="strong"' if name in _STRONG else ""
        lines.append(
            f'<tr{strong}><th scope="row">{escape(label.title)}{ARROWS[label.better]}<small>{escape(label.meaning)}</small>'
            f'</th>{cells}<td class="num seen">{_seen(runs, differences, name, label)}</td></tr>'
        )
    if not lines:
        return '<p class="missing">These data say nothing about it.</p>'
    what = "Smallest difference that these documents show four times in five"
    kind = "paired" if len(runs) > 1 else "at most, unpaired"
    return (
        f'<div class="scroll" tabindex="0"><table class="scores"><thead><tr><th></th>{head}<th scope="col" title="{what}">can tell '
        f"apart<small>{kind}</small></th></tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _cell(run: Run, found: Mapping[str, Any] | None, name: str, label: ScoreLabel) -> str:
    score = run.metrics["overall"].get(name)
    text = '<span class="missing">–</span>'
    spread = ""
    if score is not None and score["value"] is not None:
        spread = interval(score, label)
        text = f"<b>{number(score['value'], label)}</b>"
        if spread != "–":
            text += f'<span class="interval">{spread}</span>'
    if found is not None and found[name]["mean"] is not None:
        text += f'<span class="delta {verdict(found[name], label)}">{difference(found[name], label)}</span>'
    size = f' title="n = {score["n"]:,}"' if score else ""
    return f'<td class="num"{size}>{text}</td>'


def _seen(runs: Sequence[Run], differences: Differences, name: str, label: ScoreLabel) -> str:
    """The smallest difference that shows: from the spread of the paired differences, else the run's own upper bound."""
    if len(runs) > 1:
        bounds = [found[name].get("detectable") for found in differences if found is not None]
    else:
        bounds = [runs[0].metrics.get("detectable", {}).get("scores", {}).get(name)]
    known = [bound for bound in bounds if bound is not None]
    return f"±{number(max(known), label)}" if known else '<span class="missing">–</span>'
