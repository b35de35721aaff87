"""One confidence a symbol: what every signal says about an answer, whoever computes it.

A reading asserts characters and sets marks; a signal gives each symbol of its Final OCR a number in [0, 1], higher is surer:
for a character the confidence that this character stands there, for a mark that nothing can be read there, for a word space that
it is one (the format writes both as a space). An answer that reads nothing has no symbols and one number for that. None is "this
signal does not say": a character that the engine joined, a token whose probability the server kept to itself. Whoever decides
takes None for the least sure.

In ``predictions.jsonl``: ``"signals": {"token_probability": {"symbols": [0.99, …], "refusal": null}, …}``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DIGITS = 9
"""Decimals that are kept: a trained reader's probabilities differ from 1 in the seventh."""


@dataclass(frozen=True, slots=True)
class SymbolConfidence:
    """``symbols``: one number in [0, 1] a symbol of Final OCR, or None; ``refusal``: that of "nothing is read", None where
    something is. ValueError for a number outside."""

    symbols: tuple[float | None, ...]
    refusal: float | None = None

    def __post_init__(self) -> None:
        for value in (*self.symbols, self.refusal):
            if value is not None and not 0.0 <= value <= 1.0:  # false for NaN, too
                raise ValueError(f"a confidence lies in [0, 1], {value!r} does not")

    @classmethod
    def of(cls, symbols: Sequence[float | None], refusal: float | None = None) -> SymbolConfidence:
        """Rounded to ``DIGITS``, a rounding error outside [0, 1] put back, NaN taken for None."""
        return cls(tuple(map(_tidy, symbols)), _tidy(refusal))

    def to_json(self) -> dict[str, Any]:
        return {"symbols": list(self.symbols), "refusal": self.refusal}

    @classmethod
    def from_json(cls, data: Any) -> SymbolConfidence:
        """ValueError for anything that ``to_json`` does not write."""
        if not isinstance(data, Mapping) or data.keys() != {"symbols", "refusal"}:
            raise ValueError('a signal is {"symbols": [number or null, …], "refusal": number or null}')
        symbols = data["symbols"]
        if not isinstance(symbols, list) or not all(map(_is_number, [*symbols, data["refusal"]])):
            raise ValueError("a confidence is a number in [0, 1], or null")
        return cls(tuple(symbols), data["refusal"])


Signals = Mapping[str, SymbolConfidence]
"""Name of a signal → what it says about one answer."""


def signals_to_json(signals: Signals) -> dict[str, Any]:
    return {name: signals[name].to_json() for name in sorted(signals)}


def signals_from_json(data: Any) -> dict[str, SymbolConfidence]:
    """ValueError, which names the signal, for anything that ``signals_to_json`` does not write."""
    if not isinstance(data, Mapping):
        raise ValueError("signals are an object: name → what it says")
    found = {}
    for name, said in data.items():
        try:
            found[name] = SymbolConfidence.from_json(said)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return found


def _tidy(value: float | None) -> float | None:
    if value is None or math.isnan(value):
        return None
    return min(1.0, max(0.0, round(float(value), DIGITS)))


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))
