"""The figure that a user meets: how well the labels of a dataset predict a reader, on the dataset as its recipe makes it.

The trials of ``studies.calibration`` spread strengths over and beyond every ladder, which flatters. Here every question of a
dataset is asked as it is: RapidOCR is shown each line in which the value is printed (upright again, as the pipelines around
readers do it), and a slot counts as read where he reads it in any of them, since evidence is that of the best print too.
Machine readable zones are left out, as ``<<<`` cannot be aligned, and what the reader cannot read without damage is in, unless said.

Run: ``python -m studies.calibration.dataset --documents 60 --seed 7`` (some four minutes on one core).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from degradations.asked.plan import find_copies
from degradations.config import SimulateConfig
from degradations.operators.base import split_lines
from degradations.pages import PageKey
from degradations.recipe import Recipe
from degradations.simulate import document_samples
from kie_hvqa.console import Progress
from kie_hvqa.data.files import write_json
from kie_hvqa.data.ledger import Box, Row
from studies.calibration.lines import Line
from studies.calibration.readers import Read, open_readers
from studies.calibration.summary import auroc, bins
from studies.calibration.trials import read_clean, read_shown

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Shown:
    """The scored slots of one row: ``evidence`` float64 [n]; ``right``, and which the capture alone leaves readable."""

    row: Row
    text: str
    evidence: NDArray[np.float64]
    right: Bools
    clean: Bools


def shown(row: Row, read: Read) -> Shown | None:
    """What ``read`` makes of the asked print of ``row``; None where nothing is asked about that it could be shown."""
    if not row.slots or row.recipe is None or "<<" in "".join(slot.char for slot in row.slots):
        return None
    document = PageKey.of(row).render()
    printed = document.fields[row.field]
    recipe = Recipe.from_json(row.recipe, row.capture)
    right, clean = (np.zeros(len(printed.value), bool) for _ in range(2))
    for boxes in (printed.boxes, *find_copies(printed)):
        for part, line in _lines(row.id, printed.value, boxes, document.image, recipe):
            right[part] |= read_shown(line, recipe, read)
            clean[part] |= read_clean(line, read)
    scored = np.array([slot.scored for slot in row.slots])
    evidence = np.array([slot.evidence for slot in row.slots], float)
    text = "".join(char for char, of in zip(printed.value, scored, strict=True) if of)
    return Shown(row, text, evidence[scored], right[scored], clean[scored])


def _lines(
    name: str, value: str, boxes: Sequence[Box], page: NDArray[np.uint8], recipe: Recipe
) -> Iterator[tuple[list[int], Line]]:
    for part in split_lines(boxes):
        text = "".join(value[i] for i in part)
        yield part, Line(name, name, page, text, tuple(boxes[i] for i in part), None, recipe.capture)


def summary(found: Sequence[Shown]) -> dict[str, Any]:
    """AUROC of evidence over all slots, over those of damaged lines, and over those that are read without damage."""
    evidence = np.concatenate([each.evidence for each in found])
    right, clean = (np.concatenate([getattr(each, what) for each in found]) for what in ("right", "clean"))
    damaged = np.concatenate([np.full(len(each.right), bool(each.row.severity)) for each in found])
    latin = np.concatenate([np.full(len(each.right), max(each.text) < "Ͱ") for each in found])
    labels = np.concatenate([[slot.legibility for slot in each.row.slots or () if slot.scored] for each in found])

    def part(chosen: Bools) -> dict[str, Any]:
        return {
            "slots": int(chosen.sum()),
            "read": round(float(right[chosen].mean()), 4) if chosen.any() else None,
            "auroc": auroc(evidence[chosen], right[chosen]),
        }

    return {
        "documents": len({each.row.document_id for each in found}),
        "lines": len(found),
        "all": part(np.ones(len(right), bool)),
        "damaged": part(damaged),
        "damaged_latin": part(damaged & latin),
        "read_without_damage": part(clean),
        "damaged_and_read_without": part(clean & damaged),
        "ten_bins": bins(evidence, right),
        "by_label": {
            label: part(labels == label) for label in ("clear", "partial", "hidden") if (labels == label).any()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m studies.calibration.dataset",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, default=Path("configs/simulate/cards.yaml"))
    parser.add_argument("--documents", type=int, default=60)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--memory", type=Path, help="a folder that keeps what the reader said")
    parser.add_argument("--out", type=Path, help="also write the result here")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    recipe = yaml.safe_load(args.config.read_text(encoding="utf-8"))
    config = SimulateConfig.model_validate({**recipe, "count": args.documents, "seed": args.seed})
    read = open_readers(["rapidocr"], args.memory)["rapidocr"]
    rows = (
        sample.row
        for index in Progress("read", config.count, "documents").over(range(config.count))
        for sample in document_samples(config, index)
    )
    result = summary([found for row in rows if (found := shown(row, read)) is not None])
    for name, value in result.items():
        print(f"{name}: {value}")
    if args.out:
        write_json(args.out, result)


if __name__ == "__main__":
    main()
