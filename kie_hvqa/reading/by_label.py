"""An OCR engine as a reader of fields: it reads the page, and a field is what stands beside the label that the page prints.

An engine cannot be asked a question, and on a page of one's own no ledger says where a field lies. So the labels of the fields
(``Field.labels``, and its title) are looked for among the lines that the engine found: the value is what follows the label on its
line, up to another label (of a field, or among ``Field.stops``) or a wide gap, or else the line to the right of it, or the one below. That is what forms
and cards look like; a value without a printed label, or in a table, is not found, and is refused. Letters lost in a
label are forgiven where it is long enough.

An engine's line ends where the visible print does, so what it lost at the end of a value is in nothing that it says. Where something lies over
the page right behind the value (``reading.covers``), the value goes on to the end of that, and to the print behind it: the places between
become marks.
"""

from __future__ import annotations

import itertools
import json
import statistics
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rapidfuzz import fuzz

from kie_hvqa.answers.answer import render
from kie_hvqa.data.ledger import Box, Row
from kie_hvqa.data.pixels import image_size, open_image
from kie_hvqa.errors import InputError, WorkError
from kie_hvqa.readers import Answer, Reader, Task, identity_of
from kie_hvqa.readers.base import not_shown
from kie_hvqa.readers.ocr import FoundLine, Glyph, OCRReader, reading_over
from kie_hvqa.reading.covers import Covers
from kie_hvqa.reading.fields import Field

_VERSION = 2  # of the code below: raise it when an answer could change
_ALIKE = 80.0  # per cent of a label's letters, from _FORGIVEN letters on
_FORGIVEN = 5
_APART = 2.2  # heights of a line: a wider gap parts two columns
_BELOW = 2.5  # heights below a label that its value may begin
_BESIDE = 25.0  # heights to the right of it
_LATE = 0.8  # heights behind its column at which a value has lost its first characters
STOPS = ""
"""The name under which labels that nobody asks about are known: they end a value, too."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a field stands, in pixels of the page: its label, what was found of its value, and the ``box`` of all of it.

    The box is wider than what was found where the value begins behind the column in which the others begin, and where something
    lies over the page behind it: characters are missing then, or may be, and their place is known.
    """

    label: Box
    value: FoundLine
    box: Box


class ByLabel:
    """``engine`` as a reader of ``fields``."""

    def __init__(self, engine: OCRReader, fields: Sequence[Field]) -> None:
        self.engine = engine
        self.name = engine.name
        self.signals = engine.signals
        self.identity = identity_of([engine.identity, "by label", _VERSION])
        self._labels = {field.name: words_of(field) for field in fields}
        self._labels[STOPS] = sorted({word for field in fields for word in map(_plain, field.stops) if word})
        self._last: tuple[Path, list[FoundLine]] | None = None

    def asks(self, row: Row) -> str:
        # Another field's label ends a value, so what is told is all of them.
        return json.dumps([row.field, self._labels], ensure_ascii=True, sort_keys=True)

    def read(self, tasks: Sequence[Task], done: AbstractSet[str] = frozenset()) -> Iterator[Answer]:
        wanted = sorted((task for task in tasks if task.row.id not in done), key=lambda task: str(task.image))
        for image, group in itertools.groupby(wanted, key=lambda task: task.image):
            try:
                places = self.places(image)
            except InputError as error:
                yield from (not_shown(task.row.id, error) for task in group)
                continue
            except WorkError as error:
                yield from (Answer(task.row.id, "", error=str(error)) for task in group)
                continue
            for task in group:
                place = places.get(task.row.field)
                yield self._answer(task.row.id, place)

    def places(self, image: Path) -> dict[str, Place]:
        """Where each of the fields that are found stands on the page at ``image``. InputError for the image, WorkError for the engine."""
        lines = self._lines(image)
        return places(lines, self._labels, Covers(np.asarray(open_image(image))))

    def boxes(self, image: Path) -> list[Box]:
        """Where there is print on the page at ``image``, column by column of each line."""
        return [around(part) for line in self._lines(image) for part in _parted(line)]

    def _lines(self, image: Path) -> list[FoundLine]:
        if self._last is None or self._last[0] != image:
            width, height = image_size(image)
            self._last = image, list(self.engine.lines_about(image, [(0.0, 0.0, float(width), float(height))]))
        return self._last[1]

    def _answer(self, name: str, place: Place | None) -> Answer:
        lines, regions = ([], []) if place is None else ([place.value], [place.box])
        found = reading_over(
            lines, regions, min_confidence=self.engine.min_confidence, flag_below=self.engine.flag_below
        )
        response, box = render(found.reading, tags=True), None if place is None else place.box
        return Answer(name, response, found.confidence, signals=found.signals(response), box=box)


class Match(NamedTuple):
    """A label of field ``name`` at the characters from ``start`` to ``stop`` of a part; ``weight`` is how many of its letters agree."""

    name: str
    weight: float
    part: int
    start: int
    stop: int

    def holds(self, other: Match) -> bool:
        """Whether it is a longer label around ``other``."""
        longer = self.stop - self.start > other.stop - other.start
        return longer and self.part == other.part and self.start <= other.start and other.stop <= self.stop


def for_fields(reader: Reader, fields: Sequence[Field]) -> Reader:
    """``reader``, or an engine that finds ``fields`` by their labels."""
    return ByLabel(reader, fields) if isinstance(reader, OCRReader) else reader


def words_of(field: Field) -> list[str]:
    """The labels that ``field`` may have on a page, as they are compared."""
    words = (*field.labels, field.title, field.name.replace("_", " "))
    return [word for word in dict.fromkeys(map(_plain, words)) if word]


def places(
    lines: Sequence[FoundLine], labels: Mapping[str, Sequence[str]], covers: Covers | None = None
) -> dict[str, Place]:
    """Where each field of ``labels`` (name → labels, compared as ``words_of`` gives them) stands among ``lines``; ``covers`` says what lies
    over the page."""
    parts = [part for line in lines for part in _parted(line)]
    matches = [
        Match(name, alike * len(word), number, start, stop)
        for number, part in enumerate(parts)
        for name, words in labels.items()
        for word in words
        for start, stop, alike in _matches(part, word)
    ]
    # "Date" within "Due date" is no label of its own.
    matches = [match for match in matches if not any(other.holds(match) for other in matches)]
    starts = {(match.part, match.start) for match in matches}
    result: dict[str, Place] = {}
    for name, _, number, start, stop in sorted(matches, key=lambda match: (-match.weight, match.part, match.start)):
        if name not in result:
            label = around(parts[number][start:stop])
            value = _value(parts, number, stop, label, starts)
            if value is not None:
                result[name] = _under_covers(label, value, parts, starts, covers)
    result.pop(STOPS, None)
    return {name: _from_its_column(place, result.values()) for name, place in result.items()}


def _from_its_column(place: Place, others: Iterable[Place]) -> Place:
    """``place`` from where values begin on: that of two others at least, whose labels begin where its own does."""
    height = place.label[3] - place.label[1]
    begins = [
        other.box[0]
        for other in others
        if other is not place
        and abs(other.label[0] - place.label[0]) < height
        and _share(other.label, other.box, 1) > 0.5
    ]
    if len(begins) < 2 or _share(place.label, place.box, 1) <= 0.5:
        return place
    column = statistics.median_low(begins)
    late = place.box[0] - column > _LATE * height and column >= place.label[2]
    return replace(place, box=(column, *place.box[1:])) if late else place


def _under_covers(
    label: Box,
    value: FoundLine,
    parts: Sequence[Sequence[Glyph]],
    starts: AbstractSet[tuple[int, int]],
    covers: Covers | None,
) -> Place:
    """``value`` with what is printed behind what lies over it, if anything does; what is printed on that is its own."""
    glyphs, box = list(value.glyphs), around(value.glyphs)
    while covers is not None and (end := covers.behind(box)) > box[2]:
        ahead = sorted(
            (other[0], number)
            for number, other in ((number, around(part)) for number, part in enumerate(parts) if part)
            if _share(other, box, 1) >= 0.5 and box[2] < other[0] <= end + box[3] - box[1] and covers.alike(box, other)
        )
        if not ahead:
            return Place(label, FoundLine(tuple(glyphs)), (*box[:2], end, box[3]))
        start, number = ahead[0]
        stop = min((start for part, start in starts if part == number), default=len(parts[number]))
        if not (behind := _trimmed(parts[number][:stop])):  # a label: the next field
            return Place(label, FoundLine(tuple(glyphs)), (*box[:2], min(end, start), box[3]))
        glyphs += behind
        box = around(glyphs)
    return Place(label, FoundLine(tuple(glyphs)), box)


def _value(
    parts: Sequence[Sequence[Glyph]], number: int, stop: int, label: Box, starts: AbstractSet[tuple[int, int]]
) -> FoundLine | None:
    """What stands behind, to the right of, or below the label that ends at ``stop`` of part ``number``."""
    own = parts[number]
    end = min((start for part, start in starts if part == number and start >= stop), default=len(own))
    behind = _trimmed(own[stop:end])
    if behind:
        return FoundLine(tuple(behind))
    if end < len(own):
        return None  # another label follows at once
    height = label[3] - label[1]
    others = [(index, around(part)) for index, part in enumerate(parts) if index != number and part]
    right = [
        (box[0] - label[2], index)
        for index, box in others
        if -0.3 * height <= box[0] - label[2] <= _BESIDE * height and _share(box, label, 1) >= 0.5
    ]
    below = [
        (box[1] - label[3] + abs(box[0] - label[0]), index)
        for index, box in others
        if -0.3 * height <= box[1] - label[3] <= _BELOW * height
        and (_share(box, label, 0) > 0 or abs(box[0] - label[0]) < height)
    ]
    for candidates in (right, below):
        for _, index in sorted(candidates)[:1]:
            first = min((start for part, start in starts if part == index), default=len(parts[index]))
            if value := _trimmed(parts[index][:first]):
                return FoundLine(tuple(value))
    return None


def _matches(part: Sequence[Glyph], word: str) -> Iterator[tuple[int, int, float]]:
    """(first glyph, end, likeness in [0, 1]) of every place where the label ``word`` stands in ``part`` as words of its own."""
    letters = [(place, char) for place, glyph in enumerate(part) for char in _plain(glyph.char)]
    text = "".join(char for _, char in letters)
    for start in range(len(text) - len(word) + 1):
        piece = text[start : start + len(word)]
        if piece == word:
            alike = 1.0
        elif len(word) >= _FORGIVEN and (ratio := fuzz.ratio(piece, word)) >= _ALIKE and piece[0] == word[0]:
            alike = ratio / 100
        else:
            continue
        first, last = letters[start][0], letters[start + len(word) - 1][0]
        if _begins(part, first) and _begins(part, last + 1):
            yield first, last + 1, alike


def _begins(part: Sequence[Glyph], place: int) -> bool:
    """Whether a word begins at ``place``: at an end, behind or before what is no letter, or behind a gap."""
    if place in (0, len(part)):
        return True
    before, after = part[place - 1], part[place]
    if not before.char.isalnum() or not after.char.isalnum():
        return True
    widths = [glyph.box[2] - glyph.box[0] for glyph in (before, after)]
    return after.box[0] - before.box[2] > 0.35 * max(*widths, 0.3 * (before.box[3] - before.box[1]))


def _parted(line: FoundLine) -> Iterator[tuple[Glyph, ...]]:
    """``line``, parted where a wide gap shows that it is two columns."""
    own: list[Glyph] = []
    for glyph in line.glyphs:
        if own and glyph.box[0] - own[-1].box[2] > _APART * (glyph.box[3] - glyph.box[1]):
            yield tuple(own)
            own = []
        own.append(glyph)
    if own:
        yield tuple(own)


def _trimmed(glyphs: Sequence[Glyph]) -> Sequence[Glyph]:
    """Without the colon, and the spaces, that part a label from its value."""
    start, stop = 0, len(glyphs)
    while start < stop and glyphs[start].char in ": ：.#№":
        start += 1
    while start < stop and glyphs[stop - 1].char.isspace():
        stop -= 1
    return glyphs[start:stop]


def _plain(text: str) -> str:
    """Letters and digits alone, without accents or case."""
    apart = unicodedata.normalize("NFKD", text)
    return "".join(char for char in apart if char.isalnum()).casefold()


def around(glyphs: Sequence[Glyph]) -> Box:
    """The box around characters."""
    boxes = [glyph.box for glyph in glyphs]
    return (min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes))


def _share(one: Box, other: Box, axis: int) -> float:
    """How much of the shorter of two boxes' sides along ``axis`` (0: x, 1: y) they share."""
    shared = min(one[axis + 2], other[axis + 2]) - max(one[axis], other[axis])
    return shared / max(1e-9, min(one[axis + 2] - one[axis], other[axis + 2] - other[axis]))
