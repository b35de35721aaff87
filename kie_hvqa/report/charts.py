"""Charts as plain SVG text: no script, no library, readable without either. Colours come from the page's style sheet.

``lines`` for what has an order (severity), ``dots`` for what has none (document type, operator), ``curves`` for what is
continuous (coverage, training steps). Every mark has a title with its numbers; the page repeats them as tables.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

RUN_COLOURS = 8  # classes r0 … r7 of the style sheet; runs beyond begin again

_WIDTH = 360.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 34.0, 10.0, 8.0, 24.0
_TOPS = (5, 10, 20, 40, 60, 100)


@dataclass(frozen=True, slots=True)
class Bar:
    """A score with its 95 % interval, as fractions in [0, 1], over ``n``."""

    value: float
    low: float | None
    high: float | None
    n: int

    def said(self) -> str:
        spread = "" if self.low is None or self.high is None else f" [{100 * self.low:.1f}, {100 * self.high:.1f}]"
        return f"{100 * self.value:.1f}{spread}, n = {self.n:,}"


Groups = Sequence[tuple[str, Sequence[Bar | None]]]
"""A label, and one bar a run; None is a number that is missing."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Points (x, y) of run ``run`` (its colour); ``said`` is the title that pointing at it shows."""

    run: int
    points: Sequence[tuple[float, float]]
    said: str


def colour(run: int) -> str:
    """The class that gives run number ``run`` its colour, the same everywhere in a report."""
    return f"r{run % RUN_COLOURS}"


def axis_top(groups: Groups) -> int:
    """The lowest of a few round percentages that nothing in ``groups`` rises above, intervals included."""
    ends = [100 * max(bar.value, bar.high or 0.0) for _, bars in groups for bar in bars if bar is not None]
    return next((top for top in _TOPS if top >= max(ends, default=0.0)), _TOPS[-1])


def lines(groups: Groups, names: Sequence[str], title: str, top: int) -> str:
    """One line a run over the ordered ``groups``; the axis runs from 0 to ``top`` percent."""
    height = 190.0
    base = height - _BOTTOM
    step = (_WIDTH - _LEFT - _RIGHT) / max(len(groups), 1)
    parts = [_head(title, height), *_grid(base, top)]
    for number, (label, _) in enumerate(groups):
        x = _LEFT + step * (number + 0.5)
        parts.append(f'<text x="{x:.1f}" y="{height - 8:g}" text-anchor="middle">{escape(label)}</text>')
    dodge = min(7.0, step / (len(names) + 1))  # so that the whiskers of runs do not cover each other
    for run, name in enumerate(names):
        path, marks = [], []
        for number, (label, bars) in enumerate(groups):
            bar = bars[run]
            if bar is None:
                continue
            x = _LEFT + step * (number + 0.5) + dodge * (run - (len(names) - 1) / 2)
            y = _y(bar.value, base, top)
            path.append(f"{x:.1f} {y:.1f}")
            whisker = ""
            if bar.low is not None and bar.high is not None:
                whisker = f'<path d="M{x:.1f} {_y(bar.low, base, top):.1f}V{_y(bar.high, base, top):.1f}"/>'
            marks.append(
                f"<g><title>{escape(f'{name}, {label}: {bar.said()}')}</title>{whisker}"
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2"/></g>'
            )
        joined = f'<path class="line" d="M{"L".join(path)}"/>' if path else ""
        parts.append(f'<g class="{colour(run)}">{joined}{"".join(marks)}</g>')
    return "".join([*parts, "</svg>"])


def dots(groups: Groups, names: Sequence[str], title: str, top: int) -> str:
    """One row a group, one dot with its interval a run; the axis runs from 0 to ``top`` percent."""
    left, line = 114.0, 7.0
    row = line * len(names) + 6
    height = _TOP + row * len(groups) + 20
    scale = (_WIDTH - left - _RIGHT) / top
    parts = [_head(title, height)]
    for quarter in range(5):
        x = left + scale * top * quarter / 4
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP:g}" y2="{height - 20:g}"/>')
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{height - 6:g}" text-anchor="middle">{top * quarter / 4:g}</text>'
        )
    for number, (label, bars) in enumerate(groups):
        start = _TOP + row * number
        middle = start + row / 2
        parts.append(f'<text x="{left - 8:g}" y="{middle + 3.5:.1f}" text-anchor="end">{escape(label)}</text>')
        if number:
            parts.append(
                f'<line class="grid" x1="{left:g}" x2="{_WIDTH - _RIGHT:g}" y1="{start:.1f}" y2="{start:.1f}"/>'
            )
        for run, bar in enumerate(bars):
            y = middle + line * (run - (len(names) - 1) / 2)
            if bar is None:
                parts.append(f'<text class="tick" x="{left + 4:g}" y="{y + 3:.1f}">–</text>')
                continue
            whisker = ""
            if bar.low is not None and bar.high is not None:
                low, high = (left + 100 * scale * min(max(end, 0.0), 1.0) for end in (bar.low, bar.high))
                whisker = f'<path d="M{low:.1f} {y:.1f}H{high:.1f}"/>'
            x = left + 100 * scale * min(max(bar.value, 0.0), 1.0)
            parts.append(
                f'<g class="{colour(run)}"><title>{escape(f"{names[run]}, {label}: {bar.said()}")}</title>{whisker}'
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2"/></g>'
            )
    return "".join([*parts, "</svg>"])


def curves(
    drawn: Sequence[Curve],
    title: str,
    *,
    across: tuple[float, float],
    up: tuple[float, float],
    ticks: tuple[Sequence[float], Sequence[float]] | None = None,
    width: float = _WIDTH,
    height: float = 190.0,
    axis: str = "",
) -> str:
    """Continuous curves between the limits ``across`` (x) and ``up`` (y); ``ticks`` are those of the two axes."""
    base = height - _BOTTOM - (10 if axis else 0)
    wide, high = width - _LEFT - _RIGHT, base - _TOP

    def place(x: float, y: float) -> tuple[float, float]:
        along = (x - across[0]) / ((across[1] - across[0]) or 1)
        above = (min(max(y, up[0]), up[1]) - up[0]) / ((up[1] - up[0]) or 1)
        return _LEFT + wide * along, base - high * above

    xs, ys = ticks or (round_ticks(*across), round_ticks(*up))
    parts = [_head(title, height, width)]
    for tick in ys:
        y = place(across[0], tick)[1]
        parts.append(f'<line class="grid" x1="{_LEFT:g}" x2="{width - _RIGHT:g}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 5:g}" y="{y + 3:.1f}" text-anchor="end">{short(tick)}</text>')
    for tick in xs:
        x = place(tick, up[0])[0]
        parts.append(f'<text class="tick" x="{x:.1f}" y="{base + 13:.1f}" text-anchor="middle">{short(tick)}</text>')
    if axis:
        parts.append(
            f'<text class="tick" x="{_LEFT + wide / 2:g}" y="{height - 4:g}" text-anchor="middle">{escape(axis)}</text>'
        )
    for curve in drawn:
        path = "L".join("{:.1f} {:.1f}".format(*place(x, y)) for x, y in curve.points)
        alone = (
            ""
            if len(curve.points) > 1
            else '<circle cx="{:.1f}" cy="{:.1f}" r="3.2"/>'.format(*place(*curve.points[0]))
        )
        parts.append(
            f'<g class="{colour(curve.run)}"><title>{escape(curve.said)}</title><path class="line" d="M{path}"/>{alone}</g>'
        )
    return "".join([*parts, "</svg>"])


def short(number: float) -> str:
    """A tick in few characters: 0.00006 as 6e-5."""
    if number == 0 or 1e-3 <= abs(number) < 1e5:
        return f"{number:g}"
    mantissa, exponent = f"{number:.3g}".split("e") if "e" in f"{number:.3g}" else f"{number:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def round_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """At most ``most`` + 1 round numbers from ``low`` to ``high``."""
    if not high > low:
        return [low]
    rough = (high - low) / most
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(step * k, 10) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _head(title: str, height: float, width: float = _WIDTH) -> str:
    return f'<svg class="chart" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(title)}">'


def _grid(base: float, top: int) -> list[str]:
    parts = []
    for quarter in range(5):
        y = base - (base - _TOP) * quarter / 4
        parts.append(f'<line class="grid" x1="{_LEFT:g}" x2="{_WIDTH - _RIGHT:g}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(
            f'<text class="tick" x="{_LEFT - 5:g}" y="{y + 3:.1f}" text-anchor="end">{top * quarter / 4:g}</text>'
        )
    return parts


def _y(value: float, base: float, top: int) -> float:
    return base - (base - _TOP) * min(max(100 * value / top, 0.0), 1.0)
