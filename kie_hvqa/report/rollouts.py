"""What a GRPO run said over its steps: some questions of some steps, their damaged image, and the whole group's answers.

The image is made again from the log (``replay``); a page that cannot be drawn again, a scan, is left out.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from PIL.Image import Image

from kie_hvqa.answers.answer import MARK, parse
from kie_hvqa.data.dataset import spread
from kie_hvqa.data.ledger import Row
from kie_hvqa.errors import InputError
from kie_hvqa.report.markup import fill
from kie_hvqa.report.pictures import data_uri
from kie_hvqa.report.sources import Training
from kie_hvqa.runs import rollout_log

STEPS, QUESTIONS, ANSWERS = 4, 3, 5  # shown of a run, of a step, of a group
_LONGEST = 160  # characters of an answer that cannot be parsed

Replay = Callable[[Row], Image | None]
Entries = Sequence[Mapping[str, Any]]


def rollouts_section(trainings: Sequence[Training], names: Sequence[str], replay: Replay) -> Markup:
    """``names`` are those of everything that the report shows: a run keeps its colour."""
    runs = [
        {"number": names.index(training.name), "name": training.name, "cards": _cards(training.rollouts, replay)}
        for training in trainings
        if training.rollouts is not None
    ]
    return fill("rollouts.html", runs=runs) if runs else Markup()


def _cards(log: Path, replay: Replay) -> list[dict[str, Any]]:
    found = rollout_log.steps(log)
    cards = []
    for step in spread(list(found), STEPS):
        groups: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for path in found[step]:
            for entry in rollout_log.read(path):
                groups[str(entry.get("id"))].append(entry)
        # From light to heavy damage, and not the same first rows for every run.
        order = sorted(
            groups.values(), key=lambda entries: (_mean(entries[:1], "severity") or 0.0, str(entries[0].get("id")))
        )
        cards += [_card(step, entries, replay) for entries in spread(order, QUESTIONS)]
    return cards


def _card(step: int, entries: Entries, replay: Replay) -> dict[str, Any]:
    first = entries[0]
    try:
        image = replay(rollout_log.row_of(first))
    except InputError:  # a log of other people's, or of an earlier version
        image = None
    return {
        "picture": None if image is None else data_uri(image),
        "step": step,
        "severity": first.get("severity"),
        "id": first.get("id"),
        "question": str(first.get("problem") or "").removeprefix("<image>"),
        "truth": _said(str(first.get("answer") or "")),
    } | _answers(entries)


def _answers(entries: Entries) -> dict[str, Any]:
    """The group's answers, each once, the best paid first."""
    parts = sorted({key for entry in entries for key in entry if key.startswith("reward/")})
    said: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for entry in entries:
        said[_said(str(entry.get("completion") or ""))].append(entry)
    ranked = sorted(said.items(), key=lambda item: -(_mean(item[1], "advantage") or 0.0))
    shown = ranked if len(ranked) <= ANSWERS else [*ranked[: ANSWERS - 1], ranked[-1]]
    answers = []
    for text, same in shown:
        gain = _mean(same, "advantage")
        answers.append(
            {
                "text": text,
                "times": len(same),
                "paid": [_number(_mean(same, part)) for part in parts],
                "advantage": _number(gain, sign=True),
                "verdict": "" if gain is None or not round(gain, 2) else "better" if gain > 0 else "worse",
            }
        )
    return {
        "parts": [part.removeprefix("reward/") for part in parts],
        "answers": answers,
        "more": len(ranked) - len(shown),
    }


def _said(text: str) -> str:
    """What an answer read, marks as dots; as it stands where it cannot be parsed."""
    reading = parse(text).reading
    if reading is None:
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return reading.final.replace(MARK, "·") or "(nothing)"


def _mean(entries: Entries, key: str) -> float | None:
    values = [entry[key] for entry in entries if isinstance(entry.get(key), (int, float)) and math.isfinite(entry[key])]
    return sum(values) / len(values) if values else None


def _number(value: float | None, *, sign: bool = False) -> str:
    """Two decimals; what rounds to zero has no sign."""
    if value is None:
        return ""
    rounded = round(value, 2) or 0.0
    return f"{rounded:+.2f}" if sign and rounded else f"{rounded:.2f}"
