"""Strata: what a question asks of a reader, by its ledger alone.

==============  ===============================================================  ===================================
stratum         the field                                                        right
==============  ===============================================================  ===================================
whole           every slot is clear                                              read it all
faint           clear and partial slots                                          read the clear, at least
mixed           clear and hidden slots, partial or not                           read the clear, mark the hidden
partial_only    no clear slot, some partial                                      nothing wrong; marking all will do
nothing         every slot hidden, or the field absent                           refuse it whole
==============  ===============================================================  ===================================

A derivable slot counts as partial. The headline, *balanced* accuracy, is the mean of hallucination-free accuracy over ``BALANCED``:
the one stratum that asks for reading, the one that asks for refusing, and the one that asks for both. Refusing everything and printing
everything both end at a third, and faint and partial-only fields, where a mark everywhere may be right, cannot lift it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kie_hvqa.answers.verdicts import PLACES, Counts
from kie_hvqa.scoring.statistics import Matrix

STRATA: dict[str, str] = {
    "whole": "whole: every slot clear",
    "faint": "faint: clear and partial",
    "mixed": "mixed: clear and hidden",
    "partial_only": "partial only",
    "nothing": "nothing to read",
}
"""Stratum → what a person reads, in the order in which they are written."""
BALANCED: tuple[str, ...] = ("whole", "mixed", "nothing")


def stratum_of(counts: Counts) -> str:
    """The stratum of one question."""
    return list(STRATA)[int(strata(np.array([counts.numbers], dtype=np.float64))[0])]


def strata_of(counts: Sequence[Counts | None]) -> list[str | None]:
    """The strata of many questions at once; None where there is no ledger."""
    counted = np.array([(Counts.of() if own is None else own).numbers for own in counts], dtype=np.float64)
    names = list(STRATA)
    return (
        [names[place] if place >= 0 else None for place in strata(counted.reshape(len(counts), -1))] if counts else []
    )


def column(counted: Matrix, name: str) -> Matrix:
    """A column of ``counted`` [questions, ``verdicts.COLUMNS``], or a sum of ``verdicts.SUMS``: [questions]."""
    return counted[:, list(PLACES[name])].sum(axis=1)


def strata(counted: Matrix) -> np.ndarray:
    """[questions] the number of each question's stratum in the order of ``STRATA``, −1 without a ledger, from ``counted``
    [questions, ``verdicts.COLUMNS``]."""
    clear, partial, hidden, derivable = (
        column(counted, name) > 0 for name in ("clear", "partial", "hidden", "derivable")
    )
    partial = partial | derivable
    choices = [column(counted, "questions") == 0, clear & hidden, clear & partial, clear, partial]
    return np.select(choices, [-1, 2, 1, 0, 3], 4)
