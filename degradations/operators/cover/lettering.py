"""Words on things that lie on a document: labels, stamps. Set once a text, then placed like any other texture."""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from degradations.documents import fonts
from degradations.operators.base import Origin

Coverage = NDArray[np.uint8]


@lru_cache(maxsize=64)
def word(text: str, family: str, weight: int, size: int) -> Coverage:
    """``text`` in one line at ``size`` pixels per em, uint8 [h, w], cut to its ink. Raises InputError as fonts do."""
    for char in text:
        fonts.glyph(family, weight, float(size), char, 0)
    mask, _ = fonts.face(family, weight, float(size)).getmask2(text, mode="L")
    width, height = mask.size
    return np.frombuffer(bytes(mask), np.uint8).reshape(height, width)


def placed(
    texture: NDArray, shape: tuple[int, int], origin: Origin, x: float, y: float, angle: float, scale: float
) -> NDArray[np.float32]:
    """``texture`` (uint8 [h, w]) enlarged by ``scale``, turned by ``angle`` degrees, its middle at (``x``, ``y``) of the page.

    Returns its values as float32 [H, W] in 0..1 over the window of ``shape`` whose corner lies at ``origin``.
    """
    cos, sin = math.cos(math.radians(angle)) / scale, math.sin(math.radians(angle)) / scale
    dx, dy = origin[0] + 0.5 - x, origin[1] + 0.5 - y
    middle_x, middle_y = texture.shape[1] / 2 - 0.5, texture.shape[0] / 2 - 0.5
    matrix = np.array(
        [[cos, sin, cos * dx + sin * dy + middle_x], [-sin, cos, cos * dy - sin * dx + middle_y]], np.float64
    )
    if scale < 0.6:  # what is made smaller must not alias
        texture = cv2.GaussianBlur(texture, (0, 0), 0.4 / scale)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    result = cv2.warpAffine(texture, matrix, shape[::-1], flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(result, np.float32) * np.float32(1 / 255)
