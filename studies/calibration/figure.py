"""The psychometric curve for docs/legibility.md: accuracy against evidence, beside the ink-contrast baseline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from degradations.legibility import LegibilityModel
from kie_hvqa.data.files import replacing
from kie_hvqa.errors import InputError
from kie_hvqa.extras import remedy
from studies.calibration.fit import Slots
from studies.calibration.summary import Bools, Floats, auroc, bins, flat
from studies.calibration.trials import Trial, family

_COLOURS = {
    "optics": "#2563eb",
    "sensor": "#d97706",
    "compression": "#db2777",
    "light": "#059669",
    "cover": "#334155",
    "wear": "#9333ea",
    "geometry": "#0891b2",
    "mixture": "#a8a29e",
}
_SHADES = {"clear": "#d7efdc", "partial": "#fdebc8", "hidden": "#f8d3d3"}


def draw(trials: Sequence[Trial], readers: Sequence[str], model: LegibilityModel, out: Path) -> None:
    """Left: readers over ten bins of evidence, and the first reader by family. Right: the same over ink contrast."""
    try:
        import matplotlib
    except ImportError:
        raise InputError("matplotlib is not installed", remedy=remedy("study")) from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    with pyplot.rc_context(
        {"font.size": 10, "font.family": "DejaVu Sans", "axes.spines.top": False, "axes.spines.right": False}
    ):
        figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.8), sharey=True, layout="constrained")
        names = flat(trials, readers[0], "operator")
        families = np.array([family(name) for name in names])
        evidence = {reader: Slots.of(trials, reader, model.rivals).evidence(model) for reader in readers}
        right: dict[str, Bools] = {reader: flat(trials, reader, "right") for reader in readers}
        contrast: dict[str, Floats] = {reader: flat(trials, reader, "contrast") for reader in readers}
        for axis, scores, title in (
            (axes[0], evidence, "evidence (ideal observer)"),
            (axes[1], contrast, "ink contrast kept (baseline)"),
        ):
            for name in sorted(set(families)):
                part = families == name
                _line(
                    axis, scores[readers[0]][part], right[readers[0]][part], _COLOURS.get(name, "#78716c"), 1.1, name, 6
                )
            for reader, style in zip(readers, ("o-", "s--"), strict=False):
                label = f"{_title(reader)}, all (AUROC {auroc(scores[reader], right[reader]):.3f})"
                _line(axis, scores[reader], right[reader], "black", 2.2, label, 10, style)
            axis.set_xlabel(title)
            axis.set_xlim(0, 1.01)
            axis.set_ylim(0, 1.02)
            axis.legend(fontsize=8, frameon=False, loc="upper left" if axis is axes[0] else "lower right")
        for label, low, high in (
            ("hidden", 0, model.hidden),
            ("partial", model.hidden, model.clear),
            ("clear", model.clear, 1.01),
        ):
            axes[0].axvspan(low, high, color=_SHADES[label], lw=0, zorder=0)
            axes[0].text((low + min(high, 1)) / 2, 1.03, label, ha="center", color="#57534e", fontsize=9)
        axes[0].plot([0, 1], [0, 1], ":", color="#78716c", lw=1, zorder=1)
        axes[0].set_ylabel("share of characters read right")
        with replacing(out, "wb") as stream:
            figure.savefig(stream, dpi=130, format="png")
        pyplot.close(figure)


def _line(
    axis: Any, score: Floats, right: Bools, colour: str, width: float, label: str, count: int, style: str = "-"
) -> None:
    rows = bins(score, right, count)
    axis.plot(
        [r["evidence"] for r in rows], [r["read"] for r in rows], style, color=colour, lw=width, label=label, ms=5
    )


def _title(reader: str) -> str:
    return {"rapidocr": "RapidOCR", "tesseract": "Tesseract"}.get(reader, reader)
