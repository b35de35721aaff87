"""Fits the constants behind the labels, or says how well those that are shipped hold on fresh documents.

Run, to fit, write degradations/legibility/calibration.json and draw docs/legibility.png:

    python -m studies.calibration --memory runs/calibration --write

Run, to check the shipped constants on documents that nothing was fitted to:

    python -m studies.calibration --check --seed 7 --memory runs/calibration --out runs/legibility.json
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from degradations.legibility import LegibilityModel
from degradations.legibility.constants import CALIBRATION
from degradations.legibility.structure import curve
from degradations.storing.manifest import versions
from kie_hvqa.data.files import read_json, write_json
from studies.calibration.fit import Slots, fit_observer, fit_structure, fit_thresholds
from studies.calibration.lines import Line, printed_lines, real_lines
from studies.calibration.readers import READERS, Read, open_readers
from studies.calibration.summary import flat, summarise
from studies.calibration.trials import Trial, trials


def measure(lines: Iterator[Line], readers: Mapping[str, Read], seed: int, repeats: int, wide: bool) -> list[Trial]:
    model = LegibilityModel()
    return [trial for line in lines for trial in trials(line, readers, model, seed, repeats, wide=wide)]


def fit(found: list[Trial], reader: str, bare: bool = False) -> LegibilityModel:
    """The constants from even documents alone: the observer's and the thresholds, or of ``bare`` pages the structure's curve.

    Structure is for scans, which come without a capture of ours. The curve is fitted to rendered pages without one: there are
    too few scans to hold half of them out.
    """
    model = LegibilityModel()
    half = [trial for trial in found if int(trial.document) % 2 == 0]
    if bare:
        return fit_structure(flat(half, reader, "structure"), flat(half, reader, "right"), model)
    slots = Slots.of(half, reader, model.rivals)
    model = fit_observer(slots, model)
    return fit_thresholds(slots.evidence(model), slots.right, model)


def check(found: list[Trial], real: list[Trial], readers: Mapping[str, Read], model: LegibilityModel) -> dict[str, Any]:
    """What the constants are worth, reader by reader, on trials that they were not fitted to."""
    result: dict[str, Any] = {}
    for name in readers:
        slots = Slots.of(found, name, model.rivals)
        result[name] = summarise(found, name, slots.evidence(model), model)
        kept = curve(model, flat(found, name, "structure"))
        result[name]["structure"] = {
            key: value for key, value in summarise(found, name, kept, model).items() if key in ("overall", "by_family")
        }
        if real:
            kept = curve(model, flat(real, name, "structure"))
            result[name]["real_documents"] = summarise(real, name, kept, model)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m studies.calibration",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--documents", type=int, default=200)
    parser.add_argument("--fields", type=int, default=4, help="lines of each document")
    parser.add_argument("--repeats", type=int, default=3, help="damaged versions of each line")
    parser.add_argument("--seed", type=int, default=20260101)
    parser.add_argument("--scale", choices=("full", "tiny"), default="full")
    parser.add_argument("--bare", action="store_true", help="pages without a capture: fit the structure's curve alone")
    parser.add_argument("--severities", action="store_true", help="draw severities 1 to 6, as a dataset does")
    parser.add_argument("--readers", nargs="+", choices=READERS, default=["rapidocr"])
    parser.add_argument("--annotations", type=Path, help="annotated scans, images beside the file: reported apart")
    parser.add_argument("--memory", type=Path, help="a folder that keeps what the readers said")
    parser.add_argument("--check", action="store_true", help="fit nothing: every document tests the shipped constants")
    parser.add_argument("--write", action="store_true", help="ship the fitted constants, and draw the figure")
    parser.add_argument("--figure", type=Path, default=Path("docs/legibility.png"))
    parser.add_argument("--out", type=Path, help="also write the result here")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    readers = open_readers(args.readers, args.memory)
    lines = printed_lines(args.scale, args.documents, args.fields, args.seed, captured=not args.bare)
    found = measure(lines, readers, args.seed, args.repeats, not args.severities)
    real = []
    if args.annotations:
        real = measure(
            real_lines(args.annotations, args.seed), readers, args.seed, args.repeats * 3, not args.severities
        )
    first = args.readers[0]
    model = LegibilityModel() if args.check else fit(found, first, args.bare)
    testing = found if args.check else [trial for trial in found if int(trial.document) % 2 == 1]
    result = {
        "constants": dataclasses.asdict(model),
        "measured": {
            "command": {
                k: v.name if isinstance(v, Path) else v for k, v in vars(args).items() if k not in ("out", "memory")
            },
            "versions": versions(),
            "held_out": check(testing, real, readers, model),
        },
    }
    if args.out:
        write_json(args.out, result)
    if args.write:
        from studies.calibration.figure import draw

        shipped = read_json(CALIBRATION)
        write_json(CALIBRATION, {**shipped, **result})
        draw(testing, list(readers), model, args.figure)
    for name, part in result["measured"]["held_out"].items():
        row = {key: (part[key]["auroc"], part[key]["auroc_ink_contrast"]) for key in ("overall", "opaque", "blur")}
        print(name, row, "bins", [b["read"] for b in part["ten_bins"]], part["by_label"])
    print({name: value for name, value in dataclasses.asdict(model).items() if np.isscalar(value)})


if __name__ == "__main__":
    main()
