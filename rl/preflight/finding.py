"""What a check of the preflight says when it finds nothing wrong."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One line of the preflight: which check, and what it found."""

    check: str
    text: str

    def __str__(self) -> str:
        return f"{self.check:<12}{self.text}"
