"""The report's section on confidence: one risk–coverage plot for all signals of a run, and what each is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from kie_hvqa.report.charts import Curve, curves
from kie_hvqa.report.markup import fill
from kie_hvqa.runs.run_directory import Run
from kie_hvqa.scoring import selective
from kie_hvqa.scoring.tables import LABELS, difference, number, with_interval

_TOPS = (1, 2, 5, 10, 20, 40, 60, 80, 100)  # of the axis of risk, percent
_CURVES = ("characters", "answers")


def signals_section(runs: Sequence[Run]) -> Markup:
    """Nothing where no run has a signal."""
    shown = [_of_run(run.name, found) for run in runs if (found := run.metrics.get("signals"))]
    return fill("signals.html", runs=shown) if shown else Markup()


def _of_run(name: str, found: Mapping[str, Any]) -> dict[str, Any]:
    signals: Mapping[str, Any] = found["of"]
    first = found["compared_with"]
    charts = [(unit, chart(signals, unit)) for unit in _CURVES]
    coverages = [f"coverage at {100 * risk:g} %" for risk in selective.RISKS]
    head = ("", "AURC, characters", f"from {first}", *coverages, "failure AUROC", "AUGRC")
    wide = ("", "AURC, answers", f"from {first}", "failure AUROC", "ECE", "ECE mapped", "Brier", "Brier mapped")
    return {
        "name": name,
        "charts": [(unit, chart) for unit, chart in charts if chart],
        "tables": [
            ("Of characters: which are right? percent", head, [_characters(key, own) for key, own in signals.items()]),
            (
                "Of whole answers, and as probabilities, percent",
                wide,
                [_answers(key, own) for key, own in signals.items()],
            ),
        ],
        "colours": list(range(len(signals))),
    }


def chart(signals: Mapping[str, Any], unit: str) -> Markup:
    """Risk over coverage of all ``signals`` (``metrics.json``), of ``characters`` or ``answers``."""
    drawn = []
    for index, (name, own) in enumerate(signals.items()):
        if own[unit] is not None:
            drawn.append(Curve(index, [(100 * x, 100 * y) for x, y in own[unit]["curve"]], name.replace("_", " ")))
    if not drawn:
        return Markup()
    highest = max(y for curve in drawn for _, y in curve.points)
    top = next(step for step in _TOPS if step >= min(highest, 100))
    axis = f"coverage: the surest {unit}, %"
    return curves(drawn, f"Risk over coverage, {unit}", across=(0, 100), up=(0, top), axis=axis, height=230)


def _characters(name: str, own: Mapping[str, Any]) -> tuple[str, ...]:
    label, found = LABELS["aurc"], own["characters"]
    if found is None:
        return (name.replace("_", " "), *["–"] * 7)
    apart = found["aurc"].get("difference")
    at = [with_interval(found["coverage_at"][f"{risk:g}"], label) for risk in selective.RISKS]
    return (
        name.replace("_", " "),
        with_interval(found["aurc"], label),
        "" if apart is None else difference(apart, label),
        *at,
        with_interval(found["failure_auroc"], LABELS["failure_auroc"]),
        with_interval(found["augrc"], LABELS["augrc"]),
    )


def _answers(name: str, own: Mapping[str, Any]) -> tuple[str, ...]:
    label, found, sure = LABELS["aurc"], own["answers"], own["probability"]
    cells = ["–", "", "–"]
    if found is not None:
        apart = found["aurc"].get("difference")
        cells = [
            with_interval(found["aurc"], label),
            "" if apart is None else difference(apart, label),
            with_interval(found["failure_auroc"], LABELS["failure_auroc"]),
        ]
    if sure is None:
        return (name.replace("_", " "), *cells, *["–"] * 4)
    values = [sure[side][score] for score in ("ece", "brier") for side in ("before", "after")]
    return (name.replace("_", " "), *cells, *(number(value, label) for value in values))
