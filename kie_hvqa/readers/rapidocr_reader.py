"""RapidOCR as an honest baseline: PP-OCR models that nobody here made, in its wheel, offline. What it is told: ``ocr``.

kie-hvqa eval --data DIR --reader rapidocr:min_confidence=0.7 --out OUT
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from kie_hvqa.data.dataset import load_image
from kie_hvqa.errors import InputError
from kie_hvqa.readers.ocr import FoundLine, Glyph, OCRReader


class RapidOCRReader(OCRReader):
    """``threads`` is the engine's; -1 lets it choose."""

    def __init__(self, *, min_confidence: float = 0.5, flag_below: float = 0.8, threads: int = -1) -> None:
        try:
            version = metadata.version("rapidocr-onnxruntime")
        except metadata.PackageNotFoundError:
            raise InputError(
                "this reader needs the package rapidocr-onnxruntime",
                field="rapidocr",
                remedy="Install it: `pip install rapidocr-onnxruntime`",
            ) from None
        super().__init__("rapidocr", version, min_confidence=min_confidence, flag_below=flag_below)
        self._threads = threads
        self._engine: Any = None

    def _read_page(self, path: Path) -> list[FoundLine]:
        if self._engine is None:
            from rapidocr_onnxruntime import RapidOCR

            # use_cls turns lines that it takes for upside down; on damaged upright pages that only does harm.
            self._engine = RapidOCR(use_cls=False, intra_op_num_threads=self._threads, inter_op_num_threads=1)
        pixels = np.asarray(load_image(path))[:, :, ::-1]  # the engine works on BGR, as OpenCV does
        # text_score=0: by default whole lines below 0.5 vanish, which would hide the engine's doubt from us.
        found, _ = self._engine(np.ascontiguousarray(pixels), return_word_box=True, text_score=0.0)
        return [_line(entry) for entry in found or []]


def _line(entry: Sequence[Any]) -> FoundLine:
    # [line polygon, text, mean confidence, one polygon a character, characters, one confidence a character]
    _, _, _, polygons, characters, confidences = entry
    glyphs = []
    for polygon, char, confidence in zip(polygons or [], characters, confidences, strict=False):
        xs, ys = [point[0] for point in polygon], [point[1] for point in polygon]
        box = (float(min(xs)), float(min(ys)), float(max(xs)), float(max(ys)))
        glyphs.append(Glyph(char, float(confidence), box))
    return FoundLine(tuple(sorted(glyphs, key=lambda glyph: glyph.x)))
