"""Agreement: how many of N further readings put the same symbol in the same place.

Whole answers seldom agree where one character is in doubt, so each sample is laid over the answer, slot by slot, marks kept as
symbols, by the alignment that lays answers over the ledger. What was drawn (at a temperature, or of pages cut and scaled a little
otherwise) is the reader's business. Source: self-consistency (Wang et al., ICLR 2023), taken to the character.

What it cannot see: a character made up from a strong prior is made up in every sample. ``docs/confidence.md`` has its agreement on
hidden slots.
"""

from __future__ import annotations

from collections.abc import Sequence

from kie_hvqa.answers.alignment import align
from kie_hvqa.answers.answer import MARK, Reading, parse
from kie_hvqa.confidence.symbols import SymbolConfidence
from kie_hvqa.data.ledger import Slot

AGREEMENT, JITTER = "agreement", "jitter"
_NOWHERE = (0.0, 0.0, 0.0, 0.0)


def agreement(reading: Reading, samples: Sequence[str]) -> SymbolConfidence:
    """The share of ``samples`` (responses) that agree with each symbol of ``reading``, and, where it refuses, that refuse too.

    A sample that cannot be parsed agrees with nothing; one that refuses agrees with every mark. ValueError without samples.
    """
    if not samples:
        raise ValueError("agreement needs a sample")
    readings = [parse(sample).reading for sample in samples]
    if reading.refused:
        share = sum(other is not None and other.refused for other in readings) / len(samples)
        return SymbolConfidence.of((None,) * len(reading.final), share)
    places = tuple(Slot(symbol, "clear", 1.0, _NOWHERE) for symbol in reading.final)
    counts = [0] * len(places)
    for other in readings:
        if other is None:
            continue
        found = MARK * len(places) if other.refused else align(places, other.final).symbols
        for index, symbol in enumerate(found):
            counts[index] += symbol == reading.final[index]
    return SymbolConfidence.of([count / len(samples) for count in counts])
