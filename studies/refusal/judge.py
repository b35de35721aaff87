"""One evaluation for all arms: areas under risk–coverage, and inventions at the same refusal of clear slots.

Whoever refuses more invents less, so arms are compared where they refuse equally often. An arm's signal gives every asserted
character a number; characters below a threshold become marks (``Curve``), which moves an arm from its own point to more refusal. To
less refusal nothing moves it but a coin: below its own point an arm is mixed with the base, which answers always, question by
question. That is a reader that one could build, and not a model of one (``studies.ablation.matching`` does the same). An arm that
refuses much by itself pays for the coin, so it is also compared at its own point, where the reference refuses as much as it does.

Thresholds are read off the alignment of the answer as it was written; a mark in its place moves nothing there. Intervals are from a bootstrap over
documents, the same draws for both of a difference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kie_hvqa.answers.alignment import align
from kie_hvqa.answers.answer import MARK, parse
from kie_hvqa.answers.verdicts import Ledger, verdicts
from kie_hvqa.confidence.signals.tokens import TOKEN_PROBABILITY
from kie_hvqa.data.files import read_json, write_json
from kie_hvqa.data.ledger import Row
from kie_hvqa.runs.evaluator import evaluate
from kie_hvqa.runs.run_directory import Run, load_run
from kie_hvqa.scoring.risk import auroc
from kie_hvqa.scoring.signals import answer_confidence
from studies.refusal.pages import JUDGED
from studies.refusal.setting import Setting

MATCHED = (0.05, 0.15)
"""Shares of clear slots refused at which arms are compared."""
SHOWN = (
    "balanced",
    "invented_rate",
    "over_refusal_rate",
    "lucky_rate",
    "false_answer_rate",
    "reading_recall",
    "dropped_rate",
)
CLEAR, HIDDEN = 0, 1


@dataclass(frozen=True, slots=True)
class Curve:
    """Clear and hidden slots: ``kind``, ``sure`` (−1 where nothing is asserted), and ``document``, a number; all [slots]."""

    kind: np.ndarray
    sure: np.ndarray
    document: np.ndarray
    documents: int

    @classmethod
    def of(cls, run: Run, signal: str) -> Curve:
        names = {name: number for number, name in enumerate(sorted({row.document_id for row in run.rows}))}
        kinds: list[int] = []
        sure: list[float] = []
        owners: list[int] = []
        for row in run.rows:
            about = Ledger.of(row.slots or (), row.question_kind)
            for kind, own in zip(about.kinds, _sureness(run, row, about, signal), strict=True):
                if kind in "ch":
                    kinds.append(CLEAR if kind == "c" else HIDDEN)
                    sure.append(own)
                    owners.append(names[row.document_id])
        return cls(np.array(kinds), np.array(sure, dtype=np.float64), np.array(owners, dtype=int), len(names))

    def points(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(share of clear slots refused, share of hidden slots asserted) from the arm's own point to refusing everything."""
        order = np.argsort(self.sure, kind="stable")
        sure, kind, weight = self.sure[order], self.kind[order], weights[self.document[order]]
        clear, hidden = weight * (kind == CLEAR), weight * (kind == HIDDEN)
        last = np.append(sure[1:] != sure[:-1], True) if len(sure) else np.zeros(0, bool)
        refused = np.cumsum(clear)[last] / max(clear.sum(), 1e-9)
        left = 1 - np.cumsum(hidden)[last] / max(hidden.sum(), 1e-9)
        if not len(sure) or sure[0] >= 0:  # everything is asserted: that is a point as well
            refused, left = np.append(0.0, refused), np.append(1.0, left)
        return refused, left

    def invented_at(self, target: float, base: Curve, weights: np.ndarray) -> float:
        """The share of hidden slots asserted where ``target`` of the clear ones are refused; see the module's docstring."""
        refused, left = self.points(weights)
        if target >= refused[0]:
            return float(np.interp(target, refused, left))
        base_refused, base_left = (part[0] for part in base.points(weights))
        share = (target - base_refused) / max(refused[0] - base_refused, 1e-9)
        return float(base_left + (left[0] - base_left) * np.clip(share, 0, 1))

    def beside(self, base: Curve, weights: np.ndarray) -> tuple[float, float]:
        """At the arm's own point: the share of clear slots refused, and the hidden ones asserted less those of ``base`` where it refuses as much."""
        refused, left = (float(part[0]) for part in self.points(weights))
        return refused, left - base.invented_at(refused, base, weights)


def _sureness(run: Run, row: Row, about: Ledger, signal: str) -> list[float]:
    """Per slot of ``row`` how sure its asserted character is; −1 where none is asserted, 0 where the signal does not say."""
    response = run.response(row)
    reading = None if response is None else parse(response).reading
    if reading is None or reading.refused or not about.slots:
        return [-1.0] * len(about.kinds)
    kept = run.predictions[row.id].signals or {}
    said = kept[signal].symbols if signal in kept and len(kept[signal].symbols) == len(reading.final) else None
    places = align(about.slots, reading.final, about.value).places
    found: list[float] = []
    for place in places:
        if place < 0 or reading.final[place] == MARK:
            found.append(-1.0)
        else:
            value = None if said is None else said[place]
            found.append(0.0 if value is None else value)
    return found


def draws(documents: int, resamples: int) -> np.ndarray:
    """Bootstrap weights [1 + resamples, documents]; the first row is the sample itself."""
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(documents, np.full(documents, 1 / documents), size=resamples)
    return np.vstack([np.ones(documents), drawn])


def interval(values: Sequence[float]) -> dict[str, float]:
    """Value and 95 % limits out of a bootstrap whose first entry is the sample."""
    low, high = np.nanpercentile(np.asarray(values[1:]), (2.5, 97.5))
    return {"value": round(float(values[0]), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def average_precision(right: np.ndarray, sure: np.ndarray, weight: np.ndarray) -> float:
    """The mean precision over right answers, ranked by ``sure``, ties in expectation left to a stable order; all [answers]."""
    order = np.argsort(-sure, kind="stable")
    right, weight = right[order], weight[order]
    precision = np.cumsum(right * weight) / np.maximum(np.cumsum(weight), 1e-9)
    return float((precision * right * weight).sum() / max((right * weight).sum(), 1e-9))


def auroc_interval(
    positive: np.ndarray, score: np.ndarray, documents: Sequence[str], resamples: int
) -> dict[str, float]:
    owners = np.unique(np.asarray(documents), return_inverse=True)[1]
    weights = draws(int(owners.max()) + 1, resamples)
    return interval([auroc(positive, score, weight[owners]) for weight in weights])


def precision_of(
    run: Run, signal: str | None, outer: Mapping[str, float] | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(right, sure, document) of each answer: right is hallucination-free, sure the product over what it asserts, or ``outer`` by id."""
    right: list[bool] = []
    sure: list[float] = []
    owners: list[int] = []
    names = {name: number for number, name in enumerate(sorted({row.document_id for row in run.rows}))}
    for row in run.rows:
        reading = parse(run.response(row) or "").reading
        right.append(verdicts(row.slots or (), reading, row.question_kind).free)
        said = (run.predictions[row.id].signals or {}).get(signal or "")
        value = outer.get(row.id, 0.0) if outer is not None else answer_confidence(reading, said)
        sure.append(-1.0 if value is None else value)
        owners.append(names[row.document_id])
    return np.array(right), np.array(sure), np.array(owners)


class Judge:
    """Answers and numbers of readers under ``out``, over the datasets whose directories ``pages`` gives."""

    def __init__(self, pages: Callable[[str], Path], out: Path, setting: Setting) -> None:
        self.pages, self.out, self.setting = pages, out, setting
        self._kept: dict[tuple[Path, str], Run] = {}

    def run(self, reader: Any, where: str, judged: str = "test") -> Run:
        """The reader's answers, read or gone on with, in ``out/where/judged``."""
        dataset, split = ("cards", "validation") if judged == "validation" else JUDGED[judged]
        directory = self.out / where / judged
        key = (directory, reader.identity)
        if key not in self._kept:
            evaluate(self.pages(dataset), reader, directory, split=split, progress=False)
            self._kept[key] = load_run(directory)
        return self._kept[key]

    def against(self, reader: Any, where: str, base: Any, signal: str = TOKEN_PROBABILITY) -> dict[str, Any]:
        """Every number of the page about one reader with one signal; ``base`` answers always (``reference``)."""
        found: dict[str, Any] = {}
        for judged in self.setting.judged:
            run, other = self.run(reader, where, judged), self.run(base, "reference", judged)
            found[judged] = self.numbers(run, other, signal)
        found["tokens_an_answer"] = self._tokens(reader, self.out / where / "tokens.json")
        return found

    def _tokens(self, reader: Any, kept: Path) -> float | None:
        """Tokens an answer, kept in ``kept``: answers that are there already are not written again."""
        if reader.asked:
            write_json(kept, round(reader.written / reader.asked, 2))
        return read_json(kept) if kept.is_file() else None

    def numbers(self, run: Run, base: Run, signal: str) -> dict[str, Any]:
        overall, signals = run.metrics["overall"], (run.metrics["signals"] or {}).get("of", {}).get(signal)
        own, reference = Curve.of(run, signal), Curve.of(base, TOKEN_PROBABILITY)
        weights = draws(own.documents, self.setting.resamples)
        found: dict[str, Any] = {name: overall[name] for name in SHOWN if name in overall}
        for unit in ("characters", "answers"):
            found[f"aurc_{unit}"] = None if signals is None or signals[unit] is None else signals[unit]["aurc"]
        undamaged = run.metrics["by"]["severity"].get("0", {})
        found["clean_reading"] = undamaged.get("reading_recall")
        for target in MATCHED:
            mine = [own.invented_at(target, reference, weight) for weight in weights]
            theirs = [reference.invented_at(target, reference, weight) for weight in weights]
            key = f"invented_at_{round(100 * target)}"
            found[key] = interval(mine)
            found[f"{key}_difference"] = interval([a - b for a, b in zip(mine, theirs, strict=True)])
        own_points = [own.beside(reference, weight) for weight in weights]
        found["refused_by_itself"] = interval([refused for refused, _ in own_points])
        found["invented_from_reference"] = interval([difference for _, difference in own_points])
        refused, left = own.points(np.ones(own.documents))
        chosen = np.unique(np.linspace(0, len(refused) - 1, 60).round().astype(int))
        found["curve"] = [[round(float(refused[k]), 4), round(float(left[k]), 4)] for k in chosen]
        return found
