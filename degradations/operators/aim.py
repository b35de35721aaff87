"""Where things land: which slots of the asked field an object covers, and where a harmless one lies.

Severity decides how long a run of characters is hit. Not everything hits, and most pages also carry something that
covers nothing asked about, so that "there is a sticker" says nothing about the answer. Where the same value is
printed twice, every print is covered alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from degradations.operators.base import Context, Image, Origin, Rng, draw_seed, split_lines
from kie_hvqa.data.ledger import Box

_MISSES = 0.04  # how often an object lands beside the field


@dataclass(frozen=True, slots=True)
class Target:
    """What one object is to cover: ``box``; ``seed`` draws its looks, the same for every print of a value.

    ``left`` and ``right``: pixels by which it may reach further without touching another slot of the field.
    """

    box: Box
    seed: int
    left: float
    right: float


def around(boxes: Sequence[Box]) -> Box:
    """The smallest upright box around ``boxes``."""
    array = np.asarray(boxes)
    return tuple(float(v) for v in (*array[:, :2].min(0), *array[:, 2:].max(0)))  # type: ignore[return-value]


def by_line(boxes: Sequence[Box], start: int, stop: int) -> list[list[Box]]:
    """The boxes start … stop by printed line."""
    runs = ([boxes[i] for i in line if start <= i < stop] for line in split_lines(boxes))
    return [run for run in runs if run]


def draw_run(rng: Rng, count: int, share: float) -> tuple[int, int]:
    """First and last but one of a run of slots, on average ``share`` of ``count``; it may be empty."""
    length = int(np.clip(math.floor(share * count + rng.random()), 0, count))
    start = int(rng.integers(0, count - length + 1))
    return start, start + length


def aimed(rng: Rng, context: Context, share: float) -> Box:
    """The box around a run of ``share`` of the field's slots; light that falls there need not keep to a line."""
    start, stop = draw_run(rng, len(context.boxes), min(1.0, share))
    return around(context.boxes[start : max(stop, start + 1)] or context.boxes[-1:])


def targets(rng: Rng, context: Context, share: float) -> list[Target]:
    """What to cover so that ``share`` of the field's slots is hit, and half of the time something harmless besides."""
    found: list[Target] = []
    height = context.text_height
    if rng.random() >= _MISSES:
        start, stop = draw_run(rng, len(context.boxes), share)
        # Some objects lie across the line only in part.
        shift, part = 0.0, 1.0
        if rng.random() < 0.12:
            shift, part = float(rng.uniform(-0.4, 0.4)), float(rng.uniform(0.5, 0.85))
        seed = draw_seed(rng)
        for boxes in context.prints:
            for line in split_lines(boxes):
                run = [i for i in line if start <= i < stop]
                if run:
                    x0, y0, x1, y1 = around([boxes[i] for i in run])
                    middle, half = (y0 + y1) / 2 + shift * height, (y1 - y0) / 2 * part
                    left = x0 - boxes[run[0] - 1][2] if run[0] > line[0] else 4 * height
                    right = boxes[run[-1] + 1][0] - x1 if run[-1] < line[-1] else 4 * height
                    found.append(Target((x0, middle - half, x1, middle + half), seed, left, right))
    if not found or rng.random() < 0.5:
        found.append(Target(harmless(rng, context), draw_seed(rng), 0.0, 0.0))
    return found


def harmless(rng: Rng, context: Context, size: tuple[float, float] | None = None) -> Box:
    """A box (of ``size`` (width, height) pixels if given) off the field and its copies, if eight tries find room for it."""
    rows, columns = context.size
    height = context.text_height
    taken = [(b[0] - height, b[1] - height, b[2] + height, b[3] + height) for boxes in context.prints for b in boxes]
    width, tall = size or (height * float(rng.uniform(1.0, 5.0)), height * float(rng.uniform(0.8, 2.0)))
    for _ in range(8):
        x, y = float(rng.uniform(0, columns)), float(rng.uniform(0, rows))
        near = (x - width / 2, y - tall / 2, x + width / 2, y + tall / 2)
        if not any(near[0] < b[2] and b[0] < near[2] and near[1] < b[3] and b[1] < near[3] for b in taken):
            return near
    return (x - width / 2, -rows - tall, x + width / 2, -float(rows))  # no room: it falls off the page


def grown(rng: Rng, target: Target, text_height: float, above: float) -> Box:
    """The box that an object over ``target`` takes: as wide as it may be, and up to ``above`` text heights taller.

    Which way it grows is drawn; what it was to cover, it covers.
    """
    x0, y0, x1, y1 = target.box
    x0 -= float(rng.uniform(0, 1)) * max(0.0, target.left)
    x1 += float(rng.uniform(0, 1)) * max(0.0, target.right)
    extra = float(rng.uniform(0, above)) * text_height
    up = float(rng.uniform(0, 1))
    return x0, y0 - up * extra, x1, y1 + (1 - up) * extra


def at_least(rng: Rng, box: Box, height: float) -> Box:
    """``box`` grown up and down, a drawn part of it each way, to ``height`` pixels: things have a size of their own, and no other
    slot of the field lies above or below."""
    x0, y0, x1, y1 = box
    more, up = max(0.0, height - (y1 - y0)), float(rng.uniform(0.2, 0.8))
    return x0, y0 - up * more, x1, y1 + (1 - up) * more


def window(x: float, y: float, reach: float, image: Image, origin: Origin) -> tuple[slice, slice] | None:
    """Rows and columns of ``image`` (whose corner lies at ``origin``) within ``reach`` of (``x``, ``y``), if any."""
    left, top = max(0, math.floor(x - reach) - origin[0]), max(0, math.floor(y - reach) - origin[1])
    right = min(image.shape[1], math.ceil(x + reach) - origin[0])
    bottom = min(image.shape[0], math.ceil(y + reach) - origin[1])
    return (slice(top, bottom), slice(left, right)) if left < right and top < bottom else None
