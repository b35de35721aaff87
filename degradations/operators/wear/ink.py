"""Ink and paper told apart: what a page would look like without its print, and how much print there is where."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from degradations.operators.base import Image, Origin
from degradations.operators.pixels.resample import shrink

_ROWS = 9.0  # a line of text is this many pixels high where paper is looked for
_KERNEL = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))


def paper_of(image: Image, text_height: float, origin: Origin) -> Image:
    """``image`` (uint8 [H, W, 3]) with everything darker and finer than a stroke filled in from its surroundings.

    A grey-level closing wider than a stroke and narrower than a letter (Serra, Image Analysis and Mathematical
    Morphology, 1982), at a ninth of the text height, smoothed.
    """
    pitch = max(1.0, text_height / _ROWS)
    small, matrix = shrink(image, pitch, origin)
    closed = cv2.morphologyEx(small, cv2.MORPH_CLOSE, _KERNEL, borderType=cv2.BORDER_REFLECT)
    closed = cv2.GaussianBlur(closed, (0, 0), 1.4, borderType=cv2.BORDER_REFLECT)
    if pitch == 1:
        return np.asarray(closed, np.uint8)
    large = cv2.warpAffine(closed, matrix, image.shape[1::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(large, np.uint8)


def print_on(image: Image, paper: Image) -> NDArray[np.float32]:
    """How much darker than its paper each pixel is, float32 [H, W] in 0..1."""
    fall = cv2.subtract(cv2.cvtColor(paper, cv2.COLOR_RGB2GRAY), cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    return np.asarray(cv2.multiply(fall, 1 / 255, dtype=cv2.CV_32F), np.float32)
