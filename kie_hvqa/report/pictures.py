"""The part of a damaged page that a sample is about: inlined for some samples, found beside the report for the others.

A page of ten thousand pictures would be a gigabyte. So the samples that come first carry theirs, and the others name the
file, from where the report lies, and the browser fetches it from the disk when the sample is looked at. Samples about the
same part of the same image share one inlined picture.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image, features

from kie_hvqa.data.dataset import load_image
from kie_hvqa.data.ledger import Slot
from kie_hvqa.data.pixels import image_size

_WHOLE = 640  # pixels: a page no wider than this is shown in its whole width
_FLATTEST = 0.62  # height over width of a picture, where the field leaves the choice
_WIDEST = 960  # pixels of the inlined picture: twice its width on the page, for dense screens
_AVIF, _WEBP = 85, 92  # quality: a noisy page takes a sixth of what it takes without loss, and looks the same

Region = tuple[int, int, int, int]


class Album:
    """The inlined pictures of one report; ``place`` adds to them.

    ``beside`` is the directory in which the report will lie.
    """

    def __init__(self, beside: Path) -> None:
        self.pictures: list[str] = []
        self._beside = beside.resolve()
        self._numbers: dict[tuple[Path, Region], int] = {}

    def place(self, path: Path, slots: Sequence[Slot], *, inline: bool) -> dict[str, Any]:
        """Where the picture of a sample is, for the page's script, and the slots' boxes in it.

        ``z`` [width, height] of the part shown, ``p`` the number of its inlined picture or ``u`` and ``g`` the file and where the
        part lies in it [x, y, page width, page height], ``b`` four numbers a slot. Raises InputError for an image that is
        missing or broken.
        """
        image, size = (load_image(path), (0, 0)) if inline else (None, image_size(path))
        width, height = image.size if image is not None else size
        x0, y0, x1, y1 = part = region((width, height), slots)
        digits = 1 if width <= _WHOLE else None  # a tiny page is shown several times its size
        boxes = [
            round(value - offset, digits)
            for slot in slots
            for value, offset in zip(slot.box, (x0, y0) * 2, strict=True)
        ]
        found: dict[str, Any] = {"z": [x1 - x0, y1 - y0], "b": boxes}
        if image is None:
            relative = os.path.relpath(path.resolve(), self._beside)
            return found | {"u": quote(relative.replace(os.sep, "/")), "g": [x0, y0, width, height]}
        key = (path, part)
        if key not in self._numbers:
            self._numbers[key] = len(self.pictures)
            self.pictures.append(data_uri(image.crop(part)))
        return found | {"p": self._numbers[key]}


def region(size: tuple[int, int], slots: Sequence[Slot]) -> Region:
    """The rectangle (x0, y0, x1, y1) of the page to show, pixels: the field with room to see where it stands."""
    width, height = size
    if not slots:
        return (0, 0, width, height)
    x0, y0 = min(slot.box[0] for slot in slots), min(slot.box[1] for slot in slots)
    x1, y1 = max(slot.box[2] for slot in slots), max(slot.box[3] for slot in slots)
    line = max(slot.box[3] - slot.box[1] for slot in slots)
    wide = width if width <= _WHOLE else min(width, max(x1 - x0 + 6 * line, 14 * line, width / 3))
    high = min(height, max(y1 - y0 + 4 * line, wide * (_FLATTEST if width <= _WHOLE else 0.36)))
    left = min(max((x0 + x1 - wide) / 2, 0), width - wide)
    top = min(max((y0 + y1 - high) / 2, 0), height - high)
    return (int(left), int(top), min(width, round(left + wide)), min(height, round(top + high)))


def data_uri(image: Image.Image, widest: int = _WIDEST) -> str:
    """The picture as the page carries it, no wider than a dense screen shows."""
    if image.width > widest:
        image = image.resize((widest, max(1, round(image.height * widest / image.width))), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    # AVIF keeps colour at full resolution, which matters where a letter is eight pixels wide.
    if features.check("avif"):
        image.save(stream, "AVIF", quality=_AVIF, subsampling="4:4:4")
        kind = "avif"
    else:
        image.save(stream, "WEBP", quality=_WEBP)
        kind = "webp"
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
