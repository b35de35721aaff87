"""What the runs of a folder say, as data: docs/confidence.json, from which ``page`` writes the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kie_hvqa.confidence.signals.combination import COMBINED
from kie_hvqa.runs.run_directory import METRICS, Run, load_run
from kie_hvqa.scoring.signals import FIRST
from studies.confidence.guarantee import REDRAWN, SPLITS, carried, elsewhere, guarantee
from studies.confidence.worth import beside, votes

READERS = ("trained", "rapidocr", "served")
BOUNDS = ("betting", "effective")
UNITS = ("character", "field")
_KEPT = ("aurc", "augrc", "failure_auroc", "coverage_at")


def results(folder: Path, *, splits: int = SPLITS, sizes: Sequence[int] = REDRAWN) -> dict[str, Any]:
    """The experiment over the runs that are under ``folder`` (``runs``); what is not there is left out."""
    runs = {name: load_run(folder / name) for name in READERS if (folder / name / METRICS).is_file()}
    found: dict[str, Any] = {"readers": {name: _promises(run, splits, sizes) for name, run in runs.items()}}
    found["carried"] = {
        name: {unit: carried(run, load_run(other), signal_of(run), unit=unit) for unit in UNITS}
        for name, run in runs.items()
        if (other := folder / f"{name}_receipts").joinpath(METRICS).is_file()
    }
    found["signals"] = {name: _signals(run) for name, run in runs.items()}
    if (folder / "drawn" / METRICS).is_file():
        drawn = load_run(folder / "drawn")
        found["drawn"] = {**beside(drawn), "votes": votes(drawn)}
    return found


def signal_of(run: Run) -> str:
    """What ``calibrate`` would take: all signals together where there are several."""
    have = {name for kept in run.predictions.values() for name in kept.signals or {}}
    return COMBINED if len(have) > 1 else next(name for name in FIRST if name in have)


def _promises(run: Run, splits: int, sizes: Sequence[int]) -> dict[str, Any]:
    signal = signal_of(run)
    units = {
        unit: {
            # Fields are redrawn as characters would be, and cost the same again.
            bound: guarantee(
                run, signal, unit=unit, bound=bound, splits=splits, sizes=sizes if unit == UNITS[0] else ()
            )
            for bound in BOUNDS
        }
        for unit in UNITS
    }
    return {
        "reader": Path(run.record.reader).name,
        "documents": len({row.document_id for row in run.rows}),
        "questions": len(run.rows),
        "units": units,
        "elsewhere": elsewhere(run, signal),
    }


def _signals(run: Run) -> dict[str, Any]:
    """The run's own ``signals`` without curves and bins."""
    own = run.metrics["signals"]
    kept: dict[str, Any] = {"compared_with": own["compared_with"], "of": {}}
    for name, said in own["of"].items():
        slim: dict[str, Any] = {
            part: None if said[part] is None else {key: said[part][key] for key in _KEPT}
            for part in ("characters", "answers")
        }
        sure = said["probability"]
        slim["probability"] = sure and {
            side: {"ece": sure[side]["ece"], "brier": sure[side]["brier"]} for side in ("before", "after")
        }
        kept["of"][name] = slim
    return kept
