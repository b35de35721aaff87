"""Another pixel grid: what a page looks like through larger pixels, in a way that a window of it agrees with.

The larger pixels are counted from the corner of the page, whatever window is asked for.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from degradations.operators.base import Image, Origin


def shrink(
    image: Image, pitch: float, origin: Origin, *, block: int = 1, spread: float = 0.4
) -> tuple[Image, NDArray[np.float32]]:
    """Sample ``image`` with square pixels of ``pitch``; also the 2 x 3 matrix from small to window coordinates.

    The small picture starts at a whole multiple of ``block`` of its pixels from the corner of the page, and is filled up
    to whole blocks with its border where the window starts or ends inside one: a coder's blocks then lie where
    they lie on the page. ``spread`` (in ``pitch``) is the standard deviation of the photosite: a photosite integrates
    over its area, and a Gaussian of 0.4 has nearly the same pass band.
    """
    if pitch == 1:
        before = [o % block for o in origin]
        after = [-(o + n) % block for o, n in zip(origin, image.shape[1::-1], strict=True)]
        small = cv2.copyMakeBorder(image, before[1], after[1], before[0], after[0], cv2.BORDER_REPLICATE)
        return np.asarray(small, np.uint8), np.array([[1, 0, -before[0]], [0, 1, -before[1]]], np.float32)
    first = [np.floor(o / pitch / block) * block for o in origin]
    size = [int(np.ceil((o + n) / pitch - f)) for o, n, f in zip(origin, image.shape[1::-1], first, strict=True)]
    size = [-(-n // block) * block for n in size]
    shift = [(f + 0.5) * pitch - o - 0.5 for f, o in zip(first, origin, strict=True)]
    matrix = np.array([[pitch, 0, shift[0]], [0, pitch, shift[1]]], np.float32)
    if pitch > 1.05 and spread > 0:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), spread * pitch, borderType=cv2.BORDER_REFLECT), np.uint8)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    small = cv2.warpAffine(image, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(small, np.uint8), matrix


def enlarge(small: Image, matrix: NDArray[np.float32], shape: tuple[int, ...], smooth: bool) -> Image:
    """The window of ``shape`` that ``shrink`` made ``small`` from: by cubics if ``smooth``, else in square pixels."""
    if matrix[0, 0] == 1:
        left, top = round(-float(matrix[0, 2])), round(-float(matrix[1, 2]))
        return np.ascontiguousarray(small[top : top + shape[0], left : left + shape[1]])
    flags = cv2.INTER_CUBIC if smooth else cv2.INTER_NEAREST
    large = cv2.warpAffine(small, matrix, shape[1::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(large, np.uint8)
