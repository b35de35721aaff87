"""A receipt typeset here line by line, with the boxes that an annotator would draw."""

from __future__ import annotations

from collections.abc import Sequence

import fontpkg
import numpy as np
from PIL import Image, ImageDraw, ImageFont

RECEIPT = [
    "KEDAI BUKU HANDAL SDN BHD",
    "NO. 12, JALAN BESAR 4,",
    "45600 BATANG, SELANGOR",
    "DATE: 27/01/2018 10:14",
    "PENSIL 2B    4.20",
    "SUB TOTAL   14.20",
    "TOTAL     RM 27.35",
    "CASH         27.35",
]


def typeset_lines(texts: Sequence[str], family: str, size: int, tilt: float = 0.0):
    """A page of ``texts``: the picture, the line boxes, and the true centre of every character of every line."""
    font = ImageFont.truetype(str(fontpkg.path(family, 400, nearest=True)), size, layout_engine=ImageFont.Layout.BASIC)
    width = round(max(font.getlength(text) for text in texts) + 6 * size)
    height = round((len(texts) + 3) * 1.7 * size + tilt * width)
    picture = Image.new("L", (width, height), 236)
    pen = ImageDraw.Draw(picture)
    boxes, centres = [], []
    for row, text in enumerate(texts):
        x, baseline = 2.5 * size, (row + 2) * 1.7 * size
        top = baseline
        middles = []
        for char in text:
            y = baseline + tilt * (x - 2.5 * size)
            pen.text((x, y), char, font=font, fill=40, anchor="ls")
            middles.append(x + font.getlength(char) / 2)
            x += font.getlength(char)
            top = min(top, y)
        boxes.append([round(2.3 * size), round(top - 0.85 * size), round(x + 0.2 * size), round(y + 0.3 * size)])
        centres.append(middles)
    return np.repeat(np.asarray(picture)[:, :, None], 3, 2).copy(), boxes, centres
