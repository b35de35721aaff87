"""Whether a dataset is private: its values and pictures stay out of all that is written about it (docs/privacy.md).

The recipe that it was made by says so (``private: true``), and ``dataset.json`` keeps that.
"""

from __future__ import annotations

from pathlib import Path

from kie_hvqa.data.dataset import dataset_root
from kie_hvqa.data.files import read_json
from kie_hvqa.errors import InputError


def is_private(data: str | Path) -> bool:
    """Raises InputError for a ``dataset.json`` that cannot be read: nobody knows what it says."""
    file = dataset_root(data) / "dataset.json"
    if not file.is_file():
        return False
    held = read_json(file)
    config = held.get("config") if isinstance(held, dict) else None
    private = config.get("private", False) if isinstance(config, dict) else False
    if not isinstance(private, bool):
        raise InputError("must be true or false", file=file, field="config.private", remedy="Mend it.")
    return private
