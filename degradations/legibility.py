"""What the damaged pixels still support: evidence per slot, and the label that follows from it.

The number compares the damaged crop with the clean one and looks at nothing else, so it is the same for a
rendered card and for a scanned receipt. It asks how much of the *structure* of the ink survives, at the scale
at which letters differ: both crops lose what is coarser than a third of the text height (lighting, paper,
the inside of a patch), and the normalised correlation of what is left is taken in a sliding window and
averaged where the clean glyph has ink. Blur lowers it because edges move away from where they were, noise
because the window fills with structure that was never there, an occluder because nothing of the glyph is
left, low contrast only once the sensor's floor drowns the rest. A plain ratio of ink contrasts misses the
first two.

The correlation becomes evidence through a log-logistic curve, the usual form of a psychometric function,
fitted to an independent reader (RapidOCR's recogniser): evidence is roughly the share of such characters
that the reader still reads. ``python -m degradations.calibrate`` fits it again and reports how well it
predicts that reader, operator by operator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from degradations.operators.base import Image
from kie_hvqa.ledger import Box, Legibility, Slot

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LegibilityModel:
    """Every constant behind a label. Lengths are shares of the text height, so the scale of a page is immaterial.

    ``detail``: structure coarser than this standard deviation is removed from both crops before comparing.
    ``window``: standard deviation of the window in which they are correlated.
    ``floor``: grey levels (standard deviation) of structure too faint to count.
    ``working_height``: crops with taller text are reduced to this height in pixels first.
    ``half``: the structure kept at which the reference reader reads half of the characters.
    ``slope``: the steepness of its psychometric curve.
    ``clear``: evidence from here up is ``clear``; ``hidden``: evidence below this is ``hidden``.
    """

    detail: float = 0.3
    window: float = 0.25
    floor: float = 1.4
    working_height: float = 24.0
    half: float = 0.47
    slope: float = 4.6
    clear: float = 0.8
    hidden: float = 0.3

    def curve(self, structure: NDArray[np.floating]) -> NDArray[np.float64]:
        """Evidence for the share of structure kept, both in [0, 1]; rises strictly from 0 to 1."""
        kept = np.clip(np.asarray(structure, np.float64), 1e-6, 1.0)
        odds = self.half**self.slope
        return (1 + odds) / (1 + odds * kept**-self.slope)

    def label(self, evidence: float) -> Legibility:
        if evidence >= self.clear:
            return "clear"
        return "hidden" if evidence < self.hidden else "partial"

    def structure(self, clean: Image, damaged: Image, boxes: Sequence[Box]) -> NDArray[np.float64]:
        """Share of each slot's structure that survives, float64 [n] in [0, 1]; NaN where the slot has no ink.

        ``clean`` and ``damaged`` are uint8 [H, W, 3] RGB pages of one size; ``boxes`` (x0, y0, x1, y1) in pixels.
        """
        if clean.shape != damaged.shape:
            raise ValueError(f"clean {list(clean.shape)} and damaged {list(damaged.shape)} differ in shape")
        array = np.asarray(boxes, np.float64).reshape(-1, 4)
        if not len(array):
            return np.zeros(0)
        height = max(4.0, float(np.percentile(array[:, 3] - array[:, 1], 80)))
        before, after, local = _strips(clean, damaged, array, height, self.working_height)
        height = min(height, self.working_height)

        before -= _smooth(before, self.detail * height)
        after -= _smooth(after, self.detail * height)
        window = self.window * height
        ink = _smooth(before * before, window)
        other = _smooth(after * after, window)
        shared = np.maximum(_smooth(before * after, window), 0)
        floor = np.float32(self.floor**2)
        # Weighted by the ink's own energy: paper between the strokes says nothing either way.
        kept = ink * shared / np.sqrt((ink + floor) * (other + floor))
        whole = ink * ink / (ink + floor)
        sums = np.stack([_box_sums(kept, local), _box_sums(whole, local), _box_sums(ink, local)])
        area = np.maximum(1, (local[:, 2] - local[:, 0]) * (local[:, 3] - local[:, 1]))
        share = np.clip(sums[0] / np.maximum(sums[1], 1e-9), 0, 1)
        return np.where(sums[2] / area > floor, share, np.nan)

    def evidence(self, clean: Image, damaged: Image, boxes: Sequence[Box]) -> NDArray[np.float64]:
        """Evidence of each slot, float64 [n] in [0, 1]; NaN where the clean slot has no ink (a word space)."""
        return self.curve(self.structure(clean, damaged, boxes))


def ledger(
    model: LegibilityModel,
    value: str,
    clean: Image,
    damaged: Image,
    boxes: Sequence[Box],
    copies: Sequence[Sequence[Box]] = (),
) -> tuple[Slot, ...]:
    """The slots of one field: ``value`` and its ``boxes``, judged on the two pages.

    Where the value is printed more than once (``copies``), a slot keeps the evidence of its best print. A word
    space has no ink: it takes the lower evidence of its neighbours. A printed character without ink in
    the clean page supports nothing: its evidence is 0.
    """
    if len(value) != len(boxes):
        raise ValueError(f"{len(value)} characters need as many boxes, not {len(boxes)}")
    best = np.nan_to_num(model.evidence(clean, damaged, boxes))
    for copy in copies:
        best = np.maximum(best, np.nan_to_num(model.evidence(clean, damaged, copy)))
    inked = [i for i, char in enumerate(value) if not char.isspace()]
    slots = []
    for index, (char, box) in enumerate(zip(value, boxes, strict=True)):
        score = best[index]
        if char.isspace():
            near = [
                max((i for i in inked if i < index), default=None),
                min((i for i in inked if i > index), default=None),
            ]
            score = min((best[i] for i in near if i is not None), default=1.0)
        score = round(float(score), 4)
        slots.append(Slot(char, model.label(score), score, tuple(round(float(v), 2) for v in box)))  # type: ignore[arg-type]
    return tuple(slots)


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
