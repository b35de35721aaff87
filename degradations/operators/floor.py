"""The noise floor that a weak exposure is read through: one set of parameters for every operator that leaves little light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from degradations.operators.base import (
    Context,
    Image,
    NotNegative,
    Operator,
    Origin,
    Positive,
    Rng,
    Seed,
    draw_seed,
    number,
)
from degradations.operators.pixels.grain import add_floor


@dataclass(frozen=True, slots=True, kw_only=True)
class Floored(Operator):
    """An operator whose result has ``floor`` grey levels of noise in grains of ``grain_size`` pixels, from ``seed``."""

    last: ClassVar[tuple[str, ...]] = ("floor", "grain_size", "seed")
    floor: NotNegative
    grain_size: Positive
    seed: Seed

    @staticmethod
    def drawn(rng: Rng, context: Context, level: float) -> dict[str, Any]:
        """The parameters of the noise, near ``level`` grey levels, by name."""
        size = number(max(1.0, context.text_height / rng.uniform(9, 13)))
        return {"floor": number(level * rng.uniform(0.8, 1.2)), "grain_size": size, "seed": draw_seed(rng)}

    def noisy(self, image: Image, origin: Origin, where: NDArray[np.floating] | None = None) -> Image:
        """``image``, a window at ``origin``, with the noise on it, times ``where`` [H, W] if given."""
        return add_floor(image, origin, self.seed, self.floor, self.grain_size, where)
