"""Rows drawn by what they ask for: so many of a stratum among those of a step, however rare it is in the dataset.

Most fields of a damaged page are wholly clear or wholly gone, and the task lives in the mixed ones between: drawn as they
come, a run sees few of them. Within a stratum rows come in a shuffled order, each once before any comes again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from kie_hvqa.answers.verdicts import verdicts
from kie_hvqa.data.ledger import Row
from kie_hvqa.errors import InputError
from kie_hvqa.scoring.strata import STRATA, strata_of

ABSENT = "absent"
DRAWN = (*STRATA, ABSENT)
"""What rows can be drawn by: the evaluator's strata, and questions about absent fields apart from the rest of ``nothing``."""


def row_strata(rows: Sequence[Row], weights: Mapping[str, float], *, name: str) -> list[str]:
    """The stratum of each row; ``absent`` for questions about absent fields, where they have a weight of their own.

    Raises InputError for a row without a ledger; ``name`` is what messages call the rows.
    """
    counts = [None if row.slots is None else verdicts(row.slots, None, row.question_kind).counts for row in rows]
    found = strata_of(counts)
    bare = next((row.id for row, stratum in zip(rows, found, strict=True) if stratum is None), None)
    if bare is not None:
        raise InputError(
            f"row {bare} carries no slots",
            file=name,
            field="data.strata",
            remedy="Leave strata out: they are told by the legibility of every character.",
        )
    apart = ABSENT in weights
    return [
        ABSENT if apart and row.question_kind == "absent" else str(stratum)
        for row, stratum in zip(rows, found, strict=True)
    ]


def by_strata(
    pool: Sequence[int], strata: Sequence[str], weights: Mapping[str, float], count: int, *, seed: Sequence[int]
) -> list[int]:
    """``count`` rows of ``pool`` (row numbers), drawn so that any stretch of them holds strata in proportion to ``weights``.

    Strata without a row, or without a weight, are left out. The place of a stratum is by largest remainder, so that a stretch of
    n rows misses its share by less than one row a stratum. Raises InputError where nothing is left.
    """
    random = np.random.default_rng(seed)
    pools = {name: [row for row in pool if strata[row] == name] for name in weights if weights[name] > 0}
    pools = {name: rows for name, rows in pools.items() if rows}
    if count and not pools:
        raise InputError(
            "no row is of a stratum that has a weight",
            field="data.strata",
            remedy="Weigh one that the dataset has (`kie-hvqa score` counts them).",
        )
    whole = sum(weights[name] for name in pools)
    shares = {name: weights[name] / whole for name in pools}
    due = dict.fromkeys(pools, 0.0)
    left: dict[str, list[int]] = {name: [] for name in pools}
    found = []
    for _ in range(count):
        for name, share in shares.items():
            due[name] += share
        chosen = max(due, key=due.__getitem__)
        due[chosen] -= 1
        if not left[chosen]:
            left[chosen] = random.permutation(pools[chosen]).tolist()
        found.append(left[chosen].pop())
    return found
