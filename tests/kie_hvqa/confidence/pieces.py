"""Operating points, readings, and a reader whose mistakes are planted, for the tests of confidence."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from PIL import Image

from kie_hvqa.answers.answer import Reading, render
from kie_hvqa.confidence.operating_point import OperatingPoint
from kie_hvqa.confidence.symbols import SymbolConfidence
from kie_hvqa.readers import Answer
from tests.kie_hvqa.pieces import row, slots


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


VALUE, KINDS = "ABCDEFGHIJ", "cccccccchh"


class Guesser:
    """Reads every clear character, and makes up the two hidden ones of every second field: less sure of those, if ``honest``."""

    signals = ("token_probability",)

    def __init__(self, identity="1", told="plainly", honest=True):
        self.name, self.identity, self.told, self.honest = "guesser", identity, told, honest

    def asks(self, row):
        return self.told

    def read(self, tasks, done=frozenset()):
        for task in tasks:
            if task.row.id in done:
                continue
            draw = random.Random(task.row.id)
            final = VALUE[:8] + ("XY" if draw.random() < 0.5 else "  ")
            sure = [0.9 + 0.1 * draw.random() for _ in final[:8]]
            sure += [(0.6 if self.honest else 0.9) + 0.1 * draw.random() for _ in final[8:]]
            reading = Reading(final, "", final.strip(), len(final.strip()), 0)
            signals = {"token_probability": SymbolConfidence.of(sure)}
            yield Answer(task.row.id, render(reading, tags=True), 0.5, signals=signals)


def pages(folder: Path, documents: int, split: str = "validation", prefix: str = "doc") -> Path:
    folder.mkdir()
    Image.new("RGB", (32, 32), "white").save(folder / "page.png")
    rows = [
        replace(row(f"{prefix}{n}_{k}", slots(VALUE, KINDS)), file_name="page.png", split=split, field=f"f{k}")
        for n in range(documents)
        for k in range(2)
    ]
    (folder / "metadata.jsonl").write_text("".join(json.dumps(each.to_json()) + "\n" for each in rows))
    return folder
