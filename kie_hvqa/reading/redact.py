"""``--redact``: a server is shown the asked fields and nothing else of a page.

An engine on this machine reads the page and finds the fields by their labels; all but each label and what stands beside it
is painted over before the picture leaves. A field that is not found is not asked about, and a page on which none is found is not sent. What the
engine overlooks within a field's place is seen by the server: docs/privacy.md says what that is worth.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

from PIL import Image

from kie_hvqa.data.ledger import Box, Row
from kie_hvqa.data.pixels import open_image
from kie_hvqa.errors import InputError, WorkError
from kie_hvqa.readers import Answer, Reader, Task, identity_of
from kie_hvqa.readers.base import not_shown
from kie_hvqa.readers.ocr import OCRReader
from kie_hvqa.readers.openai_reader import OpenAIReader
from kie_hvqa.reading.by_label import ByLabel, Place
from kie_hvqa.reading.fields import Field

_OVER = (128, 128, 128)
_MARGIN = 0.4  # heights around what is shown
_BEYOND = 8.0  # heights to the right of what was read: what is too damaged for the engine may stand there
_NOT_FOUND = "its label was not found on the page, so the server was not asked (--redact)"


def redacted(reader: Reader, engine: Reader, fields: Sequence[Field], out: Path) -> Redacted:
    """``reader`` behind ``engine``. InputError where that is no engine, and for a reader that sends no picture anywhere."""
    if not isinstance(engine, OCRReader):
        raise InputError("no engine that could find fields", field="--redact-by", remedy="Name rapidocr or tesseract.")
    if not isinstance(reader, OpenAIReader):
        raise InputError("this reader sends nothing away", field="--redact", remedy="Leave it out.")
    return Redacted(reader, ByLabel(engine, fields), out / ".redacted")


class Redacted:
    """``reader``, shown no more than ``finder`` finds of the asked fields. ``folder`` takes the redacted pictures, for as long as they are read."""

    def __init__(self, reader: Reader, finder: ByLabel, folder: Path) -> None:
        self.reader = reader
        self.finder = finder
        self.folder = folder
        self.name = f"{reader.name}, redacted by {finder.engine.engine}"
        self.signals = reader.signals
        self.identity = identity_of([reader.identity, finder.identity, "redacted", _MARGIN, _BEYOND])

    def asks(self, row: Row) -> str:
        return json.dumps([self.reader.asks(row), self.finder.asks(row)])

    def read(self, tasks: Sequence[Task], done: AbstractSet[str] = frozenset()) -> Iterator[Answer]:
        shown: list[Task] = []
        files: list[Path] = []
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            by_page = sorted((task for task in tasks if task.row.id not in done), key=lambda task: str(task.image))
            for image, group in itertools.groupby(by_page, key=lambda task: task.image):
                asked = list(group)
                try:
                    places = self.finder.places(image)
                    kept = [places[task.row.field] for task in asked if task.row.field in places]
                    file = self._redacted(image, kept) if kept else None
                except InputError as error:
                    yield from (not_shown(task.row.id, error) for task in asked)
                    continue
                except WorkError as error:
                    yield from (Answer(task.row.id, "", error=str(error)) for task in asked)
                    continue
                for task in asked:
                    if file is None or task.row.field not in places:
                        yield Answer(task.row.id, "", error=_NOT_FOUND)
                    else:
                        shown.append(Task(task.row, file))
                files += [] if file is None else [file]
            if shown:
                yield from self.reader.read(shown)
        finally:
            for file in files:
                file.unlink(missing_ok=True)
            self.folder.rmdir()

    def _redacted(self, path: Path, places: Sequence[Place]) -> Path:
        image = open_image(path)
        print_on_page = self.finder.boxes(path)
        covered = Image.new("RGB", image.size, _OVER)
        for place in places:
            for box in (place.label, place.box):
                part = _kept(box, print_on_page, image.size, beyond=box is not place.label)
                covered.paste(image.crop(part), part[:2])
        file = self.folder / f"{hashlib.sha256(str(path).encode('utf-8', 'surrogatepass')).hexdigest()[:32]}.png"
        covered.save(file, "PNG", compress_level=1)
        return file


def _kept(box: Box, others: Sequence[Box], size: tuple[int, int], *, beyond: bool) -> tuple[int, int, int, int]:
    """What is shown of the page for ``box``: with a margin, and free room to its right up to the next print; pixels."""
    x0, y0, x1, y1 = box
    height = y1 - y0
    room = _MARGIN * height
    right = x1 + room
    if beyond:
        row = [other[0] for other in others if other[0] >= x1 and min(other[3], y1) - max(other[1], y0) > 0.2 * height]
        right = min([x1 + _BEYOND * height, *(left - room for left in row)])
    below = min([y1 + room, *(other[1] for other in others if other[1] >= y1 and other[0] < right and other[2] > x0)])
    above = max([y0 - room, *(other[3] for other in others if other[3] <= y0 and other[0] < right and other[2] > x0)])
    left = max([x0 - room, *(other[2] for other in others if other[2] <= x0 and min(other[3], y1) > max(other[1], y0))])
    return max(0, int(left)), max(0, int(above)), min(size[0], int(max(right, x1)) + 1), min(size[1], int(below) + 1)
