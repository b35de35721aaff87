"""How well evidence predicts a reader: AUROC overall, by family and by operator, and accuracy over bins and labels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from degradations.legibility import LegibilityModel
from kie_hvqa.scoring import risk
from studies.calibration.trials import Trial, family

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

OPAQUE = ("opaque_occluder", "sticker", "finger", "folded_edge", "cropped_edge")
BLUR = ("gaussian_blur", "defocus_blur", "motion_blur", "camera_shake")


def auroc(score: Floats, right: Bools) -> float | None:
    """The chance that a slot read right scores above one read wrong, ties as half; None without both kinds."""
    value = risk.auroc(right, score)
    return None if math.isnan(value) else round(value, 4)


def flat(trials: Sequence[Trial], reader: str, what: str) -> NDArray[Any]:
    """``structure``, ``contrast``, ``right`` or ``operator`` of every slot that ``reader`` was asked about."""
    parts = []
    for trial in trials:
        asked = trial.asked[reader]
        if what == "right":
            parts.append(trial.right[reader][asked])
        elif what == "operator":
            parts.append(np.full(int(asked.sum()), trial.operator, dtype="U40"))
        else:
            parts.append(getattr(trial, what)[asked])
    return np.concatenate(parts)


def bins(evidence: Floats, right: Bools, count: int = 10) -> list[dict[str, float]]:
    """Mean evidence and the share read right in ``count`` equally full bins of evidence, lowest first."""
    parts = np.array_split(np.argsort(evidence, kind="stable"), count)
    return [
        {"evidence": round(float(evidence[part].mean()), 4), "read": round(float(right[part].mean()), 4)}
        for part in parts
        if len(part)
    ]


def summarise(trials: Sequence[Trial], reader: str, evidence: Floats, model: LegibilityModel) -> dict[str, Any]:
    """The result for one reader, as it is written down. ``evidence`` is in the order of ``flat``."""
    right: Bools = flat(trials, reader, "right")
    contrast: Floats = flat(trials, reader, "contrast")
    names = flat(trials, reader, "operator")
    families = np.array([family(name) for name in names])
    labels = np.array([model.label(score) for score in evidence])
    rows = bins(evidence, right)

    def part(chosen: Bools) -> dict[str, Any]:
        return {
            "slots": int(chosen.sum()),
            "read": round(float(right[chosen].mean()), 4) if chosen.any() else None,
            "auroc": auroc(evidence[chosen], right[chosen]),
            "auroc_ink_contrast": auroc(contrast[chosen], right[chosen]),
        }

    return {
        "documents": len({trial.document for trial in trials}),
        "lines": len(trials),
        "overall": part(np.ones(len(right), bool)),
        "opaque": part(np.isin(names, OPAQUE)),
        "blur": part(np.isin(names, BLUR)),
        "by_family": {str(name): part(families == name) for name in sorted(set(families))},
        "by_operator": {str(name): part(names == name) for name in sorted(set(names))},
        "ten_bins": rows,
        "ten_bins_ink_contrast": bins(contrast, right),
        "bins_rise": all(a["read"] <= b["read"] for a, b in itertools.pairwise(rows)),
        "by_label": {
            label: {"slots": int((labels == label).sum()), "read": round(float(right[labels == label].mean()), 4)}
            for label in ("clear", "partial", "hidden")
            if (labels == label).any()
        },
    }
