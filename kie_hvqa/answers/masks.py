"""Masks: what other people's models write where they cannot read, and which of it is a mark.

Our format marks a hidden character by a space. Models that were trained elsewhere write ``Sm?th``, ``Sm**h``, ``Sm__h`` or
``XXXX 1234``. All of those are printed on documents too, so the text alone cannot say which they are; the printed value
can. The list is closed:

===================  =============================================================================================
``?`` ``*`` ``_``    each is a mark where the value has no such character
``XX``, ``xxx`` …    two or more of one letter X in a row are as many marks where the value has no X in either case
===================  =============================================================================================

``resolve`` is the one place that decides, for scores, rewards and pictures alike. It gives back the very reading that it
was given where there is nothing to resolve, so ``resolve(reading, value) is not reading`` counts a repair (``REPAIR``).
A mask in a list is no assertion either: it is left out there. The official scores never come here: they compare text
with text, as the published evaluator does.

Full-width forms are ASCII in every reading (``answer.parse``). Where the value itself is printed full-width and has no
ASCII twin, the reading's ASCII is taken for it.

Marks that are never printed (``[illegible]``, ``(unreadable)``, ``▯`` and their like) and refusals in words (``N/A``) need
no value: ``kie_hvqa.answers.answer`` reads them.
"""

from __future__ import annotations

import re

from kie_hvqa.answers.answer import MARK, Reading

REPAIR = "masks"
"""The name under which a resolved reading is counted among an answer's repairs."""

_PERHAPS = re.compile(r"[?*_Xx]")
_MASK = re.compile(r"[?*_]|X{2,}|x{2,}")
_WIDE = re.compile("[\uff01-\uff5e]")
_TO_ASCII = 0xFF01 - 0x21


def resolve(reading: Reading, value: str) -> Reading:
    """``reading`` with its masks turned into marks, given the printed ``value`` ("" for an absent field). Pure.

    The same object where nothing is a mask.
    """
    text = f"{reading.final} {reading.clear} {reading.not_clear}"
    masks: set[str] = set()
    if _PERHAPS.search(text) is not None:  # a class of characters is found at once, an alternative is not
        masks = {found[0][0] for found in _MASK.finditer(reading.final)}
        masks |= {glyph for glyph in "?*_" if glyph in text}  # a list has no order, so two X in one are no row
        masks = {glyph for glyph in masks if glyph not in value and glyph.swapcase() not in value}
    wide = {} if value.isascii() or _WIDE.search(value) is None else _wide_forms(value)
    if not masks and not (wide and any(char in wide for char in text)):
        return reading
    return Reading(
        _spelt(
            _MASK.sub(lambda found: MARK * len(found[0]) if found[0][0] in masks else found[0], reading.final), wide
        ),
        _spelt("".join([char for char in reading.not_clear if char not in masks]), wide),
        _spelt("".join([char for char in reading.clear if char not in masks]), wide),
        reading.clear_number,
        reading.not_clear_number,
    )


def _wide_forms(value: str) -> dict[str, str]:
    """ASCII character → the full-width form that ``value`` has instead of it."""
    forms = {chr(ord(char) - _TO_ASCII): char for char in _WIDE.findall(value)}
    return {char: form for char, form in forms.items() if char not in value}


def _spelt(text: str, wide: dict[str, str]) -> str:
    return "".join([wide.get(char, char) for char in text]) if wide else text
