"""Contrast: did the pixels matter? How much of a character's probability goes when the field is blacked out.

    contrast = p (1 − min(1, q / p)) = max(0, p − q)

with p the probability of the character on the page and q that of the very same character, behind the very same text, on the page
whose field is black. A character that the prior alone writes has q ≈ p and contrast 0, however sure it looks.

After BICR (Khanmohammadi et al., "Grounded or guessing? LVLM confidence estimation via blind-image contrastive ranking", 2026), which
trains a probe on hidden states to rank the seen image above the black one; this is the same contrast on the reader's own
probabilities, with nothing to train. Where the ledger knows the field's box only that is blacked out (and half its height around it,
because damage spreads); elsewhere the whole image is, which costs sharpness: a reader that only needs to know what kind of page
it is loses that too. p and q are products over all places where the character was written (``tokens``): where it is only copied
both are 1, so the contrast is that of where it was written first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from kie_hvqa.confidence.signals.tokens import TOKEN_PROBABILITY, Piece, token_signals
from kie_hvqa.confidence.symbols import SymbolConfidence
from kie_hvqa.data.ledger import Box, Slot

if TYPE_CHECKING:
    from PIL.Image import Image

CONTRAST = "contrast"
MARGIN = 0.5  # of the field's height, on every side


def contrast(response: str, seen: Sequence[Piece], blind: Sequence[float]) -> SymbolConfidence | None:
    """The contrast of each symbol; ``blind`` are the log-probabilities of the pieces of ``seen`` on the black page.

    None where the tokens are not the answer's. Marks have their probability less that on the black page likewise, and so little
    contrast where everything is marked blindly: that is no fault of theirs, and nobody thresholds them.
    """
    unseen = [replace(piece, logprob=min(0.0, q)) for piece, q in zip(seen, blind, strict=True)]
    here, there = token_signals(response, seen), token_signals(response, unseen)
    if here is None or there is None:
        return None
    p, q = here[TOKEN_PROBABILITY], there[TOKEN_PROBABILITY]

    def apart(one: float | None, other: float | None) -> float | None:
        return None if one is None or other is None else max(0.0, one - other)

    symbols = [apart(one, other) for one, other in zip(p.symbols, q.symbols, strict=True)]
    return SymbolConfidence.of(symbols, apart(p.refusal, q.refusal))


def field_box(slots: Sequence[Slot] | None) -> Box | None:
    """What is blacked out of a page whose ledger is known, pixels of the damaged image; None: the whole image."""
    if not slots:
        return None
    x0, y0 = min(slot.box[0] for slot in slots), min(slot.box[1] for slot in slots)
    x1, y1 = max(slot.box[2] for slot in slots), max(slot.box[3] for slot in slots)
    margin = MARGIN * max(slot.box[3] - slot.box[1] for slot in slots)
    return x0 - margin, y0 - margin, x1 + margin, y1 + margin


def blacked(image: Image, box: Box | None) -> Image:
    """A copy of ``image`` (RGB) with ``box`` black, or all of it."""
    from PIL import ImageDraw

    copy = image.copy()
    whole = (0.0, 0.0, float(image.width), float(image.height))
    x0, y0, x1, y1 = whole if box is None else box
    ImageDraw.Draw(copy).rectangle((math.floor(x0), math.floor(y0), math.ceil(x1), math.ceil(y1)), fill=(0, 0, 0))
    return copy
