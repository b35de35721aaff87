"""Where a run's rows come from: a dataset on the disk, or a recipe whose documents are damaged while the model trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from degradations.config import SPLITS, SimulateConfig
from degradations.recent import Recent
from degradations.streaming import Stream
from kie_hvqa.config import load, nearest
from kie_hvqa.data.dataset import dataset_root, image_path, load_rows
from kie_hvqa.data.ledger import Row
from kie_hvqa.data.pixels import PixelBudget, budgeted, image_size, image_tokens, load_budgeted
from kie_hvqa.errors import InputError
from rl.recipes import DataConfig

if TYPE_CHECKING:
    from PIL.Image import Image

_LOOKED_AT = 64  # rows of a stream that a preflight draws


class Source(Protocol):
    """Rows by number, ``len()`` of them in an epoch. ``name`` is what messages call it."""

    name: str

    def __len__(self) -> int: ...

    def row(self, index: int) -> Row: ...

    def image(self, index: int, budget: PixelBudget) -> Image:
        """The row's image, RGB, resized under ``budget``."""
        ...

    def size(self, index: int) -> tuple[int, int]:
        """(width, height) of the row's image as it is, pixels."""
        ...

    def tokens(self, index: int, budget: PixelBudget) -> int:
        """How many image tokens that makes."""
        ...

    def file(self, index: int) -> str:
        """Where the image lies, for messages."""
        ...

    def examples(self) -> range:
        """The rows from which the rest is judged before a run: all of them where that is quick."""
        ...


def open_source(data: DataConfig, *, split: str, limit: int | None = None, field: str | None = None) -> Source:
    """Raises InputError for what cannot be read, and for a split without rows, which ``field`` of the recipe names."""
    if data.simulate is not None:
        return Streamed(data.name, split, limit, field=field)
    return Written(str(data.path), split, limit, field=field)


class Written:
    """The rows of a dataset directory or row file.

    The last pages are kept, up to ``cache_mib`` MiB: TRL asks for a generation's rows once a gradient step, and several
    questions are about one page.
    """

    def __init__(
        self, path: str, split: str | None, limit: int | None, *, field: str | None = None, cache_mib: int = 256
    ) -> None:
        self.name = path
        self._root = dataset_root(Path(path))
        try:
            self._rows = load_rows(Path(path), split=split, limit=limit)
        except InputError as error:
            if error.field != "split" or field is None:
                raise
            raise InputError(error.what, file=error.file, field=field, remedy=error.remedy) from None
        self._kept: Recent[tuple[str, PixelBudget], Image] = Recent(cache_mib << 20, _page_bytes)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def rows(self) -> Sequence[Row]:
        return self._rows

    def row(self, index: int) -> Row:
        return self._rows[index]

    def image(self, index: int, budget: PixelBudget) -> Image:
        file = self.file(index)
        return self._kept.get((file, budget), lambda: load_budgeted(file, budget))

    def size(self, index: int) -> tuple[int, int]:
        """From the file's header alone."""
        return image_size(self.file(index))

    def tokens(self, index: int, budget: PixelBudget) -> int:
        """From the file's header alone."""
        path = self.file(index)
        try:
            return image_tokens(*image_size(path), budget)
        except InputError as error:
            raise InputError(error.what, file=path, remedy=error.remedy) from None

    def path(self, index: int) -> Path:
        return image_path(self._root, self._rows[index])

    def file(self, index: int) -> str:
        return str(self.path(index))

    def examples(self) -> range:
        return range(len(self))

    def severities(self) -> list[int]:
        """Raises InputError for a row without a severity."""
        found = [row.severity for row in self._rows]
        if None in found:
            raise InputError(
                f"row {self._rows[found.index(None)].id} carries no severity",
                file=self.name,
                field="data.curriculum",
                remedy="Leave the curriculum out: it orders rows by their severity.",
            )
        return cast(list[int], found)


class Streamed:
    """The documents of a simulate recipe, damaged anew in every epoch (``degradations.streaming``).

    ``turn`` says which epoch it is; a worker process that was started after it draws the same as this one. The last
    samples are kept, up to ``cache_mib`` MiB: TRL asks for a generation's rows once a gradient step.
    """

    def __init__(
        self, path: str, split: str, limit: int | None, *, field: str | None = None, cache_mib: int = 256
    ) -> None:
        self.name = path
        if split not in SPLITS:
            raise InputError(f"unknown split `{split}`", field=field or "data.split", remedy=nearest(split, SPLITS))
        self._stream = Stream(load(path, SimulateConfig), split)
        self._length = min(limit or len(self._stream), len(self._stream))
        self._epoch = 0
        self._ceilings: Mapping[int, int] = {}
        self._kept: Recent[tuple[int, int | None, int], _Sample] = Recent(cache_mib << 20, _image_bytes)

    def turn(self, epoch: int, ceilings: Mapping[int, int]) -> None:
        """``epoch`` begins; ``ceilings`` are the highest severities of the rows that have one."""
        self._epoch, self._ceilings = epoch, ceilings

    def __len__(self) -> int:
        return self._length

    def row(self, index: int) -> Row:
        return self._sample(index)[0]

    def image(self, index: int, budget: PixelBudget) -> Image:
        from PIL import Image

        return budgeted(Image.fromarray(self._sample(index)[1]), budget)

    def size(self, index: int) -> tuple[int, int]:
        height, width = self._sample(index)[1].shape[:2]
        return width, height

    def tokens(self, index: int, budget: PixelBudget) -> int:
        return image_tokens(*self.size(index), budget)

    def file(self, index: int) -> str:
        return f"{self.name}, row {self._sample(index)[0].id}"

    def examples(self) -> range:
        return range(0, self._length, -(-self._length // _LOOKED_AT))

    def _sample(self, index: int) -> _Sample:
        ceiling = self._ceilings.get(index)
        return self._kept.get((self._epoch, ceiling, index), lambda: self._draw(index, ceiling))

    def _draw(self, index: int, ceiling: int | None) -> _Sample:
        stream = self._stream.at(self._epoch)
        return (stream if ceiling is None else stream.up_to(ceiling)).sample(index)


_Sample = tuple[Row, np.ndarray]


def _page_bytes(page: Image) -> int:
    return page.width * page.height * len(page.getbands())


def _image_bytes(sample: _Sample) -> int:
    return sample[1].nbytes
