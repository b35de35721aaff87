"""What is added up over samples before anything is divided, and which scores are made of the sums.

A score is a ratio of two linear combinations of sums (``RATIOS``), or a weighted sum of ratios (``COMPOSED``): ``balanced``, the mean of
hallucination-free accuracy over three strata, and ``informedness``, reading recall and refusal recall less one. Both kinds
are null where there is nothing to divide by.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from scipy.sparse import csr_array

from kie_hvqa.answers.verdicts import COLUMNS, SUMS
from kie_hvqa.scoring.rates import RATES
from kie_hvqa.scoring.references import REFERENCES, ceiling
from kie_hvqa.scoring.scores import Official, SampleScore
from kie_hvqa.scoring.statistics import Matrix, ratio
from kie_hvqa.scoring.strata import BALANCED, STRATA, column, strata

OFFICIAL_SCORES: tuple[str, ...] = (*Official._fields[:3], "average", *Official._fields[3:], "char_accuracy_average")
FILLED_SCORES: tuple[str, ...] = tuple(f"{name}_filled" for name in Official._fields)
"""The official ones over the rows in whose truth that part is not empty."""
COMPOSED: dict[str, tuple[dict[str, float], float]] = {
    "balanced": ({f"free {name}": 1 / len(BALANCED) for name in BALANCED}, 0.0),
    "informedness": ({"reading_recall": 1.0, "refusal_recall": 1.0}, -1.0),
}
"""Score → the weights of the ratios that it is made of, and a constant."""
LEDGER_SCORES: tuple[str, ...] = (*COMPOSED, *RATES)
PLAIN_RATIOS: tuple[str, ...] = (*RATES, *OFFICIAL_SCORES, *FILLED_SCORES, "parse_failure_rate", "box_overlap")
"""The scores that are one ratio: (numerator, denominator) can be added up elsewhere."""
SCORES: tuple[str, ...] = (*COMPOSED, *PLAIN_RATIOS)
"""What every part of ``metrics.json`` holds."""
RATIOS: tuple[str, ...] = (*PLAIN_RATIOS, *(f"free {name}" for name in BALANCED))
UNBOUNDED = ("inserted", "surplus_marks")
"""Numbers a question, which have no upper end."""

_PARTS: tuple[str, ...] = Official._fields[:3]
_SUMS: tuple[str, ...] = (
    *(f"official {name}" for name in Official._fields),
    "truths",
    *(f"filled {name}" for name in Official._fields),
    *(f"has {part}" for part in _PARTS),
    *COLUMNS,
    *(f"{what} {name}" for what in ("free", "asked") for name in BALANCED),
    "failed",
    "samples",
    "boxes right",
    "boxes due",
)
_PLACE = {name: index for index, name in enumerate(_SUMS)}
_OFFICIAL = slice(0, _PLACE[COLUMNS[0]])
_COUNTED = slice(_OFFICIAL.stop, _OFFICIAL.stop + len(COLUMNS))
_STRATA = slice(_COUNTED.stop, _COUNTED.stop + 2 * len(BALANCED))


def _weights() -> tuple[Matrix, Matrix]:
    """[sums, ratios] twice: numerators and denominators as linear combinations of ``_SUMS``."""
    top, bottom = np.zeros((2, len(_SUMS), len(RATIOS)))
    place = {name: index for index, name in enumerate(RATIOS)}
    for name in Official._fields:
        average = "char_accuracy_average" if name.startswith("char_accuracy") else "average"
        top[_PLACE[f"official {name}"], place[name]] = 100
        top[_PLACE[f"official {name}"], place[average]] = 100 / 3
        top[_PLACE[f"filled {name}"], place[f"{name}_filled"]] = 100
        bottom[_PLACE[f"has {name.removeprefix('char_accuracy_')}"], place[f"{name}_filled"]] = 1
    for name in OFFICIAL_SCORES:
        bottom[_PLACE["truths"], place[name]] = 1
    for name, (tops, bottoms) in RATES.items():
        for parts, weights in ((tops, top), (bottoms, bottom)):
            for part in itertools.chain.from_iterable(SUMS.get(part, (part,)) for part in parts):
                weights[_PLACE[part], place[name]] += 1
    for name in BALANCED:
        top[_PLACE[f"free {name}"], place[f"free {name}"]] = 1
        bottom[_PLACE[f"asked {name}"], place[f"free {name}"]] = 1
    top[_PLACE["failed"], place["parse_failure_rate"]] = 1
    bottom[_PLACE["samples"], place["parse_failure_rate"]] = 1
    top[_PLACE["boxes right"], place["box_overlap"]] = 1
    bottom[_PLACE["boxes due"], place["box_overlap"]] = 1
    return top, bottom


def _composed() -> tuple[Matrix, Matrix]:
    """([ratios, COMPOSED] weights, [COMPOSED] constants)."""
    weights = np.zeros((len(RATIOS), len(COMPOSED)))
    for index, (parts, _) in enumerate(COMPOSED.values()):
        for name, weight in parts.items():
            weights[RATIOS.index(name), index] = weight
    return weights, np.array([constant for _, constant in COMPOSED.values()])


TOP, BOTTOM = map(csr_array, _weights())  # mostly zeros
WEIGHTS, CONSTANTS = _composed()
SPAN = (
    0.0,
    np.array([
        100.0 if name in (*OFFICIAL_SCORES, *FILLED_SCORES) else np.inf if name in UNBOUNDED else 1.0 for name in RATIOS
    ]),
)  # fmt: skip
"""The least and the largest value that one sample can have, a ratio."""


def sample_sums(scores: Sequence[SampleScore]) -> Matrix:
    """[samples, sums]."""
    nothing = (0.0,) * (len(Official._fields) + 1 + len(_PARTS))
    official = [nothing if sample.official is None else (*sample.official, 1.0, *sample.filled) for sample in scores]
    zeros = (0,) * len(COLUMNS)
    sums = np.zeros((len(scores), len(_SUMS)))
    sums[:, _COUNTED] = [zeros if sample.counts is None else sample.counts.numbers for sample in scores]
    known = np.array(official, dtype=np.float64)
    number = len(Official._fields)
    sums[:, : number + 1], has = known[:, : number + 1], known[:, number + 1 :]
    sums[:, number + 1 : 2 * number + 1] = known[:, :number] * np.hstack([has, has])
    sums[:, 2 * number + 1 : _OFFICIAL.stop] = has
    sums[:, _PLACE["failed"]] = [sample.unparsable for sample in scores]
    sums[:, _PLACE["samples"]] = 1
    sums[:, _PLACE["boxes right"]] = [bool(sample.box) for sample in scores]
    sums[:, _PLACE["boxes due"]] = [sample.box is not None for sample in scores]
    _stratify(sums)
    return sums


def strata_of(sums: Matrix) -> np.ndarray:
    """[samples] places in ``STRATA``, −1 without a ledger."""
    return strata(sums[:, _COUNTED])


def reference_sums(sums: Matrix) -> dict[str, Callable[[], Matrix]]:
    """What makes the sums of each reference reader, and of this run's ceiling, about the questions of ``sums``."""
    makers = {**REFERENCES, "ceiling": ceiling}
    return {name: partial(_instead, sums, name, made) for name, made in makers.items()}


def _instead(sums: Matrix, name: str, made: Callable[[Matrix], Matrix]) -> Matrix:
    other = sums.copy()
    other[:, _COUNTED] = made(sums[:, _COUNTED])
    other[:, [_PLACE["failed"], _PLACE["boxes right"], _PLACE["boxes due"]]] = 0
    number = len(Official._fields)
    other[:, :number] = other[:, number + 1 : 2 * number + 1] = 0
    if name == "refuses_all":  # two empty strings are alike; an empty one agrees in no position
        other[:, : len(_PARTS)] = sums[:, [_PLACE["truths"]]] - sums[:, 2 * number + 1 : _OFFICIAL.stop]
    else:
        other[:, _OFFICIAL] = 0  # what they would write in the lists is nobody's business
    _stratify(other)
    return other


def _stratify(sums: Matrix) -> None:
    counted = sums[:, _COUNTED]
    places, free = strata(counted), column(counted, "free")
    asked = places[:, None] == [list(STRATA).index(name) for name in BALANCED]
    sums[:, _STRATA] = np.hstack([asked * free[:, None], asked])


def sizes_of(bottoms: Matrix) -> Matrix:
    """``n`` of every one of ``SCORES``, from the denominators [RATIOS]; 0 where one of several is."""
    parts = [[bottoms[RATIOS.index(name)] for name in names] for names, _ in COMPOSED.values()]
    return np.array([*(sum(sizes) * all(sizes) for sizes in parts), *bottoms[: len(PLAIN_RATIOS)]])


def values_of(total: Matrix) -> Matrix:
    """The value of every one of ``SCORES`` from the ``total`` sums [sums]; NaN where there is nothing to divide by."""
    values = ratio(total @ TOP, total @ BOTTOM)
    used = WEIGHTS != 0
    composed = [float(values[used[:, i]] @ WEIGHTS[used[:, i], i] + CONSTANTS[i]) for i in range(len(COMPOSED))]
    return np.array([*composed, *values[: len(PLAIN_RATIOS)]])
