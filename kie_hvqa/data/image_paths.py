"""Where a row's image lies, and that it lies inside its dataset: a row file must not name the rest of the disk.

The official rows say ``./images/`` where the published files lie in ``./data/``, so both places are tried.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from kie_hvqa.data.ledger import Row
from kie_hvqa.errors import InputError


def image_path(root: str | Path, row: Row) -> Path:
    """Where the image of ``row`` lies under ``root``; InputError if it is not there or lies outside."""
    root = Path(root)
    inside = Inside(root)
    for name in _places(row.file_name):
        inside.check(name)
        if (root / name).is_file():
            return root / name
    raise InputError("no such image", file=root / row.file_name, remedy="Fetch the images beside the rows.")


def _places(name: str) -> Iterator[str]:
    yield name
    first, *rest = PurePosixPath(name).parts
    other = {"images": "data", "data": "images"}.get(first)
    if other and rest:
        yield str(PurePosixPath(other, *rest))


class Inside:
    """Refuses file names that leave their directory, by name or through a symbolic link. Every foreign name goes through it."""

    def __init__(self, root: Path, what: str = "dataset directory") -> None:
        self.root = root
        self.what = what
        self.real = os.path.realpath(root)
        self.parents: dict[str, bool] = {}  # folder → does it stay inside; folders are few, rows are many

    def check(self, name: str) -> None:
        """InputError unless ``name`` is the relative path of a file under the directory, existing or not."""
        path = PurePosixPath(name)
        if not path.parts or "\0" in name:
            raise InputError("not a file name", field="file_name", remedy=f"Name an image under the {self.what}.")
        if path.is_absolute() or ".." in path.parts or "\\" in name:
            raise self._escape(name)
        full = os.path.join(self.root, name)
        parent = os.path.dirname(full)
        if parent not in self.parents:
            self.parents[parent] = self._holds(os.path.realpath(parent))
        if not self.parents[parent] or (os.path.islink(full) and not self._holds(os.path.realpath(full))):
            raise self._escape(name)

    def _holds(self, real: str) -> bool:
        return os.path.commonpath([self.real, real]) == self.real

    def _escape(self, name: str) -> InputError:
        return InputError(
            f"the image path {name!r} leaves the {self.what}",
            field="file_name",
            remedy="Put the image under it and name it relative to it.",
        )
