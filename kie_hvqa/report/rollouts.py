"""What a GRPO run said over its steps: some questions of some steps, their damaged image, and the whole group's answers.

The image is made again from the log (``replay``); a page that cannot be drawn again, a scan, is left out.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from PIL.Image import Image

from kie_hvqa.answers.answer import MARK, parse
from kie_hvqa.data.ledger import Row
from kie_hvqa.errors import InputError
from kie_hvqa.report.markup import dot, section
from kie_hvqa.report.pictures import data_uri
from kie_hvqa.report.sources import Training
from kie_hvqa.runs import rollout_log

STEPS, QUESTIONS, ANSWERS = 4, 3, 5  # shown of a run, of a step, of a group
_LONGEST = 160  # characters of an answer that cannot be parsed

Replay = Callable[[Row], Image | None]
Entries = Sequence[Mapping[str, Any]]


def rollouts_section(trainings: Sequence[Training], names: Sequence[str], replay: Replay) -> str:
    """``names`` are those of everything that the report shows: a run keeps its colour."""
    parts = [
        f"<h3>{dot(names.index(training.name))}{escape(training.name)}</h3>{_run(training, replay)}"
        for training in trainings
        if training.rollouts is not None
    ]
    lead = (
        "Questions of some steps, the image as it was damaged for them, and what the group answered: what was read "
        "(a dot where a character was marked as not legible), how often, and what it earned."
    )
    return section("rollouts", "Rollouts", lead, "".join(parts)) if parts else ""


def _run(training: Training, replay: Replay) -> str:
    assert training.rollouts is not None
    found = rollout_log.steps(training.rollouts)
    cards = []
    for step in rollout_log.spread(list(found), STEPS):
        groups: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for path in found[step]:
            for entry in rollout_log.read(path):
                groups[str(entry.get("id"))].append(entry)
        # From light to heavy damage, and not the same first rows for every run.
        order = sorted(
            groups.values(), key=lambda entries: (entries[0].get("severity") or 0, str(entries[0].get("id")))
        )
        cards += [_card(step, entries, replay) for entries in rollout_log.spread(order, QUESTIONS)]
    return f'<div class="rollouts">{"".join(cards)}</div>'


def _card(step: int, entries: Entries, replay: Replay) -> str:
    first = entries[0]
    try:
        image = replay(rollout_log.row_of(first))
    except InputError:  # a log of other people's, or of an earlier version
        image = None
    picture = "" if image is None else f'<img alt="" loading="lazy" src="{data_uri(image)}">'
    severity = f", severity {first['severity']}" if first.get("severity") is not None else ""
    return (
        f'<div class="rollout">{picture}<p class="small">step {step}{severity}, {escape(str(first.get("id")))}</p>'
        f"<p><b>{escape(str(first.get('problem') or '').removeprefix('<image>'))}</b> "
        f'<span class="small">truth</span> <code>{escape(_said(str(first.get("answer") or "")))}</code></p>'
        f"{_answers(entries)}</div>"
    )


def _answers(entries: Entries) -> str:
    """The group's answers, each once, the best paid first."""
    parts = sorted({key for entry in entries for key in entry if key.startswith("reward/")})
    said: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for entry in entries:
        said[_said(str(entry.get("completion") or ""))].append(entry)
    ranked = sorted(said.items(), key=lambda item: -(_mean(item[1], "advantage") or 0.0))
    shown = ranked if len(ranked) <= ANSWERS else [*ranked[: ANSWERS - 1], ranked[-1]]
    heads = "".join(f"<th>{escape(part.removeprefix('reward/'))}</th>" for part in parts)
    rows = []
    for text, same in shown:
        gain = _mean(same, "advantage")
        kind = "" if not gain else "better" if gain > 0 else "worse"
        cells = "".join(f'<td class="num">{_number(_mean(same, part))}</td>' for part in parts)
        rows.append(
            f"<tr><td><code>{escape(text)}</code>{f' × {len(same)}' if len(same) > 1 else ''}</td>{cells}"
            f'<td class="num"><span class="delta {kind}">{_number(gain, sign=True)}</span></td></tr>'
        )
    more = f'<p class="small">and {len(ranked) - len(shown)} more</p>' if len(ranked) > len(shown) else ""
    return (
        '<div class="scroll" tabindex="0"><table class="plain"><thead><tr>'
        f"<th>answer</th>{heads}<th>advantage</th></tr></thead><tbody>{''.join(rows)}</tbody></table></div>{more}"
    )


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
    return "" if value is None else f"{value:+.2f}" if sign else f"{value:.2f}"
