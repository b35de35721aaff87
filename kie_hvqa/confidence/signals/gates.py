"""Gates: what anybody would try first, so every signal has to beat them.

``sharpness``  how sharp the field's crop is: s / (s + 1), s the mean squared Laplacian of its luminance over its variance
``ink``        how far its ink stands out: (the 95th − the 5th percentile of its luminance) / 255

Both are one number a field and say nothing of its characters; a page without a ledger is judged whole. Sources: the variance of the
Laplacian (Pech-Pacheco et al., ICPR 2000), here over the variance, so that contrast does not pass for sharpness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kie_hvqa.answers.answer import Reading
from kie_hvqa.confidence.symbols import SymbolConfidence
from kie_hvqa.data.ledger import Row

if TYPE_CHECKING:
    from PIL.Image import Image

SHARPNESS, INK = "sharpness", "ink"
GATES = (SHARPNESS, INK)


def gates(image: Image, row: Row) -> dict[str, float]:
    """Gate → its number in [0, 1] for the field of ``row`` on ``image``."""
    grey = np.asarray(image.convert("L"), dtype=np.float64)
    if row.slots:
        x0, y0 = (int(max(0, min(slot.box[k] for slot in row.slots))) for k in (0, 1))
        x1, y1 = (int(np.ceil(max(slot.box[k] for slot in row.slots))) for k in (2, 3))
        crop = grey[min(y0, grey.shape[0] - 1) : max(y1, y0 + 1), min(x0, grey.shape[1] - 1) : max(x1, x0 + 1)]
        grey = crop if crop.size else grey
    low, high = np.percentile(grey, (5, 95))
    found = {INK: float(high - low) / 255}
    inner = grey[1:-1, 1:-1]
    if not inner.size or not (spread := float(grey.var())):
        return found | {SHARPNESS: 0.0}
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner
    sharp = float((laplacian**2).mean()) / spread
    return found | {SHARPNESS: sharp / (sharp + 1)}


def of_field(reading: Reading, value: float) -> SymbolConfidence:
    """One number for all symbols of a field, and for its refusal."""
    return SymbolConfidence.of([value] * len(reading.final), value if reading.refused else None)
