"""Operating points and readings for the tests of confidence."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from kie_hvqa.answers.answer import Reading
from kie_hvqa.confidence.operating_point import OperatingPoint
from kie_hvqa.confidence.symbols import SymbolConfidence


def point(**changed: Any) -> OperatingPoint:
    plain: dict[str, Any] = {
        "reader": "somebody",
        "reader_identity": "1",
        "asks": "2",
        "signal": "token_probability",
        "unit": "character",
        "risk": 0.02,
        "confidence": 0.95,
        "threshold": 0.5,
        "probability": ((0.0, 0.0), (1.0, 1.0)),
        "field_probability": ((0.0, 0.0), (1.0, 1.0)),
    }
    return OperatingPoint(**(plain | changed))


def said(*symbols: float | None, refusal: float | None = None) -> dict[str, SymbolConfidence]:
    return {"token_probability": SymbolConfidence(symbols, refusal)}


def readings() -> st.SearchStrategy[Reading]:
    text = st.text("ab1 ", max_size=8)
    lists = st.text("ab12", max_size=6)
    return st.builds(Reading, text, lists, lists, st.none() | st.integers(0, 9), st.none() | st.integers(0, 9))
