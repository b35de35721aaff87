"""Training curves as one SVG file: a column a run, above what it was paid, below what was true.

Run: python -m studies.curves "make demo=runs/demo/grpo" "make study=runs/study/grpo" --out docs/study.svg

Plain text, no library: the page is read where pictures are shown and scripts are not run. Every line is smoothed over a few
logged steps, and of several seeds the mean; the reward has its own axis, because rewards have no common scale.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from kie_hvqa.data.files import read_json, write_text

LINES = {
    "hallucination_free_accuracy": ("hallucination-free accuracy", "#2563eb"),
    "over_refusal_rate": ("over-refused", "#d97706"),
    "invented_rate": ("invented", "#dc2626"),
}
_REWARD = "#334155"
_WIDTH, _HEIGHT, _GAP, _LEFT, _TOP, _MIDDLE = 176.0, 110.0, 40.0, 44.0, 44.0, 30.0
_LEGEND = 570.0  # what the line that names the colours takes
_SMOOTH = 3

Values = Sequence[float | None]


def curves_svg(runs: Mapping[str, Mapping[str, Any]]) -> str:
    """``runs``: title → ``steps`` and, of the same length, ``curves`` (``reward`` and each of ``LINES``)."""
    top = _top([value for found in runs.values() for key in LINES for value in found["curves"][key]])
    width = max(_LEGEND, _LEFT + len(runs) * (_WIDTH + _GAP))
    height = _TOP + 2 * _HEIGHT + _MIDDLE + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" font-family="sans-serif" '
        f'font-size="10" fill="#334155"><rect width="100%" height="100%" fill="#ffffff"/>',
        *_legend(),
    ]
    for number, (name, found) in enumerate(runs.items()):
        left = _LEFT + number * (_WIDTH + _GAP)
        steps, curves = found["steps"], found["curves"]
        parts.append(f'<text x="{left:g}" y="{_TOP - 8:g}" font-weight="bold">{escape(name)}</text>')
        low, high = _range(curves["reward"])
        parts += _panel(left, _TOP, steps, {"reward": curves["reward"]}, low, high, "reward" if not number else "")
        truths = {key: curves[key] for key in LINES}
        below = _TOP + _HEIGHT + _MIDDLE
        parts += _panel(left, below, steps, truths, 0.0, top, "share" if not number else "")
        if steps:
            parts.append(_text(left + _WIDTH, below + _HEIGHT + 14, f"step {steps[-1]}", "end"))
    return "".join([*parts, "</svg>\n"])


def curves_of(directory: Path) -> dict[str, Any]:
    """``steps`` and ``curves`` of a finished GRPO run, from its log (``history.json``)."""
    logs = [log for log in read_json(directory / "history.json")["log"] if "reward" in log]
    keys = {"reward": "reward", **{key: f"ledger/{key}" for key in LINES}}
    return {
        "steps": [log["step"] for log in logs],
        "curves": {key: [log.get(name) for log in logs] for key, name in keys.items()},
    }


def _legend() -> list[str]:
    parts, x = [], _LEFT
    for title, colour in [("reward (its own scale)", _REWARD), *LINES.values()]:
        parts.append(f'<path d="M{x:g} 16h16" stroke="{colour}" stroke-width="2"/>')
        parts.append(_text(x + 20, 19, title))
        x += 34 + 5.6 * len(title)
    return parts


def _panel(
    left: float, top: float, steps: Sequence[int], lines: Mapping[str, Values], low: float, high: float, title: str
) -> list[str]:
    bottom = top + _HEIGHT
    parts = []
    for share in (0.0, 0.5, 1.0):
        y = bottom - share * _HEIGHT
        parts.append(f'<path d="M{left:g} {y:.1f}h{_WIDTH:g}" stroke="#e2e8f0"/>')
        parts.append(_text(left - 4, y + 3, f"{low + share * (high - low):.2g}", "end"))
    if title:
        parts.append(
            f'<text transform="translate({left - 32:g} {top + _HEIGHT / 2:g}) rotate(-90)" text-anchor="middle">{title}</text>'
        )
    for key, values in lines.items():
        colour = _REWARD if key == "reward" else LINES[key][1]
        points = [
            f"{left + _WIDTH * index / max(1, len(steps) - 1):.1f} {bottom - _HEIGHT * (value - low) / (high - low):.1f}"
            for index, value in enumerate(smoothed(values))
            if value is not None
        ]
        if points:
            parts.append(f'<path d="M{"L".join(points)}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
    return parts


def smoothed(values: Values) -> list[float | None]:
    """The mean of each value and its neighbours, ``_SMOOTH`` on either side; None where none of them is a number."""
    found: list[float | None] = []
    for index in range(len(values)):
        near = [v for v in values[max(0, index - _SMOOTH) : index + _SMOOTH + 1] if v is not None]
        found.append(sum(near) / len(near) if near else None)
    return found


def _top(values: Values) -> float:
    """The lowest of a few round shares that no line rises above."""
    highest = max((value for value in values if value is not None), default=1.0)
    return next((share for share in (0.2, 0.4, 0.6, 0.8) if highest <= share), 1.0)


def _range(values: Values) -> tuple[float, float]:
    there = [value for value in smoothed(values) if value is not None]
    if not there:
        return 0.0, 1.0
    low, high = min(there), max(there)
    return (low, high) if high - low > 1e-9 else (low - 0.5, high + 0.5)


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="TITLE=RUN", help="GRPO output directories")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    named = [run.partition("=") for run in args.runs]
    for title, _, directory in named:
        if not (Path(directory) / "history.json").is_file():
            parser.error(f"{title}={directory}: no history.json there; name what `kie-hvqa grpo` wrote")
    write_text(args.out, curves_svg({title: curves_of(Path(directory)) for title, _, directory in named}))


if __name__ == "__main__":
    main()
