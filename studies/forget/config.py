"""How large the study is. The defaults are the whole one; ``SMALL`` runs in a minute and shows nothing but that it runs."""

from __future__ import annotations

from pydantic import Field

from kie_hvqa.config import Config
from rl.forget.losses import METHODS, Name


class StudyConfig(Config):
    """``forgotten`` of ``people`` a seed, ``rows`` questions each, in a ``crowd`` of others with one question; ``overtrain`` and ``steps`` are optimiser steps, the second at most."""

    people: int = Field(default=30, ge=4)
    forgotten: int = Field(default=10, ge=1)
    rows: int = Field(default=48, ge=3)
    crowd: int = Field(default=640, ge=1)
    strangers: int = Field(default=15, ge=1)
    strangers_rows: int = Field(default=8, ge=1)
    data_seed: int = 7100
    overtrain: int = Field(default=1000, ge=1)
    steps: int = Field(default=120, ge=1)
    seeds: int = Field(default=3, ge=1)
    methods: list[Name] = list(METHODS)
    adapters: list[Name] = ["relearn"]
    """Methods that are also trained as an adapter, with the decoupled term."""
    measured: int = Field(default=60, ge=1)
    max_new_tokens: int = Field(default=96, ge=1)
    wordings: list[str] = ["{question}", "Please: {question}"]
    samples: int = 3
    relearn: list[int] = [1, 8]
    relearn_steps: int = 10


SMALL = {
    "people": 6, "forgotten": 2, "rows": 9, "crowd": 4, "strangers": 2, "strangers_rows": 4, "overtrain": 2, "steps": 1, "seeds": 1,
    "methods": ["ga", "relearn"], "adapters": [], "measured": 6, "max_new_tokens": 48, "samples": 2, "relearn": [2],
    "relearn_steps": 1,
}  # fmt: skip
