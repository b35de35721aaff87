"""Curves of a training run, from its ``history.json``: one small chart a quantity, all runs in one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from kie_hvqa.report.charts import Curve, curves
from kie_hvqa.report.markup import fill
from kie_hvqa.report.sources import Training
from kie_hvqa.scoring.tables import LABELS

_TITLES = {
    "reward": "reward",
    "loss": "loss",
    "eval_loss": "loss, validation",
    "mean_token_accuracy": "tokens right",
    "kl": "KL from the reference",
    "entropy": "entropy",
    "grad_norm": "gradient norm",
    "learning_rate": "learning rate",
    "completions/mean_length": "length, tokens",
    "completions/clipped_ratio": "cut at the longest length",
    "frac_reward_zero_std": "groups without a difference in reward",
    "step_time": "seconds a step",
}
_FIRST = ("reward", "loss", "eval_loss")


def training_section(trainings: Sequence[Training], names: Sequence[str]) -> Markup:
    """``names`` are those of everything that the report shows: a run keeps its colour."""
    quantities = _ordered({key for training in trainings for entry in training.log for key in entry if _title(key)})
    charts = [(_title(key), chart) for key in quantities if (chart := _chart(trainings, names, key))]
    shown = [(names.index(training.name), training.name) for training in trainings]
    return fill("training.html", runs=shown, charts=charts) if charts else Markup()


def _title(key: str) -> str | None:
    """What a logged quantity is called; None for those that are not drawn."""
    if key.startswith("rewards/") and key.endswith("/mean"):
        return f"reward: {key.removeprefix('rewards/').removesuffix('/mean')}"
    if key.startswith("ledger/"):
        name = key.removeprefix("ledger/")
        return LABELS[name].title if name in LABELS else name.replace("_", " ")
    return _TITLES.get(key)


def _ordered(keys: set[str]) -> list[str]:
    def rank(key: str) -> tuple[int, str]:
        if key in _FIRST:
            return _FIRST.index(key), key
        return (3 if key.startswith("ledger/") else 4 if key.startswith("rewards/") else 5), key

    return sorted(keys, key=rank)


def _chart(trainings: Sequence[Training], names: Sequence[str], key: str) -> Markup | None:
    drawn = []
    for training in trainings:
        points = [(float(entry["step"]), value) for entry in training.log if (value := _number(entry, key)) is not None]
        if points:
            drawn.append(Curve(names.index(training.name), points, training.name))
    if not drawn:
        return None
    xs = [x for curve in drawn for x, _ in curve.points]
    ys = [y for curve in drawn for _, y in curve.points]
    low, high = min(ys), max(ys)
    if low > 0 and low < high / 2:
        low = 0.0
    room = 0.05 * (high - low) or abs(high) or 1.0
    up = (low if low == 0 else low - room, high + room)
    return curves(drawn, _title(key) or key, across=(min(0, *xs), max(xs)), up=up, width=250, height=130)


def _number(entry: Mapping[str, Any], key: str) -> float | None:
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isinstance(entry["step"], (int, float)):
        return None
    return float(value) if math.isfinite(value) else None
