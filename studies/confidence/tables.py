"""Tables for docs/confidence.md: what each signal is worth, and how much inventions agree with themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np

from kie_hvqa.answers.alignment import align
from kie_hvqa.answers.answer import MARK
from kie_hvqa.answers.masks import resolve
from kie_hvqa.answers.verdicts import OUTCOME, verdicts
from kie_hvqa.confidence.calibrating import judged
from kie_hvqa.confidence.losses import right_symbols
from kie_hvqa.confidence.signals.agreement import AGREEMENT, JITTER
from kie_hvqa.runs.run_directory import Run
from kie_hvqa.scoring.tables import LABELS, difference, with_interval


def signals_table(found: Mapping[str, Any]) -> str:
    """Markdown, percent: areas of characters and answers with their paired differences, coverage at risks, calibration."""
    label = LABELS["aurc"]
    first = found["compared_with"]
    head = (
        "signal",
        "AURC, characters",
        f"from {first}",
        "coverage at 1 %",
        "2 %",
        "5 %",
        "AURC, answers",
        f"from {first}",
        "ECE",
        "mapped",
    )
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, own in found["of"].items():
        characters, answers, sure = own["characters"], own["answers"], own["probability"]
        cells = [name.replace("_", " ")]
        for part in (characters, answers):
            if part is None:
                cells += ["–", "–"]
            else:
                apart = part["aurc"].get("difference")
                cells += [with_interval(part["aurc"], label), "" if apart is None else difference(apart, label)]
            if part is characters:
                at = part["coverage_at"] if part else {}
                cells += [f"{100 * at[risk]['value']:.1f}" if at else "–" for risk in ("0.01", "0.02", "0.05")]
        cells += [f"{100 * sure[side]['ece']:.1f}" if sure else "–" for side in ("before", "after")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def hidden_agreement(run: Run) -> str:
    """n / N of asserted symbols by what became of the slot: inventions agree with themselves as far as the prior goes."""
    shares: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
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
                if place >= 0 and final[place] != MARK:
                    outcome = OUTCOME[found.outcomes[slot]]
                    value = answer.signals[name].symbols[place]
                    if value is not None:
                        shares[name][
                            f"{outcome.legibility}, {'right' if right[place] or outcome.said == 'right' else 'wrong'}"
                        ].append(value)
    if not shares:
        return ""
    lines = ["| asserted over | signal | symbols | mean n / N | all N agree |", "|---|---|---|---|---|"]
    for name, of in shares.items():
        lines += [
            f"| {kind} | {name} | {len(values):,} | {np.mean(values):.2f} | {100 * np.mean(np.array(values) == 1):.0f} % |"
            for kind, values in sorted(of.items())
        ]
    return "\n".join(lines)
