"""Boxes of foreign annotations: quadrilaterals to upright boxes, words to lines, lines to reading order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kie_hvqa.data.ledger import Box


@dataclass(frozen=True, slots=True)
class Line:
    """``box`` (x0, y0, x1, y1) in the set's own unit."""

    text: str
    box: Box


def around(points: Sequence[float]) -> Box:
    """The upright box around x, y, x, y, …; ValueError for anything but two points or more."""
    if len(points) < 4 or len(points) % 2:
        raise ValueError(f"{len(points)} coordinates are no box")
    numbers = [float(value) for value in points]
    return min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2])


def clipped(box: Box, size: tuple[int, int]) -> Box | None:
    """``box`` inside the picture; None where nothing of it is."""
    x0, y0, x1, y1 = max(0.0, box[0]), max(0.0, box[1]), min(float(size[0]), box[2]), min(float(size[1]), box[3])
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def same_row(a: Box, b: Box) -> bool:
    return min(a[3], b[3]) - max(a[1], b[1]) > 0.5 * min(a[3] - a[1], b[3] - b[1])


def rows_of(boxes: Sequence[Box]) -> list[list[int]]:
    """Indices by row from top to bottom, each from left to right."""
    rows: list[list[int]] = []
    for index in sorted(range(len(boxes)), key=lambda i: (boxes[i][1] + boxes[i][3], i)):
        if rows and same_row(boxes[rows[-1][0]], boxes[index]):
            rows[-1].append(index)
        else:
            rows.append([index])
    return [sorted(row, key=lambda i: boxes[i][0]) for row in rows]


def words_by_row(words: Sequence[Line]) -> list[Line]:
    """One line for every row of ``words``."""
    boxes = [word.box for word in words]
    return [
        Line(" ".join(words[i].text for i in row), around([v for i in row for v in boxes[i]])) for row in rows_of(boxes)
    ]


def in_order(numbers: Sequence[int], lines: Sequence[Line]) -> list[int]:
    """``numbers`` of lines in reading order."""
    return [numbers[i] for row in rows_of([lines[number].box for number in numbers]) for i in row]
