"""OCR engines as readers: what they are told, and how characters on a page become the answer to a question.

An engine reads the page; it cannot be asked a question. So it is *told where the asked field lies*: the
bounding box of each printed line of the field, out of the ledger, and nothing else from there, neither what is
printed, nor how many characters, nor what is damaged. That holds for rendered cards and for annotated receipts alike
(``kie-hvqa degrade`` takes the boxes from the annotation), and it is more than a model is told, so an engine's numbers
bound what it would do with perfect field location. A question about an absent field has no location and is refused;
``metrics.json`` keeps that question kind apart. Rows without a ledger (the official file) have no location to tell, and
are refused as input.

A page that the engine fails on (a time-out, an exception) is a row that failed, and the run goes on.

From the engine's characters over the field's lines, those below ``min_confidence`` become marks, those
below ``flag_below`` are listed as "not clear enough", and a gap as wide as k characters of the engine's own
pitch becomes k marks (or the word space that it may be: the format writes both as a space). The confidence of an answer
is the mean over its asserted characters. Its signal, ``character_confidence``, is the engine's own number for each of them; for a mark
put over a character of confidence c it is 1 − c, and a gap has none.
"""

from __future__ import annotations

import itertools
import json
import statistics
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from kie_hvqa.answers.answer import REFUSAL, Reading, parse, render
from kie_hvqa.confidence.symbols import SymbolConfidence
from kie_hvqa.data.ledger import Box, Row, Slot
from kie_hvqa.errors import InputError, WorkError
from kie_hvqa.readers.base import Answer, Task, identity_of, not_shown

CHARACTER_CONFIDENCE = "character_confidence"
_VERSION = 2  # of the code below: raise it when an answer could change
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


class OCRReader:
    """Reads where it is told to. A subclass says how: ``lines_about``.

    ``engine`` is the spec without thresholds, and ``version`` names whatever else could change an answer. Thresholds are
    character confidences in [0, 1]; InputError outside.
    """

    def __init__(self, engine: str, version: str, *, min_confidence: float, flag_below: float) -> None:
        for key, value in (("min_confidence", min_confidence), ("flag_below", flag_below)):
            if not 0.0 <= value <= 1.0:
                raise InputError(f"must lie in [0, 1], not {value}", field=f"{engine}:{key}", remedy="Mend the value.")
        self.engine = engine
        self.min_confidence = min_confidence
        self.flag_below = flag_below
        self.name = f"{engine}:min_confidence={min_confidence:g},flag_below={flag_below:g}"
        self.identity = identity_of([self.name, version, _VERSION])

    signals: tuple[str, ...] = (CHARACTER_CONFIDENCE,)

    def asks(self, row: Row) -> str:
        return json.dumps(self._regions(row))

    def read(self, tasks: Sequence[Task], done: AbstractSet[str] = frozenset()) -> Iterator[Answer]:
        wanted = [task for task in tasks if task.row.id not in done]
        by_image = sorted(wanted, key=lambda task: str(task.image))
        for image, group in itertools.groupby(by_image, key=lambda task: task.image):
            for task in group:
                regions = self._regions(task.row)
                try:
                    lines = self.lines_about(image, regions) if regions else []
                except InputError as error:
                    yield not_shown(task.row.id, error)
                    continue
                except WorkError as error:
                    yield Answer(task.row.id, "", error=str(error))
                    continue
                found = reading_over(lines, regions, min_confidence=self.min_confidence, flag_below=self.flag_below)
                response = render(found.reading, tags=True)
                yield Answer(task.row.id, response, found.confidence, signals=found.signals(response))

    def _regions(self, row: Row) -> list[Box]:
        if row.slots is None:
            raise InputError(
                f"this row has no ledger, and the {self.engine} reader must be told where the field lies",
                field=row.id,
                remedy="Use a dataset written by `kie-hvqa simulate` or `degrade`, or a model reader.",
            )
        return printed_lines(row.slots)

    def lines_about(self, path: Path, regions: Sequence[Box]) -> Sequence[FoundLine]:
        """The lines of text that the engine finds about ``regions`` of the image at ``path``, in the image's pixels.

        Questions about one image come one after the other. InputError for the image, WorkError for the engine.
        """
        raise NotImplementedError


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


class Found(NamedTuple):
    """A reading, the mean confidence of its asserted characters (None where nothing is asserted), and that of each symbol of
    Final OCR, or of the refusal."""

    reading: Reading
    confidence: float | None
    symbols: tuple[float | None, ...]
    refusal: float | None = None

    def signals(self, response: str) -> dict[str, SymbolConfidence] | None:
        """None where the characters of ``response`` are not those of the engine one by one (accents that compose)."""
        reading = parse(response).reading
        if reading is None or len(reading.final) != len(self.symbols):
            return None
        return {CHARACTER_CONFIDENCE: SymbolConfidence.of(self.symbols, self.refusal)}


def reading_over(
    lines: Sequence[FoundLine], regions: Sequence[Box], *, min_confidence: float, flag_below: float
) -> Found:
    """What the engine's ``lines`` say over ``regions`` (the field's printed lines, in reading order).

    Nothing asserted at all is a whole-field refusal, as sure as the surest character below ``min_confidence`` is not.
    """
    parts: list[str] = []
    asserted: list[Glyph] = []
    sure: list[float | None] = []
    for region in regions:
        symbols, kept, own = _over(_within(lines, region, regions), region, min_confidence)
        sure += ([None] if parts else []) + own
        parts.append(symbols)
        asserted += kept
    if not asserted:
        return Found(REFUSAL, None, (), min((value for value in sure if value is not None), default=None))
    clear = "".join(glyph.char for glyph in asserted if glyph.confidence >= flag_below)
    not_clear = "".join(glyph.char for glyph in asserted if glyph.confidence < flag_below)
    reading = Reading(
        final=" ".join(parts),
        not_clear=not_clear,
        clear=clear,
        clear_number=len(clear),
        not_clear_number=len(not_clear),
    )
    return Found(reading, statistics.fmean(glyph.confidence for glyph in asserted), tuple(sure))


Pitched = tuple[Glyph, float | None]
"""A character, and the pitch of the line in which it was found."""


def _over(found: Sequence[Pitched], region: Box, min_confidence: float) -> tuple[str, list[Glyph], list[float | None]]:
    """One symbol a place in ``region``, the characters that are asserted there, and the confidence of each symbol."""
    x0, _, x1, _ = region
    pitches = [pitch for _, pitch in found if pitch]
    pitch = statistics.median(pitches) if pitches else max((region[3] - region[1]) * _ASPECT, 1.0)
    symbols: list[str] = []
    asserted: list[Glyph] = []
    sure: list[float | None] = []
    edge = x0 - pitch / 2  # where the centre of a character just before the field would lie
    for glyph, _ in found:
        gap = _missing(glyph.x - edge, pitch)
        symbols.append(" " * gap)
        sure += [None] * gap
        edge = glyph.x
        if glyph.char.isspace() or glyph.confidence < min_confidence:
            symbols.append(" ")
            sure.append(glyph.confidence if glyph.char.isspace() else 1 - glyph.confidence)
            continue
        symbols.append(glyph.char)
        sure += [glyph.confidence] * len(glyph.char)
        asserted.append(glyph)
    gap = _missing(x1 + pitch / 2 - edge, pitch)
    symbols.append(" " * gap)
    return "".join(symbols), asserted, sure + [None] * gap


def _missing(distance: float, pitch: float) -> int:
    """How many characters are missing between two whose centres lie ``distance`` apart.

    A quarter of a pitch is forgiven: in a proportional face a wide letter is no gap.
    """
    return max(0, round(distance / pitch - 0.25) - 1)


def _within(lines: Sequence[FoundLine], region: Box, regions: Sequence[Box]) -> list[Pitched]:
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
    kept: list[Pitched] = []
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
