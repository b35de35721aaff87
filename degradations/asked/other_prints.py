"""What a hidden character can still be known from: other prints on the page that say it and that the damage left legible.

A date of birth under a thumb stands in the machine readable zone as well, and a covered total in its parts. A reader that
gives such a character has invented nothing, so the ledger says where it stands (``Slot.derivable``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from degradations.documents.model import Derivation, PrintedLine, Source
from kie_hvqa.data.ledger import Box, Slot

_SHOWN = 40  # characters of an unasked line's text that stand in a row

# Evidence of each of these boxes of the clean page after damage; upper bounds where one of them is hidden.
Judge = Callable[[Sequence[Box]], Sequence[float]]


@dataclass(frozen=True, slots=True)
class OtherPrints:
    """What the page prints (``lines``) and what follows from it for the field on line number ``own``."""

    lines: tuple[PrintedLine, ...]
    own: int
    derivations: tuple[Derivation, ...]

    def boxes(self, source: Source) -> tuple[Box, ...]:
        line = self.lines[source.line]
        return tuple(line.boxes[place] for place in source.places)

    def told(self, slots: Sequence[Slot], label: Callable[[float], str], judge: Judge) -> Iterator[Derivation]:
        """The derivations that give a hidden slot and whose sources are all still there (none of their characters hidden).

        A source that is partly legible counts: an answer is charged with invention where nothing on the page supports it.
        """
        hidden = {i for i, slot in enumerate(slots) if slot.scored and slot.legibility == "hidden"}
        known: dict[Source, bool] = {}
        for found in self.derivations:
            if hidden.isdisjoint(found.slots):
                continue
            for source in found.sources:
                if source not in known:
                    known[source] = self._legible(source, slots, label, judge)
                if not known[source]:
                    break
            else:
                yield found

    def _legible(self, source: Source, slots: Sequence[Slot], label: Callable[[float], str], judge: Judge) -> bool:
        if source.line == self.own:
            return all(slots[place].legibility != "hidden" for place in source.places)
        return all(label(evidence) != "hidden" for evidence in judge(self.boxes(source)))

    def where(self, found: Derivation) -> str:
        """``same: mrz_line_2``, ``sum: subtotal + 'TAX 1.20'``: how it follows, and the fields or texts it follows from."""
        names = []
        for source in found.sources:
            line = self.lines[source.line]
            text = line.text if len(line.text) <= _SHOWN else line.text[: _SHOWN - 1] + "…"
            names.append(line.field or repr(text))
        return f"{found.how}: {' + '.join(dict.fromkeys(names))}"

    def note(self, slots: Sequence[Slot], told: Sequence[Derivation]) -> tuple[Slot, ...]:
        """``slots`` with ``derivable`` set by the first of ``told`` that gives each hidden one."""
        result = list(slots)
        for found in told:
            where = self.where(found)
            for index in found.slots:
                slot = result[index]
                if slot.scored and slot.legibility == "hidden" and not slot.derivable:
                    result[index] = replace(slot, derivable=where)
        return tuple(result)
