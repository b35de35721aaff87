"""Hold the legibility labels against a reader that nobody here wrote, and fit the curve that turns them into evidence.

Full-size fields are damaged at every severity by every operator and read by RapidOCR's recogniser; a slot counts as
read when its character survives the alignment of what was read with what was printed. Half of the documents
fit the psychometric curve, the other half say how well evidence predicts the reader (AUROC), beside a plain
ratio of ink contrasts. Characters that the reader gets wrong on the clean crop are left out: damage is not to
blame for them.

Run: ``python -m degradations.calibrate --documents 90 --out runs/calibration.json`` (about five minutes
on one core; ``--annotations A.jsonl`` adds real scans). Nothing reads that file at run time: the constants of
``LegibilityModel`` come from such a fit on earlier drawings of the documents, and its report says how far they have
drifted.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein
from tqdm import tqdm

from degradations.annotated import load_page
from degradations.annotations import read_annotations
from degradations.chance import generator
from degradations.config import DegradeConfig, SimulateConfig
from degradations.dataset import clean_document
from degradations.legibility import LegibilityModel
from degradations.operators import OPERATORS, Context, Image
from degradations.operators.base import split_lines
from degradations.writer import versions
from kie_hvqa.files import write_json
from kie_hvqa.ledger import MAX_SEVERITY, Box

Read = Callable[[Image], str]


@dataclass(frozen=True, slots=True)
class Trial:
    """One line, damaged once. Arrays hold one entry a slot that the reader reads when it is clean."""

    document: str
    operator: str
    severity: int
    structure: NDArray[np.float64]
    contrast: NDArray[np.float64]
    right: NDArray[np.bool_]


def rapidocr_recogniser() -> Read:
    """RapidOCR's recogniser alone, on the CPU with one thread: image of one line → text."""
    from rapidocr_onnxruntime import RapidOCR

    engine = RapidOCR(intra_op_num_threads=1, inter_op_num_threads=1)

    def read(image: Image) -> str:
        result, _ = engine(np.ascontiguousarray(image[:, :, ::-1]), use_det=False, use_cls=False, use_rec=True)
        return str(result[0][0]) if result else ""

    return read


def read_slots(read: Read, image: Image, value: str, boxes: Sequence[Box]) -> NDArray[np.bool_]:
    """Which characters of a one-line ``value`` the reader gets right; letter case is not held against it."""
    x0, y0, x1, y1 = _window(image, boxes, 0.3, 0.12)
    text = read(image[y0:y1, x0:x1]).upper()
    right = np.zeros(len(value), bool)
    for step in Levenshtein.opcodes(value.upper(), text):
        if step.tag == "equal":
            right[step.src_start : step.src_end] = True
    return right


def trials(
    name: str, page: Image, value: str, boxes: Sequence[Box], read: Read, seed: int, repeats: int
) -> Iterator[Trial]:
    """``repeats`` damaged versions of one printed line of ``page``, operators and severities in turn."""
    model = LegibilityModel()
    x0, y0, x1, y1 = _window(page, boxes, 4.0, 4.0)
    # The draws are the page's; only the neighbourhood of the line is worked on.
    x0, y0 = x0 - x0 % 16, y0 - y0 % 16
    window = page[y0:y1, x0:x1]
    local = [(b[0] - x0, b[1] - y0, b[2] - x0, b[3] - y0) for b in boxes]
    scored = np.array([not char.isspace() for char in value]) & read_slots(read, window, value, local)
    if not scored.any():
        return
    context = Context.of(page, boxes)
    names = sorted(OPERATORS)
    rng = generator(seed, name, "calibration")
    first = int(rng.integers(len(names)))
    for repeat in range(repeats):
        operator = names[(first + repeat) % len(names)]
        severity = int(rng.integers(1, MAX_SEVERITY + 1))
        damaged = OPERATORS[operator].draw(severity, rng, context).apply(window, (x0, y0))
        yield Trial(
            name.split("/")[0],
            operator,
            severity,
            np.nan_to_num(model.structure(window, damaged, local))[scored],
            ink_contrast(window, damaged, local)[scored],
            read_slots(read, damaged, value, local)[scored],
        )


def ink_contrast(clean: Image, damaged: Image, boxes: Sequence[Box]) -> NDArray[np.float64]:
    """The baseline: the spread of grey levels in the damaged slot as a share of the clean slot's, at most 1."""
    before, after = (cv2.cvtColor(page, cv2.COLOR_RGB2GRAY).astype(np.float32) for page in (clean, damaged))
    shares = []
    for box in boxes:
        x0, y0, x1, y1 = (round(v) for v in box)
        part = (slice(max(0, y0), y1), slice(max(0, x0), max(x1, x0 + 1)))
        shares.append(min(1.0, float(after[part].std()) / max(1.0, float(before[part].std()))))
    return np.array(shares)


def fit_curve(structure: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[float, float]:
    """(half, slope) of the log-logistic curve by maximum likelihood (Newton's method with a small ridge)."""
    x = np.log(np.clip(structure, 0.02, 1.0))
    offset, slope = 2.0, 4.0
    for _ in range(50):
        share = 1 / (1 + np.exp(-(offset + slope * x)))
        weight = share * (1 - share)
        gradient = np.array([(right - share).sum(), ((right - share) * x).sum()])
        cross = (weight * x).sum()
        hessian = np.array([[weight.sum() + 1e-3, cross], [cross, (weight * x * x).sum() + 1e-3]])
        step = np.linalg.solve(hessian, gradient)
        offset, slope = offset + np.clip(step[0], -1, 1), slope + np.clip(step[1], -1, 1)
        if np.abs(step).max() < 1e-8:
            break
    return float(np.exp(-offset / slope)), float(slope)


def auroc(score: NDArray[np.float64], right: NDArray[np.bool_]) -> float | None:
    """The chance that a slot read right scores above one read wrong, ties as half; None without both kinds."""
    positive, negative = int(right.sum()), int((~right).sum())
    if not positive or not negative:
        return None
    _, inverse, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[inverse]
    return round(float((rank[right].sum() - positive * (positive + 1) / 2) / (positive * negative)), 4)


def crossing(evidence: NDArray[np.float64], right: NDArray[np.bool_], target: float) -> float:
    """The evidence around which the reader's accuracy passes ``target`` (bands 0.1 wide, in steps of 0.05)."""
    steps = np.arange(0.05, 0.96, 0.05)
    for level in steps:
        band = (evidence >= level - 0.05) & (evidence < level + 0.05)
        if band.sum() >= 20 and right[band].mean() >= target:
            return round(float(level), 2)
    return 0.95


def summarise(found: Sequence[Trial], model: LegibilityModel) -> dict[str, Any]:
    """AUROCs of evidence and of the ink-contrast baseline, overall and by operator; accuracy by bin and by label."""
    evidence = np.concatenate([model.curve(trial.structure) for trial in found])
    contrast = np.concatenate([trial.contrast for trial in found])
    right = np.concatenate([trial.right for trial in found])
    names = np.concatenate([[trial.operator] * len(trial.right) for trial in found])
    labels = np.array([model.label(score) for score in evidence])
    bins = np.array_split(np.argsort(evidence, kind="stable"), 10)
    return {
        "slots": len(right),
        "auroc": auroc(evidence, right),
        "auroc_ink_contrast": auroc(contrast, right),
        "by_operator": {
            str(name): {
                "slots": int((names == name).sum()),
                "read": round(float(right[names == name].mean()), 4),
                "auroc": auroc(evidence[names == name], right[names == name]),
                "auroc_ink_contrast": auroc(contrast[names == name], right[names == name]),
            }
            for name in sorted(set(names))
        },
        "ten_bins": [
            {"evidence": round(float(evidence[part].mean()), 4), "read": round(float(right[part].mean()), 4)}
            for part in bins
            if len(part)
        ],
        "by_label": {
            label: {"slots": int((labels == label).sum()), "read": round(float(right[labels == label].mean()), 4)}
            for label in ("clear", "partial", "hidden")
            if (labels == label).any()
        },
    }


def by_severity(found: Sequence[Trial], model: LegibilityModel) -> dict[str, list[float | None]]:
    """Mean evidence at severities 1 to 6, by operator."""
    table: dict[str, list[float | None]] = {}
    for name in sorted({trial.operator for trial in found}):
        row: list[float | None] = []
        for severity in range(1, MAX_SEVERITY + 1):
            part = [model.curve(t.structure) for t in found if t.operator == name and t.severity == severity]
            row.append(round(float(np.concatenate(part).mean()), 3) if part else None)
        table[name] = row
    return table


def calibrate(documents: int, repeats: int, seed: int, read: Read, annotations: Path | None) -> dict[str, Any]:
    config = SimulateConfig(seed=seed, count=documents, scale="full", values={"natural": 0.5, "random": 0.5})
    found: list[Trial] = []
    for index in tqdm(range(documents), unit="document"):
        document = clean_document(config, index)
        for printed in document.fields.values():
            name = f"{index}/{printed.name}"
            found += trials(name, document.image, printed.value, printed.boxes, read, seed, repeats)
    fitting = [trial for trial in found if int(trial.document) % 2 == 0]
    checking = [trial for trial in found if int(trial.document) % 2 == 1]
    structure = np.concatenate([trial.structure for trial in fitting])
    right = np.concatenate([trial.right for trial in fitting])
    half, slope = fit_curve(structure, right)
    fitted = replace(LegibilityModel(), half=half, slope=slope)
    evidence = fitted.curve(structure)
    result: dict[str, Any] = {
        "reader": "rapidocr-onnxruntime, recogniser only",
        "versions": versions(),
        "documents": documents,
        "fit": {
            "half": round(half, 4),
            "slope": round(slope, 3),
            "clear": crossing(evidence, right, 0.75),
            "hidden": crossing(evidence, right, 0.25),
        },
        "held_out": summarise(checking, LegibilityModel()),
        "mean_evidence_by_severity": by_severity(found, LegibilityModel()),
    }
    if annotations is not None:
        real = list(real_trials(annotations, read, seed, repeats * 2))
        result["real_scans"] = summarise(real, LegibilityModel())
    return result


def real_trials(annotations: Path, read: Read, seed: int, repeats: int) -> Iterator[Trial]:
    """Trials on annotated scans, one printed line at a time."""
    config = DegradeConfig(seed=seed)
    for number, annotation in read_annotations(annotations):
        page = load_page(config, annotations, number, annotation, annotations.parent)
        for question in page.questions:
            for index, line in enumerate(split_lines(question.boxes)):
                value = "".join(question.value[i] for i in line)
                name = f"{page.name}/{question.field}/{index}"
                yield from trials(name, page.image, value, [question.boxes[i] for i in line], read, seed, repeats)


def _window(image: Image, boxes: Sequence[Box], across: float, along: float) -> tuple[int, int, int, int]:
    """Around ``boxes``, with margins in text heights (``across`` the columns, ``along`` the rows), inside the image."""
    array = np.asarray(boxes, np.float64)
    height = float(np.percentile(array[:, 3] - array[:, 1], 80))
    margin = np.array([across, along]) * height
    x0, y0 = np.maximum(0, array[:, :2].min(0) - margin).astype(int)
    x1, y1 = np.minimum(image.shape[1::-1], np.ceil(array[:, 2:].max(0) + margin)).astype(int)
    return int(x0), int(y0), int(x1), int(y1)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m degradations.calibrate", description=__doc__.split("\n")[0])
    parser.add_argument("--documents", type=int, default=90)
    parser.add_argument("--repeats", type=int, default=4, help="damaged versions of each field")
    parser.add_argument("--seed", type=int, default=20250621)
    parser.add_argument("--annotations", type=Path, help="annotated scans, images beside the file")
    parser.add_argument("--out", type=Path, default=Path("runs/calibration.json"))
    args = parser.parse_args()
    result = calibrate(args.documents, args.repeats, args.seed, rapidocr_recogniser(), args.annotations)
    write_json(args.out, result)
    print(f"held out: AUROC {result['held_out']['auroc']}, ink contrast {result['held_out']['auroc_ink_contrast']}")
    print(f"fit: {result['fit']}; wrote {args.out}")


if __name__ == "__main__":
    main()
