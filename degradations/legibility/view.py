"""One printed line under one recipe: what is left between each damaged slot and its rivals.

The mechanics of the ideal observer (``observer`` has the model). A window of the page is printed again with rivals in
several slots at once, damaged with the page's own draws, and compared with the damaged original at the height to which
a reader would reduce the line.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from degradations.legibility.constants import LegibilityModel
from degradations.legibility.frame import Frame, region_around, undamaged
from degradations.legibility.rivals import Print, Setting, rivals
from degradations.operators.base import COVER, LIGHT, OPTICS, SENSOR, Image, Operator, Origin
from degradations.operators.floor import Floored
from degradations.recipe import Recipe

Floats = NDArray[np.float32]
A = TypeVar("A", np.uint8, np.float32)
# Of a slot (index into the value), its nearest rivals and what was found of them (float64 [4, rivals]): is that enough?
Settled = Callable[[int, str, NDArray[np.float64]], bool]

# Text heights around the slots: enough where nothing spreads, for a coder, for blur, and for slots that move away.
_MARGINS = (0.25, 0.5, 1.2, 4.0, 12.0, math.inf)
_BLUR = 1.2
_EDGE = 4.0  # pixels more, where lens and pose of a capture reach over a window's border
_REACH = (0.05, 0.4)  # text heights beside a slot in which its difference is looked for; more where the damage spreads
_SPACING = (2, 3)  # every second slot is replaced at a time, and every third where the damage spreads
# Where the page is laid under the sensor instead, in text heights: two of many phases.
_PHASES = ((0.13, 0.09), (-0.08, 0.17))
_APRON = 3.0  # text heights around the frame: as far as the filters behind masking reach
_POOL = 0.2  # text heights over which noise and masking are pooled
TRACED = ("signal", "mismatch", "noise", "masking")
_LEAST = 3  # rivals that a slot is compared with before it may be settled
_DISPLACED = 0.35  # text heights by which a blur may displace a line: a reader follows it


class View:
    """``wanted`` are the slots (indices into ``value``) to look at; ``height`` is the text height in pixels."""

    def __init__(
        self,
        model: LegibilityModel,
        value: str,
        boxes: NDArray[np.float64],
        wanted: Sequence[int],
        height: float,
        how: Print,
        page: Image,
        damaged: Image,
        recipe: Recipe,
    ) -> None:
        self.model, self.value, self.wanted, self.height, self.recipe = model, value, wanted, height, recipe
        self.page, self.damaged = page, damaged
        self.spreads = any(operator.stage not in (COVER, LIGHT) for operator in recipe.operators)
        self.hit = hit = boxes[list(wanted)]
        reach = _REACH[self.spreads] * height
        self.margin = max(reach, _MARGINS[0] * height)  # blurring the template must not meet the frame's edge
        self.frame = Frame(recipe, region_around(hit, self.margin, self.margin, page.shape))
        self.origin, self.clean, seen, origin = self._opened(height)
        self.setting = Setting(value, self.clean, self.origin, how)
        # Everything is compared at a text height that a reader would reduce the line to anyhow.
        self.scale = min(1.0, model.working_height / height)
        self.text = height * self.scale
        self.base = self._small(self.frame.take(seen, origin))
        x0, _, x1, _ = self.frame.region
        width = self.base.shape[1]
        across = (hit[:, [0, 2]] + [-reach, reach] - x0) * (width / max(1, x1 - x0))
        starts = np.clip(np.floor(across[:, 0]), 0, width - 1).astype(int)
        ends = np.clip(np.ceil(across[:, 1]), starts + 1, width).astype(int)
        self.spans = np.stack([starts, ends])

    def _opened(self, height: float) -> tuple[Origin, Image, Image, Origin]:
        """The smallest window of the clean page that decides the frame: where it lies, its pixels, what becomes of it and where.

        A window is wide enough when it knows the frame, and when the next wider one has nothing else to say about it, or
        it is wider than anything but a shift spreads.
        """
        smaller: tuple[Origin, Image, Image, Origin] | None = None
        for margin in _MARGINS[1:] if self.spreads else _MARGINS[:1]:
            corner, clean = _window(self.page, self.hit, margin * height + _EDGE * self.recipe.moves, self.recipe)
            seen, origin, known = self.recipe.apply_window(clean, corner)
            found = (corner, clean, seen, origin)
            whole = clean.shape == self.page.shape
            if not whole and not self.frame.known(known, origin):
                continue
            if smaller is not None:
                away = cv2.absdiff(self.frame.take(seen, origin), self.frame.take(*smaller[2:]))
                return smaller if int(away.max(initial=0)) <= 1 else found
            if whole or margin >= _BLUR or not self.spreads:
                break
            smaller = found
        return found

    def compare(self, settled: Settled | None = None) -> list[tuple[str, NDArray[np.float64]]]:
        """For each wanted slot its rivals, and float64 [4, rivals]: what ``TRACED`` names (``observer.Trace``).

        A slot of which ``settled`` says so is not compared with the farther ones of its rivals: what comes back has the
        nearer ones alone. Nor is a slot in which the nearest ones change no pixel at all: it is covered, and what comes back
        says of the farther ones that they change nothing either.
        """
        style = self.setting.style
        names = [rivals(style.family, style.weight, self.value[i], self.model.rivals) for i in self.wanted]
        found = np.zeros((len(self.wanted), len(TRACED), max(map(len, names))))
        told = [len(near) for near in names]
        turns = list(told)
        noise = self._noise()
        plain = self._small(self._crop(self.clean))
        shift: tuple[int, int] | None = None
        for turn in range(found.shape[2]):
            replaced = list(self._replaced(names, [k for k, last in enumerate(turns) if turn < last], turn, plain))
            if shift is None:
                shift = self._displacement([pair for _, *pair in replaced])
                masking = self._masking(shift)
            for chosen, difference, template in replaced:
                parts = self._split(_moved(difference, -shift[0], -shift[1]), template, noise, masking)
                found[chosen, :, turn] = parts[:, chosen].T
                for k in chosen if turn + 1 >= _LEAST else ():
                    seen = found[k, :, : turn + 1]
                    if not seen[:2].any():
                        turns[k] = turn + 1
                    elif settled is not None and settled(self.wanted[k], names[k][: turn + 1], seen):
                        turns[k] = told[k] = turn + 1
        return [(near[:count], row[:, :count]) for near, count, row in zip(names, told, found, strict=True)]

    def _replaced(
        self, names: Sequence[str], due: Sequence[int], turn: int, plain: Floats
    ) -> Iterator[tuple[list[int], Floats, Floats]]:
        """The wanted slots ``due`` get their rival number ``turn``, as many at a time as may: what that changes in the
        damaged line, and what it changes in the ``plain`` one as the reader's acuity leaves it."""
        for chosen in self._apart(due):
            changed = self.setting.printed({self.wanted[k]: names[k][turn] for k in chosen})
            template = self._small(self._crop(changed)) - plain
            after, origin, _ = self.recipe.apply_window(changed, self.origin)
            difference = self._small(self.frame.take(after, origin)) - self.base
            yield chosen, difference, cv2.GaussianBlur(template, (0, 0), self.model.acuity * self.text)

    def _apart(self, due: Sequence[int]) -> list[list[int]]:
        """The wanted slots ``due``, which rise, in groups whose members stand far enough apart not to meet: every so many
        of the line, and where that makes fewer of them each slot in the first group that has room."""
        step = _SPACING[self.spreads]
        phases = [[k for k in due if self.wanted[k] % step == phase] for phase in range(step)]
        groups: list[list[int]] = []
        for k in due:
            room = (group for group in groups if self.wanted[k] - self.wanted[group[-1]] >= step)
            group = next(room, None)
            if group is None:
                groups.append([k])
            else:
                group.append(k)
        phases = [group for group in phases if group]
        return groups if len(groups) < len(phases) else phases

    def _crop(self, window: Image) -> Image:
        x0, y0, x1, y1 = self.frame.region
        left, top = self.origin
        return window[y0 - top : y1 - top, x0 - left : x1 - left]

    def _small(self, image: Image) -> Floats:
        """Luma at the working height, float32 [h, w]."""
        luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
        if self.scale == 1:
            return luma
        size = (max(2, round(luma.shape[1] * self.scale)), max(2, round(luma.shape[0] * self.scale)))
        return cv2.resize(luma, size, interpolation=cv2.INTER_AREA)

    def _displacement(self, pairs: Sequence[Sequence[Floats]]) -> tuple[int, int]:
        """How far (x, y) the optics displaced the line as a whole: where differences and letters agree best."""
        if not any(operator.stage == OPTICS for operator in self.recipe.operators):
            return 0, 0
        reach = max(1, round(_DISPLACED * self.text))
        agreement = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
        for difference, template in pairs:
            wide = cv2.copyMakeBorder(difference, reach, reach, reach, reach, cv2.BORDER_CONSTANT)
            agreement += cv2.matchTemplate(wide, template, cv2.TM_CCORR)
        row, column = np.unravel_index(int(agreement.argmax()), agreement.shape)
        return int(column) - reach, int(row) - reach

    def _split(
        self, difference: Floats, template: Floats, noise: Floats | None, masking: Floats
    ) -> NDArray[np.float64]:
        """What ``TRACED`` names, of every wanted slot in one line with replaced characters, [4, n]."""
        weight = template * template
        sums = [difference * template, weight, difference * difference, weight * masking]
        if noise is not None:
            sums.append(weight * noise)
        columns = np.zeros((len(sums), difference.shape[1] + 1))
        np.cumsum([values.sum(0) for values in sums], axis=1, out=columns[:, 1:])
        # Only what rose with the letters' difference helps; the other sums are of squares, below 0 by rounding alone.
        part = np.maximum(columns[:, self.spans[1]] - columns[:, self.spans[0]], 0)
        letters = np.maximum(part[1], 1e-6)
        signal = np.square(part[0]) / letters
        spread = np.zeros_like(signal) if noise is None else part[4] / letters
        area = self.text**2
        return np.stack([signal / area, np.maximum(part[2] - signal, 0) / area, spread, part[3] / letters])

    def _masking(self, shift: tuple[int, int]) -> Floats:
        """Energy of the structure in the damaged line that is not the print's own, grey levels² [h, w].

        What is left of the print is the clean line times a gain that may change along it; the rest are edges of covers,
        other print, folds: they mask letters whether or not they hide them. More of the page is looked at than the frame
        has, so that a slot is judged the same whatever stands in the frame beside it.
        """
        detail, window = self.model.detail * self.text, self.model.window * self.text
        margin = self.margin + _APRON * self.height
        frame = Frame(self.recipe, region_around(self.hit, margin, margin, self.page.shape))
        x0, y0, _, _ = frame.region
        seen = _detail(_moved(self._small(frame.take(self.damaged)), -shift[0], -shift[1]), detail)
        printed = _detail(self._small(undamaged(self.page, frame.region, self.recipe)), detail)
        common = cv2.GaussianBlur(seen * printed, (0, 0), window)
        gain = common / (cv2.GaussianBlur(printed * printed, (0, 0), window) + 1)
        rest = seen - gain * printed
        pooled = cv2.GaussianBlur(rest * rest, (0, 0), _POOL * self.text)
        starts = [(inner - outer) * self.scale for inner, outer in zip(self.frame.region[:2], (x0, y0), strict=True)]
        columns, rows = (
            np.clip(np.arange(count) + round(start), 0, limit - 1)
            for count, start, limit in zip(self.base.shape[::-1], starts, pooled.shape[::-1], strict=True)
        )
        return pooled[rows][:, columns]

    def _noise(self) -> Floats | None:
        """Variance of what other draws and other sampling phases change, grey levels² [h, w]; None if nothing does.

        The noise of the capture's sensor and its JPEG count as well: neither hides ordinary print, both do faint print.
        """
        capture = self.recipe.capture
        noisy = capture is not None and capture.noisy
        before = tuple(o for o in self.recipe.operators if o.stage < SENSOR)
        after = tuple(o for o in self.recipe.operators if o.stage >= SENSOR)
        square, light = np.zeros_like(self.base), None
        for turn, (right, down) in enumerate(_PHASES, 1):
            earlier = tuple(_redrawn(o, turn) for o in before)
            if earlier == before and not after and not noisy:
                return None
            if light is None or earlier != before:
                light = Recipe(earlier, capture).seen(self.clean, self.origin)
            image, origin, _ = light
            x, y = (round(v * self.height) or int(math.copysign(1, v)) for v in (right, down))
            x, y = (x, y) if after or noisy else (0, 0)
            later = Recipe(tuple(_redrawn(o, turn) for o in after), capture.again(turn) if capture else None)
            image = _moved(later.developed(_moved(image, x, y), origin, noise=noisy), -x, -y)
            change = self._small(self.frame.take(image, origin)) - self.base
            square += change * change
        return cv2.GaussianBlur(square / (2 * len(_PHASES)), (0, 0), _POOL * self.text)


def _window(page: Image, boxes: NDArray[np.float64], margin: float, recipe: Recipe) -> tuple[Origin, Image]:
    """The part of ``page`` around ``boxes`` and its origin, which every operator of ``recipe`` can start from."""
    grid = max((operator.grid for operator in recipe.operators), default=1)
    left, top, right, bottom = region_around(boxes, margin, margin, page.shape)
    left, top = left - left % grid, top - top % grid
    return (left, top), page[top:bottom, left:right]


def _redrawn(operator: Operator, turn: int) -> Operator:
    """The operator with other noise. Seeds that are not of a noise shape things (a foil, a stain): those stay."""
    noisy = operator.stage >= SENSOR or isinstance(operator, Floored)
    seed = getattr(operator, "seed", None)
    if not noisy or seed is None:
        return operator
    return dataclasses.replace(operator, seed=(seed + 7919 * turn) % 2**32)  # type: ignore[call-arg]


def _detail(image: Floats, coarse: float) -> Floats:
    """What is finer than ``coarse`` pixels."""
    return image - cv2.GaussianBlur(image, (0, 0), coarse)


def _moved(image: NDArray[A], x: int, y: int) -> NDArray[A]:
    """``image`` moved by whole pixels, its edge repeated."""
    if x == y == 0:
        return image
    matrix = np.array([[1, 0, x], [0, 1, y]], np.float32)
    size = (image.shape[1], image.shape[0])
    moved = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return moved.astype(image.dtype, copy=False)
