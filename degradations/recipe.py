"""A recipe: the ordered operators that damaged one image, with every drawn parameter.

The recipe in a row is all that is needed to make the damaged image again from the clean page: applying a
recipe read back from JSON is bit-exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from degradations.operators import OPERATORS, Context, Image, Operator, Rng, from_json
from degradations.operators.base import Origin, Points
from kie_hvqa.data.ledger import Box
from kie_hvqa.errors import InputError

T = TypeVar("T")
Draw = Callable[[Rng, Context], Operator]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Operators in the order in which they are applied; empty leaves the page as it is."""

    operators: tuple[Operator, ...] = ()

    def apply(self, image: Image, origin: tuple[int, int] = (0, 0)) -> Image:
        """Damage ``image`` (uint8 [H, W, 3] RGB) into a new array; ``origin`` as in ``Operator.apply``."""
        result = image.copy()
        for operator in self.operators:
            result = operator.apply(result, origin)
        return result

    def apply_window(self, window: Image, origin: Origin) -> tuple[Image, Origin, NDArray[np.bool_]]:
        """Damage a part of the clean page whose top left pixel is at ``origin`` = (x, y).

        Returns a part of the damaged page (uint8 [h, w, 3]), the origin of that part there, and bool [h, w]: False where
        the part depends on pixels of the page outside the window. Parts made from windows of one shape at one origin
        have one shape and one origin, whatever is in them.
        """
        result, known = window.copy(), np.ones(window.shape[:2], bool)
        for operator in self.operators:
            if operator.moves and operator.severity > 0:
                result, known, origin = operator.view(result, known, origin)
            else:
                result = operator.apply(result, origin)
        return result, origin, known

    @property
    def moves(self) -> bool:
        """Whether anything printed lies elsewhere afterwards."""
        return any(operator.moves and operator.severity > 0 for operator in self.operators)

    @property
    def geometry(self) -> Recipe:
        """The moving operators alone: what they make of the clean page is what the damaged one compares with."""
        return Recipe(tuple(operator for operator in self.operators if operator.moves))

    def map_points(self, points: Points) -> Points:
        """Where points of the clean page (float64 [n, 2] of x, y in pixels) lie on the damaged one."""
        for operator in self.operators:
            if operator.severity > 0:
                points = operator.map_points(points)
        return points

    def map_boxes(self, boxes: Sequence[Box]) -> tuple[Box, ...]:
        """The upright boxes around where the corners of ``boxes`` lie on the damaged page."""
        for operator in self.operators:
            boxes = operator.map_boxes(boxes)
        return tuple(boxes)

    def to_json(self) -> list[dict[str, str]]:
        return [operator.to_json() for operator in self.operators]

    @classmethod
    def from_json(cls, steps: Iterable[Mapping[str, Any]]) -> Self:
        """Raises InputError naming the step for anything that is not a recipe."""
        operators = []
        for index, step in enumerate(steps):
            try:
                operators.append(from_json(step))
            except InputError as error:
                field = f"recipe[{index}]" + (f".{error.field}" if error.field else "")
                raise InputError(error.what, field=field, remedy=error.remedy) from None
        return cls(tuple(operators))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(operator.name for operator in self.operators)

    def then(self, *more: Operator) -> Recipe:
        """This recipe with ``more`` put in at the stage where each belongs."""
        return in_order((*self.operators, *more))


def in_order(operators: Sequence[Operator]) -> Recipe:
    """Sort by stage (wear, cover, light, geometry, optics, sensor, compression): the order in which they happen."""
    return Recipe(tuple(sorted(operators, key=lambda operator: operator.stage)))


def draw_recipe(
    severity: int,
    rng: Rng,
    context: Context,
    operators: Mapping[str, float],
    counts: Mapping[int, float] | None = None,
) -> Recipe:
    """Draw a recipe of ``severity`` (0..6).

    ``operators`` maps names to weights, ``counts`` a number of operators to its weight (one, if not given).
    The first operator picked has the full severity, any further one at most half of it: two effects at
    severity k would otherwise be far worse than one. At most one of them moves what is printed, and what comes
    after it is drawn for where the field lies then.
    """
    if severity == 0:
        return Recipe()
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
    return draw_in_order([(cls, partial(cls.draw, level)) for cls, level in chosen], rng, context)


def beside(name: str, names: Iterable[str]) -> list[str]:
    """Which of ``names`` may be in a recipe with ``name``: one camera has one pose, so at most one of them moves the print."""
    return [n for n in names if n != name and not (OPERATORS[name].moves and OPERATORS[n].moves)]


def draw_in_order(chosen: Iterable[tuple[type[Operator], Draw]], rng: Rng, context: Context) -> Recipe:
    """Draw each operator at its stage, for the page as those before it leave it."""
    drawn: list[Operator] = []
    for _, draw in sorted(chosen, key=lambda choice: choice[0].stage):
        drawn.append(draw(rng, context))
        context = context.moved(drawn[-1])
    return Recipe(tuple(drawn))


def pick(rng: Rng, options: Sequence[T], weights: Sequence[float]) -> T:
    """One of ``options`` by weight; the result keeps its own type."""
    shares = [max(0.0, weight) for weight in weights]
    total = sum(shares)
    if total <= 0:
        raise ValueError("all weights are zero")
    return options[int(rng.choice(len(options), p=[share / total for share in shares]))]
