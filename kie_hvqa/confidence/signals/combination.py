"""Several signals in one score: logistic regression on their logits, no weight below 0, fitted on other documents.

    score = σ(b + Σ w_i · logit(c_i))

c_i are the signals of the symbol, and of each the least over its field (``NAME@least``): whoever answers about a field that is not
there is sure of every character and has a weak place somewhere. Weights stay at 0 or above because every signal is "higher is surer": a weight below 0 would be a quirk of few documents. A symbol of
which a signal says nothing counts there as the middle of what the signal says elsewhere. One squared-error penalty keeps weights
finite where the documents are separated without a mistake.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

COMBINED = "combined"
BIAS = ""
"""The name under which the weights hold b, and behind a signal's name its middle."""
_EDGE = 1e-7  # scores are at least that far from 0 and 1
_PENALTY = 1e-3


LEAST = "@least"


def features(symbols: Mapping[str, Sequence[float | None]]) -> dict[str, list[float | None]]:
    """The numbers of one answer, a symbol each: its signals, and for each the least of them. What is shorter than the others is
    cut off with them."""
    length = min(map(len, symbols.values()), default=0)
    found: dict[str, list[float | None]] = {}
    for name, own in symbols.items():
        known = [value for value in own if value is not None]
        found[name] = list(own[:length])
        found[f"{name}{LEAST}"] = [min(known, default=None)] * length
    return found


def logit(score: float) -> float:
    inner = min(max(score, _EDGE), 1 - _EDGE)
    return math.log(inner / (1 - inner))


def fit(columns: Mapping[str, Sequence[float | None]], right: Sequence[bool]) -> dict[str, float]:
    """Weights by signal, ``BIAS`` for b, and ``NAME?`` for the logit that stands for a missing number."""
    names = sorted(columns)
    middles = {name: _middle(columns[name]) for name in names}
    x = np.array([[middles[name] if c is None else logit(c) for c in columns[name]] for name in names]).T
    y = np.asarray(right, dtype=np.float64)
    x = x.reshape(len(y), len(names))

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        z = weights[0] + x @ weights[1:]
        slope = (expit(z) - y) / max(len(y), 1)
        value = float(np.mean(np.logaddexp(0, z) - y * z)) if len(y) else 0.0
        penalty = _PENALTY * weights[1:]
        return value + float(penalty @ weights[1:]) / 2, np.concatenate([[slope.sum()], x.T @ slope + penalty])

    start = np.concatenate([[0.0], np.full(len(names), 1 / max(len(names), 1))])
    bounds = [(None, None), *[(0.0, None)] * len(names)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    weights = {name: float(weight) for name, weight in zip(names, found[1:], strict=True)}
    return {BIAS: float(found[0]), **weights, **{f"{name}?": middle for name, middle in middles.items()}}


def signals_in(weights: Mapping[str, float]) -> tuple[str, ...]:
    """The signals that a combination takes: those with a weight, for themselves or for their least."""
    return tuple(dict.fromkeys(name.removesuffix(LEAST) for name in _weighted(weights)))


def _weighted(weights: Mapping[str, float]) -> list[str]:
    return [name for name in weights if name != BIAS and not name.endswith("?") and weights[name] > 0]


def score(weights: Mapping[str, float], said: Mapping[str, float | None]) -> float:
    """The combined score in (0, 1) of one symbol, ``said`` by feature."""
    z = weights[BIAS]
    for name in _weighted(weights):
        value = said.get(name)
        z += weights[name] * (weights[f"{name}?"] if value is None else logit(value))
    return float(expit(z))


def scores(weights: Mapping[str, float], symbols: Mapping[str, Sequence[float | None]]) -> list[float]:
    """The combined score of every symbol of one answer, ``symbols`` by signal."""
    columns = features(symbols)
    length = min(map(len, columns.values()), default=0)
    return [score(weights, {name: own[i] for name, own in columns.items()}) for i in range(length)]


def _middle(column: Sequence[float | None]) -> float:
    known = [logit(value) for value in column if value is not None]
    return float(np.median(known)) if known else 0.0
