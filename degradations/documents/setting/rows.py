"""Divides a box into rows and rows into labelled cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Cell:
    """Where one labelled value goes, in pixels."""

    label_x: float
    label_baseline: float
    value_x: float
    value_baseline: float
    max_width: float


def lay_cells(
    area: tuple[float, float, float, float],
    rows: Sequence[Sequence[str]],
    mode: str,
    label_widths: dict[str, float],
    sample_widths: dict[str, float],
    value_size: float,
    label_size: float,
    gap: float,
) -> dict[str, Cell]:
    """Divides ``area`` (x0, y0, x1, y1) into equal rows and each row into its fields, by need of width.

    ``mode`` puts labels ``left`` of the values, in a column of their own, or ``above`` them.
    """
    x0, y0, x1, y1 = area
    pitch = (y1 - y0) / len(rows)
    widest = max((label_widths[row[0]] for row in rows), default=0.0)
    column = widest + gap if widest else 0.0
    cells = {}
    for index, row in enumerate(rows):
        top = y0 + index * pitch
        need = [
            sample_widths[c] + (column if k == 0 else label_widths[c] + gap) if mode == "left" else
            max(sample_widths[c], label_widths[c])
            for k, c in enumerate(row)
        ]  # fmt: skip
        shares = np.cumsum([0.0, *(max(n, 1.0) for n in need)])
        for k, concept in enumerate(row):
            left = x0 + (x1 - x0) * shares[k] / shares[-1]
            right = x0 + (x1 - x0) * shares[k + 1] / shares[-1] - (gap if k + 1 < len(row) else 0)
            if mode == "left":
                value_x = left + (column if k == 0 else label_widths[concept] + gap)
                baseline = top + pitch / 2 + value_size * 0.36
                cells[concept] = Cell(left, baseline, value_x, baseline, right - value_x)
            else:
                slack = max(pitch - value_size * 1.1 - label_size * 0.78, 0) / 2
                first = top + slack + label_size * 0.74
                second = min(first + value_size * 1.05, y1 - value_size * 0.28)
                cells[concept] = Cell(left, first, left, second, right - left)
    return cells
