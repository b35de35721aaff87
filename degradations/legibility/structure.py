"""Legibility without a font: how much of the clean crop's ink structure the damaged crop keeps.

Real documents cannot be set again, so nothing says what a rival would look like. What is left is to compare the
damaged crop with the clean one at the scale at which letters differ: both lose what is coarser than a third of the
text height (lighting, paper, the inside of a patch), and the normalised correlation of what remains is taken in
a sliding window and averaged where the clean glyph has ink. Blur lowers it because edges move, noise because the
window fills with structure that was never there, an occluder because nothing of the glyph is left, low
contrast only once the sensor's floor drowns the rest.

A log-logistic psychometric curve, fitted to the same readers as the ideal observer's constants, turns the share kept
into evidence (``studies.calibration``; how well it predicts a reader is reported apart, in docs/legibility.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from degradations.legibility.constants import LegibilityModel
from degradations.operators.base import Image
from kie_hvqa.data.ledger import Box

Floats = NDArray[np.float32]


def structure_evidence(
    model: LegibilityModel, clean: Image, damaged: Image, boxes: Sequence[Box]
) -> NDArray[np.float64]:
    """Evidence of each slot, float64 [n] in [0, 1]; NaN where the clean slot has no ink (a word space)."""
    return curve(model, structure_kept(model, clean, damaged, boxes))


def curve(model: LegibilityModel, structure: NDArray[np.floating]) -> NDArray[np.float64]:
    """Evidence for the share of structure kept, both in [0, 1]; rises strictly from 0 to 1."""
    kept = np.clip(np.asarray(structure, np.float64), 1e-6, 1.0)
    odds = model.half**model.slope
    return (1 + odds) / (1 + odds * kept**-model.slope)


def structure_kept(model: LegibilityModel, clean: Image, damaged: Image, boxes: Sequence[Box]) -> NDArray[np.float64]:
    """Share of each slot's structure that survives, float64 [n] in [0, 1]; NaN where the slot has no ink.

    ``clean`` and ``damaged`` are uint8 [H, W, 3] RGB pages of one size; ``boxes`` (x0, y0, x1, y1) in pixels.
    """
    if clean.shape != damaged.shape:
        raise ValueError(f"clean {list(clean.shape)} and damaged {list(damaged.shape)} differ in shape")
    array = np.asarray(boxes, np.float64).reshape(-1, 4)
    if not len(array):
        return np.zeros(0)
    height = max(4.0, float(np.percentile(array[:, 3] - array[:, 1], 80)))
    before, after, local = _strips(clean, damaged, array, height, model.working_height)
    height = min(height, model.working_height)

    before -= _smooth(before, model.detail * height)
    after -= _smooth(after, model.detail * height)
    window = model.window * height
    ink = _smooth(before * before, window)
    other = _smooth(after * after, window)
    shared = np.maximum(_smooth(before * after, window), 0)
    floor = np.float32(model.floor**2)
    # Weighted by the ink's own energy: paper between the strokes says nothing either way.
    kept = ink * shared / np.sqrt((ink + floor) * (other + floor))
    whole = ink * ink / (ink + floor)
    sums = np.stack([_box_sums(kept, local), _box_sums(whole, local), _box_sums(ink, local)])
    area = np.maximum(1, (local[:, 2] - local[:, 0]) * (local[:, 3] - local[:, 1]))
    share = np.clip(sums[0] / np.maximum(sums[1], 1e-9), 0, 1)
    return np.where(sums[2] / area > floor, share, np.nan)


def _strips(
    clean: Image, damaged: Image, boxes: NDArray[np.float64], height: float, working: float
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Both pages around ``boxes`` as luma at the working height, and the boxes there in whole pixels."""
    margin = 0.5 * height
    left, top = np.maximum(0, np.floor(boxes[:, :2].min(0) - margin)).astype(int)
    right, bottom = np.minimum(clean.shape[1::-1], np.ceil(boxes[:, 2:].max(0) + margin)).astype(int)
    if left >= right or top >= bottom:  # the whole field lies off the page
        empty = np.zeros((2, 2), np.float32)
        return empty, empty.copy(), np.zeros((len(boxes), 4), np.int64)
    scale = min(1.0, working / height)
    size = (max(2, round((right - left) * scale)), max(2, round((bottom - top) * scale)))
    strips = []
    for page in (clean, damaged):
        luma = cv2.cvtColor(page[top:bottom, left:right], cv2.COLOR_RGB2GRAY).astype(np.float32)
        strips.append(luma if scale == 1 else cv2.resize(luma, size, interpolation=cv2.INTER_AREA))
    shape = strips[0].shape
    local = np.rint((boxes - [left, top, left, top]) * scale).astype(np.int64)
    local[:, 2] = np.maximum(local[:, 2], local[:, 0] + 2)
    local[:, 3] = np.maximum(local[:, 3], local[:, 1] + 2)
    return strips[0], strips[1], np.clip(local, 0, [shape[1], shape[0], shape[1], shape[0]])


def _smooth(values: Floats, sigma: float) -> Floats:
    return cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)


def _box_sums(values: NDArray[np.floating], boxes: NDArray[np.int64]) -> NDArray[np.float64]:
    table = cv2.integral(values, sdepth=cv2.CV_64F)
    x0, y0, x1, y1 = boxes.T
    return table[y1, x1] - table[y0, x1] - table[y1, x0] + table[y0, x0]
