"""From a labelled run to an operating point.

    point = calibrate(load_run(Path("runs/validation")), risk=0.02)

The run's answers, its rows' ledgers and one signal (or the best combination of several) make a table of what is asserted and wrong in
each document at each threshold (``losses``); ``thresholds`` picks the one that keeps the promise. One in five of the documents learns: on
them the combination and the maps to probabilities are fitted, so that neither is judged on what it was fitted on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kie_hvqa.answers.answer import MARK, parse
from kie_hvqa.answers.verdicts import Ledger
from kie_hvqa.confidence import monotone
from kie_hvqa.confidence.bounds import fewest, least_refused
from kie_hvqa.confidence.losses import Judged, Scored, at_thresholds, columns_of, counts_of, right_symbols
from kie_hvqa.confidence.operating_point import OperatingPoint, Steps, Unit
from kie_hvqa.confidence.signals import combination
from kie_hvqa.confidence.signals.checks import CHECKS
from kie_hvqa.confidence.signals.combination import COMBINED
from kie_hvqa.confidence.thresholds import NOTHING, Chosen, choose, grid, learning
from kie_hvqa.errors import InputError
from kie_hvqa.runs.run_directory import OPERATING_POINT, RUN, Run
from kie_hvqa.runs.signals import signals_of


def judged(run: Run) -> list[Judged]:
    """The answers of a run, with the checks of each document among their signals. InputError where rows have no ledger."""
    found = []
    signals = signals_of(run.rows, run.predictions)
    for row in run.rows:
        if row.slots is None:
            raise InputError(
                "a promise needs to know which characters are wrong, and this row has no ledger",
                file=run.directory / RUN,
                field=row.id,
                remedy="Calibrate on data of `kie-hvqa simulate` or `kie-hvqa degrade`.",
            )
        response = run.response(row)
        reading = None if response is None else parse(response).reading
        about = Ledger.of(row.slots, row.question_kind)
        found.append(Judged(row.document_id, about, reading, signals.get(row.id, {})))
    return found


def calibrate(
    run: Run,
    *,
    risk: float,
    unit: Unit = "character",
    confidence: float = 0.95,
    signal: str | None = None,
    vetoes: Sequence[str] = (),
    bound: str = "betting",
) -> OperatingPoint:
    """The operating point of ``run`` for ``risk``; an infeasible one asserts nothing, and its ``evidence`` says why.

    ``signal``: a name, or ``combined`` for all that the reader gave, which is the choice where None and there are several. InputError for a run of the
    test split, for one without signals, and for a risk or confidence outside (0, 1).
    """
    for key, value in (("risk", risk), ("confidence", confidence)):
        if not 0 < value < 1:
            raise InputError(f"must lie between 0 and 1, not {value:g}", field=key, remedy="Write 0.02, say.")
    if "test" in {row.split for row in run.rows}:
        raise InputError(
            "these are rows of the test split, and a threshold tuned on them would be no result",
            file=run.directory / RUN,
            field="split",
            remedy="Evaluate another split first: `kie-hvqa eval --split validation …`.",
        )
    if (run.directory / OPERATING_POINT).exists():
        raise InputError(
            "an operating point was applied to these answers already",
            file=run.directory / OPERATING_POINT,
            remedy="Name a run of `kie-hvqa eval` without --operating-point.",
        )
    if not run.record.asks:
        raise InputError(
            "this run does not say what its reader was told, so nobody could be held to it",
            file=run.directory / RUN,
            field="asks",
            remedy="Make it with `kie-hvqa eval` of this version, in a new --out.",
        )
    answers = judged(run)
    documents = sorted({answer.document for answer in answers})
    if len(documents) < 2:
        raise InputError("a promise needs documents, and this is one", field="RUN", remedy="Evaluate more of them.")
    learns = dict(zip(documents, learning(documents), strict=True))
    name, weights = _signal(run, [answer for answer in answers if learns[answer.document]], signal)
    # With neither map nor threshold it is a way to score symbols: whatever applies the point later scores as it was made.
    empty: dict[str, Any] = {
        "reader": run.record.reader,
        "reader_identity": run.record.reader_identity,
        "asks": run.record.asks,
        "signal": name,
        "unit": unit,
        "risk": risk,
        "confidence": confidence,
        "threshold": NOTHING,
        "probability": (),
        "field_probability": (),
        "vetoes": tuple(vetoes),
        "weights": weights,
    }
    scorer = OperatingPoint(**empty)
    empty["settings"] = {own: (run.record.signals or {}).get(own, "") for own in scorer.needs if own != CHECKS}
    scored = score_all(scorer, answers)
    thresholds = grid()
    asserted, wrong, _ = at_thresholds(scored, thresholds, unit)
    rows = np.array([learns[name] for name in documents])
    found = choose(asserted, wrong, rows, risk=risk, confidence=confidence, bound=bound)
    maps = fit_maps([answer for answer in scored if learns[answer.document]])
    return OperatingPoint(
        **empty
        | {
            "threshold": NOTHING if found.index is None else thresholds[found.index],
            "probability": maps[0],
            "field_probability": maps[1],
            "evidence": _evidence(found, asserted[~rows], wrong[~rows], risk, confidence, bound)
            | {"data": run.record.data_sha256, "split": run.record.split, "learning": int(rows.sum())},
        }
    )


def score_all(point: OperatingPoint, answers: Sequence[Judged]) -> list[Scored]:
    """Every answer with the scores of ``point``; 0 where they are missing or do not fit."""
    found = []
    for answer in answers:
        scores: tuple[float, ...] = ()
        if answer.reading is not None:
            scores = point.scores(answer.signals)
            if len(scores) != len(answer.reading.final):
                scores = (0.0,) * len(answer.reading.final)
        found.append(Scored(answer.about, answer.reading, scores, answer.document))
    return found


def fit_maps(scored: Sequence[Scored]) -> tuple[Steps, Steps]:
    """Score of a symbol → probability that it is right, and product of a field's scores → that nothing asserted in it is wrong."""
    symbols: list[tuple[float, bool]] = []
    fields: list[tuple[float, bool]] = []
    for answer in scored:
        if answer.reading is None or answer.reading.refused:
            continue
        right = right_symbols(answer.about, answer.reading)
        symbols += [(own, good) for own, good in zip(answer.scores, right, strict=True) if good is not None]
        said = [own for char, own in zip(answer.reading.final, answer.scores, strict=True) if char != MARK]
        fields.append((math.prod(said), counts_of(answer.about, answer.reading)[1] == 0))
    one, other = (monotone.fit([x for x, _ in pairs], [y for _, y in pairs]) for pairs in (symbols, fields))
    return one, other


def available(answers: Sequence[Judged]) -> list[str]:
    """The signals that any of ``answers`` has, in the order in which they are tried."""
    names = {name for answer in answers for name in answer.signals}
    return sorted(names, key=lambda name: (name == CHECKS, _ORDER.index(name) if name in _ORDER else len(_ORDER), name))


_ORDER = ("token_probability", "character_confidence", "agreement")


def _signal(run: Run, learning: Sequence[Judged], asked: str | None) -> tuple[str, Mapping[str, float]]:
    own = run.record.signals or {}
    names = [name for name in available(learning) if name in own]
    if not names:
        raise InputError(
            "this reader gave no confidence a symbol, so there is nothing to put a threshold on",
            file=run.directory / RUN,
            remedy="Read with a checkpoint, an engine or a server that gives log-probabilities, or ask for agreement: "
            "`kie-hvqa eval … --signals agreement --samples 8`.",
        )
    if asked == COMBINED or (asked is None and len(names) > 1):
        return COMBINED, combination.fit(*columns_of(learning, names))
    if asked is not None and asked not in names:
        have = ", ".join([*names, COMBINED])
        raise InputError("the run does not have this signal", field=f"signal: {asked}", remedy=f"It has {have}.")
    return asked or names[0], {}


def _evidence(
    found: Chosen, asserted: np.ndarray, wrong: np.ndarray, risk: float, confidence: float, bound: str
) -> dict[str, Any]:
    """What the promise rests on, of the documents that tested it; ``coverage`` is of what the reader asserts without a threshold."""
    everything, errors = float(asserted[:, -1].sum()), float(wrong[:, -1].sum())
    error = errors / everything if everything else 0.0
    evidence: dict[str, Any] = {
        "bound": bound,
        "documents": len(asserted),
        "fewest_documents": fewest(risk, confidence),
        "asserted": everything,
        "error": round(error, 6),
        "least_refused": round(least_refused(error, risk), 6),
        "counts_at_most": round(found.most, 3),
        "p": round(found.p[-1] if found.index is None else max(found.p[: found.index - found.start + 1]), 6),
        "coverage": 0.0,
        "risk": None,
    }
    if found.index is not None:
        kept = float(asserted[:, found.index].sum())
        evidence["coverage"] = round(kept / everything, 6) if everything else 0.0
        evidence["risk"] = round(float(wrong[:, found.index].sum()) / kept, 6) if kept else None
    return evidence
