"""The document on what it lies on: its outline, the desk around it, the shadow that it throws there.

All of it is in the plane of the page and in its pixels, so that things may lie across both (a hand, a label), and before the
camera, so that it goes through lens and sensor with the rest. Only what shows beyond the page is drawn: a window inside
the page costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from degradations.capture.textures import Texture, tile, wrapped
from degradations.operators.base import Colour, Finite, Image, Mask, NotNegative, Origin, Positive, Seed
from degradations.operators.cover.finger import Digit

Floats = NDArray[np.float32]
Size = tuple[int, int]  # width, height in pixels
Sides = tuple[int, int, int, int]  # left, top, right, bottom
Part = tuple[slice, slice]
_COARSE = 4


@dataclass(frozen=True, slots=True)
class Desk:
    """``texture`` in ``colour`` at ``density`` pixels a millimetre, from the place that ``seed`` says."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    texture: Texture
    colour: Colour
    density: Positive
    turned: bool
    seed: Seed

    def over(self, shape: tuple[int, int], origin: Origin) -> Image:
        """The window of ``shape`` = (height, width) at ``origin`` of the page's plane, uint8 [h, w, 3]."""
        tone = wrapped(tile(self.texture, self.density, self.turned), self.seed, origin, shape)
        # Around its own colour in proportion: what is dark has as much contrast as what is light.
        table = np.clip(np.arange(256, dtype=np.float32)[:, None] / 128 * np.asarray(self.colour, np.float32), 0, 255)
        planes = [cv2.LUT(tone, levels) for levels in (table + 0.5).astype(np.uint8).T.copy()]
        return np.asarray(cv2.merge(planes), np.uint8)


@dataclass(frozen=True, slots=True)
class Sheet:
    """Another document beside this one: a rectangle turned by ``angle`` degrees with its middle at (``x``, ``y``) pixels.

    ``lines`` are grey rules on it, ``pitch`` pixels apart.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    x: Finite
    y: Finite
    width: Positive
    height: Positive
    angle: Finite
    colour: Colour
    pitch: Positive
    seed: Seed

    def paint(self, canvas: Image, origin: Origin, lift: float) -> None:
        h, w = canvas.shape[:2]
        reach = 0.5 * float(np.hypot(self.width, self.height)) + 4 * lift
        x0, x1 = (int(np.clip(self.x - origin[0] + s * reach, 0, w)) for s in (-1, 1))
        y0, y1 = (int(np.clip(self.y - origin[1] + s * reach, 0, h)) for s in (-1, 1))
        if x0 >= x1 or y0 >= y1:
            return
        dx = np.arange(x0, x1, dtype=np.float32)[None, :] + np.float32(origin[0] + 0.5 - self.x)
        dy = np.arange(y0, y1, dtype=np.float32)[:, None] + np.float32(origin[1] + 0.5 - self.y)
        angle = np.deg2rad(self.angle)
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        u, v = dx * cos + dy * sin, dy * cos - dx * sin
        edge = np.maximum(np.abs(u) - np.float32(self.width / 2), np.abs(v) - np.float32(self.height / 2))
        cover = np.clip(0.5 - edge, 0, 1)
        region = canvas[y0:y1, x0:x1]
        shade = 1 - np.float32(0.45) * np.exp(-np.maximum(edge, 0) / np.float32(lift))
        below = region * shade[:, :, None]
        row = np.floor(v / np.float32(self.pitch))
        words = np.sin(row * 12.9898 + self.seed % 97) * 0.5 + 0.5  # each line ends elsewhere
        inside = np.abs(u + np.float32(0.04 * self.width)) < np.float32(self.width) * (0.22 + 0.16 * words)
        gaps = (
            np.sin(u * np.float32(5.2 / self.pitch) + row * 3.7) + np.sin(u * np.float32(2.3 / self.pitch) + row) > -1.1
        )
        stroke = np.exp(-np.square((v / np.float32(self.pitch) - row - 0.5) / np.float32(0.16)))
        ink = np.float32(0.5) * stroke * inside * gaps * (np.sin(row * 7.3 + self.seed % 31) > -0.6)
        paper = np.asarray(self.colour, np.float32) * (1 - ink[:, :, None])
        region[...] = np.clip(below + (paper - below) * cover[:, :, None] + 0.5, 0, 255).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Scene:
    """``desk`` below, ``sheets`` beside, and the outline of the document: lengths in pixels of the page.

    ``corner`` is the radius of its corners; ``tooth`` the depth of the tear at a roll's two ends (0: cut straight);
    ``lift`` how far its edge stands off the desk, ``shadow`` towards where (degrees) and ``dark`` how deep its shadow is.
    ``rim`` is how much lighter an edge that faces the lamp is, and darker one that turns away. ``hands`` are the fingertips
    of who holds it by its edges.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    desk: Desk
    sheets: tuple[Sheet, ...]
    corner: NotNegative
    tooth: NotNegative
    lift: Positive
    shadow: Finite
    dark: NotNegative
    rim: NotNegative
    hands: tuple[Digit, ...] = ()

    def laid(
        self, window: Image, known: Mask | None, origin: Origin, page: Size, sides: Sides
    ) -> tuple[Image, Mask | None, Origin]:
        """A window of the page at ``origin`` in the scene: as wide as ``sides`` wherever it reaches the page's edge.

        Returns the window, what of it is known (None where nobody asks) and where it lies; a window inside the page comes
        back as it is.
        """
        h, w = window.shape[:2]
        at = (origin[0] <= 0, origin[1] <= 0, origin[0] + w >= page[0], origin[1] + h >= page[1])
        if not any(at):
            return self._held(window, origin), known, origin
        left, top, right, bottom = (side if there else 0 for side, there in zip(sides, at, strict=True))
        canvas = np.empty((h + top + bottom, w + left + right, 3), np.uint8)
        corner = (origin[0] - left, origin[1] - top)
        inner = (slice(top, top + h), slice(left, left + w))
        canvas[inner] = window
        for part in _around(canvas.shape, inner):
            canvas[part] = self._beyond(part, corner, page)
        self._rim(canvas, corner, page)
        if self.corner or self.tooth:
            self._cut(canvas, corner, page)
        for digit in self.hands:
            digit.paint(canvas, corner)
        if known is not None:
            wider = cv2.copyMakeBorder(known.astype(np.uint8), top, bottom, left, right, cv2.BORDER_REPLICATE)
            known = wider.astype(bool)
        return canvas, known, corner

    def _held(self, window: Image, origin: Origin) -> Image:
        """A window inside the page under what the fingertips cover of it."""
        if not any(digit.touches(window, origin) for digit in self.hands):
            return window
        window = window.copy()
        for digit in self.hands:
            digit.paint(window, origin)
        return window

    def _beyond(self, part: Part, corner: Origin, page: Size) -> Image:
        """The desk with what lies on it and the document's shadow, in one part of a window at ``corner``."""
        shape = (part[0].stop - part[0].start, part[1].stop - part[1].start)
        place = (corner[0] + part[1].start, corner[1] + part[0].start)
        picture = self.desk.over(shape, place)
        for sheet in self.sheets:
            sheet.paint(picture, place, self.lift)
        # Further from the document than this its shadow changes no grey level.
        far = int(4 * self.lift) + 2 * _COARSE
        columns, rows = (
            slice(int(np.clip(-far - o, 0, n)), int(np.clip(length + far - o, 0, n)))
            for o, n, length in zip(place, shape[::-1], page, strict=True)
        )
        near = (place[0] + columns.start, place[1] + rows.start)
        if picture[rows, columns].size:
            picture[rows, columns] = self._shaded(picture[rows, columns], near, page)
        return picture

    def _shaded(self, picture: Image, place: Origin, page: Size) -> Image:
        """A window of the desk at ``place`` in the document's shadow."""
        shape = picture.shape[:2]
        first = (place[0] // _COARSE, place[1] // _COARSE)
        x = (np.arange(first[0] - 1, -(-(place[0] + shape[1]) // _COARSE) + 1, dtype=np.float32) + 0.5) * _COARSE
        y = (np.arange(first[1] - 1, -(-(place[1] + shape[0]) // _COARSE) + 1, dtype=np.float32) + 0.5) * _COARSE
        angle = np.deg2rad(self.shadow)
        cast = self._distance(
            x - np.float32(np.cos(angle) * self.lift), y - np.float32(np.sin(angle) * self.lift), page
        )
        near = self._distance(x, y, page)
        soft = np.float32(self.lift)
        shade = 1 - np.float32(self.dark) * np.clip(1 - cast / (2.2 * soft), 0, 1) ** 2
        shade -= np.float32(0.6 * self.dark) * np.exp(-np.maximum(near, 0) / (0.5 * soft))
        large = cv2.resize(np.maximum(shade, 0.05), None, fx=_COARSE, fy=_COARSE, interpolation=cv2.INTER_LINEAR)
        dy, dx = (o - (f - 1) * _COARSE for o, f in zip(place[::-1], first[::-1], strict=True))
        gain = np.ascontiguousarray(large[dy : dy + shape[0], dx : dx + shape[1]])
        return np.asarray(cv2.multiply(picture, cv2.merge((gain,) * 3), dtype=cv2.CV_8U), np.uint8)

    def _distance(self, x: NDArray[np.floating], y: NDArray[np.floating], page: Size) -> Floats:
        """How far points lie outside the document's outline, negative on it, [len(y), len(x)]."""
        radius = np.float32(self.corner)
        out_x = np.abs(x - np.float32(page[0] / 2)) - np.float32(page[0] / 2) + radius
        out_y = np.abs(y - np.float32(page[1] / 2)) - np.float32(page[1] / 2) + radius
        out_x, out_y = out_x[None, :], out_y[:, None]
        away = np.hypot(np.maximum(out_x, 0), np.maximum(out_y, 0)) + np.minimum(np.maximum(out_x, out_y), 0)
        return np.asarray(away - radius, np.float32)

    def _rim(self, canvas: Image, corner: Origin, page: Size) -> None:
        """The document's own edge: one or two pixels that face the lamp or turn away from it."""
        if not self.rim:
            return
        h, w = canvas.shape[:2]
        angle = np.deg2rad(self.shadow)
        thick = max(1, round(0.12 * self.desk.density))
        x0, y0, x1, y1 = (int(v) for v in (-corner[0], -corner[1], page[0] - corner[0], page[1] - corner[1]))
        inside = (slice(max(0, y0), min(h, y1)), slice(max(0, x0), min(w, x1)))
        edges: tuple[tuple[Part, float], ...] = (
            ((inside[0], slice(max(0, x0), min(w, x0 + thick))), -np.cos(angle)),
            ((inside[0], slice(max(0, x1 - thick), min(w, x1))), np.cos(angle)),
            ((slice(max(0, y0), min(h, y0 + thick)), inside[1]), -np.sin(angle)),
            ((slice(max(0, y1 - thick), min(h, y1)), inside[1]), np.sin(angle)),
        )
        for part, away in edges:
            if canvas[part].size:
                tone = 1 - self.rim * (0.35 + 0.65 * away)
                canvas[part] = np.clip(canvas[part] * np.float32(tone) + 0.5, 0, 255).astype(np.uint8)

    def _cut(self, canvas: Image, corner: Origin, page: Size) -> None:
        """The desk shows where the outline leaves the page's rectangle: round corners, torn ends."""
        h, w = canvas.shape[:2]
        if self.tooth:
            deep = int(2 * self.tooth) + 2
            bands = [(0, -2, page[0], deep), (0, page[1] - deep, page[0], page[1] + 2)]
        else:
            side = int(np.ceil(self.corner)) + 1
            bands = [(x, y, x + side, y + side) for x in (0, page[0] - side) for y in (0, page[1] - side)]
        for x0, y0, x1, y1 in bands:
            part = (
                slice(*(int(np.clip(v - corner[1], 0, h)) for v in (y0, y1))),
                slice(*(int(np.clip(v - corner[0], 0, w)) for v in (x0, x1))),
            )
            if not canvas[part].size:
                continue
            x = np.arange(part[1].start, part[1].stop, dtype=np.float32) + np.float32(corner[0] + 0.5)
            y = np.arange(part[0].start, part[0].stop, dtype=np.float32) + np.float32(corner[1] + 0.5)
            if self.tooth:
                wave = np.abs((x / np.float32(2.4 * self.tooth) + self.desk.seed % 7) % 1 - 0.5) * np.float32(
                    2 * self.tooth
                )
                wave += np.float32(0.25 * self.tooth) * np.sin(x * np.float32(0.9 / self.tooth)).astype(np.float32)
                away = wave[None, :] - np.minimum(y, page[1] - y)[:, None]
            else:
                away = self._distance(x, y, page)
            share = np.clip(away + np.float32(0.5), 0, 1)
            below = self._beyond(part, corner, page)
            kept = np.ascontiguousarray(canvas[part])
            canvas[part] = cv2.blendLinear(below, kept, share, 1 - share)


def _around(shape: tuple[int, ...], inner: Part) -> list[Part]:
    """The parts of an image of ``shape`` that ``inner`` leaves: above, below, left, right; those that have any pixels."""
    rows, columns = inner
    parts = [
        (slice(0, rows.start), slice(0, shape[1])),
        (slice(rows.stop, shape[0]), slice(0, shape[1])),
        (rows, slice(0, columns.start)),
        (rows, slice(columns.stop, shape[1])),
    ]
    return [p for p in parts if p[0].start < p[0].stop and p[1].start < p[1].stop]


def plain(density: float, seed: int) -> Scene:
    """What lies around a picture that is a document itself and is turned: a grey table."""
    desk = Desk("laminate", (118, 116, 114), density, False, seed)
    return Scene(desk, (), 0.0, 0.0, max(2.0, density), 45.0, 0.4, 0.0)


__all__ = ["Desk", "Scene", "Sheet", "plain"]
