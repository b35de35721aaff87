"""How sure a reader says it is, in words: a share where it is one, else its place among the reader's own answers.

Readers have scales of their own: a mean log-probability of −0.00912 tells nobody anything. What lies in [0, 1] is shown as
percent. Any other is shown as its rank, which is all that a risk–coverage curve uses of it either.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

Shown = tuple[float, str]
"""(share of the run's answers that are less sure, ties half, in [0, 1]; what a person reads)."""


def shown(confidences: Sequence[float | None]) -> list[Shown | None]:
    """Each of a run's ``confidences``, in order; None where there is no finite one."""
    known = sorted(value for value in confidences if value is not None and math.isfinite(value))
    is_share = bool(known) and known[0] >= 0 and 0 < known[-1] <= 1

    def one(value: float | None) -> Shown | None:
        if value is None or not math.isfinite(value):
            return None
        less, upto = bisect_left(known, value), bisect_right(known, value)
        place = (less + upto) / 2 / len(known)
        if is_share:
            return round(place, 4), f"confidence {100 * value:.0f} %"
        return round(place, 4), f"surer than {100 * less / len(known):.0f} % of its answers"

    return [one(value) for value in confidences]
