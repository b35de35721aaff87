"""A real OCR engine as an honest baseline: RapidOCR (PP-OCR models in its wheel, offline), which nobody here made.

The engine reads the page; it cannot be asked a question. So it is *told where the asked field lies*: the
bounding box of each printed line of the field, out of the ledger, and nothing else from there, neither what is
printed, nor how many characters, nor what is damaged. That is more than a model is told, so its numbers
bound what an engine with perfect field location would do. A question about an absent field has no location
and is refused; ``metrics.json`` keeps that question kind apart.

From the engine's characters over the field's lines, those below ``min_confidence`` become marks, those
below ``flag_below`` are listed as "not clear enough", and a gap as wide as k characters of the engine's own
pitch becomes k marks (or the word space that it may be: the format writes both as a space).

    kie-hvqa eval --data DIR --reader rapidocr:min_confidence=0.7 --out OUT
"""

from __future__ import annotations

import itertools
import json
import statistics
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from kie_hvqa.answer import REFUSAL, Reading, render
from kie_hvqa.dataset import load_image
from kie_hvqa.errors import InputError
from kie_hvqa.ledger import Box, Row, Slot
from kie_hvqa.readers.base import Answer, Task, identity_of

_VERSION = 1  # of the code below: raise it when an answer could change
_ASPECT = 0.55  # width over height of a line of Latin text, a character: where the engine gives no pitch


@dataclass(frozen=True, slots=True)
class Glyph:
    """One character as the engine saw it: probability in [0, 1], box (x0, y0, x1, y1) in image pixels."""

    char: str
    confidence: float
    box: Box

    @property
    def x(self) -> float:
        return (self.box[0] + self.box[2]) / 2


@dataclass(frozen=True, slots=True)
class FoundLine:
    """One line of text that the engine found, its characters from left to right."""

    glyphs: tuple[Glyph, ...]

    @property
    def pitch(self) -> float | None:
        """Median distance between neighbouring characters, pixels, the lower of two: gaps only lengthen it. None for one character."""
        steps = [b.x - a.x for a, b in itertools.pairwise(self.glyphs) if b.x > a.x]
        return statistics.median_low(steps) if steps else None


class RapidOCRReader:
    """Reads each page once, whatever the number of questions about it. See the module for what it is told."""

    def __init__(self, *, min_confidence: float = 0.5, flag_below: float = 0.8, threads: int = -1) -> None:
        for key, value in (("min_confidence", min_confidence), ("flag_below", flag_below)):
            if not 0.0 <= value <= 1.0:
                raise InputError(f"must lie in [0, 1], not {value}", field=f"rapidocr:{key}", remedy="Mend the value.")
        self.min_confidence = min_confidence
        self.flag_below = flag_below
        self.name = f"rapidocr:min_confidence={min_confidence:g},flag_below={flag_below:g}"
        self._threads = threads
        self._engine: Any = None
        try:
            engine_version = metadata.version("rapidocr-onnxruntime")
        except metadata.PackageNotFoundError:
            raise InputError(
                "this reader needs the package rapidocr-onnxruntime",
                field="rapidocr",
                remedy="Install it: `pip install rapidocr-onnxruntime`",
            ) from None
        self.identity = identity_of([self.name, engine_version, _VERSION])

    def asks(self, row: Row) -> str:
        return json.dumps(self._regions(row))

    def read(self, tasks: Sequence[Task], done: AbstractSet[str] = frozenset()) -> Iterator[Answer]:
        wanted = [task for task in tasks if task.row.id not in done]
        by_image = sorted(wanted, key=lambda task: str(task.image))
        for image, group in itertools.groupby(by_image, key=lambda task: task.image):
            lines: list[FoundLine] | None = None
            for task in group:
                regions = self._regions(task.row)
                if regions and lines is None:
                    lines = self._read_page(image)
                reading, confidence = self._reading(lines or [], regions)
                yield Answer(task.row.id, render(reading, tags=True), confidence)

    def _regions(self, row: Row) -> list[Box]:
        if row.slots is None:
            raise InputError(
                "this row has no ledger, and the rapidocr reader must be told where the field lies",
                field=row.id,
                remedy="Use a dataset written by `kie-hvqa simulate` or `degrade`, or a model reader.",
            )
        return printed_lines(row.slots)

    def _reading(self, lines: Sequence[FoundLine], regions: Sequence[Box]) -> tuple[Reading, float | None]:
        return reading_over(lines, regions, min_confidence=self.min_confidence, flag_below=self.flag_below)

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


def printed_lines(slots: Sequence[Slot]) -> list[Box]:
    """The bounding box of each printed line of a field: a slot that starts left of its forerunner begins a new one."""
    lines: list[list[Slot]] = []
    for slot in slots:
        if lines and slot.box[0] >= lines[-1][-1].box[0] - (slot.box[2] - slot.box[0]):
            last = lines[-1][-1].box
            shared = min(slot.box[3], last[3]) - max(slot.box[1], last[1])
            if shared > 0.5 * min(slot.box[3] - slot.box[1], last[3] - last[1]):
                lines[-1].append(slot)
                continue
        lines.append([slot])
    return [
        (
            min(slot.box[0] for slot in line),
            min(slot.box[1] for slot in line),
            max(slot.box[2] for slot in line),
            max(slot.box[3] for slot in line),
        )
        for line in lines
    ]


def reading_over(
    lines: Sequence[FoundLine], regions: Sequence[Box], *, min_confidence: float, flag_below: float
) -> tuple[Reading, float | None]:
    """What the engine's ``lines`` say over ``regions`` (the field's printed lines, in reading order).

    Returns the reading and the mean confidence of the asserted characters (None where nothing is asserted).
    Nothing asserted at all is a whole-field refusal.
    """
    parts: list[str] = []
    asserted: list[Glyph] = []
    for region in regions:
        symbols, kept = _over(_within(lines, region, regions), region, min_confidence)
        parts.append(symbols)
        asserted += kept
    if not asserted:
        return REFUSAL, None
    clear = "".join(glyph.char for glyph in asserted if glyph.confidence >= flag_below)
    not_clear = "".join(glyph.char for glyph in asserted if glyph.confidence < flag_below)
    reading = Reading(
        final=" ".join(parts),
        not_clear=not_clear,
        clear=clear,
        clear_number=len(clear),
        not_clear_number=len(not_clear),
    )
    return reading, statistics.fmean(glyph.confidence for glyph in asserted)


Found = tuple[Glyph, float | None]
"""A character, and the pitch of the line in which it was found."""


def _over(found: Sequence[Found], region: Box, min_confidence: float) -> tuple[str, list[Glyph]]:
    """One symbol a place in ``region``, and the characters that are asserted there."""
    x0, _, x1, _ = region
    pitches = [pitch for _, pitch in found if pitch]
    pitch = statistics.median(pitches) if pitches else max((region[3] - region[1]) * _ASPECT, 1.0)
    symbols: list[str] = []
    asserted: list[Glyph] = []
    edge = x0 - pitch / 2  # where the centre of a character just before the field would lie
    for glyph, _ in found:
        symbols.append(" " * _missing(glyph.x - edge, pitch))
        edge = glyph.x
        if glyph.char.isspace() or glyph.confidence < min_confidence:
            symbols.append(" ")
            continue
        symbols.append(glyph.char)
        asserted.append(glyph)
    symbols.append(" " * _missing(x1 + pitch / 2 - edge, pitch))
    return "".join(symbols), asserted


def _missing(distance: float, pitch: float) -> int:
    """How many characters are missing between two whose centres lie ``distance`` apart.

    A quarter of a pitch is forgiven: in a proportional face a wide letter is no gap.
    """
    return max(0, round(distance / pitch - 0.25) - 1)


def _within(lines: Sequence[FoundLine], region: Box, regions: Sequence[Box]) -> list[Found]:
    """What was found over ``region``, from left to right.

    Annotated lines are often boxed so generously that a neighbour reaches in. A character therefore belongs to
    the nearest of the field's ``regions`` only, and where found lines stand one above the other, the one nearer to
    the middle of the region is the one that is meant.
    """
    candidates = []
    for line in lines:
        glyphs = [g for g in line.glyphs if _lies_over(g, region) and region == min(regions, key=lambda r: _off(g, r))]
        if glyphs:
            candidates.append((statistics.fmean(_off(glyph, region) for glyph in glyphs), glyphs, line.pitch))
    kept: list[Found] = []
    for _, glyphs, pitch in sorted(candidates, key=lambda candidate: candidate[0]):
        taken = [glyph.box for glyph, _ in kept]
        kept += [(glyph, pitch) for glyph in glyphs if not any(box[0] < glyph.x < box[2] for box in taken)]
    return sorted(kept, key=lambda found: found[0].x)


def _off(glyph: Glyph, region: Box) -> float:
    """How far the middle of ``glyph`` is from the middle of ``region``, vertically, in pixels."""
    return abs(glyph.box[1] + glyph.box[3] - region[1] - region[3]) / 2


def _lies_over(glyph: Glyph, region: Box) -> bool:
    x0, y0, x1, y1 = region
    height = y1 - y0
    shared = min(y1, glyph.box[3]) - max(y0, glyph.box[1])
    # The engine's boxes end where its columns do; a fifth of the height forgives that.
    return (
        shared >= 0.5 * min(height, glyph.box[3] - glyph.box[1])
        and _off(glyph, region) <= 0.35 * height
        and x0 - 0.2 * height <= glyph.x <= x1 + 0.2 * height
    )
