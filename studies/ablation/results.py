"""``ablation.json``: what the finished cells say, every score with its interval, and whether reward and truth rose together.

Scores of a reward are over the answers of all its seeds together, intervals from a bootstrap over documents
(``kie_hvqa.scoring.metrics``); each seed's own value stands beside them. Differences are paired by question. The comparison at equal
over-refusal is ``studies.ablation.matching``; the curves are the training logs, read at each step from the rollouts.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kie_hvqa.data.dataset import load_rows
from kie_hvqa.data.files import read_json
from kie_hvqa.data.ledger import Row
from kie_hvqa.errors import InputError
from kie_hvqa.runs.rollout_log import ROLLOUTS
from kie_hvqa.runs.run_directory import Run, load_run, shared_rows
from kie_hvqa.scoring.metrics import compare, score_rows, summarise
from kie_hvqa.scoring.scores import SampleScore
from kie_hvqa.scoring.sums import SCORES
from studies.ablation.cells import data_of
from studies.ablation.config import AblationConfig
from studies.ablation.matching import Draws, Outcomes, mixture, withdrawal
from studies.ablation.repaid import over, repaid, rises

SCHEMA = "kie-hvqa-ablation-1"
TRUTH = ("hallucination_free_accuracy", "over_refusal_rate", "invented_rate")
"""What is read from the training log beside the reward."""
ENDS = 0.1
"""Share of the logged steps at either end that the attack's change is taken between."""
_PLACES = 6

Seeds = dict[int, list[SampleScore]]


def results(plan: AblationConfig, out: Path, seeds: Sequence[int]) -> dict[str, Any]:
    """The content of ``ablation.json`` for the cells of ``seeds``, which must be finished."""
    readers = [name for name in ("base", "no_rl") if (out / name / "metrics.json").is_file()]
    scored: dict[str, Seeds] = {}
    sure: dict[str, list[list[float | None]]] = {}
    asked: list[Run] = []
    for name in (*readers, *plan.rewards):
        of_seed = {0: out / name} if name in readers else {seed: out / name / f"seed-{seed}" for seed in seeds}
        runs = {seed: load_run(directory) for seed, directory in of_seed.items()}
        asked = _same_rows([*asked[:1], *runs.values()])
        scored[name] = {
            seed: score_rows(run.rows, {row.id: run.response(row) for row in run.rows}) for seed, run in runs.items()
        }
        sure[name] = [
            [None if (kept := run.predictions.get(row.id)) is None else kept.confidence for row in run.rows]
            for run in runs.values()
        ]
    some = next(iter(scored[plan.reference].values()))
    again = any(rises(specs) for specs in plan.rewards.values())
    rows = {row.id: row for row in load_rows(data_of(plan, out))} if again else {}
    return {
        "schema": SCHEMA,
        "title": plan.title,
        "section": plan.section,
        "rewards": {name: [spec.model_dump() for spec in specs] for name, specs in plan.rewards.items()},
        "reference": plan.reference,
        "seeds": list(seeds),
        "questions": len(some),
        "documents": len({score.document_id for score in some}),
        "hours": round(sum(_seconds(out / name / f"seed-{s}") for name in plan.rewards for s in seeds) / 3600, 2),
        "scores": {name: _scores(of_seed) for name, of_seed in scored.items()},
        "differences": _differences(plan, scored),
        "matched": _matched(plan, scored, sure),
        "ladder": _ladder(plan, scored),
        "attack": {name: _attack(plan, out, name, seeds, scored, rows) for name in plan.rewards},
    }


def _same_rows(runs: list[Run]) -> list[Run]:
    """``runs``, if all of them answered the very same questions; otherwise InputError."""
    shared = len(shared_rows(runs))
    for run in runs:
        if len(run.rows) != shared:
            raise InputError(
                f"this cell answered {len(run.rows)} questions, of which the others share {shared}",
                file=run.directory,
                remedy="Remove it, or go back to the split and limit that it was made with.",
            )
    return runs


def _seconds(cell: Path) -> float:
    times = read_json(cell / "cell.json")
    return float((times["train_seconds"] or 0.0) + times["evaluate_seconds"])


def _pooled(of_seed: Seeds) -> list[SampleScore]:
    """All seeds' answers as one run: a question asked with each seed, about the same document."""
    return [replace(score, id=f"{score.id}@{seed}") for seed, scores in of_seed.items() for score in scores]


def _scores(of_seed: Seeds) -> dict[str, Any]:
    """Per score value, interval and each seed's value; hallucination-free accuracy on undamaged documents (``clean``) and mixed fields."""
    pooled = summarise(_pooled(of_seed))
    alone = [summarise(scores)["overall"] for scores in of_seed.values()]
    found = {
        name: {**pooled["overall"][name], "seeds": [overall[name]["value"] for overall in alone]} for name in SCORES
    }
    parts = {"clean": pooled["by"]["severity"].get("0"), "mixed": pooled["by"]["stratum"].get("mixed")}
    return {**found, **{name: part and part["hallucination_free_accuracy"] for name, part in parts.items()}}


def _differences(plan: AblationConfig, scored: Mapping[str, Seeds]) -> dict[str, Any]:
    """``later-earlier`` for every reward against base, no RL and the reference, and for each rung of the ladder."""
    pairs = [(name, reader) for name in plan.rewards for reader in ("base", "no_rl") if reader in scored]
    pairs += [(name, plan.reference) for name in plan.rewards if name != plan.reference]
    pairs += [(later, earlier) for earlier, later in itertools.pairwise(plan.ladder)]
    return {f"{later}-{earlier}": _difference(scored[later], scored[earlier]) for later, earlier in pairs}


def _difference(later: Seeds, earlier: Seeds) -> dict[str, Any]:
    """Paired by question and seed; a reader that no seed made is the same with each of them."""
    if earlier.keys() != later.keys():
        (only,) = earlier.values()
        earlier = dict.fromkeys(later, only)
    return compare(_pooled(later), _pooled(earlier))


def _matched(
    plan: AblationConfig, scored: Mapping[str, Seeds], sure: Mapping[str, list[list[float | None]]]
) -> dict[str, Any]:
    """The family at the reference's over-refusal (None: there is no such mixture), and each of its cells by withdrawal."""
    if not plan.matched:
        return {"mixture": None, "withdrawal": {}}
    cells = {name: Outcomes.of(list(scored[name].values()), sure[name]) for name in (plan.reference, *plan.matched)}
    reference = cells[plan.reference]
    draws = Draws.of(int(reference.document.max()) + 1, np.random.default_rng(0), plan.resamples)
    family = mixture([cells[name] for name in plan.matched], plan.matched, reference, draws)
    one_by_one = {name: withdrawal(cells[name], name, reference, plan.reference, draws) for name in plan.matched}
    return {
        "mixture": None if family is None else family.to_json(),
        "withdrawal": {name: None if found is None else found.to_json() for name, found in one_by_one.items()},
    }


def _ladder(plan: AblationConfig, scored: Mapping[str, Seeds]) -> dict[str, Any] | None:
    """The invented rate rung by rung, and whether it falls at every step; None without a ladder."""
    if len(plan.ladder) < 2:
        return None
    rates = [_rate(scored[name]) for name in plan.ladder]
    falls = None if None in rates else all(b < a for a, b in itertools.pairwise(rates))  # type: ignore[operator]
    return {"cells": list(plan.ladder), "invented_rate": rates, "falls": falls}


def _rate(of_seed: Seeds) -> float | None:
    counts = [score.counts for scores in of_seed.values() for score in scores if score.counts is not None]
    hidden = sum(c["hidden"] for c in counts)
    return round(sum(c["invented"] for c in counts) / hidden, _PLACES) if hidden else None


def _attack(
    plan: AblationConfig,
    out: Path,
    name: str,
    seeds: Sequence[int],
    scored: Mapping[str, Seeds],
    rows: Mapping[str, Row],
) -> dict[str, Any]:
    """The curves over steps, mean over seeds, and what the training bought: reward against truth, first to last.

    The reward is at the prices that the run ended with (``studies.ablation.repaid``); ``rows`` are those it was trained on.
    ``together``: the reward rose in training, and hallucination-free accuracy both rose in the rollouts and is no
    lower than no RL on the held-out documents.
    """
    logs = [read_json(out / name / f"seed-{seed}" / "history.json")["log"] for seed in seeds]
    steps = sorted(set.intersection(*({entry["step"] for entry in log if "reward" in entry} for log in logs)))
    curves: dict[str, list[float | None]] = {}
    for key in ("reward", *TRUTH):
        logged = "reward" if key == "reward" else f"ledger/{key}"
        by_step = [{entry["step"]: entry.get(logged) for entry in log if "reward" in entry} for log in logs]
        curves[key] = [_mean([of_seed[step] for of_seed in by_step]) for step in steps]
    if rises(plan.rewards[name]):
        logs_of = [out / name / f"seed-{seed}" / ROLLOUTS for seed in seeds]
        paid = [over(repaid(plan.rewards[name], log, rows), steps) for log in logs_of]
        curves["reward"] = [_mean(values) for values in zip(*paid, strict=True)]
    change = {key: _change(values) for key, values in curves.items()}
    reward, truth = change["reward"], change["hallucination_free_accuracy"]
    held_out = _difference(scored[name], scored["no_rl"])["hallucination_free_accuracy"]["mean"]
    together = None
    if reward is not None and truth is not None and held_out is not None:
        together = reward > 0 and truth > 0 and held_out >= 0
    return {"steps": steps, "curves": curves, "change": change, "held_out": held_out, "together": together}


def _mean(values: Sequence[float | None]) -> float | None:
    """Over the seeds that logged one: a batch without a hidden slot has no invented rate."""
    there = [value for value in values if value is not None]
    return round(sum(there) / len(there), _PLACES) if there else None


def _change(values: Sequence[float | None]) -> float | None:
    """Mean of the last tenth of the steps less that of the first."""
    width = max(1, round(ENDS * len(values)))
    first, last = _mean(values[:width]), _mean(values[-width:])
    return None if first is None or last is None else round(last - first, _PLACES)
