"""Charts as plain SVG: no script, no library, readable without either. Colours come from the page's style sheet.

``lines`` for what has an order (severity), ``dots`` for what has none (document type, operator), ``curves`` for what is
continuous (coverage, training steps). Every mark has a title with its numbers, which the page's script shows to fingers and
keyboards too (``assets/pointing.js``); the page repeats them as tables. What lies where is computed here; ``templates/chart.svg`` writes it down.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from kie_hvqa.report.markup import fill

_WIDTH = 360.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 34.0, 10.0, 8.0, 24.0
_TOPS = (5, 10, 20, 40, 60, 100)

Point = tuple[float, float]
Segment = tuple[float, float, float, float]  # x, y of its two ends


@dataclass(frozen=True, slots=True)
class Bar:
    """A score with its 95 % interval, as fractions in [0, 1], over ``n``."""

    value: float
    low: float | None
    high: float | None
    n: int
    to: str = ""  # the samples behind it, as the query that the page's script understands

    def said(self) -> str:
        spread = "" if self.low is None or self.high is None else f" [{100 * self.low:.1f}, {100 * self.high:.1f}]"
        return f"{100 * self.value:.1f}{spread}, n = {self.n:,}"


Groups = Sequence[tuple[str, Sequence[Bar | None]]]
"""A label, and one bar a run; None is a number that is missing."""
References = Sequence[tuple[str, Sequence[float | None]]]
"""A reader that needs no model, and its score in each group, as a fraction; None where it has none."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Points (x, y) of run ``run`` (its colour); ``said`` is the title that pointing at it shows."""

    run: int
    points: Sequence[Point]
    said: str


@dataclass(frozen=True, slots=True)
class _Text:
    x: float
    y: float
    text: str
    anchor: str = "middle"
    tick: bool = True


@dataclass(frozen=True, slots=True)
class _Mark:
    x: float
    y: float
    said: str = ""
    whisker: Segment | None = None
    to: str = ""


@dataclass(frozen=True, slots=True)
class _Series:
    """What is drawn in the colour of one run: a line through ``points``, and marks."""

    run: int
    points: Sequence[Point] = ()
    marks: Sequence[_Mark] = ()
    said: str = ""
    values: Sequence[tuple[str, str]] = ()  # of each point, as a person reads them


@dataclass(frozen=True, slots=True)
class _Reference:
    """A reader that needs no model: the dash of its number, a line through ``points``, or a ``tick``."""

    number: int
    said: str
    points: Sequence[Point] = ()
    tick: Segment | None = None


def axis_top(groups: Groups) -> int:
    """The lowest of a few round percentages that nothing in ``groups`` rises above, intervals included."""
    ends = [100 * max(bar.value, bar.high or 0.0) for _, bars in groups for bar in bars if bar is not None]
    return next((top for top in _TOPS if top >= max(ends, default=0.0)), _TOPS[-1])


def lines(groups: Groups, names: Sequence[str], title: str, top: int, references: References = ()) -> Markup:
    """One line a run over the ordered ``groups``; the axis runs from 0 to ``top`` percent. A reference that leaves the axis is
    left out."""
    height = 190.0
    base = height - _BOTTOM
    step = (_WIDTH - _LEFT - _RIGHT) / max(len(groups), 1)
    middles = [_LEFT + step * (number + 0.5) for number in range(len(groups))]
    levels = [(top * quarter / 4, base - (base - _TOP) * quarter / 4) for quarter in range(5)]
    texts = [_Text(_LEFT - 5, y + 3, f"{level:g}", "end") for level, y in levels]
    texts += [_Text(x, height - 8, label, tick=False) for x, (label, _) in zip(middles, groups, strict=True)]

    def up(value: float) -> float:
        return base - (base - _TOP) * min(max(100 * value / top, 0.0), 1.0)

    dodge = min(7.0, step / (len(names) + 1))  # so that the whiskers of runs do not cover each other
    series = []
    for run, name in enumerate(names):
        marks = []
        for middle, (label, bars) in zip(middles, groups, strict=True):
            bar = bars[run]
            if bar is None:
                continue
            x = middle + dodge * (run - (len(names) - 1) / 2)
            whisker = None if bar.low is None or bar.high is None else (x, up(bar.low), x, up(bar.high))
            marks.append(_Mark(x, up(bar.value), f"{name}, {label}: {bar.said()}", whisker, bar.to))
        series.append(_Series(run, [(mark.x, mark.y) for mark in marks], marks))
    beside = []
    for number, (name, values) in enumerate(references):
        known = [(x, value) for x, value in zip(middles, values, strict=True) if value is not None]
        if known and max(value for _, value in known) <= top / 100:
            beside.append(_Reference(number, name, [(x, up(value)) for x, value in known]))
    return _drawn(title, height, [(_LEFT, y, _WIDTH - _RIGHT, y) for _, y in levels], texts, series, beside=beside)


def dots(groups: Groups, names: Sequence[str], title: str, top: int, references: References = ()) -> Markup:
    """One row a group, one dot with its interval a run, and a tick across the row a reference; the axis runs from 0 to ``top``
    percent, and what leaves it of the references is left out."""
    left, line = 114.0, 7.0
    row = line * len(names) + 6
    height = _TOP + row * len(groups) + 20
    scale = (_WIDTH - left - _RIGHT) / top

    def along(value: float) -> float:
        return left + 100 * scale * min(max(value, 0.0), 1.0)

    levels = [(top * quarter / 4, left + scale * top * quarter / 4) for quarter in range(5)]
    grid: list[Segment] = [(x, _TOP, x, height - 20) for _, x in levels]
    texts = [_Text(x, height - 6, f"{level:g}") for level, x in levels]
    series, beside = [], []
    for number, (label, bars) in enumerate(groups):
        start = _TOP + row * number
        middle = start + row / 2
        texts.append(_Text(left - 8, middle + 3.5, label, "end", tick=False))
        if number:
            grid.append((left, start, _WIDTH - _RIGHT, start))
        for run, bar in enumerate(bars):
            y = middle + line * (run - (len(names) - 1) / 2)
            if bar is None:
                texts.append(_Text(left + 4, y + 3, "–", "start"))
                continue
            whisker = None if bar.low is None or bar.high is None else (along(bar.low), y, along(bar.high), y)
            mark = _Mark(along(bar.value), y, f"{names[run]}, {label}: {bar.said()}", whisker, bar.to)
            series.append(_Series(run, marks=[mark]))
        for which, (name, values) in enumerate(references):
            value = values[number]
            if value is not None and value <= top / 100:
                tick = (along(value), start + 2, along(value), start + row - 2)
                beside.append(_Reference(which, f"{name}, {label}: {100 * value:.1f}", tick=tick))
    return _drawn(title, height, grid, texts, series, beside=beside)


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
) -> Markup:
    """Continuous curves between the limits ``across`` (x) and ``up`` (y); ``ticks`` are those of the two axes."""
    base = height - _BOTTOM - (10 if axis else 0)
    wide, high = width - _LEFT - _RIGHT, base - _TOP

    def place(x: float, y: float) -> Point:
        along = (x - across[0]) / ((across[1] - across[0]) or 1)
        above = (min(max(y, up[0]), up[1]) - up[0]) / ((up[1] - up[0]) or 1)
        return _LEFT + wide * along, base - high * above

    xs, ys = ticks or (round_ticks(*across), round_ticks(*up))
    grid: list[Segment] = []
    texts = []
    for tick in ys:
        y = place(across[0], tick)[1]
        grid.append((_LEFT, y, width - _RIGHT, y))
        texts.append(_Text(_LEFT - 5, y + 3, short(tick), "end"))
    texts += [_Text(place(tick, up[0])[0], base + 13, short(tick)) for tick in xs]
    if axis:
        texts.append(_Text(_LEFT + wide / 2, height - 4, axis))
    series = []
    for curve in drawn:
        points = [place(x, y) for x, y in curve.points]
        alone = [_Mark(*points[0])] if len(points) == 1 else []
        values = [(f"{x:.4g}", f"{y:.4g}") for x, y in curve.points]
        series.append(_Series(curve.run, points, alone, curve.said, values))
    return _drawn(title, height, grid, texts, series, width, guide=(_TOP, base))


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


def _drawn(
    title: str,
    height: float,
    grid: Sequence[Segment],
    texts: Sequence[_Text],
    series: Sequence[_Series],
    width: float = _WIDTH,
    *,
    beside: Sequence[_Reference] = (),
    guide: Point | None = None,
) -> Markup:
    drawn = {"grid": grid, "texts": texts, "series": series, "references": beside, "guide": guide}
    return fill("chart.svg", title=title, width=width, height=height, **drawn)
