"""The ideal observer: what the damaged pixels still say about which character was printed.

The slot of a character c is set again with each rival a of its class (``rivals``), and every version goes through
the same recipe with the same draws. What then differs between y_c and y_a is all that anybody could tell them
apart by. An observer who knew the damage exactly would undo any blur and read a JPEG's artefacts like print; a
reader knows *letters*. So the difference d = y_a - y_c is split along the difference t of the two clean letters,
as the reader's acuity leaves it:

    signal   S = <d, t>² / |t|²      the part that looks like the letters' difference
    mismatch M = |d|² - S            the rest: real, but no reader knows it for what it is
    noise    N                       what changes when only the draws of the noise and the sampling phase change
    masking  C                       structure beside the print: a cover's edges, other print, folds

and the rivals are told apart with d'² = η S / (σ₀² + k N + c C + M), where σ₀ is the reader's own equivalent noise and η
his efficiency (Pelli, Burns, Farell and Moore-Page, Vision Research 2006; mismatched templates: Burgess, J. Opt. Soc.
Am. A 1994; contrast masking: Legge and Foley, J. Opt. Soc. Am. 1980). Without C the observer, who knows the damage, would
read faint print through a stamp as easily as on bare paper. S and M are energies per squared text height, so σ₀ does not
depend on the scale of the page. With a flat prior over c and its rivals the chance of identifying c is approximated in
closed form by

    evidence = 1 / (1 + Σ q_a / (1 - q_a)),    q_a = Φ(-d'_a / 2)

which is exact for one rival, and 1 / (number of candidates) where none can be excluded.

Departs from the naive observer in speed: rivals of several slots are set at once, far enough apart not to meet;
slots that the damage leaves as they were are not looked at (``view`` has the mechanics).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from degradations.legibility.constants import LegibilityModel
from degradations.legibility.frame import Frame, region_around, undamaged
from degradations.legibility.rivals import Print, character_class
from degradations.legibility.view import View
from degradations.operators.base import Image
from degradations.recipe import Recipe
from kie_hvqa.data.ledger import Box

_CANDIDATES = 26  # of a larger class only as many as the alphabet has can be meant at a place
# Odds below which a character is sure: it is not compared with the rest of its rivals. Over all operators that changes
# evidence by 0.001 at most and no label.
_SETTLED = 1e-3
_LOOK = 10.0  # margins around a line in which what reaches it is looked for
_EIGHT_BIT = 1  # grey levels: a slot changed by no more than this is as it was


@dataclass(frozen=True, slots=True)
class Judgement:
    """``evidence`` in [0, 1] and the rivals that remain plausible, the most plausible first."""

    evidence: float
    rivals: str = ""


UNTOUCHED = Judgement(1.0)


@dataclass(frozen=True, slots=True)
class Trace:
    """What the damage left between one slot's character and each of its ``rivals``, before any constant is applied.

    ``signal`` and ``mismatch`` are energies per squared text height, ``noise`` and ``masking`` variances; all in grey
    levels².
    ``unseen`` further candidates are in the class, farther than any of ``rivals``.
    """

    rivals: str
    signal: tuple[float, ...]
    mismatch: tuple[float, ...]
    noise: tuple[float, ...]
    masking: tuple[float, ...]
    unseen: int = 0

    def distances(self, model: LegibilityModel) -> list[float]:
        """d' between the character and each rival."""
        own, known, beside = model.noise**2, model.noise_weight, model.masking_weight
        parts = zip(self.signal, self.mismatch, self.noise, self.masking, strict=True)
        return [math.sqrt(model.efficiency * s / (own + known * n + beside * c + m)) for s, m, n, c in parts]

    def judge(self, model: LegibilityModel) -> Judgement:
        shares = [odds(distance) for distance in self.distances(model)]
        plausible = [rival for share, rival in sorted(zip(shares, self.rivals, strict=True), reverse=True)]
        kept = sum(share >= model.plausible for share in shares)
        return Judgement(1.0 / (1.0 + total_odds(shares, self.unseen)), "".join(plausible[:kept]))


def observe(
    model: LegibilityModel,
    value: str,
    boxes: Sequence[Box],
    how: Print,
    page: Image,
    damaged: Image,
    recipe: Recipe,
) -> list[Judgement]:
    """One judgement a character of ``value``, a printed line with its ``boxes`` on the clean ``page``.

    ``page`` and ``damaged`` are uint8 [H, W, 3] RGB, ``damaged`` is ``recipe.apply(page)``. Word spaces are ``UNTOUCHED``.
    """

    def settled(found: Trace) -> bool:
        """All that is left to compare with is farther than rivals that cannot be meant."""
        return total_odds([odds(distance) for distance in found.distances(model)], found.unseen) < _SETTLED

    traces = trace(model, value, boxes, how, page, damaged, recipe, settled=settled)
    return [UNTOUCHED if each is None else each.judge(model) for each in traces]


def trace(
    model: LegibilityModel,
    value: str,
    boxes: Sequence[Box],
    how: Print,
    page: Image,
    damaged: Image,
    recipe: Recipe,
    *,
    settled: Callable[[Trace], bool] | None = None,
    every: bool = False,
) -> list[Trace | None]:
    """As ``observe``, before the reader's constants: None for a slot that the damage left as it was, and for a space.

    A slot whose trace is ``settled`` by its nearest rivals is not compared with the others. ``every`` slot is looked at even
    where there is no damage: what the capture alone leaves of it.
    """
    result: list[Trace | None] = [None] * len(value)
    if not recipe.operators and not every:
        return result
    array = np.asarray(boxes, np.float64)
    height = max(4.0, float(np.percentile(array[:, 3] - array[:, 1], 80)))
    wanted = [i for i, char in enumerate(value) if not char.isspace()]
    if not recipe.bends and not every:
        wanted = _touched(page, damaged, array, wanted, 0.15 * height, recipe)
    if not wanted:
        return result

    def traced(index: int, names: str, parts: NDArray[np.float64]) -> Trace:
        unseen = min(len(character_class(value[index])), _CANDIDATES) - 1 - len(names)
        signal, mismatch, noise, masking = (tuple(part) for part in parts.tolist())
        return Trace(names, signal, mismatch, noise, masking, max(0, unseen))

    view = View(model, value, array, wanted, height, how, page, damaged, recipe)
    enough = None if settled is None else lambda *found: settled(traced(*found))
    for index, (names, parts) in zip(wanted, view.compare(enough), strict=True):
        result[index] = traced(index, names, parts)
    return result


def total_odds(shares: Sequence[float], unseen: int) -> float:
    """Odds of all candidates against the character: those not looked at count as the less plausible half of the others.

    With 8 of 25 rivals that is within 0.015 of the whole class on average (docs/legibility.md).
    """
    far = sorted(shares)[: max(1, len(shares) // 2)]
    return sum(shares) + (unseen * sum(far) / len(far) if far else 0.0)


def odds(distance: float) -> float:
    """q / (1 - q) for q = Φ(-d'/2): 1 for a rival that cannot be told apart, 0 for one that cannot be meant."""
    miss = 0.5 * math.erfc(distance / (2 * math.sqrt(2)))
    return miss / (1 - miss)


def _touched(
    page: Image, damaged: Image, boxes: NDArray[np.float64], wanted: list[int], margin: float, recipe: Recipe
) -> list[int]:
    """Which of the ``wanted`` slots look other than the capture alone would have shown them; on every one it is benign."""
    region = region_around(boxes, margin, margin, page.shape)
    before = undamaged(page, region, recipe)
    if recipe.capture is None:
        after = Frame(recipe, region).take(damaged)
    else:  # the same window with the same draws, and not the picture itself: that has the capture's noise as well
        around = region_around(boxes, _LOOK * margin, _LOOK * margin, page.shape)
        seen, origin, _ = recipe.apply_window(page[around[1] : around[3], around[0] : around[2]], around[:2])
        after = Frame(recipe, region).take(seen, origin)
    away = cv2.absdiff(before, after).max(axis=2)
    found = []
    for index in wanted:
        x0, y0 = (max(0, math.floor(boxes[index][k] - margin) - region[k]) for k in (0, 1))
        x1, y1 = (math.ceil(boxes[index][k + 2] + margin) - region[k] for k in (0, 1))
        part = away[y0:y1, x0:x1]
        if part.size == 0 or int(part.max()) > _EIGHT_BIT + (recipe.capture is not None):
            found.append(index)
    return found
