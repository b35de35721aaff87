"""Where every generator comes from: a dataset seed and the names of what is being drawn."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(seed: int, *names: str) -> np.random.Generator:
    """A generator for ``names`` (a document id, a sample id, a purpose) under ``seed``: the same in any process."""
    words = [int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) for name in names]
    return np.random.default_rng(np.random.SeedSequence([seed, *words]))
