"""A recipe: the ordered operators that damaged one image, with every drawn parameter.

The recipe in a row is all that is needed to make the damaged image again from the clean page: applying a
recipe read back from JSON is bit-exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from degradations.operators import OPERATORS, Context, Image, Operator, Rng, from_json
from kie_hvqa.errors import InputError

T = TypeVar("T")


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
    """Sort by stage (cover, light, optics, sensor, compression): the order in which a photograph suffers them."""
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
    The first operator drawn has the full severity, any further one at most half of it: two effects at
    severity k would otherwise be far worse than one.
    """
    if severity == 0:
        return Recipe()
    names = sorted(name for name, weight in operators.items() if weight > 0)
    if not names:
        raise ValueError("no operator has a positive weight")
    numbers = sorted(counts or {1: 1.0})
    wanted = int(pick(rng, numbers, [(counts or {1: 1.0})[n] for n in numbers]))
    chosen: list[Operator] = []
    for index in range(min(wanted, len(names))):
        name = pick(rng, names, [operators[n] for n in names])
        names.remove(name)
        level = severity if index == 0 else int(rng.integers(1, max(1, severity // 2) + 1))
        chosen.append(OPERATORS[name].draw(level, rng, context))
    return in_order(chosen)


def pick(rng: Rng, options: Sequence[T], weights: Sequence[float]) -> T:
    """One of ``options`` by weight; the result keeps its own type."""
    shares = [max(0.0, weight) for weight in weights]
    total = sum(shares)
    if total <= 0:
        raise ValueError("all weights are zero")
    return options[int(rng.choice(len(options), p=[share / total for share in shares]))]
