"""The colours of a template and the names of its grounds: what a template says, and what needs nothing that draws."""

from __future__ import annotations

from dataclasses import dataclass

from degradations.documents.model import Colour

GROUNDS = ("guilloche", "rosettes", "waves", "contours", "mesh", "dots", "plain")  # art/backgrounds.py draws each


def _rgb(text: str) -> Colour:
    red, green, blue = bytes.fromhex(text)
    return red, green, blue


@dataclass(frozen=True, slots=True)
class Palette:
    """``light`` and ``second`` end the ground's gradient; ``line`` is its pattern, ``accent`` the bands, ``ink`` the values."""

    name: str
    light: Colour
    second: Colour
    line: Colour
    accent: Colour
    ink: Colour
    label: Colour

    @classmethod
    def of(cls, name: str, colours: str) -> Palette:
        """From six colours as RRGGBB, separated by spaces, in the order of the attributes."""
        return cls(name, *(_rgb(text) for text in colours.split()))
