"""What a check of the preflight says when it finds nothing wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Finding:
    """One line of the preflight: which check, and what it found; ``numbers`` of it for a script (bytes, seconds, counts)."""

    check: str
    text: str
    numbers: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.check:<12}{self.text}"
