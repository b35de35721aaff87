"""The damaged image of a sample as a data URI, with its slot boxes drawn over it as SVG."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from kie_hvqa.dataset import load_image
from kie_hvqa.ledger import Slot

_WHOLE = 640  # pixels: a page no wider than this is shown in its whole width
_FLATTEST = 0.62  # height over width of a picture, where the field leaves the choice
_WIDEST = 960  # pixels of the inlined picture: twice its width on the page, for dense screens
_WEBP_QUALITY = 82

Region = tuple[int, int, int, int]


def picture(path: Path, slots: Sequence[Slot]) -> str:
    """HTML of the picture: the part of the page around the field (the whole of a small page, or where no field is).

    Raises InputError for an image that is missing or broken.
    """
    image = load_image(path)
    x0, y0, x1, y1 = region(image.size, slots)
    crop = image.crop((x0, y0, x1, y1))
    width, height = crop.size
    boxes = "".join(
        f'<rect class="{slot.legibility}" x="{slot.box[0] - x0:.1f}" y="{slot.box[1] - y0:.1f}" '
        f'width="{slot.box[2] - slot.box[0]:.1f}" height="{slot.box[3] - slot.box[1]:.1f}"/>'
        for slot in slots
        if slot.scored
    )
    return (
        f'<div class="picture{"" if slots else " page"}"><div><img src="{_data_uri(crop)}" alt="damaged image" width="{width}" height="{height}" '
        f'loading="lazy"><svg viewBox="0 0 {width} {height}" preserveAspectRatio="none">{boxes}</svg></div></div>'
    )


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


def _data_uri(image: Image.Image) -> str:
    if image.width > _WIDEST:
        image = image.resize((_WIDEST, max(1, round(image.height * _WIDEST / image.width))), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    if image.width * image.height <= 256 * 256:
        image.save(stream, "WEBP", lossless=True)  # a tiny card: every pixel is what the reader saw
    else:
        image.save(stream, "WEBP", quality=_WEBP_QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
