"""How often ``reading.covers`` sees that a value's end is covered, and how often it sees a cover where the value is whole.

    kie-hvqa simulate --config cards --out DATA seed=32 count=40 'templates={us_licence: 1, eu_card: 1, national_id: 1, invoice_us: 1, residence_permit: 1}' \
      questions_per_document=2 'severities={2: 1, 3: 1, 4: 1, 5: 1}' 'operators_per_image={1: 1}' 'held_out_operators={}' 'question_kinds={answerable: 1}' \
      'operators={sticker: 1, opaque_occluder: 2, finger: 1, translucent_occluder: 1, glare: 1, shadow: 1}'
    python -m studies.covers DATA

In place of an engine's line stands the ledger: the box around the characters of a printed line that are not hidden.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np

from kie_hvqa.answers.boxes import of_field
from kie_hvqa.data.dataset import image_path, load_rows
from kie_hvqa.data.pixels import open_image
from kie_hvqa.readers.ocr import printed_lines
from kie_hvqa.reading.covers import Covers
from kie_hvqa.scoring.scores import operators

_TRIM = 0.1  # heights above and below the print that a ledger's box has and an engine's has not


def counted(data: Path) -> Counter[tuple[str, bool, bool]]:
    """(operator, the end is hidden, a cover is seen) → how many fields of one line, of which something can be read."""
    found: Counter[tuple[str, bool, bool]] = Counter()
    for row in load_rows(data):
        slots = [slot for slot in row.slots or () if slot.scored]
        seen = [place for place, slot in enumerate(slots) if slot.legibility != "hidden"]
        if not seen or len(printed_lines(slots)) > 1:
            continue
        x0, y0, x1, y1 = of_field([slots[place] for place in seen]) or (0.0, 0.0, 0.0, 0.0)
        trim = _TRIM * (y1 - y0)
        box = (x0, y0 + trim, x1, y1 - trim)
        end = Covers(np.asarray(open_image(image_path(data, row)))).behind(box)
        found[", ".join(operators(row)) or "none", seen[-1] < len(slots) - 1, end > x1] += 1
    return found


def main() -> None:
    found = counted(Path(sys.argv[1]))
    print("| damage | ends hidden | of which seen | ends not hidden | cover seen all the same |\n|---|---|---|---|---|")
    for name in [*sorted({name for name, _, _ in found}), "all"]:
        own = {key: sum(n for (of, *rest), n in found.items() if name in (of, "all") and tuple(rest) == key)
               for key in ((True, True), (True, False), (False, True), (False, False))}  # fmt: skip
        hidden, whole = own[True, True] + own[True, False], own[False, True] + own[False, False]
        print(f"| {name} | {hidden} | {own[True, True]} | {whole} | {own[False, True]} |")


if __name__ == "__main__":
    main()
