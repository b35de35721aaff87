"""The constants that make evidence the share of characters a reader gets right, and the thresholds on it.

Maximum likelihood: a reader is right with probability g + (1 - g - l) · evidence, where the guess rate g and the lapse
rate l are his and no part of the label (Wichmann and Hill, Perception & Psychophysics 2001). The thresholds come
from the psychometric curve itself, made monotone by pooling adjacent violators.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from degradations.legibility import LegibilityModel
from degradations.legibility.structure import curve
from studies.calibration.trials import Trial

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

CLEAR_AT = 0.9  # a clear character is one that the reader gets right at least this often
HIDDEN_AT = 0.25  # below this he is wrong three times as often as right: to assert is to guess
_LAPSES = (0.005, 0.01, 0.02, 0.04)
_GUESSES = (0.01, 0.02, 0.04)
# Where the searches start: fixed, so that what is found does not depend on what was shipped before.
_OBSERVER = (10.0, 1.0, 1.0, 0.3)  # efficiency, noise, noise weight, masking weight
_CURVE = (0.5, 4.0)  # half, slope
_ROUNDING = 12**-0.5  # grey levels: nobody sees below what eight bits round away
# Φ by table: 1e-7 exact, and quick for a million distances.
_GRID = np.linspace(-9, 9, 36001)
_PHI = np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in _GRID])


@dataclass(frozen=True, slots=True)
class Slots:
    """Every slot that a reader was asked about: one row a slot, one column a rival (NaN beyond the last).

    ``untouched`` slots have evidence 1 whatever the constants; ``right`` is what the reader made of them.
    """

    signal: Floats
    mismatch: Floats
    noise: Floats
    masking: Floats
    unseen: Floats
    untouched: Bools
    right: Bools

    @classmethod
    def of(cls, trials: Sequence[Trial], reader: str, rivals: int) -> Slots:
        rows, right = [], []
        for trial in trials:
            for index in np.flatnonzero(trial.asked[reader]).tolist():
                rows.append(trial.traces[index])
                right.append(trial.right[reader][index])
        parts = np.full((4, len(rows), rivals), np.nan)
        for index, trace in enumerate(rows):
            if trace is not None:
                parts[:, index, : len(trace.signal)] = trace.signal, trace.mismatch, trace.noise, trace.masking
        unseen = np.array([0.0 if trace is None else trace.unseen for trace in rows])
        untouched = np.array([trace is None for trace in rows], bool)
        signal, mismatch, noise, masking = parts
        return cls(signal, mismatch, noise, masking, unseen, untouched, np.array(right, bool))

    def evidence(self, model: LegibilityModel) -> Floats:
        """What ``Trace.judge`` says of every slot."""
        known = model.noise**2 + model.noise_weight * self.noise + model.masking_weight * self.masking
        distance = np.sqrt(model.efficiency * self.signal / (known + self.mismatch))
        miss = np.interp(-distance / 2, _GRID, _PHI)
        odds = np.sort(miss / (1 - miss), axis=1)  # NaN last
        count = (~np.isnan(odds)).sum(1)
        far = np.arange(odds.shape[1]) < np.maximum(1, count // 2)[:, None]
        least = np.where(far, np.nan_to_num(odds), 0.0).sum(1) / far.sum(1)
        found = 1.0 / (1.0 + np.nansum(odds, axis=1) + self.unseen * least)
        return np.where(self.untouched, 1.0, found)


def loss(evidence: Floats, right: Bools) -> float:
    """Mean negative log-likelihood under the best lapse and guess rates."""
    best = math.inf
    for lapse in _LAPSES:
        for guess in _GUESSES:
            share = guess + (1 - guess - lapse) * evidence
            best = min(best, -float(np.mean(np.log(np.where(right, share, 1 - share)))))
    return best


def fit_observer(slots: Slots, model: LegibilityModel) -> LegibilityModel:
    """``model`` with the efficiency, the noise and the weights of noise and masking that make ``slots.right`` most likely."""
    names = ("efficiency", "noise", "noise_weight", "masking_weight")

    def at(values: Floats) -> LegibilityModel:
        constants = dict(zip(names, np.exp(values).tolist(), strict=True))
        return dataclasses.replace(model, **constants | {"noise": max(_ROUNDING, constants["noise"])})

    found = _descend(lambda values: loss(slots.evidence(at(values)), slots.right), np.log(_OBSERVER))
    return _rounded(at(found), *names)


def fit_structure(structure: Floats, right: Bools, model: LegibilityModel) -> LegibilityModel:
    """``model`` with the psychometric curve (``half``, ``slope``) that makes ``right`` most likely."""

    def at(values: Floats) -> LegibilityModel:
        half, slope = np.exp(values)
        return dataclasses.replace(model, half=float(min(half, 0.99)), slope=float(slope))

    found = _descend(lambda values: loss(curve(at(values), structure), right), np.log(_CURVE))
    return _rounded(at(found), "half", "slope")


def fit_thresholds(evidence: Floats, right: Bools, model: LegibilityModel) -> LegibilityModel:
    """``model`` with ``clear`` and ``hidden`` where the reader's own curve passes ``CLEAR_AT`` and ``HIDDEN_AT``."""
    return dataclasses.replace(
        model, clear=crossing(evidence, right, CLEAR_AT), hidden=crossing(evidence, right, HIDDEN_AT)
    )


def crossing(evidence: Floats, right: Bools, target: float) -> float:
    """The evidence, in hundredths, at which the monotone curve of accuracy reaches ``target``; 1 where it never does.

    The curve runs straight between the middles of its steps: where a step begins is chance.
    """
    order = np.argsort(evidence, kind="stable")
    levels, starts, counts = np.unique(
        monotone(right[order].astype(float)).round(12), return_index=True, return_counts=True
    )
    middles = [evidence[order][start : start + count].mean() for start, count in zip(starts, counts, strict=True)]
    return 1.0 if target > levels[-1] else round(float(np.interp(target, levels, middles)), 2)


def monotone(values: Floats) -> Floats:
    """The rising curve nearest to ``values`` in squares (pool adjacent violators)."""
    blocks: list[tuple[float, int]] = []
    for value in values.tolist():
        blocks.append((value, 1))
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            (a, n), (b, m) = blocks[-2], blocks[-1]
            blocks[-2:] = [((a * n + b * m) / (n + m), n + m)]
    return np.concatenate([np.full(count, value) for value, count in blocks]) if blocks else np.zeros(0)


def _descend(cost: Callable[[Floats], float], start: Floats, step: float = 0.8, least: float = 0.01) -> Floats:
    """Pattern search: the best neighbour along each axis, with steps halved when none is better."""
    best, lowest = start, cost(start)
    while step > least:
        tries = [best + sign * step * axis for axis in np.eye(len(start)) for sign in (-1, 1)]
        costs = [cost(point) for point in tries]
        if min(costs) < lowest:
            lowest = min(costs)
            best = tries[costs.index(lowest)]
        else:
            step /= 2
    return best


def _rounded(model: LegibilityModel, *names: str) -> LegibilityModel:
    changes: dict[str, Any] = {name: float(f"{getattr(model, name):.2g}") for name in names}
    return dataclasses.replace(model, **changes)
