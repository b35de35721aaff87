"""Cheap pieces of a dataset, and what a directory holds: for the tests of writing, sharding and merging."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from degradations.storing.writer import Sample
from kie_hvqa.data.ledger import Row, Slot


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def piece(index: int, *, size: int = 24):
    """A cheap piece: two rows about one picture of noise."""
    rng = np.random.default_rng(index)
    image = rng.integers(0, 256, (size, size + index, 3), dtype=np.uint8)
    slots = (Slot("A", "clear", 0.9, (0.0, 0.0, 4.0, 8.0)), Slot("é", "hidden", 0.1, (4.0, 0.0, 8.0, 8.0)))
    return [
        Sample(
            Row(
                id=f"d{index}-q{question}",
                file_name=f"images/d{index}.png",
                document_id=f"d{index}",
                document_type="id_card",
                split="train",
                field="surname",
                question_kind="answerable",
                problem="<image>What is the surname in the image?",
                answer="{}",
                slots=slots,
                severity=3,
                recipe=[{"operator": "noise", "parameters": "{}"}],
                template="plain",
            ),
            image,
        )
        for question in range(2)
    ]
