"""Plain typeset pages with every character's box known, independent of the document templates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import fontpkg
import numpy as np
import pytest
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from degradations.operators import Context

cv2.setNumThreads(1)


@dataclass(frozen=True)
class Plain:
    image: np.ndarray
    value: str
    boxes: tuple[tuple[float, float, float, float], ...]

    @property
    def context(self) -> Context:
        return Context.of(self.image, self.boxes)


def typeset(
    value: str = "KLAUS 4827-B",
    size: float = 12,
    *,
    family: str = "Arimo",
    weight: int = 400,
    ink: tuple[int, int, int] = (25, 25, 45),
    paper: tuple[int, int, int] = (232, 234, 228),
) -> Plain:
    """``value`` in the middle of a page nine lines high, with other lines around it."""
    font = ImageFont.truetype(
        str(fontpkg.path(family, weight, nearest=True)), size, layout_engine=ImageFont.Layout.BASIC
    )
    width, height = round(font.getlength(value) + 8 * size), round(9 * size)
    picture = Picture.new("RGB", (width, height), paper)
    pen = ImageDraw.Draw(picture)
    for row in (2, 8):
        pen.text((2 * size, row * size), "Zq other line 50", font=font, fill=ink, anchor="ls")
    x, baseline, boxes = 3.0 * size, 5.0 * size, []
    for char in value:
        pen.text((x, baseline), char, font=font, fill=ink, anchor="ls")
        boxes.append((x, baseline - 0.76 * size, x + font.getlength(char), baseline + 0.21 * size))
        x += font.getlength(char)
    return Plain(np.asarray(picture).copy(), value, tuple(boxes))


@pytest.fixture(scope="session")
def page() -> Plain:
    return typeset()


@pytest.fixture(scope="session")
def make_page() -> Callable[..., Plain]:
    return typeset
