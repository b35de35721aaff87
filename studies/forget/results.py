"""The study's tables: every method beside the over-trained reader, pooled over seeds, intervals over people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rl.forget.measure import pooled
from rl.forget.report import TITLES, cell, percent

Done = tuple[int, str, dict[str, Any]]
COLUMNS = {
    "leak": "leak ↓",
    "krr": "others read (KRR) ↑",
    "strangers_read": "strangers read ↑",
    "read": "forgotten, legible: read ↑",
    "withheld": "… withheld ↓",
    "valid": "valid ↑",
    "kfr": "KFR ↑",
    "kept_leak": "others' leak",
    "chance": "chance",
}
FIRST = ("leak", "krr", "strangers_read", "read", "withheld", "valid")
BEFORE = "over-trained reader"


def results(done: Sequence[Done], config: dict[str, Any], seconds: dict[str, float]) -> dict[str, Any]:
    """``{"config", "seconds", "cells": {name: {"seeds", "steps", score: …, "probe", "membership", "relearning"}}}``."""
    cells: dict[str, Any] = {}
    names = list(dict.fromkeys(name for _, name, _ in done))
    if done:
        firsts = {seed: found for seed, _, found in reversed(done)}
        cells[BEFORE] = _pooled([found["before"] for _, found in sorted(firsts.items())]) | {"seeds": sorted(firsts)}
    for name in names:
        own = [(seed, found) for seed, other, found in done if other == name]
        cells[name] = _pooled([found["after"] for _, found in own]) | {
            "seeds": [seed for seed, _ in own],
            "steps": [found["steps"] for _, found in own],
        }
    return {"config": config, "seconds": seconds, "cells": cells}


def _pooled(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {score: _together([part[score] for part in parts]) for score in COLUMNS}
    found["probe"] = {who: _together([part["probe"][who] for part in parts]) for who in ("forgotten", "strangers")}
    found["membership"] = [part["membership"] for part in parts]
    rounds = zip(*[part.get("relearning", ()) for part in parts], strict=True)
    found["relearning"] = [
        {"rows": each[0]["rows"]} | {key: _together([one[key] for one in each]) for key in ("leak", "chance")}
        for each in rounds
    ]
    return found


def _together(scores: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One score over the people of all seeds, each person once, and its values by seed."""
    people: dict[str, list[float]] = {}
    for score in scores:
        for name, (top, size) in score["people"].items():
            before = people.get(name, [0.0, 0])
            people[name] = [before[0] + top, before[1] + size]
    return pooled(people) | {"people": len(people), "seeds": [score["value"] for score in scores]}


def markdown(found: dict[str, Any]) -> str:
    """Two tables: what is left and what it cost; what attacks find."""
    cells = found["cells"]
    taught = [one["rows"] for name, one in cells.items() if name != BEFORE for one in one["relearning"]]
    counts = sorted(set(taught))
    lines = ["| % | seeds | steps | " + " | ".join(COLUMNS[name] for name in FIRST) + " |"]
    lines.append("|---" * (3 + len(FIRST)) + "|")
    for name, one in cells.items():
        steps = ", ".join(map(str, one.get("steps", ())))
        lines.append(
            f"| {title(name)} | {len(one['seeds'])} | {steps} | " + " | ".join(cell(one[s]) for s in FIRST) + " |"
        )
    lines += ["", "| % | KFR | others' leak | chance | hot: leak | hot: chance | membership | " + " | ".join(
        f"taught {count}: leak (chance)" for count in counts) + " |"]  # fmt: skip
    lines.append("|---" * (7 + len(counts)) + "|")
    for name, one in cells.items():
        again = {
            other["rows"]: f"{cell(other['leak'])} ({percent(other['chance']['value'])})" for other in one["relearning"]
        }
        values = [cell(one[score]) for score in ("kfr", "kept_leak", "chance")]
        values += [cell(one["probe"]["forgotten"]), percent(one["probe"]["strangers"]["value"])]
        values += [
            ", ".join(percent(value) for value in one["membership"]),
            *(again.get(count, "") for count in counts),
        ]
        lines.append(f"| {title(name)} | " + " | ".join(values) + " |")
    return "\n".join(lines) + "\n"


def title(name: str) -> str:
    """``relearn-decoupled-lora`` as a person reads it."""
    method, *rest = name.split("-")
    if method not in TITLES:
        return name
    return TITLES[method] + (" + decoupled" if "decoupled" in rest else "") + (", adapter" if "lora" in rest else "")
