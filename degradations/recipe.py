"""A recipe: the ordered operators that damaged one page inside its capture, with every drawn parameter.

Recipe and capture in a row are all that is needed to make the damaged picture again from the clean page: applying them
read back from JSON is bit-exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self, TypeVar

import numpy as np

from degradations.capture import Capture
from degradations.capture import from_json as capture_from_json
from degradations.capture.camera import Camera
from degradations.capture.scene import Scene, plain
from degradations.operators import OPERATORS, Context, Image, Operator, Rng, from_json
from degradations.operators.base import (
    BEND,
    COMPRESSION,
    COVER,
    GEOMETRY,
    LIGHT,
    OPTICS,
    SENSOR,
    WEAR,
    Mask,
    Origin,
    Points,
    boxes_around,
)
from degradations.operators.geometry.pose import Posed
from kie_hvqa.data.ledger import Box
from kie_hvqa.errors import InputError

T = TypeVar("T")
Draw = Callable[[Rng, Context], Operator]


@dataclass(frozen=True, slots=True)
class Recipe:
    """``operators`` in the order in which they are applied, within the ``capture`` that made a picture of the page.

    Without a capture (a real photograph, which has been through one) the page is the picture. Damage happens where it
    physically does: to the document, in the scene, in the camera, in the sensor, after its file. That keeps the ledger true (what
    lies over the print goes through the same lens) and the severities comparable (every one is on top of the same
    benign picture).
    """

    operators: tuple[Operator, ...] = ()
    capture: Capture | None = None

    def apply(self, image: Image) -> Image:
        """Damage the page ``image`` (uint8 [H, W, 3] RGB) into a new picture."""
        return self.shot(image)[0]

    def shot(self, image: Image) -> tuple[Image, bytes | None]:
        """As ``apply``; and the picture's file where a camera's JPEG is the last that happened to it, else None."""
        self._check(image)
        picture, data = self._seen(image, None, (0, 0))[0], None
        picture = self._exposed(picture, (0, 0), noise=True)
        if self.capture is not None:
            picture, data = self.capture.filed(picture)
        coders = self._at(COMPRESSION)
        for operator in coders:
            picture = operator.apply(picture)
        return picture, None if coders else data

    def apply_window(self, window: Image, origin: Origin) -> tuple[Image, Origin, Mask]:
        """Damage a part of the clean page whose top left pixel is at ``origin`` = (x, y).

        Returns a part of the damaged picture (uint8 [h, w, 3]), the origin of that part there, and bool [h, w]: False where
        the part depends on pixels of the page outside the window. Parts made from windows of one shape at one origin
        have one shape and one origin, whatever is in them. The capture's own noise and JPEG are left out: they are benign, and
        the same whatever is printed.
        """
        picture, origin, known = self.seen(window, origin)
        return self.developed(picture, origin), origin, known

    def seen(self, window: Image, origin: Origin) -> tuple[Image, Origin, Mask]:
        """The first half of ``apply_window``: document, scene, pose and lens, up to the light that falls on the sensor."""
        self._check(window)
        picture, known, origin = self._seen(window, np.ones(window.shape[:2], bool), origin)
        assert known is not None
        return picture, origin, known

    def developed(self, picture: Image, origin: Origin, *, noise: bool = False) -> Image:
        """The second half: the sensor and what was done to its file; with the capture's own ``noise`` and JPEG where they matter."""
        picture = self._exposed(picture, origin, noise=noise)
        if noise and self.capture is not None:
            picture = self.capture.filed(picture)[0]
        for operator in self._at(COMPRESSION):
            picture = operator.apply(picture, origin)
        return picture

    def _seen(self, image: Image, known: Mask | None, origin: Origin) -> tuple[Image, Mask | None, Origin]:
        """``known`` None is a whole page: nothing has to be said about what depends on what."""
        image = np.ascontiguousarray(image)
        for operator in self._at(WEAR, BEND):
            if operator.moves and known is not None:
                image, known, origin = operator.view(image, known, origin)
            else:
                image = operator.apply(image, origin)
        camera, scene = self._camera(image, known is None), self._scene()
        if camera is not None and scene is not None:
            image, known, origin = scene.laid(image, known, origin, camera.page, camera.sides())
        for operator in self._at(COVER, LIGHT):
            image = operator.apply(image, origin)
        if camera is not None:
            if known is None:
                image, origin = camera.seen(image, origin, (0, 0, *camera.size)), (0, 0)
            else:
                image, known, origin = camera.view(image, known, origin)
        if self.capture is not None:
            image = self.capture.lit(image, origin)
        for operator in self._at(OPTICS):
            image = operator.apply(image, origin)
        return image, known, origin

    def _exposed(self, picture: Image, origin: Origin, *, noise: bool) -> Image:
        if self.capture is not None:
            picture = self.capture.sensor.exposed(picture, origin, noise=noise)
        for operator in self._at(SENSOR):
            picture = operator.apply(picture, origin)
        return picture

    def _at(self, *stages: int) -> list[Operator]:
        return [operator for operator in self.operators if operator.stage in stages and operator.severity > 0]

    def _check(self, image: Image) -> None:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"an image is uint8 [H, W, 3], not {image.dtype} {list(image.shape)}")

    def _posed(self) -> Posed | None:
        return next((o for o in self.operators if isinstance(o, Posed) and o.severity > 0), None)

    def _camera(self, image: Image | None = None, whole: bool = False) -> Camera | None:
        """The one camera: the capture's, moved by the recipe; None where the page is the picture and stays in its place."""
        posed = self._posed()
        if self.capture is not None:
            if whole and image is not None and image.shape[1::-1] != self.capture.page:
                raise ValueError(f"the capture is of a page of {self.capture.page} pixels, not {image.shape[1::-1]}")
            return replace(self.capture.camera, posed=posed)
        return None if posed is None else Camera(posed.page, posed.page, posed=posed)

    def _scene(self) -> Scene | None:
        if self.capture is not None:
            return self.capture.scene
        posed = self._posed()
        return None if posed is None else plain(0.5 * posed.unit, posed.seed)

    @property
    def moves(self) -> bool:
        """Whether anything printed lies elsewhere afterwards."""
        return self.capture is not None or self.bends

    @property
    def bends(self) -> bool:
        """Whether the damage itself moves what is printed."""
        return any(operator.moves and operator.severity > 0 for operator in self.operators)

    @property
    def undamaged(self) -> Recipe:
        """The capture alone: the picture that the damaged one compares with."""
        return Recipe((), self.capture)

    def map_points(self, points: Points) -> Points:
        """Where points of the clean page (float64 [n, 2] of x, y in pixels) lie in the damaged picture."""
        for operator in self._at(WEAR, BEND):
            points = operator.map_points(points)
        camera = self._camera()
        return points if camera is None else camera.map_points(points)

    def map_boxes(self, boxes: Sequence[Box]) -> tuple[Box, ...]:
        """The upright boxes around where the corners of ``boxes`` lie in the damaged picture."""
        return boxes_around(self.map_points, boxes) if self.moves else tuple(boxes)

    def to_json(self) -> list[dict[str, str]]:
        """The operators; the capture has a column of its own (``Capture.to_json``)."""
        return [operator.to_json() for operator in self.operators]

    @classmethod
    def from_json(cls, steps: Iterable[Mapping[str, Any]], capture: Mapping[str, Any] | None = None) -> Self:
        """Raises InputError naming the step for anything that is not a recipe."""
        operators = []
        for index, step in enumerate(steps):
            try:
                operators.append(from_json(step))
            except InputError as error:
                field = f"recipe[{index}]" + (f".{error.field}" if error.field else "")
                raise InputError(error.what, field=field, remedy=error.remedy) from None
        return cls(tuple(operators), None if capture is None else capture_from_json(capture))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(operator.name for operator in self.operators)

    def then(self, *more: Operator) -> Recipe:
        """This recipe with ``more`` put in at the stage where each belongs."""
        return in_order((*self.operators, *more), self.capture)

    def aimed(self, context: Context, stage: int) -> Context:
        """What an operator of ``stage`` may know of the page ``context``: what moved before it has moved the slots."""
        for operator in self._at(BEND):
            if stage > BEND:
                context = context.moved(operator)
        if stage >= GEOMETRY and self.capture is not None:
            context = through(context, self.capture)
        posed = self._posed()
        return context.moved(posed) if posed is not None and stage > GEOMETRY else context


def through(context: Context, capture: Capture) -> Context:
    """``context`` in the pixels of the capture's picture."""
    map_points, scale = capture.camera.map_points, capture.scale
    return replace(
        context,
        size=capture.size[::-1],
        boxes=boxes_around(map_points, context.boxes),
        text_height=context.text_height * scale,
        copies=tuple(boxes_around(map_points, copy) for copy in context.copies),
        density=context.density * scale,
    )


def in_order(operators: Sequence[Operator], capture: Capture | None = None) -> Recipe:
    """Sort by stage (wear, bend, cover, light, geometry, optics, sensor, compression): the order in which they happen."""
    return Recipe(tuple(sorted(operators, key=lambda operator: operator.stage)), capture)


def draw_recipe(
    severity: int,
    rng: Rng,
    context: Context,
    operators: Mapping[str, float],
    counts: Mapping[int, float] | None = None,
    capture: Capture | None = None,
) -> Recipe:
    """Draw a recipe of ``severity`` (0..6) for a page that was taken by ``capture``.

    ``operators`` maps names to weights, ``counts`` a number of operators to its weight (one, if not given).
    The first operator picked has the full severity, any further one at most half of it: two effects at
    severity k would otherwise be far worse than one. At most one of them moves what is printed, and what comes
    after it is drawn for where the field lies then.
    """
    if severity == 0:
        return Recipe((), capture)
    names = sorted(name for name, weight in operators.items() if weight > 0)
    if not names:
        raise ValueError("no operator has a positive weight")
    numbers = sorted(counts or {1: 1.0})
    wanted = int(pick(rng, numbers, [(counts or {1: 1.0})[n] for n in numbers]))
    chosen: list[tuple[type[Operator], int]] = []
    while names and len(chosen) < wanted:
        name = pick(rng, names, [operators[n] for n in names])
        level = severity if not chosen else int(rng.integers(1, max(1, severity // 2) + 1))
        chosen.append((OPERATORS[name], level))
        names = beside(name, names)
    return draw_in_order([(cls, partial(cls.draw, level)) for cls, level in chosen], rng, context, capture)


def beside(name: str, names: Iterable[str]) -> list[str]:
    """Which of ``names`` may be in a recipe with ``name``: one camera has one pose, so at most one of them moves the print."""
    return [n for n in names if n != name and not (OPERATORS[name].moves and OPERATORS[n].moves)]


def draw_in_order(
    chosen: Iterable[tuple[type[Operator], Draw]], rng: Rng, context: Context, capture: Capture | None = None
) -> Recipe:
    """Draw each operator at its stage, for the page as those before it leave it."""
    recipe = Recipe((), capture)
    for cls, draw in sorted(chosen, key=lambda choice: choice[0].stage):
        recipe = recipe.then(draw(rng, recipe.aimed(context, cls.stage)))
    return recipe


def pick(rng: Rng, options: Sequence[T], weights: Sequence[float]) -> T:
    """One of ``options`` by weight; the result keeps its own type."""
    shares = [max(0.0, weight) for weight in weights]
    total = sum(shares)
    if total <= 0:
        raise ValueError("all weights are zero")
    return options[int(rng.choice(len(options), p=[share / total for share in shares]))]
