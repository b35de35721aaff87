"""Bar charts with intervals as plain SVG text: no script, no library, readable without either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

COLOURS = ("#64748b", "#d97706", "#2563eb", "#059669", "#9333ea", "#db2777", "#0891b2", "#65a30d")
_TOPS = (10, 20, 40, 60, 100)
_WIDTH, _HEIGHT = 356.0, 168.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 30.0, 4.0, 8.0, 24.0


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: value and 95 % interval as fractions in [0, 1], over ``n`` samples."""

    value: float
    low: float | None
    high: float | None
    n: int


def colour(index: int) -> str:
    """The colour of run ``index``, the same everywhere in a report."""
    return COLOURS[index % len(COLOURS)]


Groups = Sequence[tuple[str, Sequence[Bar | None]]]


def axis_top(groups: Groups) -> int:
    """The lowest of a few round percentages that nothing in ``groups`` rises above, intervals included."""
    ends = [100 * max(bar.value, bar.high or 0.0) for _, bars in groups for bar in bars if bar is not None]
    return next((top for top in _TOPS if top >= max(ends, default=0.0)), _TOPS[-1])


def grouped_bars(groups: Groups, names: Sequence[str], title: str, top: int = 100) -> str:
    """One group a label, one bar a run; None is a number that is missing, drawn as a gap with a dash.

    The axis runs from 0 to ``top`` percent.
    """
    plot_width = _WIDTH - _LEFT - _RIGHT
    plot_height = _HEIGHT - _TOP - _BOTTOM
    base = _TOP + plot_height
    parts = [f'<svg class="chart" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" aria-label="{escape(title)}">']
    for quarter in range(5):
        y = base - plot_height * quarter / 4
        parts.append(f'<line class="grid" x1="{_LEFT:g}" x2="{_WIDTH - _RIGHT:g}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(
            f'<text class="tick" x="{_LEFT - 5:g}" y="{y + 3:.1f}" text-anchor="end">{top * quarter / 4:g}</text>'
        )
    slot = plot_width / max(len(groups), 1)
    width = min(22.0, slot * 0.78 / max(len(names), 1))
    for number, (label, bars) in enumerate(groups):
        centre = _LEFT + slot * (number + 0.5)
        parts.append(
            f'<text class="label" x="{centre:.1f}" y="{_HEIGHT - 8:g}" text-anchor="middle">{escape(label)}</text>'
        )
        start = centre - width * len(bars) / 2
        for index, bar in enumerate(bars):
            x = start + width * index
            if bar is None:
                parts.append(
                    f'<text class="tick" x="{x + width / 2:.1f}" y="{base - 3:.1f}" text-anchor="middle">–</text>'
                )
                continue
            parts.append(_bar(bar, x, width, base, plot_height * 100 / top, colour(index), f"{names[index]}, {label}"))
    parts.append(f'<line class="axis" x1="{_LEFT:g}" x2="{_WIDTH - _RIGHT:g}" y1="{base:g}" y2="{base:g}"/></svg>')
    return "".join(parts)


def _bar(bar: Bar, x: float, width: float, base: float, scale: float, fill: str, label: str) -> str:
    height = scale * min(max(bar.value, 0.0), 1.0)
    interval = "" if bar.low is None or bar.high is None else f" [{100 * bar.low:.1f}, {100 * bar.high:.1f}]"
    title = f"{label}: {100 * bar.value:.1f}{interval}, n = {bar.n}"
    parts = [
        f'<g><title>{escape(title)}</title><rect x="{x + 1:.1f}" y="{base - height:.1f}" width="{max(width - 2, 1):.1f}" '
        f'height="{height:.1f}" rx="1.5" fill="{fill}"/>'
    ]
    if bar.low is not None and bar.high is not None:
        middle = x + width / 2
        low, high = (base - scale * min(max(end, 0.0), 1.0) for end in (bar.low, bar.high))
        parts.append(f'<path class="whisker" d="M{middle:.1f} {low:.1f}V{high:.1f}M{middle - 2.5:.1f} {high:.1f}h5"/>')
    parts.append("</g>")
    return "".join(parts)
