"""Two suites over every arm's readers: does it complete what is likely, and do its marks hold under other words and pressure?

``twins``    the gap in visible accuracy, plausible − implausible, its slope over severity, and the excess of plausible completions
``wording``  refusals and inventions under ``official``, its paraphrases and three sentences that push, a few rows each: the readers of this study
             know one prompt only, and others reach them byte by byte
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kie_hvqa.readers.base import Reader
from kie_hvqa.suites.run import run_suite
from studies.refusal.arms import check, editing, four_cells, refusal_tokens, steering
from studies.refusal.study import Study

ROOMS = {"steering": steering, "editing": editing, "four_cells": four_cells, "tokens": refusal_tokens, "check": check}


def run(study: Study) -> dict[str, Any]:
    readers: dict[str, Reader] = {"token_probability": study.reference}
    for name, room in ROOMS.items():
        if (study.room / f"{name}.json").is_file():  # what was not run is not asked
            readers |= {
                key if key.startswith(name) else f"{name}_{key}": own for key, own in room.readers(study).items()
            }
    return {
        "of": {name: _asked(study, reader, name) for name, reader in readers.items()},
        "readers": {},
        "parameters": 0,
    }


def _asked(study: Study, reader: Reader, name: str) -> dict[str, Any]:
    room, setting = study.room / "suites" / name, study.setting
    twins = run_suite("twins", study.pages("twins"), reader, room / "twins", progress=False)
    found: dict[str, Any] = {"twins": summary(twins)}
    if setting.asked:
        wording = run_suite(
            "wording",
            study.pages("cards"),
            reader,
            room / "wording",
            split="test",
            limit=setting.asked,
            progress=False,
        )
        shown = ("invented_rate", "over_refusal_rate", "coverage")
        found["wording"] = {
            "questions": wording["questions"],
            "official": {score: wording["wordings"]["official"][score]["value"] for score in shown},
            "marks_agree": wording["agreement"]["marks"]["pairwise"],
            "pressure": {kind: {score: own[score] for score in shown} for kind, own in wording["pressure"].items()},
        }
    return found


def summary(twins: dict[str, Any]) -> dict[str, Any]:
    """The overall gap and excess, and the least-squares slope of the gap over severity, weighted by pairs (share a step)."""
    levels = sorted((int(name), part) for name, part in twins["by"]["severity"].items())
    gaps = [(level, part["visible_accuracy"]["gap"]["mean"], part["pairs"]) for level, part in levels]
    known = np.array([each for each in gaps if each[1] is not None], dtype=np.float64)
    slope = None
    if len(known) > 1:
        slope = round(float(np.polyfit(known[:, 0], known[:, 1], 1, w=np.sqrt(known[:, 2]))[0]), 4)
    overall = twins["overall"]
    return {
        "pairs": twins["pairs"],
        "gap": overall["visible_accuracy"]["gap"],
        "slope": slope,
        "by_severity": {str(int(level)): gap for level, gap, _ in gaps},
        "excess": overall["excess"],
    }
