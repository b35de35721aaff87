"""All seeds of a study in one mapping, and out of it the table and the figure of docs/refusal.md.

A number over several seeds is their mean, with the widest limits that any of them has; each seed's own are in ``seed-N/ARM.json``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kie_hvqa.data.files import read_json
from kie_hvqa.report.charts import Curve, curves
from studies.refusal.pages import JUDGED
from studies.standing import alone

DRAWN = (
    "token_probability", "steering_prober", "four_cells_oracle", "four_cells_four", "check_direct", "check_draft",
    "tokens_answering", "editing_warm",
)  # fmt: skip
"""Readers of the figure, those of them that were run and are not another one drawn before (editing at coefficient 0)."""
_COLUMNS = {
    "aurc_answers": "AURC, answers",
    "refused_by_itself": "own point: refused",
    "invented_rate": "invented",
    "invented_from_reference": "from the reference, refusing as much",
    "invented_at_15": "invented at 15 % refused",
    "invented_at_15_difference": "from the reference",
    "clean_reading": "clean reading",
}


def results(out: Path, arms: Sequence[str]) -> dict[str, Any]:
    """``{"seeds", "arms": {arm: [one entry a seed]}, "readers": {reader: {set: {score: value}}}}`` of what has been run in ``out``."""
    rooms = sorted(out.glob("seed-*"), key=lambda room: int(room.name.partition("-")[2]))
    of_arms = {
        arm: [read_json(room / f"{arm}.json") for room in rooms if (room / f"{arm}.json").is_file()] for arm in arms
    }
    readers: dict[str, list[Any]] = {}
    for arm, entries in of_arms.items():
        for entry in entries:
            for name, own in entry["readers"].items():
                readers.setdefault(name, []).append(own | {"arm": arm})
    return {
        "seeds": [int(room.name.partition("-")[2]) for room in rooms],
        "arms": {arm: entries for arm, entries in of_arms.items() if entries},
        "readers": {name: _joined(entries) for name, entries in readers.items()},
    }


def _joined(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "arm": entries[0]["arm"],
        "tokens_an_answer": entries[0]["tokens_an_answer"],
        "seeds": len(entries),
    }
    for judged in (name for name in entries[0] if name in JUDGED):
        found[judged] = {"curve": entries[0][judged]["curve"]}
        for score in entries[0][judged]:
            own = [entry[judged][score] for entry in entries if isinstance(entry[judged][score], Mapping)]
            values = [each["value"] for each in own if each["value"] is not None]
            if values:
                lows, highs = ([each[end] for each in own if each[end] is not None] for end in ("low", "high"))
                ends = {"low": min(lows, default=None), "high": max(highs, default=None)}
                found[judged][score] = {"value": float(np.mean(values)), **ends}
    return found


def tables(found: Mapping[str, Any]) -> str:
    """``table`` for each set that something was judged on."""
    return "\n\n".join(
        table(found, judged) for judged in JUDGED if any(judged in own for own in found["readers"].values())
    )


def table(found: Mapping[str, Any], judged: str) -> str:
    """Markdown: percent, 95 % intervals over documents; a reader a row, and the set in the corner."""
    head = (f"`{judged}`", *_COLUMNS.values(), "tokens an answer")
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for name, own in found["readers"].items():
        if judged not in own:
            continue
        cells = [_cell(own[judged].get(score)) for score in _COLUMNS]
        lines.append(f"| {name.replace('_', ' ')} | {' | '.join(cells)} | {own['tokens_an_answer'] or ''} |")
    return "\n".join(lines)


def costs(found: Mapping[str, Any]) -> str:
    """Markdown: what each arm took of the processor, its pages' features and its judging included, as the mean over seeds; and the
    parameters that it adds to the reader."""
    lines = ["| arm | processor minutes | parameters added |", "|---|---|---|"]
    for arm, entries in found["arms"].items():
        minutes = float(np.mean([entry["cpu_seconds"] for entry in entries])) / 60
        lines.append(f"| {arm.replace('_', ' ')} | {minutes:.1f} | {entries[0]['parameters']:,} |")
    return "\n".join(lines)


def _cell(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return ""
    text = f"{100 * entry['value']:.1f}"
    if entry["low"] is not None and entry["high"] is not None:
        text += f" [{100 * entry['low']:.1f}, {100 * entry['high']:.1f}]"
    return text.replace("-", "−")


def figure(found: Mapping[str, Any], judged: str = "test") -> str:
    """SVG: what is invented over what is refused, from each reader's own point on."""
    there = {name: found["readers"][name][judged]["curve"] for name in DRAWN if name in found["readers"]}
    names = [name for number, name in enumerate(there) if there[name] not in list(there.values())[:number]]
    drawn = [
        Curve(
            number,
            [(100 * x, 100 * y) for x, y in there[name] if x <= 0.5],
            name.replace("_", " "),
        )
        for number, name in enumerate(names)
    ]
    chart = curves(
        drawn, "Hidden slots invented over clear slots refused", across=(0, 50), up=(0, 100), width=520, height=320,
        axis="clear slots refused, % (vertical: hidden slots asserted, %)",
    )  # fmt: skip
    return alone(str(chart), [name.replace("_", " ") for name in names], left=360)
