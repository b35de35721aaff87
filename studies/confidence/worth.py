"""What signals are worth beside one another, as data: what ``page`` writes and docs/confidence.json keeps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kie_hvqa.answers.alignment import align
from kie_hvqa.answers.answer import MARK
from kie_hvqa.answers.masks import resolve
from kie_hvqa.answers.verdicts import OUTCOME, verdicts
from kie_hvqa.confidence.calibrating import judged
from kie_hvqa.confidence.losses import right_symbols
from kie_hvqa.confidence.signals.agreement import AGREEMENT, JITTER
from kie_hvqa.confidence.signals.answer_calibration import ANSWER_CALIBRATION, VERIFIED, regimes
from kie_hvqa.confidence.signals.combination import COMBINED
from kie_hvqa.confidence.signals.contrast import CONTRAST
from kie_hvqa.confidence.signals.tokens import TOKEN_PROBABILITY
from kie_hvqa.runs.run_directory import Run
from kie_hvqa.scoring.fitted import with_fitted
from kie_hvqa.scoring.selective import areas_of, difference_of
from kie_hvqa.scoring.signals import characters_of, ordered

PAIRS = (
    (ANSWER_CALIBRATION, AGREEMENT),
    (ANSWER_CALIBRATION, VERIFIED),
    (ANSWER_CALIBRATION, TOKEN_PROBABILITY),
    (AGREEMENT, TOKEN_PROBABILITY),
    (CONTRAST, TOKEN_PROBABILITY),
    (COMBINED, TOKEN_PROBABILITY),
)
FORM = 3
"""Checks of an answer's form, which every answer has (``answer_calibration.verified``)."""


def beside(run: Run, pairs: Sequence[tuple[str, str]] = PAIRS) -> dict[str, Any]:
    """AURC of characters of each signal of the run, the differences of ``pairs`` that it has, and where the α of D lie."""
    answers = judged(run)
    fitted, alphas = with_fitted(answers, ordered({name for answer in answers for name in answer.signals}))
    answers = [replace(answer, signals=own) for answer, own in zip(answers, fitted, strict=True)]
    found = characters_of(answers, ordered({name for own in fitted for name in own}))
    areas: dict[str, Any] = {}
    for name, own in found.items():
        measured = areas_of(own)
        if measured is not None:
            areas[name] = measured[0].entry(0, measured[1])
    apart = {}
    for one, other in pairs:
        if one in areas and other in areas and (measured := difference_of(found[one], found[other])) is not None:
            apart[f"{one} - {other}"] = measured[0].difference(0, measured[1])
    drawn = max((len(run.drawn(row)) for row in run.rows), default=0)
    return {
        "reader": Path(run.record.reader).name,
        "documents": len({row.document_id for row in run.rows}),
        "questions": len(run.rows),
        "characters": max((len(own.loss) for own in found.values()), default=0),
        "samples": drawn,
        "alphas": alphas,
        "regimes": list(regimes(drawn, FORM)) if drawn else None,
        "aurc": areas,
        "differences": apart,
    }


def votes(run: Run) -> list[dict[str, Any]]:
    """n / N of asserted symbols by what became of the slot: inventions agree with themselves as far as the prior goes."""
    shares: dict[tuple[str, str], list[float]] = defaultdict(list)
    for answer in judged(run):
        if answer.reading is None or answer.reading.refused:
            continue
        found = verdicts(answer.about, answer.reading)
        final = resolve(answer.reading, answer.about.value).final
        places = align(answer.about.slots, final, answer.about.value).places
        right = right_symbols(answer.about, answer.reading)
        for name in (AGREEMENT, JITTER):
            if name not in answer.signals or len(answer.signals[name].symbols) != len(right):
                continue
            for slot, place in enumerate(places):
                if place < 0 or final[place] == MARK:
                    continue
                outcome = OUTCOME[found.outcomes[slot]]
                value = answer.signals[name].symbols[place]
                if value is not None:
                    said = "right" if right[place] or outcome.said == "right" else "wrong"
                    shares[name, f"{outcome.legibility}, {said}"].append(value)
    return [
        {
            "signal": name,
            "over": kind,
            "symbols": len(values),
            "mean": round(float(np.mean(values)), 4),
            "unanimous": round(float(np.mean(np.array(values) == 1)), 4),
        }
        for (name, kind), values in sorted(shares.items())
    ]
