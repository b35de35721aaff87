"""The printed lines that readers are tried on: of fresh documents, or of annotated scans.

Lines of fewer than three characters are left out (recognisers are made for lines, and RapidOCR's reads single letters as
Chinese), and so are machine readable zones (runs of ``<`` cannot be aligned).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from degradations.annotated.values import read_annotations
from degradations.capture import Capture
from degradations.capture.draw import draw_capture
from degradations.chance import generator
from degradations.config import DegradeConfig, SimulateConfig
from degradations.degrade import load_page
from degradations.documents.model import Material
from degradations.legibility import Print
from degradations.operators import Image
from degradations.operators.base import split_lines
from degradations.simulate import clean_document
from kie_hvqa.console import Progress
from kie_hvqa.data.ledger import Box


@dataclass(frozen=True, slots=True)
class Line:
    """A printed line of a clean page; ``how`` and ``capture`` are None on a real document, which has been through one.

    ``document`` is what splits are made by; ``material`` and ``density`` (pixels a millimetre) are those of the thing.
    """

    document: str
    name: str
    page: Image
    value: str
    boxes: tuple[Box, ...]
    how: Print | None
    capture: Capture | None = None
    material: Material = "paper"
    density: float = 0.0


def fit_for_trials(line: Line) -> bool:
    return len(line.value.replace(" ", "")) >= 3 and "<<" not in line.value


def printed_lines(scale: str, documents: int, fields: int, seed: int, *, captured: bool = True) -> Iterator[Line]:
    """``fields`` lines of each of ``documents`` fresh documents, half of them random strings, each ``captured`` in its own way."""
    config = SimulateConfig.model_validate(
        {"seed": seed, "count": documents, "scale": scale, "values": {"natural": 0.5, "random": 0.5}}
    )
    for index in Progress("draw", documents, "documents").over(range(documents)):
        document = clean_document(config, index)
        rng = generator(seed, str(index), "calibration")
        taken = 0
        for number in rng.permutation(len(document.fields)):
            printed = document.fields[sorted(document.fields)[int(number)]]
            how = Print(document.ground, printed.style)
            line = Line(str(index), printed.name, document.image, printed.value, printed.boxes, how)
            if taken < fields and fit_for_trials(line) and len(split_lines(line.boxes)) == 1:
                taken += 1
                seen = generator(seed, str(index), printed.name, "capture")
                capture = draw_capture(document, seen) if captured else None
                yield replace(line, capture=capture, material=document.material, density=document.density)


def real_lines(annotations: Path, seed: int) -> Iterator[Line]:
    """Every printed line of the asked fields on annotated scans (images beside the file)."""
    config = DegradeConfig(seed=seed)
    for number, annotation in read_annotations(annotations):
        page = load_page(config, annotations, number, annotation, annotations.parent)
        for question in page.questions:
            for index, line in enumerate(split_lines(question.boxes)):
                value = "".join(question.value[i] for i in line)
                boxes = tuple(question.boxes[i] for i in line)
                found = Line(page.name, f"{question.field}/{index}", page.image, value, boxes, None)
                if fit_for_trials(found):
                    yield found
