"""The constants behind every label, and where they come from: one file that ``studies.calibration`` writes.

``calibration.json`` lies beside this module and says what was measured to arrive at them. Nothing else in the
code holds a copy.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from kie_hvqa.data.files import read_json
from kie_hvqa.data.ledger import Legibility

CALIBRATION = Path(__file__).with_name("calibration.json")


@cache
def _shipped() -> dict[str, Any]:
    return dict(read_json(CALIBRATION)["constants"])


def _default(name: str) -> Any:
    return dataclasses.field(default_factory=lambda: _shipped()[name])


@dataclass(frozen=True, slots=True)
class LegibilityModel:
    """Every constant behind a label; the defaults are the shipped calibration's. Lengths are shares of the text height.

    The ideal observer (printed text, ``observer``): ``efficiency`` η and equivalent ``noise`` σ₀ (grey levels) of the
    reader; ``noise_weight`` and ``masking_weight``: how much of the recipe's noise variance and of
    the structure beside the print counts; ``acuity``: standard deviation of the blur that the reader's idea of a letter has; ``working_height``:
    taller text is reduced to this height in pixels first; ``rivals``: how many candidates beside the printed character;
    ``plausible``: a rival this likely against the printed character is kept in the row.

    Real documents (no font, ``structure``): ``detail``, structure coarser than this is removed before comparing;
    ``window``, in which structure is correlated; ``floor``, grey levels of structure too faint to count;
    ``half`` and ``slope`` of the psychometric curve that turns the structure kept into evidence.

    Both: evidence from ``clear`` up is ``clear``; evidence below ``hidden`` is ``hidden``.
    """

    efficiency: float = _default("efficiency")
    noise: float = _default("noise")
    noise_weight: float = _default("noise_weight")
    masking_weight: float = _default("masking_weight")
    acuity: float = _default("acuity")
    working_height: float = _default("working_height")
    rivals: int = _default("rivals")
    plausible: float = _default("plausible")
    detail: float = _default("detail")
    window: float = _default("window")
    floor: float = _default("floor")
    half: float = _default("half")
    slope: float = _default("slope")
    clear: float = _default("clear")
    hidden: float = _default("hidden")

    def label(self, evidence: float) -> Legibility:
        if evidence >= self.clear:
            return "clear"
        return "hidden" if evidence < self.hidden else "partial"
